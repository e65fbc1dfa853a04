use levada_model::Timestamp;

use super::*;
use crate::points::line::decode;
use crate::points::{Unit, line};

fn warned(checks: &Checks, point: &mut Point<'_>) -> Vec<(&'static str, String)> {
    let mut warnings = Warnings::default();
    checks.apply(point, &mut warnings);
    assert_eq!(warnings.total(), warnings.first().len() as u64);
    warnings.first().iter().map(|one| (one.kind.name(), one.message.clone())).collect()
}

fn point<'a>(entries: Vec<Entry<'a>>) -> Point<'a> {
    Point { name: "m".into(), entries, time: Timestamp(1), ..Point::default() }
}

#[test]
fn warnings_are_those_of_upstream() {
    for (category, entries, expected) in [
        (
            Category::Logging,
            vec![Entry::tag("source", "x"), Entry::field("f", Value::Int(1))],
            vec![
                ("tag_disabled", "tag key \"source\" disabled"),
                ("add_required_kv", "add required key-value \"status\": \"info\""),
            ],
        ),
        (
            Category::Object,
            vec![Entry::tag("name", "n"), Entry::field("date", Value::Int(1))],
            vec![("field_disabled", "field key \"date\" disabled")],
        ),
        (
            Category::Rum,
            vec![Entry::field("c.d", Value::Int(1)), Entry::field("n", Value::Nil)],
            vec![("nil_field", "nil field(n)")],
        ),
        (
            Category::Metric,
            vec![Entry::field("g", Value::Str("x".into()))],
            vec![(
                "invalid_field_value_type",
                "field(g) dropped with string value, when [DisableStringField] enabled",
            )],
        ),
        (
            Category::Network,
            vec![Entry::field("k", Value::Int(1)), Entry::tag("k", "v"), Entry::tag("k", "w")],
            vec![
                ("same_tag_field_key", "same key (\"k\")"),
                ("same_tag_field_key", "same key (\"k\")"),
            ],
        ),
        (
            Category::Network,
            vec![Entry::tag("a\nb\\", "c\\\\"), Entry::field("", Value::Int(1))],
            vec![
                (
                    "found_new_line_or_tail_espace",
                    "invalid tag key `a b': found new line or tail escape",
                ),
                (
                    "found_new_line_or_tail_espace",
                    "invalid tag value `c': found new line or tail escape",
                ),
                ("field_disabled", "field key \"\" disabled"),
            ],
        ),
    ] {
        let mut point = point(entries);
        let warnings = warned(&Checks::of(category), &mut point);
        let expected: Vec<(&str, String)> =
            expected.into_iter().map(|(kind, text)| (kind, text.to_owned())).collect();
        assert_eq!(warnings, expected, "{category:?}");
    }
}

#[test]
fn numbers_that_servers_cannot_store_are_changed() {
    let mut one = point(vec![
        Entry::field("max", Value::Float(f64::INFINITY)),
        Entry::field("min", Value::Float(f64::NEG_INFINITY)),
        Entry::field("nan", Value::Float(f64::NAN)),
        Entry::field("k", Value::UInt(u64::MAX)),
        Entry::field("u", Value::UInt(7)),
    ]);
    let warnings = warned(&Checks::influx(), &mut one);
    assert_eq!(
        one.entries,
        [
            Entry::field("max", Value::Float(18_446_744_073_709_551_615.0)),
            Entry::field("min", Value::Float(-9_223_372_036_854_775_808.0)),
            Entry::field("u", Value::Int(7)),
        ]
    );
    let too_large = "too large int field: key=k, value=18446744073709551615(> 9223372036854775807)";
    assert!(
        warnings.contains(&("exceed_max_field_value_int", too_large.to_owned())),
        "{warnings:?}"
    );
}

