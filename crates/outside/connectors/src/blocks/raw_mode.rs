//! The raw envelope: whole records in two columns, or metadata in columns of its own.

use levada_registry::{FieldPath, Report};

/// Reports flattened metadata without raw mode, and a prefix that cannot start a column name.
///
/// Source: dataflow-operator.md §7.2, raw; a prefix without `flattenMetadataColumns` has no effect.
pub fn check_raw_mode(
    raw_mode: bool,
    flatten_columns: bool,
    prefix: &str,
    at: &FieldPath,
    report: &mut Report,
) {
    if !flatten_columns {
        return;
    }
    if !raw_mode {
        let detail = "metadata gets columns of its own in raw mode only: set rawMode to true";
        report.invalid(&at.child("flattenMetadataColumns"), true, detail);
    }
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let path = at.child("flattenMetadataColumnsPrefix");
    if !prefix.bytes().all(is_word) {
        let detail = "columns begin with it: use letters, digits and underscores";
        report.invalid(&path, prefix, detail);
    } else if prefix.starts_with(|first: char| first.is_ascii_digit()) {
        let detail = "columns begin with it: begin with a letter or an underscore";
        report.invalid(&path, prefix, detail);
    }
}
