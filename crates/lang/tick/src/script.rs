//! The evaluation of scripts: statements run on the objects that a pipeline provides.
//!
//! ```text
//! program ─▶ evaluate ─┬─ chains, properties ─▶ Objects (the pipeline)
//!                      ├─ constant expressions ─▶ fold (the lambda engine)
//!                      └─▶ Outcome: variables with types and descriptions, warnings
//! ```

pub mod object;
pub mod value;

mod error;
mod evaluate;
mod expand;
mod scope;
mod warn;

pub use error::{ScriptError, Warning};
pub use evaluate::{Options, Outcome, evaluate};
pub use expand::{EXPANDED_BYTES_MAX, EXPANDED_NODES_MAX};
pub use object::{CallError, Members, ObjectId, Objects};
pub use value::{Type, Value};

#[cfg(test)]
mod tests;
