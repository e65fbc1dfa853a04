//! The path and condition languages of flows, and the filter language of the gateway.
//!
//! ```text
//! "user.email"                       Path       which value of a document
//! "$.status == 'active' && $.count"  Condition  whether a record counts
//! "{ source = 'nginx' }"             Filter     whether a point counts, for the gateway
//! ```
//! All are compiled once, when a flow is built or a rule is loaded: that is where every mistake is found and told with
//! its column. Evaluation cannot fail, and allocates nothing for paths made of keys and indexes.
//!
//! Pure: no I/O, no clock, no async. The documents come from [`levada_model::tree`].
//!
//! Where to start: [`path`] for what a path can say, [`condition`] for the grammar,
//! [`filter`] for the other language.

pub mod condition;
pub mod error;
pub mod filter;
pub mod path;

mod glob;
mod literal;
mod number;

pub use condition::{Condition, Input};
pub use error::{SyntaxError, WriteError};
pub use path::{Found, Path};
