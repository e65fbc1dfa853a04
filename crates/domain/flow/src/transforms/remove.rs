//! `remove`: takes fields out.

use levada_condition::path::Path;
use levada_model::{RecordBatch, RecordError};
use levada_registry::{FieldPath, Report};
use schemars::JsonSchema;
use serde::Deserialize;

use super::keys::{check_paths, compiled_writable};
use super::{Scope, Transform, TransformContext, TransformSpec, Verdict};

/// Takes fields out; what is absent is skipped.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Spec {
    /// The paths of the fields, at least one. They are taken out one after the other, so removing an
    /// array element moves those behind it before the next path is looked at.
    pub fields: Vec<String>,
}

impl TransformSpec for Spec {
    const NAME: &'static str = "remove";
    const SUMMARY: &'static str = "takes fields out";
    const EXAMPLE: &'static str = "\
type: remove
config:
  fields: [$.password, user.ssn, items.#.internal]
";

    fn check(&self, at: &FieldPath, report: &mut Report) {
        check_paths(&self.fields, at, report, Path::check_writable);
    }

    fn build(&self, _: &TransformContext) -> Result<Box<dyn Transform>, String> {
        Ok(Box::new(Remove { paths: compiled_writable(&self.fields)? }))
    }
}

struct Remove {
    paths: Box<[Path]>,
}

impl Transform for Remove {
    fn record(
        &mut self,
        batch: &mut RecordBatch,
        index: usize,
        _: &mut Scope,
    ) -> Result<Verdict, RecordError> {
        if let Some(root) = batch.document(index) {
            for path in &self.paths {
                path.remove(&batch.text, &mut batch.tree, root);
            }
        }
        Ok(Verdict::Keep)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, NOT_JSON, NOT_OBJECTS};
    use super::*;

    fn check(config: &str, input: &str, expected: &str) {
        testing::check::<Spec>(config, input, &[expected]);
    }

    #[test]
    fn fields_are_taken_out() {
        check(
            "{fields: [$.password, user.ssn]}",
            r#"{"id":1,"password":"p","user":{"ssn":"1","n":2}}"#,
            r#"{"id":1,"user":{"n":2}}"#,
        );
        check("{fields: [a, b]}", r#"{"a":1,"b":null}"#, "{}");
        check("{fields: [missing, a.b]}", r#"{ "a" : 1 }"#, r#"{ "a" : 1 }"#);
        check("{fields: ['a\\.b', ключ]}", r#"{"a.b":1,"a":{"b":2},"ключ":3}"#, r#"{"a":{"b":2}}"#);
    }

    #[test]
    fn what_stays_keeps_its_bytes() {
        check(
            "{fields: [b]}",
            r#"{"a": 12345678901234567890, "b":1, "c":1e21,"d" : 10.0}"#,
            r#"{"a": 12345678901234567890, "c":1e21,"d" : 10.0}"#,
        );
    }

    #[test]
    fn elements_are_taken_out() {
        check("{fields: ['a[1]']}", r#"{"a":[1,2,3]}"#, r#"{"a":[1,3]}"#);
        check("{fields: ['a.-1']}", r#"{"a":[1,2,3]}"#, r#"{"a":[1,2]}"#);
        check("{fields: ['a.0', 'a.0']}", r#"{"a":[1,2,3]}"#, r#"{"a":[3]}"#);
        check("{fields: ['a.#.b']}", r#"{"a":[{"b":1,"c":2},{"b":3}]}"#, r#"{"a":[{"c":2},{}]}"#);
    }

    #[test]
    fn all_of_duplicate_keys_go() {
        check("{fields: [a]}", r#"{"a":1,"b":2,"a":3}"#, r#"{"b":2}"#);
    }

    #[test]
    fn other_payloads_pass_unchanged() {
        testing::check_unchanged::<Spec>("{fields: [a]}", NOT_JSON);
        testing::check_unchanged::<Spec>("{fields: [a]}", NOT_OBJECTS);
        testing::check_unchanged::<Spec>("{fields: [a]}", &[b"null", b"{}"]);
    }

    #[test]
    fn settings_are_checked() {
        let expected = "config.fields: Required value: at least one field is required";
        testing::check_problems::<Spec>("{}", &[expected]);
        testing::check_problems::<Spec>("{fields: []}", &[expected]);
        let problems = testing::spec::<Spec>("{fields: ['a.@reverse']}").1;
        let start = "config.fields[0]: Invalid value: \"a.@reverse\": syntax error at column ";
        assert!(problems[0].starts_with(start), "{problems:?}");
    }
}
