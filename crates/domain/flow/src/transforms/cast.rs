//! `cast`: gives fields another type.
//!
//! A value that has the type already keeps its bytes. Numbers never pass through a float: what is
//! whole and in range is decided on the digits, and a number that becomes a text stays as written.

use levada_condition::path::Path;
use levada_model::text::needs_escape;
use levada_model::tree::{NodeId, NodeKind, Tree};
use levada_model::{RecordBatch, RecordError};
use levada_registry::{FieldPath, Report};
use schemars::JsonSchema;
use serde::Deserialize;

use super::decimal::Decimal;
use super::fields::{Scalar, ScalarEditor, ScalarRule, report_path, writable};
use super::ordered_map::OrderedMap;
use super::{Scope, Transform, TransformContext, TransformSpec, Verdict};

/// Gives fields another type; a value that cannot have it fails the record.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Spec {
    /// The type of each field, by its path: `string`, `int64`, `float64`, `bool` or `null`. Missing
    /// fields are skipped; fields are handled in this order.
    pub spec: OrderedMap,
}

impl TransformSpec for Spec {
    const NAME: &'static str = "cast";
    const SUMMARY: &'static str = "gives fields another type";
    const EXAMPLE: &'static str = "\
type: cast
config:
  spec:
    amount: float64
    user.id: string
    active: bool
";

    fn check(&self, at: &FieldPath, report: &mut Report) {
        let at = at.child("spec");
        if self.spec.is_empty() {
            report.required(&at, "spec is required and must be non-empty");
        }
        for (path, name) in self.spec.iter() {
            let at = at.key(path);
            report_path(&writable(path), &at, path, report);
            let name = name.unwrap_or("null");
            if Type::parse(name).is_none() {
                report.unsupported(&at, name, Type::ALL.map(Type::name));
            }
        }
    }

    fn build(&self, _: &TransformContext) -> Result<Box<dyn Transform>, String> {
        let mut fields = Vec::new();
        for (path, name) in self.spec.iter() {
            // YAML reads the bare word as nothing.
            let name = name.unwrap_or("null");
            let wanted = Type::parse(name).ok_or_else(|| format!("unsupported type `{name}`"))?;
            fields.push((writable(path).map_err(|error| error.to_string())?, wanted));
        }
        Ok(Box::new(Cast(ScalarEditor::new(fields))))
    }
}

struct Cast(ScalarEditor<Type>);

impl Transform for Cast {
    fn record(
        &mut self,
        batch: &mut RecordBatch,
        index: usize,
        scope: &mut Scope,
    ) -> Result<Verdict, RecordError> {
        self.0.run(batch, index, scope)?;
        Ok(Verdict::Keep)
    }
}

/// What a value becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    String,
    Int64,
    Float64,
    Bool,
    Null,
}

impl Type {
    const ALL: [Type; 5] = [Type::String, Type::Int64, Type::Float64, Type::Bool, Type::Null];

    fn name(self) -> &'static str {
        match self {
            Type::String => "string",
            Type::Int64 => "int64",
            Type::Float64 => "float64",
            Type::Bool => "bool",
            Type::Null => "null",
        }
    }

    fn parse(name: &str) -> Option<Type> {
        Type::ALL.into_iter().find(|known| known.name() == name)
    }
}

impl ScalarRule for Type {
    fn convert(
        &self,
        path: &Path,
        text: &[u8],
        tree: &Tree,
        node: NodeId,
        out: &mut Vec<u8>,
    ) -> Result<Option<Scalar>, RecordError> {
        let converted = match self {
            Type::String => to_string(text, tree, node, out),
            Type::Int64 => to_int64(text, tree, node, out),
            Type::Float64 => to_float64(text, tree, node, out),
            Type::Bool => to_bool(text, tree, node, out),
            Type::Null if tree.kind(node) == NodeKind::Null => Ok(None),
            Type::Null => {
                out.extend_from_slice(b"null");
                Ok(Some(Scalar::plain(NodeKind::Null)))
            }
        };
        converted.map_err(|why| {
            RecordError::transform(format!("cast \"{path}\" to {}: {}", self.name(), why.text()))
        })
    }
}

type Converted = Result<Option<Scalar>, Failure>;

