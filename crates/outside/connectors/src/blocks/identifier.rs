//! Names that end up in SQL.

use levada_registry::{FieldPath, Report};

/// Source: dataflow-operator.md §7.2, identifiers.
const IDENTIFIER: &str =
    "must be a valid SQL identifier (letters, digits, underscore; must not start with a digit)";

/// Tells whether a name matches `^[a-zA-Z_][a-zA-Z0-9_]*$`.
pub fn is_identifier(name: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().all(is_word) && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

/// Reports a column name that is no identifier; an empty one counts as absent.
pub fn check_identifier(field: &str, name: &str, at: &FieldPath, report: &mut Report) {
    if !name.is_empty() && !is_identifier(name) {
        report.invalid(&at.child(field), name, IDENTIFIER);
    }
}

/// Reports the elements of a list of column names that are empty or no identifiers.
pub fn check_identifier_list(field: &str, names: &[String], at: &FieldPath, report: &mut Report) {
    for (index, name) in names.iter().enumerate() {
        if !is_identifier(name) {
            report.invalid(&at.child(field).index(index), name.as_str(), IDENTIFIER);
        }
    }
}

/// Reports a conflict key whose columns, separated by commas, are no identifiers.
///
/// Differs: the second generation allows one column here; the first passed the text on as it was,
/// so that several columns worked.
pub fn check_conflict_key(key: &str, at: &FieldPath, report: &mut Report) {
    let key = key.trim();
    if !key.is_empty() && !key.split(',').all(|column| is_identifier(column.trim())) {
        report.invalid(&at.child("conflictKey"), key, IDENTIFIER);
    }
}

/// Reports a table that is neither `table` nor `schema.table`; blanks around it do not matter.
pub fn check_table(table: &str, at: &FieldPath, report: &mut Report) {
    let table = table.trim();
    if table.is_empty() {
        report.required(at, "the name of a table is missing");
        return;
    }
    let mut parts = table.splitn(2, '.');
    if !parts.all(is_identifier) {
        let detail = "is no table: write table or schema.table, of letters, digits and underscores";
        report.invalid(at, table, detail);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_ascii_words_without_a_leading_digit() {
        for name in ["a", "_", "updated_at", "A9"] {
            assert!(is_identifier(name), "{name}");
        }
        for name in ["", "9a", "a b", "a-b", "a.b", "é", "a\n", "\"a\""] {
            assert!(!is_identifier(name), "{name:?}");
        }
    }

    #[test]
    fn tables_have_at_most_one_schema() {
        for (table, problems) in [
            ("t", 0),
            (" public.t ", 0),
            ("", 1),
            (" ", 1),
            ("a.b.c", 1),
            (".t", 1),
            ("t.", 1),
            ("a b.t", 1),
        ] {
            let mut report = Report::new();
            check_table(table, &FieldPath::field("tables"), &mut report);
            assert_eq!(report.problems().len(), problems, "{table:?}");
        }
    }
}
