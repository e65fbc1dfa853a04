//! `insertField`: sets fields to fixed values, metadata or the time.

use levada_condition::path::Path;
use levada_model::text::{encode_string, needs_escape};
use levada_model::tree::{NodeId, NodeKind, Tree};
use levada_model::{Meta, RecordBatch, RecordError, Timestamp, Value};
use levada_registry::{FieldPath, Report};
use schemars::JsonSchema;
use serde::Deserialize;

use super::fields::{Scalar, Undo, check_room, parents, report_path, settable, write_error};
use super::ordered_map::OrderedMap;
use super::{Scope, Transform, TransformContext, TransformSpec, Verdict};

/// Sets fields of JSON objects to fixed values, metadata or the time.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Spec {
    /// The value of each field, by its path: a text, `${metadata.<key>}` (as text; empty when it is
    /// missing), `${now}` (RFC 3339), or `json:` with any JSON. A placeholder is the whole value or
    /// no placeholder.
    pub fields: OrderedMap,
}

impl TransformSpec for Spec {
    const NAME: &'static str = "insertField";
    const SUMMARY: &'static str = "sets fields to fixed values, metadata or the time";
    const EXAMPLE: &'static str = "\
type: insertField
config:
  fields:
    source: shop
    meta.topic: ${metadata.topic}
    processed_at: ${now}
    tags: 'json:[\"a\", \"b\"]'
";

    fn check(&self, at: &FieldPath, report: &mut Report) {
        let at = at.child("fields");
        if self.fields.is_empty() {
            report.required(&at, "at least one field is required");
        }
        for (path, written) in self.fields.iter() {
            let at = at.key(path);
            report_path(&settable(path), &at, path, report);
            match written.map(Insert::parse) {
                None => {
                    let detail = "must be a string; write `json:null` for null";
                    report.invalid(&at, serde_json::Value::Null, detail);
                }
                Some(Err(detail)) => {
                    report.invalid(&at, written.unwrap_or_default(), &detail);
                }
                Some(Ok(Insert::Scalar(..))) if is_odd(written.unwrap_or_default()) => {
                    let text = "`${` stands in the text as it is: only `${metadata.<key>}` and `${now}`, and only as the whole value, are replaced";
                    report.warning(&at, text.into());
                }
                Some(Ok(_)) => {}
            }
        }
    }

    fn build(&self, _: &TransformContext) -> Result<Box<dyn Transform>, String> {
        let mut fields = Vec::new();
        for (path, written) in self.fields.iter() {
            let insert = Insert::parse(written.ok_or("a value must be a string")?)?;
            fields.push((settable(path).map_err(|error| error.to_string())?, insert));
        }
        let bytes =
            fields.iter().map(|(path, insert)| path.to_string().len() + insert.bytes()).sum();
        let may_fail = |(path, _): &(Path, Insert)| !parents(path).is_empty();
        Ok(Box::new(InsertField {
            needs_undo: fields.len() > 1 && fields.iter().any(may_fail),
            needs_meta: fields.iter().any(|(_, insert)| matches!(insert, Insert::Meta(_))),
            fields,
            bytes,
            now: (Timestamp::default(), Vec::new()),
        }))
    }
}

/// Tells whether a text looks as if its author expected a replacement.
fn is_odd(written: &str) -> bool {
    written.contains("${") && !written.starts_with("json:")
}

/// What is put into a field.
enum Insert {
    /// A scalar in JSON's form.
    Scalar(Box<[u8]>, Scalar),
    /// An array or object in JSON's form.
    Json(Box<[u8]>),
    Meta(Box<str>),
    Now,
}

impl Insert {
    fn parse(written: &str) -> Result<Insert, String> {
        if let Some(json) = written.strip_prefix("json:") {
            return Insert::json(json.trim());
        }
        if written == "${now}" {
            return Ok(Insert::Now);
        }
        let key = written.strip_prefix("${metadata.").and_then(|rest| rest.strip_suffix('}'));
        if let Some(key) = key.filter(|key| !key.is_empty()) {
            return Ok(Insert::Meta(key.into()));
        }
        let mut encoded = Vec::new();
        encode_string(written, &mut encoded);
        let escaped = needs_escape(written.as_bytes());
        Ok(Insert::Scalar(encoded.into(), Scalar { kind: NodeKind::String, escaped }))
    }

