//! Why a point matches or not, and what a filter asks for.

use std::sync::Arc;

use levada_condition::filter::{Categorized, Compat, Filter, Key, Keys, Lookup, Record, Value};
use levada_model::{Category, FieldValue, Point, Series, Shape, Timestamp};

fn record() -> Record {
    Record {
        name: "nginx".into(),
        category: Some(Category::Logging),
        tags: vec![("host".into(), "web-1".into()), ("a".into(), "t".into())],
        fields: vec![
            ("status".into(), FieldValue::Int(200)),
            ("a".into(), FieldValue::Str("f".into())),
            ("load".into(), FieldValue::Float(1.0)),
            ("raw".into(), FieldValue::Bytes(b"\xff"[..].into())),
        ],
    }
}

fn explained(text: &str, compat: Compat) -> String {
    Filter::parse(text, compat).unwrap().explain(&record()).to_string()
}

fn check(text: &str, compat: Compat, expected: &[&str]) {
    assert_eq!(explained(text, compat), expected.join("\n"), "{text}");
}

#[test]
fn every_clause_says_what_it_found() {
    check(
        "{ source = 'nginx' and ( status in ['error', 'warn'] or host match ['^web-'] ), env != 'dev' }",
        Compat::Strict,
        &[
            "yes  { source = 'nginx' and (status in ['error', 'warn'] or host match ['^web-']), env != 'dev' }",
            "  yes  source = 'nginx' and (status in ['error', 'warn'] or host match ['^web-'])",
            "    yes  source = 'nginx'               source is the name of the point: 'nginx'",
            "    yes  status in ['error', 'warn'] or host match ['^web-']",
            "      no   status in ['error', 'warn']  field status is 200, an integer",
            "      yes  host match ['^web-']         tag host is 'web-1'",
            "  yes  env != 'dev'                     env is missing",
        ],
    );
    check(
        "{ load = 1 }; { raw = 'x' or category = 'logging' }",
        Compat::Head,
        &[
            "yes  { load = 1 }; { raw = 'x' or category = 'logging' }",
            "  no   { load = 1 }",
            "    no   load = 1                field load is 1.0, a float",
            "  yes  { raw = 'x' or category = 'logging' }",
            "    yes  raw = 'x' or category = 'logging'",
            "      no   raw = 'x'             field raw is bytes that are no text",
            "      yes  category = 'logging'  category is the category of the point: 'logging'",
        ],
    );
}

#[test]
fn what_the_original_takes_for_false_has_a_reason() {
    let explanation = explained("{ (status = 200) }", Compat::Head);
    assert!(
        explanation.ends_with("DataKit does not look into parentheses around a whole element"),
        "{explanation}"
    );
    let explanation = explained(";{ status = 200 }", Compat::Seed);
    assert!(explanation.contains("DataKit ignores a filter that begins with `;`"), "{explanation}");
    check(
        "{ a = 'f' }",
        Compat::Seed,
        &["yes  { a = 'f' }", "  yes  a = 'f'  tag a is 't'; field a is 'f'"],
    );
    check("{}", Compat::Strict, &["yes  {}  every point matches"]);
    check("", Compat::Head, &["no     there is no condition"]);
}

#[test]
fn an_unsupported_category_is_told() {
    let mut point = record();
    point.category = Some(Category::ObjectChange);
    let filter = Filter::parse("{}", Compat::Seed).unwrap();
    assert!(!filter.matches(&point));
    let explanation = filter.explain(&point);
    let expected = "unsupport category: /v1/write/object_change";
    assert_eq!(explanation.reason.as_deref(), Some(expected));
    let refusal = Compat::Seed.check(Category::ObjectChange).unwrap_err();
    assert_eq!(refusal.to_string(), expected);
    for category in Category::ALL {
        assert!(Compat::Head.check(category).is_ok() && Compat::Strict.check(category).is_ok());
    }
}

#[test]
fn long_texts_are_cut() {
    let items = vec!["'some text'"; 10_000].join(", ");
    let explanation = explained(&format!("{{ status in [{items}] }}"), Compat::Strict);
    assert!(explanation.len() < 4_000, "{}", explanation.len());
    assert!(explanation.contains("...  field status is 200, an integer"));
}

#[test]
fn filters_share_the_numbers_of_their_keys() {
    let mut keys = Keys::default();
    let mut ids = |text: &str| -> Vec<(String, u32)> {
        let filter = Filter::parse_with(text, Compat::Strict, &mut keys).unwrap();
        filter.keys().iter().map(|key| (key.name.to_string(), key.id)).collect()
    };
    let pair = |name: &str, id: u32| (name.to_owned(), id);
    assert_eq!(ids("{ a = 1, b = 2 or a = 3 }"), [pair("a", 0), pair("b", 1)]);
    assert_eq!(ids("{ c = 1, b match ['x'] }"), [pair("c", 2), pair("b", 1)]);
    assert_eq!((keys.len(), keys.id("c"), keys.id("z")), (3, Some(2), None));
}

/// A point whose owner knows the place of every key by its number.
struct Placed {
    values: Vec<Option<i64>>,
}

impl Lookup for Placed {
    fn name(&self) -> &str {
        "placed"
    }

    fn category(&self) -> Option<Category> {
        None
    }

    fn tag(&self, _: &Key) -> Option<&str> {
        None
    }

    fn field(&self, key: &Key) -> Option<Value<'_>> {
        self.values[key.id as usize].map(Value::Int)
    }
}

#[test]
fn a_point_may_be_looked_up_by_number() {
    let mut keys = Keys::default();
    let first = Filter::parse_with("{ a = 1 }", Compat::Strict, &mut keys).unwrap();
    let second = Filter::parse_with("{ b = 2, a != 9 }", Compat::Strict, &mut keys).unwrap();
    let point = Placed { values: vec![Some(1), Some(2)] };
    assert!(first.matches(&point) && second.matches(&point));
    let point = Placed { values: vec![Some(9), None] };
    assert!(!first.matches(&point) && !second.matches(&point));
}

#[test]
fn points_of_the_task_engine_can_be_filtered() {
    let series =
        Series::new("db".into(), "rp".into(), "cpu".into(), vec![("host".into(), "web-1".into())]);
    let shape = Shape::new(Box::new(["usage".into(), "none".into()]));
    let point = Point {
        series,
        shape: Arc::clone(&shape),
        values: [FieldValue::Float(97.5), FieldValue::Null].into_iter().collect(),
        time: Timestamp(0),
    };
    let holds = |text: &str, category| {
        let filter = Filter::parse(text, Compat::Strict).unwrap();
        filter.matches(&Categorized { point: &point, category })
    };
    let metric = Some(Category::Metric);
    assert!(holds("{ host = 'web-1', usage > 95, none = nil, measurement = 'cpu' }", metric));
    assert!(!holds("{ measurement = 'cpu' }", None));
}