#[test]
fn every_limit_holds_at_its_edge() {
    let checks = Checks {
        tags_max: 2,
        fields_max: 2,
        key_bytes_max: 4,
        tag_value_bytes_max: 4,
        field_value_bytes_max: 4,
        name_bytes_max: 4,
        ..Checks::default()
    };
    let mut exact = point(vec![
        Entry::tag("aaaa", "vvvv"),
        Entry::tag("b", "v"),
        Entry::field("cccc", Value::Str("xxxx".into())),
        Entry::field("d", Value::Bytes(b"xxxx"[..].into())),
    ]);
    exact.name = "mmmm".into();
    let before = exact.clone();
    assert_eq!(warned(&checks, &mut exact), []);
    assert_eq!(exact, before);

    let mut over = point(vec![
        Entry::tag("aaaaa", "vvvvv"),
        Entry::tag("éée", "éée"),
        Entry::tag("gone", "v"),
        Entry::field("cccce", Value::Str("xxxé".into())),
        Entry::field("d", Value::Bytes(b"xxxxx"[..].into())),
        Entry::field("gone", Value::Int(1)),
    ]);
    over.name = "mmmé".into();
    let kinds: Vec<&str> = warned(&checks, &mut over).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(over.name, "mmm", "names are cut between characters");
    assert_eq!(
        over.entries,
        [
            Entry::tag("aaaa", "vvvv"),
            Entry::tag("éé", "éé"),
            Entry::field("cccc", Value::Str("xxx".into())),
            Entry::field("d", Value::Bytes(b"xxxx"[..].into())),
        ]
    );
    assert_eq!(
        kinds,
        [
            "invalid_measurement",
            "exceed_max_fields",
            "exceed_max_fields",
            "exceed_max_tag_key_len",
            "exceed_max_tag_value_len",
            "exceed_max_tag_key_len",
            "exceed_max_tag_value_len",
            "exceed_max_field_key_len",
            "exceed_max_field_value_len",
            "exceed_max_field_value_len",
        ]
    );
}

#[test]
fn a_cut_key_that_is_there_already_is_dropped() {
    let checks = Checks { key_bytes_max: 2, ..Checks::default() };
    let mut one = point(vec![Entry::tag("abc", "long"), Entry::field("ab", Value::Int(1))]);
    let kinds: Vec<&str> = warned(&checks, &mut one).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, ["exceed_max_tag_key_len", "key_name_conflict"]);
    assert_eq!(one.entries, [Entry::field("ab", Value::Int(1))]);
}

#[test]
fn many_entries_are_compared_by_hash() {
    let keys: Vec<String> = (0..1_000).map(|n| format!("k{}", n % 500)).collect();
    let entries = keys.iter().map(|key| Entry::field(&**key, Value::Int(1))).collect();
    let mut one = point(entries);
    let mut warnings = Warnings::default();
    Checks::default().apply(&mut one, &mut warnings);
    assert_eq!(one.entries.len(), 500);
    assert_eq!(warnings.counts().collect::<Vec<_>>(), [(WarningKind::SameTagFieldKey, 500)]);
    assert_eq!(warnings.first().len(), WARNINGS_MAX);
}

#[test]
fn lines_are_judged_without_taking_them_apart() {
    for (category, body, expected) in [
        (Category::Metric, "m,t=a f=1i 1", Verdict::Clean),
        (Category::Metric, "m,t=a f=\"x\" 1", Verdict::Change),
        (Category::Metric, "m,t\\ a=a f=1i 1", Verdict::Change),
        (Category::Metric, "m,t=a t=1i 1", Verdict::Change),
        (Category::Metric, "m f=1i,f=2i 1", Verdict::Change),
        (Category::Logging, "m f=1i 1", Verdict::Lacks("status", "info")),
        (Category::Logging, "m,status=ok f=\"a\\\"b\" 1", Verdict::Clean),
        (Category::Logging, "m,a.b=ok f=1i 1", Verdict::Change),
        (Category::Logging, "m,date=ok f=1i 1", Verdict::Change),
        (Category::Rum, "m,a.b=ok f=1i 1", Verdict::Clean),
        (Category::Rum, "m f=[] 1", Verdict::Change),
    ] {
        let mut scanner = line::Scanner::new(body, Unit::Dynamic).expect("small");
        let line = scanner.next_line().expect("a line").expect("a good line");
        assert_eq!(Checks::of(category).passes(&line), expected, "{category:?} {body}");
    }
    let long = format!("m,t={} f=1i 1", "v".repeat(1_025));
    assert!(decode(&long, Unit::Dynamic, Timestamp(0)).is_ok());
    let mut scanner = line::Scanner::new(&long, Unit::Dynamic).expect("small");
    let line = scanner.next_line().expect("a line").expect("a good line");
    assert_eq!(Checks::default().passes(&line), Verdict::Change);
}
