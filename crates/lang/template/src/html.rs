//! Escapes values for their place in HTML, decided once when a template is parsed.

pub(crate) mod escape;
pub(crate) mod sites;
pub(crate) mod text;