    fn json(json: &str) -> Result<Insert, String> {
        let text = json.as_bytes();
        let mut tree = Tree::default();
        let root = u32::try_from(text.len())
            .ok()
            .and_then(|len| tree.parse(text, 0, len).ok())
            .ok_or("json: value must be valid JSON")?;
        Ok(match tree.kind(root) {
            NodeKind::Array | NodeKind::Object => Insert::Json(text.into()),
            kind => {
                let escaped = kind == NodeKind::String && text.contains(&b'\\');
                Insert::Scalar(text.into(), Scalar { kind, escaped })
            }
        })
    }

    fn bytes(&self) -> usize {
        match self {
            Insert::Scalar(text, _) | Insert::Json(text) => text.len(),
            Insert::Meta(_) | Insert::Now => 0,
        }
    }
}

struct InsertField {
    fields: Vec<(Path, Insert)>,
    /// What a record grows by, metadata apart.
    bytes: usize,
    needs_meta: bool,
    /// A field may be refused after another was set.
    needs_undo: bool,
    /// The time in JSON's form, made once per batch.
    now: (Timestamp, Vec<u8>),
}

impl Transform for InsertField {
    fn record(
        &mut self,
        batch: &mut RecordBatch,
        index: usize,
        scope: &mut Scope,
    ) -> Result<Verdict, RecordError> {
        let Some(root) = batch.document(index) else {
            return Ok(Verdict::Keep);
        };
        if batch.tree.kind(root) != NodeKind::Object {
            return Ok(Verdict::Keep);
        }
        check_room(batch, self.bytes, Spec::NAME)?;
        if self.now.0 != scope.now || self.now.1.is_empty() {
            self.now.0 = scope.now;
            self.now.1.clear();
            encode_string(&scope.now.rfc3339(), &mut self.now.1);
        }
        let undo = self.needs_undo.then(|| Undo::new(batch, index));
        let outcome = self.insert(batch, index, root);
        if let (Err(_), Some(undo)) = (&outcome, undo) {
            undo.restore(batch, index);
        }
        outcome.map(|()| Verdict::Keep)
    }
}

impl InsertField {
    fn insert(
        &self,
        batch: &mut RecordBatch,
        index: usize,
        root: NodeId,
    ) -> Result<(), RecordError> {
        let meta = if self.needs_meta { batch.meta_arc(index) } else { None };
        for (path, insert) in &self.fields {
            let node = path
                .ensure(&mut batch.text, &mut batch.tree, root)
                .map_err(|error| write_error(Spec::NAME, &error))?;
            let start = batch.text.len();
            let scalar = match insert {
                Insert::Json(json) => {
                    batch.tree.set_json(&mut batch.text, node, json).map_err(|error| {
                        RecordError::transform(format!("insertField \"{path}\": {error}"))
                    })?;
                    continue;
                }
                Insert::Scalar(text, scalar) => {
                    batch.text.extend_from_slice(text);
                    *scalar
                }
                Insert::Meta(key) => write_meta(meta.as_deref(), key, &mut batch.text),
                Insert::Now => {
                    batch.text.extend_from_slice(&self.now.1);
                    Scalar::plain(NodeKind::String)
                }
            };
            scalar.set(batch, node, start, batch.text.len());
        }
        Ok(())
    }
}

