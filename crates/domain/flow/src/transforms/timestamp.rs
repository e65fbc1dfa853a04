//! `timestamp`: writes the time of processing into every object.

use levada_condition::path::Path;
use levada_model::text::{encode_string, needs_escape};
use levada_model::tree::NodeKind;
use levada_model::{RecordBatch, RecordError, Timestamp};
use levada_registry::{FieldPath, Report};
use schemars::JsonSchema;
use serde::Deserialize;

use super::keys::{compiled, room_for};
use super::time_format::TimeFormat;
use super::{Scope, Transform, TransformContext, TransformSpec, Verdict};

const FIELD_DEFAULT: &str = "created_at";
const FORMAT_DEFAULT: &str = "RFC3339";

/// What one byte of a path becomes at most: `\u0000`, and for a name of one byte quotes and a `null`.
const PATH_GROWTH_MAX: usize = 12;

/// Writes the time of processing, UTC, into every object.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Spec {
    /// The path of the field to write; missing parents are made. Default: `created_at`.
    pub field_name: String,
    /// The form of the time: one of `ANSIC UnixDate RubyDate RFC822 RFC822Z RFC850 RFC1123 RFC1123Z
    /// RFC3339 RFC3339Nano Kitchen Stamp StampMilli StampMicro StampNano DateTime DateOnly TimeOnly`,
    /// one of `Unix UnixMilli UnixMicro UnixNano` (digits), or a Go layout such as
    /// `2006-01-02 15:04:05.000`. Default: `RFC3339`.
    pub format: String,
}

impl Spec {
    fn field(&self) -> &str {
        match self.field_name.as_str() {
            "" => FIELD_DEFAULT,
            name => name,
        }
    }

    fn format(&self) -> TimeFormat {
        TimeFormat::new(match self.format.as_str() {
            "" => FORMAT_DEFAULT,
            format => format,
        })
    }
}

impl TransformSpec for Spec {
    const NAME: &'static str = "timestamp";
    const SUMMARY: &'static str = "writes the time of processing into every object";
    const EXAMPLE: &'static str = "\
type: timestamp
config:
  fieldName: meta.processed_at
  format: RFC3339Nano
";

    fn check(&self, at: &FieldPath, report: &mut Report) {
        let settable = Path::compile(self.field()).and_then(|path| path.check_settable());
        if let Err(error) = settable {
            report.invalid(&at.child("fieldName"), self.field(), &error.to_string());
        }
        if !self.format().shows_time() {
            let text = format!(
                "the layout `{}` shows no part of the time, so every record gets this text; \
                 write how 2006-01-02 15:04:05 would look",
                self.format
            );
            report.warning(&at.child("format"), text);
        }
    }

    fn build(&self, _: &TransformContext) -> Result<Box<dyn Transform>, String> {
        let path = compiled(self.field())?;
        path.check_settable().map_err(|error| error.to_string())?;
        Ok(Box::new(AddTimestamp {
            path_bytes: path.to_string().len() * PATH_GROWTH_MAX,
            path,
            format: self.format(),
            shown: None,
            text: String::new(),
            value: Vec::new(),
            is_escaped: false,
        }))
    }
}

struct AddTimestamp {
    path: Path,
    /// The most text that making the path can append.
    path_bytes: usize,
    format: TimeFormat,
    /// The time that `value` shows: all records of a batch share it.
    shown: Option<Timestamp>,
    /// The time as text.
    text: String,
    /// The time as a JSON string.
    value: Vec<u8>,
    is_escaped: bool,
}

impl AddTimestamp {
    fn show(&mut self, now: Timestamp) {
        self.text.clear();
        self.format.write(now, &mut self.text);
        self.value.clear();
        self.is_escaped = needs_escape(self.text.as_bytes());
        encode_string(&self.text, &mut self.value);
        self.shown = Some(now);
    }
}

