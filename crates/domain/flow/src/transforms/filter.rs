//! `filter`: lets the records pass that meet a condition.

use levada_condition::condition::{Condition, Input};
use levada_model::{RecordBatch, RecordError};
use levada_registry::{FieldPath, Report};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Scope, Transform, TransformContext, TransformSpec, Verdict};

/// Lets the records pass that meet a condition; the others end here.
///
/// In a payload that is not JSON nothing exists, so conditions on it are not met.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Spec {
    /// The condition: a path alone (true unless missing, `null`, `false`, 0 or empty), or comparisons
    /// such as `$.status == 'active' && metadata.partition != 3`. A missing path meets no comparison.
    pub condition: String,
}

impl TransformSpec for Spec {
    const NAME: &'static str = "filter";
    const SUMMARY: &'static str = "lets the records pass that meet a condition";
    const EXAMPLE: &'static str = "\
type: filter
config:
  condition: $.status == 'active' && $.amount > 10
";

    fn check(&self, at: &FieldPath, report: &mut Report) {
        let at = at.child("condition");
        if self.condition.trim().is_empty() {
            report.required(&at, "condition is required");
        } else if let Err(error) = Condition::compile(&self.condition) {
            report.invalid(&at, self.condition.as_str(), &error.to_string());
        }
    }

    fn build(&self, _: &TransformContext) -> Result<Box<dyn Transform>, String> {
        match Condition::compile(&self.condition) {
            Ok(condition) => Ok(Box::new(Filter { condition })),
            Err(error) => Err(error.to_string()),
        }
    }
}

struct Filter {
    condition: Condition,
}

impl Transform for Filter {
    fn record(
        &mut self,
        batch: &mut RecordBatch,
        index: usize,
        _: &mut Scope,
    ) -> Result<Verdict, RecordError> {
        let root = match self.condition.reads_payload() {
            true => batch.document(index),
            false => None,
        };
        let is_met = self.condition.eval(Input {
            text: &batch.text,
            tree: &batch.tree,
            root,
            meta: batch.meta(index),
        });
        Ok(if is_met { Verdict::Keep } else { Verdict::Drop })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, NOT_JSON, NOT_OBJECTS};
    use super::*;

    fn check(condition: &str, input: &str, passes: bool) {
        let config = serde_json::json!({ "condition": condition }).to_string();
        let expected: &[&str] = if passes { &[input] } else { &[] };
        testing::check::<Spec>(&config, input, expected);
    }

    #[test]
    fn a_path_passes_when_its_value_is_truthy() {
        for (value, passes) in [
            ("true", true),
            ("false", false),
            ("null", false),
            ("0", false),
            ("0.0", false),
            ("-1", true),
            (r#""""#, false),
            (r#""false""#, false),
            (r#""x""#, true),
            ("[]", true),
            ("{}", true),
        ] {
            check("$.a", &format!("{{ \"a\" : {value} }}"), passes);
        }
        check("a", "{}", false);
    }

    #[test]
    fn comparisons_decide() {
        let input = r#"{"status":"active","count":5,"enabled":true,"empty":"","zero":0}"#;
        for (condition, passes) in [
            ("$.status == 'active'", true),
            ("$.status != 'deleted'", true),
            ("$.missing != 'x'", false),
            ("$.count == 5", true),
            ("$.count < 500", true),
            ("!$.empty && $.enabled", true),
            ("($.status == 'x' || $.count) && $.zero", false),
        ] {
            check(condition, input, passes);
        }
    }

    #[test]
    fn what_is_no_object_is_dropped() {
        for inputs in [NOT_JSON, NOT_OBJECTS, &[b"null"]] {
            for input in inputs {
                testing::check::<Spec>("{condition: a}", input, &[]);
            }
        }
    }

    #[test]
    fn settings_are_checked() {
        for blank in ["{}", "{condition: ''}", "{condition: '  '}"] {
            let expected = "config.condition: Required value: condition is required";
            testing::check_problems::<Spec>(blank, &[expected]);
        }
        let problems = testing::spec::<Spec>("{condition: '$.a == '}").1;
        let start = "config.condition: Invalid value: \"$.a == \": syntax error at column ";
        assert!(problems[0].starts_with(start), "{problems:?}");
    }
}
