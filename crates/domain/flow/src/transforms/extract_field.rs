//! `extractField`: makes one value the whole payload.

use levada_condition::path::{Found, Path};
use levada_model::{RecordBatch, RecordError};
use levada_registry::{FieldPath, Report};
use schemars::JsonSchema;
use serde::Deserialize;

use super::fields::{check_room, report_path};
use super::{Scope, Transform, TransformContext, TransformSpec, Verdict};

/// Makes one value, of any JSON type, the whole payload.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Spec {
    /// The path of the value. A record without it stays as it is.
    pub field: String,
}

impl TransformSpec for Spec {
    const NAME: &'static str = "extractField";
    const SUMMARY: &'static str = "makes one value the whole payload";
    const EXAMPLE: &'static str = "\
type: extractField
config:
  field: payload.after
";

    fn check(&self, at: &FieldPath, report: &mut Report) {
        let at = at.child("field");
        if self.field.trim().is_empty() {
            report.required(&at, "field is required");
        } else {
            report_path(&Path::compile(&self.field), &at, &self.field, report);
        }
    }

    fn build(&self, _: &TransformContext) -> Result<Box<dyn Transform>, String> {
        let path = Path::compile(&self.field).map_err(|error| error.to_string())?;
        Ok(Box::new(ExtractField { path }))
    }
}

struct ExtractField {
    path: Path,
}

impl Transform for ExtractField {
    fn record(
        &mut self,
        batch: &mut RecordBatch,
        index: usize,
        scope: &mut Scope,
    ) -> Result<Verdict, RecordError> {
        let Some(root) = batch.document(index) else {
            return Ok(Verdict::Keep);
        };
        match self.path.find(&batch.text, &batch.tree, root) {
            Found::Missing => {}
            Found::Node(node) => batch.set_root(index, node),
            made => {
                scope.scratch.clear();
                made.write_json(&batch.text, &batch.tree, &mut scope.scratch);
                check_room(batch, scope.scratch.len(), "extractField")?;
                batch.set_payload(index, &scope.scratch);
            }
        }
        Ok(Verdict::Keep)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{NOT_JSON, NOT_OBJECTS, check, check_problems, check_unchanged};
    use super::*;

    #[test]
    fn any_value_becomes_the_payload() {
        for value in [
            "{ \"b\" : 1.0 }",
            "[1, 2]",
            "\"t\\u0065xt\"",
            "12345678901234567890",
            "null",
            "false",
            "{}",
        ] {
            check::<Spec>("field: a", format!("{{\"x\":1,\"a\": {value} }}"), &[value]);
            check::<Spec>("field: $.p.a", format!("{{\"p\":{{\"a\":{value}}}}}"), &[value]);
        }
        check::<Spec>("field: a", "{\"a\":1,\"a\":2}", &["2"]);
        check::<Spec>("field: 'l.1'", "{\"l\":[1,{\"x\":2}]}", &["{\"x\":2}"]);
        check::<Spec>("field: 'a\\.b'", "{\"a.b\":\"é\"}", &["\"é\""]);
        check::<Spec>("field: '1'", "[1, 2]", &["2"]);
        check::<Spec>("field: 'l.#.x'", "{\"l\":[{\"x\":1.0},{},{\"x\":\"2\"}]}", &["[1.0,\"2\"]"]);
        check::<Spec>("field: 'l.#'", "{\"l\":[3,4]}", &["2"]);
    }

    #[test]
    fn a_record_without_it_stays() {
        check_unchanged::<Spec>("field: a.b", NOT_JSON);
        check_unchanged::<Spec>("field: a.b", NOT_OBJECTS);
        check_unchanged::<Spec>("field: a.b", &[b" {\"a\" : 1}", b"{\"a\":{}}", b"null", b"{}"]);
    }

    #[test]
    fn settings() {
        check_problems::<Spec>("{}", &["config.field: Required value: field is required"]);
        check_problems::<Spec>(
            "field: 'a['",
            &[
                "config.field: Invalid value: \"a[\": syntax error at column 2: `[` takes an index or a quoted key; write `#.` for every element, `#(…)` for a query, `\\[` for a key with a bracket in it",
            ],
        );
    }
}