impl Transform for AddTimestamp {
    fn record(
        &mut self,
        batch: &mut RecordBatch,
        index: usize,
        scope: &mut Scope,
    ) -> Result<Verdict, RecordError> {
        let Some(root) = batch.document(index) else {
            return Ok(Verdict::Keep);
        };
        let null = match batch.tree.kind(root) {
            NodeKind::Object => None,
            NodeKind::Null => batch.tree.span(root),
            _ => return Ok(Verdict::Keep),
        };
        if self.shown != Some(scope.now) {
            self.show(scope.now);
        }
        room_for(batch, "timestamp", self.value.len() + self.path_bytes)?;
        if null.is_some() {
            batch.tree.set_container(root, NodeKind::Object);
        }
        let node = match self.path.ensure(&mut batch.text, &mut batch.tree, root) {
            Ok(node) => node,
            Err(error) => {
                if let Some((start, end)) = null {
                    batch.tree.set_scalar(root, NodeKind::Null, start, end, false);
                }
                return Err(RecordError::transform(format!("timestamp: {error}")));
            }
        };
        let start = batch.text.len() as u32;
        batch.text.extend_from_slice(&self.value);
        let end = batch.text.len() as u32;
        batch.tree.set_scalar(node, NodeKind::String, start, end, self.is_escaped);
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
    fn the_time_goes_into_objects() {
        check(
            "{fieldName: processed_at}",
            r#"{"id":1}"#,
            r#"{"id":1,"processed_at":"2026-02-07T10:30:00Z"}"#,
        );
        check(
            "{fieldName: ts, format: '2006-01-02 15:04:05'}",
            r#"{"id":1}"#,
            r#"{"id":1,"ts":"2026-02-07 10:30:00"}"#,
        );
        check("{}", "{}", r#"{"created_at":"2026-02-07T10:30:00Z"}"#);
        check("{format: Unix}", "{}", r#"{"created_at":"1770460200"}"#);
        check("{format: '\"15\"'}", "{}", r#"{"created_at":"\"10\""}"#);
    }

    #[test]
    fn an_existing_field_is_replaced_in_place() {
        check(
            "{fieldName: $.ts, format: DateOnly}",
            r#"{ "ts" : {"a":1} , "n": 12345678901234567890, "x":1e21 }"#,
            r#"{ "ts" : "2026-02-07" , "n": 12345678901234567890, "x":1e21 }"#,
        );
        check(
            "{fieldName: ts, format: DateOnly}",
            r#"{"ts":1,"a":10.0,"ts":2}"#,
            r#"{"a":10.0,"ts":"2026-02-07"}"#,
        );
    }

    #[test]
    fn paths_nest_and_parents_are_made() {
        check(
            "{fieldName: meta.ts, format: DateOnly}",
            r#"{"id":1}"#,
            r#"{"id":1,"meta":{"ts":"2026-02-07"}}"#,
        );
        check(
            "{fieldName: 'meta\\.ts', format: DateOnly}",
            r#"{"id":1}"#,
            r#"{"id":1,"meta.ts":"2026-02-07"}"#,
        );
        check(
            "{fieldName: 'a[1]', format: DateOnly}",
            r#"{"a":[1,2,3]}"#,
            r#"{"a":[1,"2026-02-07",3]}"#,
        );
        check("{fieldName: ключ, format: DateOnly}", "{}", r#"{"ключ":"2026-02-07"}"#);
    }

    #[test]
    fn null_becomes_an_object() {
        check("{}", "null", r#"{"created_at":"2026-02-07T10:30:00Z"}"#);
    }

    #[test]
    fn other_payloads_pass_unchanged() {
        testing::check_unchanged::<Spec>("{}", NOT_JSON);
        testing::check_unchanged::<Spec>("{}", NOT_OBJECTS);
    }

    #[test]
    fn a_place_that_cannot_be_made_is_an_error() {
        check(
            "{fieldName: a.b}",
            r#"{"a":[1]}"#,
            "error: timestamp: `b` in path `a.b` meets an array: use an index, or `-1` to append",
        );
        for input in ["null", "{}"] {
            let far = testing::step::<Spec>("{fieldName: a.20000}", &TransformContext::default());
            let mut far = far;
            let mut batch = testing::batch_of(input);
            assert!(testing::run(&mut *far, &mut batch).is_err());
            assert_eq!(&*batch.payload(0), input.as_bytes());
        }
    }

    #[test]
    fn settings_are_checked() {
        testing::check_problems::<Spec>("{}", &[]);
        testing::check_problems::<Spec>("{fieldName: '', format: ''}", &[]);
        let problems = testing::spec::<Spec>("{fieldName: 'a.#.b'}").1;
        assert!(
            problems[0].starts_with("config.fieldName: Invalid value: \"a.#.b\": syntax error"),
            "{problems:?}"
        );
        let problems = testing::spec::<Spec>("{format: yyyy-MM-dd}").1;
        assert!(problems[0].starts_with("config.format: the layout `yyyy-MM-dd` shows no part"));
    }
}
