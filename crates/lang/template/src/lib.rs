//! Go text and HTML templates and the texts of values that Go programs print.
//!
//! ```text
//! text ──lex──▶ items ──parse──▶ trees ──html: escape──▶ Template ──execute(data)──▶ text
//! ```
//! A template is parsed once, when a task is enabled: that is where mistakes of syntax and of HTML
//! contexts are found. Rendering reads the data through [`Value`], [`MapLike`], [`ListLike`] and
//! [`StructLike`], so that nothing is built per event, and ends within [`bounds`].
//!
//! The texts of values and errors are those of Go's `text/template`, `html/template`, `fmt`,
//! `time` and `encoding/json`: scripts and the people who read alerts depend on them.
//!
//! Pure: no I/O, no clock, no async; what `.Local` means is told by the caller.
//!
//! Where to start: [`Template`] for what can be done, [`go`] for texts of values.

pub mod bounds;
pub mod error;
pub mod functions;
pub mod go;
pub mod template;
pub mod value;

mod eval;
mod exec;
mod html;
mod lex;
mod methods;
mod number;
mod parse;
mod tree;
mod uses;

pub use error::{ExecError, ParseError};
pub use functions::{CustomFunction, JSON_FUNCTIONS, Param};
pub use go::time::{Time, Zone};
pub use template::{Options, Template};
pub use value::{List, ListLike, MapLike, SortedTags, StructLike, Value};
