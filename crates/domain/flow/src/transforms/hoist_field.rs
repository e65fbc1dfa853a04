//! `hoistField`: puts the whole payload below one key.

use levada_model::tree::{EncodedKey, NodeKind};
use levada_model::{RecordBatch, RecordError};
use levada_registry::{FieldPath, Report};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Scope, Transform, TransformContext, TransformSpec, Verdict};

/// Puts the whole payload, whatever JSON it is, below one key.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Spec {
    /// The key; a name without dots.
    pub field: String,
}

impl TransformSpec for Spec {
    const NAME: &'static str = "hoistField";
    const SUMMARY: &'static str = "puts the whole payload below one key";
    const EXAMPLE: &'static str = "\
type: hoistField
config:
  field: payload
";

    fn check(&self, at: &FieldPath, report: &mut Report) {
        let at = at.child("field");
        if self.field.trim().is_empty() {
            report.required(&at, "field is required");
        } else if self.field.contains('.') {
            let detail = "field must be a simple top-level key without dots";
            report.invalid(&at, self.field.as_str(), detail);
        }
    }

    fn build(&self, _: &TransformContext) -> Result<Box<dyn Transform>, String> {
        Ok(Box::new(HoistField { key: EncodedKey::new(&self.field) }))
    }
}

struct HoistField {
    key: EncodedKey,
}

impl Transform for HoistField {
    fn record(
        &mut self,
        batch: &mut RecordBatch,
        index: usize,
        _: &mut Scope,
    ) -> Result<Verdict, RecordError> {
        let Some(root) = batch.document(index) else {
            return Ok(Verdict::Keep);
        };
        let object = batch.tree.new_container(NodeKind::Object);
        let member = batch.tree.insert_member(&mut batch.text, object, &self.key);
        batch.tree.set_node(member, root);
        batch.set_root(index, object);
        Ok(Verdict::Keep)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::super::testing::{
        NOT_JSON, batch_of, check, check_problems, check_unchanged, run, step,
    };
    use super::*;

    #[test]
    fn any_json_is_hoisted() {
        for value in [
            "{\"a\": 1.0, \"a\" : 2}",
            "[1, {}]",
            "\"t\\u0065xt\"",
            "12345678901234567890",
            "null",
            "true",
            "{}",
        ] {
            check::<Spec>("field: data", value, &[&format!("{{\"data\":{value}}}")]);
            check::<Spec>(
                "field: data",
                format!(" {value}\t"),
                &[&format!("{{\"data\":{value}}}")],
            );
        }
        check::<Spec>("field: 'é\"'", "1", &["{\"é\\\"\":1}"]);
        check_unchanged::<Spec>("field: data", NOT_JSON);
    }

    #[test]
    fn a_hoisted_document_can_still_be_edited() {
        let mut batch = batch_of("{\"a\":{\"b\":1}, \"c\":2}");
        let root = batch.document(0).unwrap();
        let a = batch.tree.member(&batch.text, root, b"a").unwrap();
        batch.tree.touch(root);
        batch.tree.remove(a);
        let mut step = step::<Spec>("field: x", &TransformContext::default());
        for expected in ["{\"x\":{ \"c\":2}}", "{\"x\":{\"x\":{ \"c\":2}}}"] {
            assert_eq!(run(&mut *step, &mut batch).unwrap(), [expected.as_bytes()]);
        }
    }

    #[test]
    fn settings() {
        check_problems::<Spec>("{}", &["config.field: Required value: field is required"]);
        check_problems::<Spec>(
            "field: a.b",
            &[
                "config.field: Invalid value: \"a.b\": field must be a simple top-level key without dots",
            ],
        );
    }
}
