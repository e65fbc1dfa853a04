//! JSON Schema of flows, for editors.

use levada_connectors::{SINKS, SOURCES};
use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};

use super::FlowFields;
use crate::transforms::TRANSFORMS;

/// Gives the JSON Schema of a `DataFlow` manifest, both shapes, rendered from the tables.
pub fn schema() -> Value {
    let mut generator = SchemaGenerator::default();
    let typed = |names: Vec<(&'static str, &'static str, Value)>, extra: Value| {
        let mut properties = Map::new();
        let mut any_of = Vec::new();
        let kinds: Vec<&str> = names.iter().map(|(name, _, _)| *name).collect();
        properties.insert("type".into(), json!({ "enum": kinds, "description": "The type." }));
        properties.insert(
            "config".into(),
            json!({ "type": "object", "description": "The settings of the type." }),
        );
        for (name, summary, schema) in names {
            properties.insert(name.into(), schema.clone());
            any_of.push(json!({
                "title": format!("{name}: {summary}"),
                "properties": { "type": { "const": name }, "config": schema },
                "oneOf": [{ "required": ["config"] }, { "required": [name] }],
            }));
        }
        for (key, value) in extra.as_object().into_iter().flatten() {
            properties.insert(key.clone(), value.clone());
        }
        json!({ "type": "object", "required": ["type"], "properties": properties, "anyOf": any_of })
    };
    let on_error = json!({
        "enum": ["dlq", "drop", "fail"],
        "description": "What happens to a record that fails here. Default: dlq when `errors` is set, else fail.",
    });
    let sources = SOURCES
        .iter()
        .map(|entry| (entry.name, entry.summary, (entry.schema)(&mut generator).to_value()))
        .collect();
    let sinks: Vec<_> = SINKS
        .iter()
        .map(|entry| (entry.name, entry.summary, (entry.schema)(&mut generator).to_value()))
        .collect();
    let steps = TRANSFORMS
        .iter()
        .map(|entry| (entry.name, entry.summary, (entry.schema)(&mut generator).to_value()))
        .collect();
    let source = typed(sources, json!({ "onError": on_error }));
    let errors = typed(
        sinks.clone(),
        json!({
            "ackPolicy": {
                "enum": ["afterWrite", "never", "afterMainSinkSuccess"],
                "description": "When the position of a failed record is committed. Default: afterWrite.",
            },
            "maxRatio": {
                "type": "number",
                "exclusiveMinimum": 0,
                "maximum": 1,
                "description": "The flow stops when more than this share of its records fails.",
            },
        }),
    );
    let sink = typed(sinks, json!({}));
    let step = typed(
        steps,
        json!({
            "when": { "type": "string", "description": "Only records that meet this condition are touched." },
            "onError": on_error,
        }),
    );
    let fields = generator.subschema_for::<FlowFields>().to_value();
    let mut definitions: Map<String, Value> = generator.take_definitions(true);
    let mut spec = resolve(&fields, &definitions);
    if let Some(properties) = spec.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert("source".into(), json!({ "$ref": "#/$defs/Source" }));
        properties.insert("sink".into(), json!({ "$ref": "#/$defs/Sink" }));
        properties.insert("errors".into(), json!({ "$ref": "#/$defs/Errors" }));
        properties.insert(
            "transformations".into(),
            json!({ "type": "array", "items": { "$ref": "#/$defs/Transformation" } }),
        );
    }
    if let Some(spec) = spec.as_object_mut() {
        spec.insert("required".into(), json!(["source", "sink"]));
    }
    for (name, schema) in
        [("Source", source), ("Sink", sink), ("Errors", errors), ("Transformation", step)]
    {
        definitions.insert(name.into(), schema);
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "DataFlow",
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {
            "apiVersion": { "const": super::API_VERSION },
            "kind": { "const": super::KIND },
            "metadata": {
                "type": "object",
                "required": ["name"],
                "properties": { "name": { "type": "string" }, "namespace": { "type": "string" } },
            },
            "spec": spec,
        },
        "$defs": definitions,
    })
}

/// Gives the definition that a schema refers to.
fn resolve(schema: &Value, definitions: &Map<String, Value>) -> Value {
    schema
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|path| path.rsplit('/').next())
        .and_then(|name| definitions.get(name))
        .unwrap_or(schema)
        .clone()
}
