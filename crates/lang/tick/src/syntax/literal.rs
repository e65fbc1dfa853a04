//! Literals: what a word stands for, and how a value is written.

use std::sync::Arc;

use levada_model::Str;

use super::ast::{Kind, Regex};
use super::duration::parse_duration;

/// Reads digits with at most one dot.
pub(super) fn number(written: &str) -> Result<Kind, String> {
    let illegal = || format!("illegal number syntax: \"{written}\"");
    if written.contains('.') {
        // Too many digits give infinity, which no literal can mean.
        let value = written.parse().ok().filter(|value: &f64| value.is_finite());
        return value.map(Kind::Float).ok_or_else(illegal);
    }
    let is_octal = written.len() > 1 && written.starts_with('0');
    let value = i64::from_str_radix(written, if is_octal { 8 } else { 10 });
    value.map(|value| Kind::Int { value, is_octal }).map_err(|_| illegal())
}

/// Reads digits and one unit.
pub(super) fn duration(written: &str) -> Result<Kind, String> {
    Ok(Kind::Duration { nanos: parse_duration(written)?, literal: written.into() })
}

/// Reads `/pattern/`.
pub(super) fn regex(written: &str) -> Result<Kind, String> {
    let pattern = written[1..written.len() - 1].replace("\\/", "/");
    Regex::compile(&pattern).map(|regex| Kind::Regex(Arc::new(regex)))
}

/// Reads `'text'` or `'''text'''`.
pub(super) fn string(written: &str) -> Kind {
    // `''` followed by something else than a quote is an empty text.
    if let Some(value) = written.strip_prefix("'''").and_then(|rest| rest.strip_suffix("'''")) {
        return Kind::String { value: value.into(), is_triple: true };
    }
    let value = written[1..written.len() - 1].replace("\\'", "'");
    Kind::String { value: value.into(), is_triple: false }
}

/// Reads `"name"`.
pub(super) fn reference(written: &str) -> Str {
    written[1..written.len() - 1].replace("\\\"", "\"").into()
}
