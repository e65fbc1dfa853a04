//! Statements that both databases understand.

use std::cmp::max;
use std::sync::LazyLock;

use crate::Range;

/// `$1` space, `$2` key, `$3` value, `$4` version.
pub(super) const PUT: &str = "
    INSERT INTO levada_documents (space, key, value, version) VALUES ($1, $2, $3, $4)
    ON CONFLICT (space, key) DO UPDATE SET value = excluded.value, version = excluded.version";
/// `$1` space, `$2` key.
pub(super) const DELETE: &str = "DELETE FROM levada_documents WHERE space = $1 AND key = $2";
/// `$1` space.
pub(super) const CLEAR: &str = "DELETE FROM levada_documents WHERE space = $1";

/// Documents in [`PUT_MANY`]. Ours: a statement costs two changes of threads, whatever it does.
pub(super) const PUT_ROWS: usize = 32;
/// [`PUT`] for [`PUT_ROWS`] documents, one behind the other, for SQLite, which looks through all names of places for each
/// value where they have names.
pub(super) static PUT_MANY: LazyLock<String> = LazyLock::new(|| put_rows(PUT_ROWS));
/// Documents in [`PUT_SOME`].
pub(super) const PUT_SOME_ROWS: usize = 8;
/// The same for what is left over, [`PUT_SOME_ROWS`] documents.
pub(super) static PUT_SOME: LazyLock<String> = LazyLock::new(|| put_rows(PUT_SOME_ROWS));
/// Documents in [`DELETE_MANY`].
pub(super) const DELETE_ROWS: usize = 64;
/// First the space, then the keys of [`DELETE_ROWS`] documents, for SQLite; a key may be there twice.
pub(super) static DELETE_MANY: LazyLock<String> = LazyLock::new(|| {
    let keys = ["?"; DELETE_ROWS].join(", ");
    format!("DELETE FROM levada_documents WHERE space = ? AND key IN ({keys})")
});

/// `$1` space, `$2` key.
pub(super) const VERSION: &str =
    "SELECT version FROM levada_documents WHERE space = $1 AND key = $2";
/// `$1` the version given out last.
pub(super) const KEEP_VERSION: &str = "UPDATE levada_documents_version SET version = $1";

/// `$1` space, `$2` key.
pub(super) const GET: &str =
    "SELECT key, value, version FROM levada_documents WHERE space = $1 AND key = $2";
/// `$1` space, `$2` first key, `$3` how many, `$4` behind the last key.
pub(super) const LIST: &str = "
    SELECT key, value, version FROM levada_documents
    WHERE space = $1 AND key >= $2 AND key < $4 ORDER BY key LIMIT $3";
pub(super) const LIST_TO_THE_END: &str = "
    SELECT key, value, version FROM levada_documents
    WHERE space = $1 AND key >= $2 ORDER BY key LIMIT $3";
/// From space to space by the index, without a look at the documents in them: `$1` first space, `$2` behind the last one.
pub(super) const SPACES: &str = "
    WITH RECURSIVE found(space) AS (
        SELECT min(space) FROM levada_documents WHERE space >= $1 AND space < $2
        UNION ALL
        SELECT (SELECT min(space) FROM levada_documents WHERE space > found.space AND space < $2)
        FROM found WHERE found.space IS NOT NULL
    )
    SELECT space FROM found WHERE space IS NOT NULL";
pub(super) const SPACES_TO_THE_END: &str = "
    WITH RECURSIVE found(space) AS (
        SELECT min(space) FROM levada_documents WHERE space >= $1
        UNION ALL
        SELECT (SELECT min(space) FROM levada_documents WHERE space > found.space)
        FROM found WHERE found.space IS NOT NULL
    )
    SELECT space FROM found WHERE space IS NOT NULL";

fn put_rows(count: usize) -> String {
    let rows = vec!["(?, ?, ?, ?)"; count].join(", ");
    PUT.replace("($1, $2, $3, $4)", &rows)
}

/// Gives the first name of a range, without zero bytes, which names do not have and PostgreSQL does not take.
pub(super) fn first(range: &Range<'_>) -> String {
    let behind = range.after.map(|after| {
        // No name is between the part before a zero byte and the whole.
        let (before, _) = after.split_once('\0').unwrap_or((after, ""));
        format!("{before}\u{1}")
    });
    max(behind.unwrap_or_default(), range.prefix.to_owned())
}

/// Gives the lowest name that is higher than all that begin with a prefix, if there is one.
pub(super) fn behind(prefix: &str) -> Option<String> {
    let kept = prefix.trim_end_matches(char::MAX);
    let last = kept.chars().next_back()?;
    // The step leaps over the surrogates.
    let next = (last..=char::MAX).nth(1)?;
    Some(format!("{}{next}", &kept[..kept.len() - last.len_utf8()]))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_higher_than_all_that_begin_with_it() {
        assert_eq!(behind("ab").unwrap(), "ac");
        assert_eq!(behind("a\u{7f}").unwrap(), "a\u{80}");
        assert_eq!(behind("a\u{d7ff}").unwrap(), "a\u{e000}");
        assert_eq!(behind("a\u{10ffff}\u{10ffff}").unwrap(), "b");
        assert_eq!(behind("\u{10ffff}"), None);
        assert_eq!(behind(""), None);
    }

    #[test]
    fn statements_for_many_have_a_place_for_each_value() {
        let places = |statement: &str| statement.matches('?').count();
        assert_eq!(places(&PUT_MANY), PUT_ROWS * 4);
        assert_eq!(places(&PUT_SOME), PUT_SOME_ROWS * 4);
        assert_eq!(places(&DELETE_MANY), DELETE_ROWS + 1);
        assert!(!PUT_MANY.contains('$'), "{}", *PUT_MANY);
    }

    #[test]
    fn a_range_begins_behind_a_key_or_at_a_prefix() {
        let of = |prefix, after| first(&Range { prefix, after, limit: None });
        assert_eq!(of("", None), "");
        assert_eq!(of("b", Some("a")), "b");
        assert_eq!(of("a", Some("ab")), "ab\u{1}");
        assert_eq!(of("", Some("")), "\u{1}");
        assert_eq!(of("", Some("a\0b")), "a\u{1}");
    }
}
