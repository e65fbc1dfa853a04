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
//! Differs from Go, whose version 1.26 the case files follow:
//!
//! - texts are UTF-8, so a cut inside a character leaves U+FFFD; there are no complex numbers;
//! - a present `nil` and a missing key are one value: they print alike, but a few error texts of
//!   upstream tell them apart;
//! - mistakes of HTML contexts show when a template is parsed, not when it is first rendered;
//! - of the named character references only those are resolved that contexts depend on;
//! - [`bounds`] end what upstream would go on with.
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
mod point;
mod tree;
mod uses;

pub use error::{ExecError, ParseError};
pub use functions::{CustomFunction, JSON_FUNCTIONS, Param};
pub use go::time::{Time, Zone};
pub use template::{Options, Template};
pub use value::{List, ListLike, MapLike, SortedTags, StructLike, Value};
