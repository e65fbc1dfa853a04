//! `levada schema`: the JSON Schema of flows.

use crate::exit::Exit;
use crate::output;

pub(super) fn run() -> Exit {
    output::line(&render());
    Exit::Done
}

/// Gives the schema as indented JSON.
pub(super) fn render() -> String {
    let schema = levada_flow::spec::schema::schema();
    serde_json::to_string_pretty(&schema).unwrap_or_else(|_| schema.to_string())
}
