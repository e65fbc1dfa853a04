//! IDs of tasks and templates.

use std::sync::LazyLock;

use regex::Regex;

/// Letters of any script, digits, `-`, `.` and `_`. Source: kapacitor: reference (server) §1.1.
static ID: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^[-._\p{L}0-9]+$").expect("a constant pattern"));

/// Says whether an ID is one.
pub fn is_valid(id: &str) -> bool {
    ID.is_match(id)
}

/// Makes an ID for what was given none: a random UUID of version 4.
pub fn generate() -> String {
    uuid::Uuid::new_v4().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_digits_and_three_signs() {
        for (id, expected) in [
            ("cpu", true),
            ("a-b.c_9", true),
            ("größe", true),
            ("温度", true),
            ("..", true),
            ("", false),
            ("a b", false),
            ("a/b", false),
            ("a:b", false),
            ("a\n", false),
            ("½", false),
            ("٣", false),
            ("a\u{301}", false),
        ] {
            assert_eq!(is_valid(id), expected, "{id:?}");
        }
    }

    #[test]
    fn generated_ones_are_different_uuids() {
        let ids: std::collections::HashSet<String> = (0..1000).map(|_| generate()).collect();
        assert_eq!(ids.len(), 1000);
        for id in ids {
            let parts: Vec<&str> = id.split('-').collect();
            let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
            assert_eq!(lengths, [8, 4, 4, 4, 12], "{id}");
            assert!(
                parts[2].starts_with('4') && parts[3].starts_with(['8', '9', 'a', 'b']),
                "{id}"
            );
            assert!(is_valid(&id));
        }
    }
}
