//! Settings that are one of a few words.

use levada_registry::{FieldPath, Report};

/// Reports a word that is none of `words`; an empty one stands for the default.
pub fn check_word(field: &str, word: &str, words: &[&str], at: &FieldPath, report: &mut Report) {
    if !word.is_empty() && !words.contains(&word) {
        report.unsupported(&at.child(field), word, words.iter().copied());
    }
}

/// Reports a word that is none of `words`, whatever its case.
pub fn check_word_in_any_case(
    field: &str,
    word: &str,
    words: &[&str],
    at: &FieldPath,
    report: &mut Report,
) {
    let is_known = words.iter().any(|known| known.eq_ignore_ascii_case(word));
    if !word.is_empty() && !is_known {
        report.unsupported(&at.child(field), word, words.iter().copied());
    }
}
