//! Variables of tasks and templates, and their JSON.

use std::collections::BTreeMap;

use levada_model::Str;

use crate::script::{Type, Value};

mod json;

pub(crate) use json::float_to_json;
pub use json::{from_json, to_json};

/// A variable.
#[derive(Clone, Debug)]
pub struct Var {
    /// Its type.
    pub kind: Type,
    /// Its value; none for one that a template only declares.
    pub value: Option<Value>,
    /// The comment above its declaration.
    pub description: Str,
}

/// Variables by name.
pub type Vars = BTreeMap<String, Var>;

#[cfg(test)]
mod tests;
