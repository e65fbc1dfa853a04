//! From records to names, texts, numbers and times: what sinks with a data model of their own share.
//!
//! - [`document`]: records as documents, parsed at most once.
//! - [`text`]: texts made of a record: a literal, a path, a template.
//! - [`time`]: times read from a record.
//! - [`number`]: numbers as they were written.
//! - [`fields`]: which members of a record are left when labels and times are taken.
//!
//! Everything is compiled once, when a flow is checked and built; what cannot be is a problem with the
//! path of its setting.

pub(crate) mod document;
pub(crate) mod fields;
pub(crate) mod number;
pub(crate) mod text;
pub(crate) mod time;

use levada_condition::Path;
use levada_registry::{FieldPath, Report};

pub(crate) use document::{Document, Reader};
pub(crate) use fields::{NamedTexts, Used};
pub(crate) use number::Number;
pub(crate) use text::TextRule;
pub(crate) use time::TimeRule;

/// Compiles a path of a record that allocates nothing when it is followed; a leading `$.` means nothing.
pub(crate) fn plain_path(text: &str) -> Result<Path, String> {
    let path = Path::compile(text).map_err(|error| error.to_string())?;
    match path.is_plain() {
        true => Ok(path),
        false => {
            Err("only keys and indexes can be used here, such as `a.b` or `a[0].b`".to_owned())
        }
    }
}

/// Reports a path that cannot be compiled; an empty text is none.
pub(crate) fn check_path(text: &str, at: &FieldPath, report: &mut Report) {
    if !text.is_empty()
        && let Err(problem) = plain_path(text)
    {
        report.invalid(at, text, &problem);
    }
}

/// Reports a text rule that cannot be compiled; an empty text is none.
pub(crate) fn check_text(text: &str, at: &FieldPath, report: &mut Report) {
    if !text.is_empty()
        && let Err(problem) = TextRule::compile(text)
    {
        report.invalid(at, text, &problem);
    }
}