/// Appends the text of a metadata value as a JSON string.
fn write_meta(meta: Option<&Meta>, key: &str, out: &mut Vec<u8>) -> Scalar {
    let escaped = match meta.and_then(|meta| meta.get(key)) {
        None | Some(Value::Null) => {
            out.extend_from_slice(b"\"\"");
            false
        }
        Some(Value::Str(text)) => {
            encode_string(text, out);
            needs_escape(text.as_bytes())
        }
        Some(
            value @ (Value::Int(_)
            | Value::UInt(_)
            | Value::Float(_)
            | Value::Bool(_)
            | Value::Number(_)),
        ) => {
            out.push(b'"');
            value.write_json(out);
            out.push(b'"');
            false
        }
        Some(other) => {
            let text = other.to_text().unwrap_or_default();
            encode_string(&text, out);
            needs_escape(text.as_bytes())
        }
    };
    Scalar { kind: NodeKind::String, escaped }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::super::testing::{
        NOT_JSON, NOT_OBJECTS, batch_of, check, check_problems, check_unchanged, run, step,
    };
    use super::*;

    #[test]
    fn values() {
        let case = |written: &str, expected: &str| {
            let config = format!("fields: {{x: {written}}}");
            check::<Spec>(
                &config,
                "{\"a\" : 1.0}",
                &[&format!("{{\"a\" : 1.0,\"x\":{expected}}}")],
            );
        };
        case("text", "\"text\"");
        case("''", "\"\"");
        case("1.50", "\"1.50\"");
        case("true", "\"true\"");
        case("'é \"q\" \\'", "\"é \\\"q\\\" \\\\\"");
        case("'${now}'", "\"2026-02-07T10:30:00Z\"");
        case("'${metadata.topic}'", "\"\"");
        case("'json:12345678901234567890.0'", "12345678901234567890.0");
        case("'json: {\"b\" : [1, 2]} '", "{\"b\" : [1, 2]}");
        case("'json:null'", "null");
        case("'json:false'", "false");
        case("'json:\"a\\u0062\"'", "\"a\\u0062\"");
        case("'json:[]'", "[]");
    }

    #[test]
    fn metadata_is_inserted_as_text() {
        let config = "fields: {t: '${metadata.topic}', p: '${metadata.partition}', b: '${metadata.a.b}', z: '${metadata.at}', m: '${metadata.headers}', n: '${metadata.nil}', y: '${metadata.bin}'}";
        let mut batch = batch_of("{}");
        let meta = batch.meta_mut(0);
        meta.set("topic", "or\"ders".into());
        meta.set("partition", Value::Int(3));
        meta.set("a.b", Value::Bool(true));
        meta.set("at", Value::Time(super::super::testing::NOW));
        meta.set("headers", Value::Map(vec![("k".into(), "v".into())]));
        meta.set("nil", Value::Null);
        meta.set("bin", Value::Bytes((*b"bytes").into()));
        let mut step = step::<Spec>(config, &TransformContext::default());
        let expected = r#"{"t":"or\"ders","p":"3","b":"true","z":"2026-02-07T10:30:00.5Z","m":"{\"k\":\"v\"}","n":"","y":"bytes"}"#;
        assert_eq!(run(&mut *step, &mut batch).unwrap(), [expected.as_bytes()]);
        let root = batch.document(0).unwrap();
        let node = batch.tree.member(&batch.text, root, b"t").unwrap();
        assert_eq!(batch.tree.string(&batch.text, node).unwrap(), "or\"ders");
    }

    #[test]
    fn placeholders_are_whole_values() {
        let spec = Spec { fields: OrderedMap(vec![("x".into(), Some("at ${now}".into()))]) };
        let mut step = spec.build(&TransformContext::default()).unwrap();
        let got = run(&mut *step, &mut batch_of("{}")).unwrap();
        assert_eq!(got, [b"{\"x\":\"at ${now}\"}"]);
    }

    #[test]
    fn paths() {
        check::<Spec>(
            "fields: {a.b: x, 'c\\.d': y, l.1: z}",
            r#"{"a":{"q":1},"l":[0]}"#,
            &[r#"{"a":{"q":1,"b":"x"},"l":[0,"z"],"c.d":"y"}"#],
        );
        check::<Spec>(
            "fields: {a: x}",
            r#"{"a":1, "a": {"b":2},"c":3}"#,
            &[r#"{ "a": "x","c":3}"#],
        );
        check::<Spec>("fields: {a.b: x, a.c: y}", "{}", &[r#"{"a":{"b":"x","c":"y"}}"#]);
        check::<Spec>("fields: {a: 'json:{\"b\":1}', a.c: y}", "{}", &[r#"{"a":{"b":1,"c":"y"}}"#]);
        let error =
            "error: insertField: `b` in path `a.b` meets an array: use an index, or `-1` to append";
        check::<Spec>("fields: {z: 1, a.b: x}", r#"{"a":[1]}"#, &[error]);
        check::<Spec>("fields: {a.b: x}", r#"{"a":[1]}"#, &[error]);
    }

    #[test]
    fn only_objects_are_changed() {
        check_unchanged::<Spec>("fields: {a: x}", NOT_JSON);
        check_unchanged::<Spec>("fields: {a: x}", NOT_OBJECTS);
        check_unchanged::<Spec>("fields: {a: x}", &[b"null"]);
    }

    #[test]
    fn settings() {
        check_problems::<Spec>(
            "{}",
            &["config.fields: Required value: at least one field is required"],
        );
        check_problems::<Spec>(
            "fields: {x: 'json:{', y: ~, 'a.#.b': z, w: 'a ${now}', ok: 'json:1'}",
            &[
                "config.fields[x]: Invalid value: \"json:{\": json: value must be valid JSON",
                "config.fields[y]: Invalid value: null: must be a string; write `json:null` for null",
                "config.fields[a.#.b]: Invalid value: \"a.#.b\": syntax error at column 1: path `a.#.b`: only keys and indexes say where a new value goes",
                "config.fields[w]: `${` stands in the text as it is: only `${metadata.<key>}` and `${now}`, and only as the whole value, are replaced",
            ],
        );
    }
}
