//! The syntax of scripts: words, tree, texts.
//!
//! ```text
//! text ─ lexer ─▶ words ─ parser ─▶ tree
//! ```
//!
//! Every tree that [`parse`] gives is at most [`DEPTH_MAX`] levels deep, so that walks over it may recurse.

pub mod ast;
pub mod duration;
pub mod error;
pub mod format;
pub mod json;

mod hint;
mod lexer;
mod literal;
mod parser;
mod token;

pub use ast::{Call, CallKind, Comment, Kind, Node, Operator, Position};
pub use duration::{format_duration, parse_duration};
pub use error::{ParseError, caret};
pub use format::{format, format_lambda, format_node};
pub use json::{from_json, to_json};
pub use parser::{DEPTH_MAX, NESTING_MAX, PATTERNS_MAX, SCRIPT_BYTES_MAX, parse, parse_lambda};

#[cfg(test)]
mod tests;
