//! `headersToPayload`: copies message headers into the payload.

use levada_condition::path::Path;
use levada_model::text::{encode_string, needs_escape};
use levada_model::tree::{NodeId, NodeKind};
use levada_model::{RecordBatch, RecordError, Str, Value};
use levada_registry::{FieldPath, Report};
use schemars::JsonSchema;
use serde::Deserialize;

use super::fields::{
    Scalar, Undo, check_room, parents, report_path, settable, split_pair, write_error,
};
use super::{Scope, Transform, TransformContext, TransformSpec, Verdict};

/// Copies message headers (the metadata `headers`) into JSON objects, as texts.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Spec {
    /// What goes where: `headerName:fieldPath`. A colon in a name is written `\:`. Headers that a
    /// message does not have are skipped.
    pub mappings: Vec<String>,
}

const BAD_MAPPING: &str = "mapping must be in headerName:fieldPath format";

impl TransformSpec for Spec {
    const NAME: &'static str = "headersToPayload";
    const SUMMARY: &'static str = "copies message headers into the payload";
    const EXAMPLE: &'static str = "\
type: headersToPayload
config:
  mappings:
    - trace-id:meta.traceId
    - tenant:tenant
";

    fn check(&self, at: &FieldPath, report: &mut Report) {
        let at = at.child("mappings");
        if self.mappings.is_empty() {
            report.required(&at, "at least one mapping is required");
        }
        for (index, mapping) in self.mappings.iter().enumerate() {
            let at = at.index(index);
            match split_pair(mapping) {
                None => report.invalid(&at, mapping.as_str(), BAD_MAPPING),
                Some((_, path)) => report_path(&settable(&path), &at, mapping, report),
            }
        }
    }

    fn build(&self, _: &TransformContext) -> Result<Box<dyn Transform>, String> {
        let mut mappings = Vec::new();
        for mapping in &self.mappings {
            let (header, path) = split_pair(mapping).ok_or(BAD_MAPPING)?;
            let path = settable(&path).map_err(|error| error.to_string())?;
            mappings.push(Mapping { header: unescape(&header).into(), path });
        }
        let may_fail = mappings.iter().any(|mapping| !parents(&mapping.path).is_empty());
        Ok(Box::new(HeadersToPayload { needs_undo: mappings.len() > 1 && may_fail, mappings }))
    }
}

/// A header's name is no path, so a backslash in it only takes the meaning from what follows.
fn unescape(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut characters = name.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => out.push(characters.next().unwrap_or('\\')),
            other => out.push(other),
        }
    }
    out
}

struct Mapping {
    header: Box<str>,
    path: Path,
}

struct HeadersToPayload {
    mappings: Vec<Mapping>,
    /// A mapping may be refused after another was done.
    needs_undo: bool,
}

impl Transform for HeadersToPayload {
    fn record(
        &mut self,
        batch: &mut RecordBatch,
        index: usize,
        _: &mut Scope,
    ) -> Result<Verdict, RecordError> {
        let Some(meta) = batch.meta_arc(index) else {
            return Ok(Verdict::Keep);
        };
        let Some(Value::Map(headers)) = meta.get("headers") else {
            return Ok(Verdict::Keep);
        };
        let root = batch.document(index);
        let Some(root) = root.filter(|root| batch.tree.kind(*root) == NodeKind::Object) else {
            return Ok(Verdict::Keep);
        };
        let undo = self.needs_undo.then(|| Undo::new(batch, index));
        let outcome = self.copy(batch, root, headers);
        if let (Err(_), Some(undo)) = (&outcome, undo) {
            undo.restore(batch, index);
        }
        outcome.map(|()| Verdict::Keep)
    }
}

