//! Escapes values for their place in HTML, decided once when a template is parsed.
//!
//! ```text
//! literal text ──transition──▶ context ──escape──▶ steps of each place ──sites──▶ safe text
//! ```
//! Start at [`escape`]; [`context`] says what is known of a place, [`transition`], [`script`] and
//! [`css`] how literal text changes it, [`sites`] what is done to a value.

pub(crate) mod attribute;
pub(crate) mod context;
pub(crate) mod css;
pub(crate) mod escape;
pub(crate) mod script;
pub(crate) mod sites;
pub(crate) mod text;
pub(crate) mod transition;