/// Why a value cannot have a type.
enum Failure {
    Kind(NodeKind),
    NotNumeric,
    NotWhole,
    OutOfRange,
    NotBool(NodeKind),
}

impl Failure {
    fn text(&self) -> String {
        match self {
            Failure::Kind(kind) => format!("the value is {}", with_article(*kind)),
            Failure::NotNumeric => "the string is not a number".into(),
            Failure::NotWhole => "the number has a fraction".into(),
            Failure::OutOfRange => "the number is out of range".into(),
            Failure::NotBool(NodeKind::String) => {
                "the string is none of `true`, `false`, `1`, `0`".into()
            }
            Failure::NotBool(_) => "the number is neither 0 nor 1".into(),
        }
    }
}

fn with_article(kind: NodeKind) -> &'static str {
    match kind {
        NodeKind::Null => "null",
        NodeKind::True | NodeKind::False => "a boolean",
        NodeKind::Number => "a number",
        NodeKind::String => "a string",
        NodeKind::Array => "an array",
        NodeKind::Object => "an object",
    }
}

fn to_string(text: &[u8], tree: &Tree, node: NodeId, out: &mut Vec<u8>) -> Converted {
    match tree.kind(node) {
        NodeKind::String => Ok(None),
        NodeKind::Number | NodeKind::True | NodeKind::False => {
            let literal = tree.literal(text, node).unwrap_or_default();
            debug_assert!(!needs_escape(literal.as_bytes()));
            out.push(b'"');
            out.extend_from_slice(literal.as_bytes());
            out.push(b'"');
            Ok(Some(Scalar::plain(NodeKind::String)))
        }
        kind => Err(Failure::Kind(kind)),
    }
}

