//! What is done to a value at its place.

use crate::go::print;
use crate::value::Value;

/// One step of escaping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Escape {
    Html,
}

impl Escape {
    /// Gives the name that error messages of upstream show.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Escape::Html => "_html_template_htmlescaper",
        }
    }
}

/// Writes a value through all steps.
pub(crate) fn escape(steps: &[Escape], value: &Value<'_>, scratch: &mut String, out: &mut String) {
    let _ = steps;
    if !matches!(value, Value::Nil) {
        print::value(scratch, value);
    }
    super::text::html(out, scratch);
}
