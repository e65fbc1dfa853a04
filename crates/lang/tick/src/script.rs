//! The evaluation of scripts: statements run on the objects that a pipeline provides.

pub mod object;
pub mod value;

pub use object::{CallError, ObjectId, Objects};
pub use value::{Type, Value};
