//! Samples of metrics, written: the text format, and messages of remote write.
//!
//! Both take a series at a time: its name, its labels sorted by name, its samples. Names follow
//! Prometheus' data model ([`is_metric_name`], [`is_label_name`]); [`append_name`] makes any text one.
//!
//! Source: Prometheus' data model, text format 0.0.4, remote write 1.0 and 2.0.

mod remote_write;
mod remote_write_v2;
#[cfg(test)]
mod tests;
mod text;

pub use remote_write::append_time_series;
pub use remote_write_v2::RequestBuilder;
pub use text::append_series_text;

/// The label that holds the name of a metric.
pub const NAME_LABEL: &str = "__name__";

/// A value at a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Milliseconds since 1970-01-01 UTC.
    pub millis: i64,
    /// The value; only finite ones are facts.
    pub value: f64,
}

/// What a name is for; metrics may hold colons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameKind {
    /// `[a-zA-Z_:][a-zA-Z0-9_:]*`
    Metric,
    /// `[a-zA-Z_][a-zA-Z0-9_]*`
    Label,
}

// === impl NameKind ===

impl NameKind {
    fn allows(self, byte: u8) -> bool {
        byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':' && self == NameKind::Metric
    }

    fn fits(self, name: &str) -> bool {
        let bytes = name.as_bytes();
        bytes.first().is_some_and(|byte| !byte.is_ascii_digit())
            && bytes.iter().all(|&byte| self.allows(byte))
    }
}

/// Tells whether a text is the name of a metric.
pub fn is_metric_name(name: &str) -> bool {
    NameKind::Metric.fits(name)
}

/// Tells whether a text is the name of a label.
pub fn is_label_name(name: &str) -> bool {
    NameKind::Label.fits(name)
}

/// Appends a text as a name: what may not stand in it becomes `_`, and `_` precedes a digit at the
/// start. Tells whether the text was a name already.
pub fn append_name(kind: NameKind, text: &str, out: &mut String) -> bool {
    if kind.fits(text) {
        out.push_str(text);
        return true;
    }
    if text.is_empty() || text.starts_with(|first: char| first.is_ascii_digit()) {
        out.push('_');
    }
    let allowed = |c: char| u8::try_from(c).is_ok_and(|byte| kind.allows(byte));
    out.extend(text.chars().map(|c| if allowed(c) { c } else { '_' }));
    false
}