impl HeadersToPayload {
    fn copy(
        &self,
        batch: &mut RecordBatch,
        root: NodeId,
        headers: &[(Str, Value)],
    ) -> Result<(), RecordError> {
        for mapping in &self.mappings {
            // Of a repeated header the last counts.
            let found = headers.iter().rev().find(|(name, _)| **name == *mapping.header);
            let made;
            let text: &str = match found {
                None | Some((_, Value::Null)) => continue,
                Some((_, Value::Str(text))) => text,
                Some((_, other)) => {
                    made = other.to_text().unwrap_or_default();
                    &made
                }
            };
            check_room(batch, text.len(), Spec::NAME)?;
            let node = mapping
                .path
                .ensure(&mut batch.text, &mut batch.tree, root)
                .map_err(|error| write_error(Spec::NAME, &error))?;
            let start = batch.text.len();
            encode_string(text, &mut batch.text);
            let escaped = needs_escape(text.as_bytes());
            let scalar = Scalar { kind: NodeKind::String, escaped };
            scalar.set(batch, node, start, batch.text.len());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::super::testing::{
        NOT_JSON, NOT_OBJECTS, batch_of, check_problems, check_unchanged, run, step,
    };
    use super::*;

    fn case(config: &str, payload: &str, expected: &str) {
        let mut batch = batch_of(payload);
        let headers = [
            ("trace", "old".into()),
            ("trace", "a\"b".into()),
            ("count", Value::Int(5)),
            ("bin", Value::Bytes((*b"bytes").into())),
            ("nil", Value::Null),
            ("x:y", "colon".into()),
            ("наз", "é".into()),
        ];
        let headers = headers.map(|(name, value): (&str, Value)| (Str::from(name), value));
        batch.meta_mut(0).set("headers", Value::Map(headers.into()));
        let got = match run(&mut *step::<Spec>(config, &TransformContext::default()), &mut batch) {
            Ok(out) => String::from_utf8(out.concat()).unwrap(),
            Err(error) => {
                assert_eq!(&*batch.payload(0), payload.as_bytes());
                format!("error: {error}")
            }
        };
        assert_eq!(got, expected, "{config}");
    }

    #[test]
    fn headers_are_copied_as_texts() {
        case("mappings: ['trace:t']", "{ \"a\":1.0 }", "{ \"a\":1.0,\"t\":\"a\\\"b\" }");
        case("mappings: ['trace:t']", "{\"t\":[1]}", "{\"t\":\"a\\\"b\"}");
        case(
            "mappings: ['count:m.count', 'bin: m.bin', 'missing:x', 'nil:y', 'наз:m.наз']",
            "{}",
            "{\"m\":{\"count\":\"5\",\"bin\":\"bytes\",\"наз\":\"é\"}}",
        );
        case("mappings: ['x\\:y:c\\:d']", "{}", "{\"c:d\":\"colon\"}");
        case("mappings: ['count:a\\.b']", "{}", "{\"a.b\":\"5\"}");
    }

    #[test]
    fn a_refused_path_changes_nothing() {
        case(
            "mappings: ['trace:t', 'count:l.n']",
            "{\"l\":[1]}",
            "error: headersToPayload: `n` in path `l.n` meets an array: use an index, or `-1` to append",
        );
    }

    #[test]
    fn other_payloads_stay() {
        for payload in ["[1, 2]", "\"x\"", "null", "", "text", "12"] {
            case("mappings: ['trace:t']", payload, payload);
        }
        // No headers at all.
        check_unchanged::<Spec>("mappings: ['trace:t']", NOT_JSON);
        check_unchanged::<Spec>("mappings: ['trace:t']", NOT_OBJECTS);
        check_unchanged::<Spec>("mappings: ['trace:t']", &[b"{}"]);
    }

    #[test]
    fn settings() {
        check_problems::<Spec>(
            "{}",
            &["config.mappings: Required value: at least one mapping is required"],
        );
        check_problems::<Spec>(
            "mappings: [trace, 'a:', 'a:b.*', 'a:b']",
            &[
                "config.mappings[0]: Invalid value: \"trace\": mapping must be in headerName:fieldPath format",
                "config.mappings[1]: Invalid value: \"a:\": mapping must be in headerName:fieldPath format",
                "config.mappings[2]: Invalid value: \"a:b.*\": syntax error at column 1: path `b.*`: only keys and indexes say where a new value goes",
            ],
        );
    }
}