/// Hands the number to `use_it` that a number or a text holds, and whether it is a number already.
fn with_number(
    text: &[u8],
    tree: &Tree,
    node: NodeId,
    use_it: impl FnOnce(Decimal<'_>, &[u8]) -> Converted,
) -> Converted {
    match tree.kind(node) {
        NodeKind::Number => {
            let literal = tree.literal(text, node).unwrap_or_default().as_bytes();
            use_it(Decimal::parse(literal).ok_or(Failure::NotNumeric)?, literal)
        }
        NodeKind::String => {
            let string = tree.string(text, node).unwrap_or_default();
            use_it(Decimal::parse(string.as_bytes()).ok_or(Failure::NotNumeric)?, b"")
        }
        kind => Err(Failure::Kind(kind)),
    }
}

fn to_int64(text: &[u8], tree: &Tree, node: NodeId, out: &mut Vec<u8>) -> Converted {
    with_number(text, tree, node, |number, written| {
        let whole = match number.scaled(0) {
            Some((_, false)) => return Err(Failure::NotWhole),
            Some((whole, true)) => i64::try_from(whole).ok(),
            None => None,
        };
        let whole = whole.ok_or(Failure::OutOfRange)?;
        let mut buffer = itoa::Buffer::new();
        let digits = buffer.format(whole).as_bytes();
        if digits == written {
            return Ok(None);
        }
        out.extend_from_slice(digits);
        Ok(Some(Scalar::plain(NodeKind::Number)))
    })
}

/// JSON does not tell floats from integers, so a number stays as written, to its last digit.
fn to_float64(text: &[u8], tree: &Tree, node: NodeId, out: &mut Vec<u8>) -> Converted {
    with_number(text, tree, node, |number, written| {
        if !number.is_finite() {
            return Err(Failure::OutOfRange);
        }
        if !written.is_empty() {
            return Ok(None);
        }
        number.write_json(out);
        Ok(Some(Scalar::plain(NodeKind::Number)))
    })
}

fn to_bool(text: &[u8], tree: &Tree, node: NodeId, out: &mut Vec<u8>) -> Converted {
    let kind = tree.kind(node);
    let value = match kind {
        NodeKind::True | NodeKind::False => return Ok(None),
        NodeKind::Number => {
            let literal = tree.literal(text, node).unwrap_or_default();
            match Decimal::parse(literal.as_bytes()).and_then(|number| number.scaled(0)) {
                Some((0, true)) => false,
                Some((1, true)) => true,
                _ => return Err(Failure::NotBool(kind)),
            }
        }
        NodeKind::String => match &*tree.string(text, node).unwrap_or_default() {
            "1" => true,
            "0" => false,
            word if word.eq_ignore_ascii_case("true") => true,
            word if word.eq_ignore_ascii_case("false") => false,
            _ => return Err(Failure::NotBool(kind)),
        },
        kind => return Err(Failure::Kind(kind)),
    };
    let (word, kind): (&[u8], _) =
        if value { (b"true", NodeKind::True) } else { (b"false", NodeKind::False) };
    out.extend_from_slice(word);
    Ok(Some(Scalar::plain(kind)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::super::testing::{
        NOT_JSON, NOT_OBJECTS, batch_of, check, check_problems, check_unchanged, run, step,
    };
    use super::*;

    fn case(wanted: &str, value: &str, expected: &str) {
        let input = format!("{{\"v\": {value},\"w\":1.50}}");
        let expected = match expected.strip_prefix("fails: ") {
            Some(why) => format!("error: cast \"v\" to {wanted}: {why}"),
            None => format!("{{\"v\": {expected},\"w\":1.50}}"),
        };
        check::<Spec>(&format!("spec: {{v: {wanted}}}"), input, &[&expected]);
    }

    #[test]
    fn strings() {
        case("string", "12.50", "\"12.50\"");
        case("string", "12345678901234567890123", "\"12345678901234567890123\"");
        case("string", "1E+2", "\"1E+2\"");
        case("string", "true", "\"true\"");
        case("string", "false", "\"false\"");
        case("string", "\"a\\u0062\"", "\"a\\u0062\"");
        case("string", "null", "fails: the value is null");
        case("string", "{}", "fails: the value is an object");
        case("string", "[1]", "fails: the value is an array");
    }

    #[test]
    fn integers() {
        case("int64", "5", "5");
        case("int64", "-0", "0");
        case("int64", "10.0", "10");
        case("int64", "1e3", "1000");
        case("int64", "1.5e1", "15");
        case("int64", "\"42\"", "42");
        case("int64", "\"+042\"", "42");
        case("int64", "\"10.0\"", "10");
        case("int64", "\"\\u0034\\u0032\"", "42");
        case("int64", "9223372036854775807", "9223372036854775807");
        case("int64", "\"-9223372036854775808\"", "-9223372036854775808");
        case("int64", "9223372036854775808", "fails: the number is out of range");
        case("int64", "1e999999999999", "fails: the number is out of range");
        case("int64", "1.5", "fails: the number has a fraction");
        case("int64", "\"1.5\"", "fails: the number has a fraction");
        case("int64", "1e-999999999999", "fails: the number has a fraction");
        case("int64", "\"12a\"", "fails: the string is not a number");
        case("int64", "\"\"", "fails: the string is not a number");
        case("int64", "\" 1\"", "fails: the string is not a number");
        case("int64", "\"NaN\"", "fails: the string is not a number");
        case("int64", "true", "fails: the value is a boolean");
        case("int64", "null", "fails: the value is null");
        case("int64", "{\"a\":1}", "fails: the value is an object");
        case("int64", "[]", "fails: the value is an array");
    }

    #[test]
    fn floats() {
        case("float64", "1.50", "1.50");
        case("float64", "12345678901234567890", "12345678901234567890");
        case("float64", "\"1.50\"", "1.50");
        case("float64", "\"+007\"", "7");
        case("float64", "\"-1e3\"", "-1e3");
        case("float64", "1e400", "fails: the number is out of range");
        case("float64", "\"1e400\"", "fails: the number is out of range");
        case("float64", "\"inf\"", "fails: the string is not a number");
        case("float64", "false", "fails: the value is a boolean");
        case("float64", "null", "fails: the value is null");
        case("float64", "[1]", "fails: the value is an array");
    }

    #[test]
    fn booleans() {
        case("bool", "true", "true");
        case("bool", "false", "false");
        case("bool", "\"TRUE\"", "true");
        case("bool", "\"False\"", "false");
        case("bool", "1", "true");
        case("bool", "0", "false");
        case("bool", "0.0", "false");
        case("bool", "\"1\"", "true");
        case("bool", "\"0\"", "false");
        case("bool", "2", "fails: the number is neither 0 nor 1");
        case("bool", "0.5", "fails: the number is neither 0 nor 1");
        case("bool", "\"yes\"", "fails: the string is none of `true`, `false`, `1`, `0`");
        case("bool", "null", "fails: the value is null");
        case("bool", "{}", "fails: the value is an object");
    }

    #[test]
    fn nulls() {
        for value in ["null", "1", "true", "\"x\"", "[1,{}]", "{\"a\":[2]}"] {
            case("null", value, "null");
            case("\"null\"", value, "null");
        }
    }

    #[test]
    fn paths() {
        check::<Spec>(
            "spec: {a.b: int64, $.c: string, 'd\\.e': bool, missing: int64, a.missing.x: bool}",
            r#"{"a":{"b":"1"},"c":2,"d.e":0}"#,
            &[r#"{"a":{"b":1},"c":"2","d.e":false}"#],
        );
        check::<Spec>(
            "spec: {'items.#.p': int64}",
            r#"{"items":[{"p":"1"},{},{"p":"2"}]}"#,
            &[r#"{"items":[{"p":1},{},{"p":2}]}"#],
        );
        check::<Spec>(
            "spec: {'items.1': string}",
            r#"{"items":[1,2,3]}"#,
            &[r#"{"items":[1,"2",3]}"#],
        );
        check::<Spec>("spec: {ключ: string}", r#"{"ключ":1}"#, &[r#"{"ключ":"1"}"#]);
        check::<Spec>("spec: {a: string}", r#"{"a":1,"a":2}"#, &[r#"{"a":"2"}"#]);
        check::<Spec>("spec: {'#.a': string}", r#"[{"a":1}]"#, &[r#"[{"a":"1"}]"#]);
    }

    #[test]
    fn fields_are_cast_in_the_order_of_the_manifest() {
        let input = r#"{"a":{"b":"x"}}"#;
        check::<Spec>("spec: {a: null, a.b: int64}", input, &[r#"{"a":null}"#]);
        let error = "error: cast \"a.b\" to int64: the string is not a number";
        check::<Spec>("spec: {a.b: int64, a: null}", input, &[error]);
        check::<Spec>("spec: {a: int64, $.a: string}", r#"{"a":1.0}"#, &[r#"{"a":"1"}"#]);
    }

    #[test]
    fn a_failure_takes_back_what_was_done() {
        for config in ["spec: {a: string, b: int64}", "spec: {a: string, 'c.#.x': bool, b: int64}"]
        {
            let input = r#"{"a":1,"c":[{"x":1}],"b":"no","a":2}"#;
            let error = "error: cast \"b\" to int64: the string is not a number";
            check::<Spec>(config, input, &[error]);
            // The same for a record that an earlier step changed.
            let mut batch = batch_of(input);
            let root = batch.document(0).unwrap();
            let member = batch.tree.member(&batch.text, root, b"a").unwrap();
            batch.tree.touch(root);
            batch.tree.set_string(&mut batch.text, member, "new");
            let before = batch.payload(0).into_owned();
            let mut step = step::<Spec>(config, &TransformContext::default());
            run(&mut *step, &mut batch).unwrap_err();
            assert_eq!(batch.payload(0), before);
        }
    }

    #[test]
    fn other_payloads_stay() {
        check_unchanged::<Spec>("spec: {a: int64}", NOT_JSON);
        check_unchanged::<Spec>("spec: {a: int64}", NOT_OBJECTS);
        check_unchanged::<Spec>("spec: {a: int64}", &[b"null", b" {\"b\" : 1 } "]);
    }

    #[test]
    fn settings() {
        check_problems::<Spec>(
            "{}",
            &["config.spec: Required value: spec is required and must be non-empty"],
        );
        check_problems::<Spec>(
            "spec: {}",
            &["config.spec: Required value: spec is required and must be non-empty"],
        );
        check_problems::<Spec>(
            "spec: {amount: decimal, 'a..b': bool, 'a.#': null, ok: ~}",
            &[
                "config.spec[amount]: Unsupported value: \"decimal\": supported values: \"string\", \"int64\", \"float64\", \"bool\", \"null\"",
                "config.spec[a..b]: Invalid value: \"a..b\": syntax error at column 3: a key is expected; `..` is not supported; write `['']` for the empty key",
                "config.spec[a.#]: Invalid value: \"a.#\": syntax error at column 1: path `a.#`: `#` is a length and cannot be written; write `#.key` for a member of every element",
            ],
        );
    }
}
