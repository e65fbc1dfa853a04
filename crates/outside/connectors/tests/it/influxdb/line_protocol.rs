//! The same bodies to a server and to our reader: the same points, the same errors.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use levada_codec::line_protocol::{Limits, Outcome, Parser, Precision};
use levada_model::point::{FieldValue, Point};
use levada_model::{Str, Timestamp};
use levada_testkit::services::INFLUXDB;
use serde_json::Value;

use super::bodies::{Random, body};
use super::server::Server;

/// How many bodies are compared, and where the numbers that make them begin.
const CASES: usize = 300;
const SEED: u64 = 5;
/// Stands for the time of a server that gives a point its own.
const NOW: i64 = 4_102_444_800_000_000_000;

/// Name, tags and time of a point, and its fields as kind and value.
type Points =
    BTreeMap<(String, Vec<(String, String)>, i64), BTreeMap<String, (&'static str, String)>>;

#[derive(Debug, Default)]
struct Counts {
    accepted: usize,
    partly: usize,
    refused: usize,
    points: usize,
    /// Bodies about which the storage of the server has its own opinion, such as two kinds for one field.
    left_out: usize,
}

#[test]
fn the_reader_agrees_with_the_server() {
    let test = "line protocol against InfluxDB";
    let Some(address) = INFLUXDB.address(test) else { return };
    let server = Server { address };
    let mut random = Random::new(SEED);
    let mut parser = Parser::new(Limits::default());
    let mut counts = Counts::default();
    for case in 0..CASES {
        let body = body(&mut random);
        let precision = random.pick(&["n", "n", "n", "n", "n", "u", "ms", "s", "m", "h"]);
        compare(&server, &mut parser, case, precision, &body, &mut counts);
    }
    println!("{test}: {CASES} bodies: {counts:?}");
    assert!(counts.left_out < CASES / 5, "{counts:?}");
    assert!(counts.accepted.min(counts.partly).min(counts.refused) > CASES / 20, "{counts:?}");
}

fn compare(
    server: &Server,
    parser: &mut Parser,
    case: usize,
    precision: &str,
    body: &[u8],
    counts: &mut Counts,
) {
    let (mut points, name): (Vec<Point>, Str) = (Vec::new(), Arc::from("db"));
    let unit = Precision::of(precision);
    let outcome = parser.parse(&name, &name, unit, Timestamp(NOW), body, &mut points);
    let context =
        format!("case {case}, precision {precision}: {:?}", String::from_utf8_lossy(body));
    if concerns_the_storage(&points) {
        counts.left_out += 1;
        return;
    }

    let database = format!("line_protocol_{}_{case}", std::process::id());
    let start = now();
    server.query("", &format!("CREATE DATABASE {database}"));
    let error = server.write(&database, precision, body);
    let statements =
        format!("SELECT * FROM /(?s).*/ GROUP BY *; SHOW FIELD KEYS; DROP DATABASE {database}");
    let answers = server.query(&database, &statements);
    let times = Precision::Hours.truncate(Timestamp(start)).0..=now();

    // Two fields of one line with one key and two kinds, of which our reader keeps the last one.
    if error.as_deref() == Some("field type conflict") {
        counts.left_out += 1;
        return;
    }
    assert_eq!(error.map(|text| one_replacement(&text)), expected_error(&outcome), "{context}");
    let ours = by_series(&points);
    let theirs = by_answer(&answers[0], &answers[1], unit, &times);
    assert_eq!(theirs, ours, "{context}");

    counts.points += points.len();
    match (outcome.points, outcome.refused) {
        (_, 0) => counts.accepted += 1,
        (0, _) => counts.refused += 1,
        _ => counts.partly += 1,
    }
}

/// Tells whether the server reads the body and then does something else with it than our reader, which stores nothing.
fn concerns_the_storage(points: &[Point]) -> bool {
    let mut kinds = BTreeMap::new();
    let (mut tags, mut fields) = (BTreeSet::new(), BTreeSet::new());
    for point in points {
        let name = &point.series.name;
        for (key, value) in point.fields() {
            let kind = kinds.entry((name, key)).or_insert(value.go_type());
            // Two kinds for one field, or a name that is the time's.
            if *kind != value.go_type() || **key == *"time" {
                return true;
            }
            fields.insert((name, key));
        }
        tags.extend(point.series.tags().map(|(key, _)| (name, key)));
    }
    // The storage takes backslashes out of measurements once more, and then does not find what it stored.
    let is_escape = |pair: &[u8]| pair[0] == b'\\' && b", =\"".contains(&pair[1]);
    if points.iter().any(|point| point.series.name.as_bytes().windows(2).any(is_escape)) {
        return true;
    }
    // What the server keeps about names must be UTF-8; it answers 500 where it is not.
    let mut names = tags.iter().chain(&fields).flat_map(|(name, key)| [&***name, &***key]);
    if names.any(|name| name.contains('\u{fffd}')) {
        return true;
    }
    // A query gives a field that has the name of a tag another one.
    tags.iter().any(|(_, key)| ***key == *"time") || !tags.is_disjoint(&fields)
}

/// Gives the text with which the server answers a body with such an outcome.
fn expected_error(outcome: &Outcome) -> Option<String> {
    if outcome.refused == 0 {
        return None;
    }
    let texts: Vec<String> = outcome.problems.iter().map(|problem| problem.server_text()).collect();
    let text = texts.join("\n");
    Some(one_replacement(&match outcome.points {
        0 => text,
        _ => format!("partial write: {text} dropped=0"),
    }))
}

/// Makes runs of U+FFFD one, for Go replaces each byte that is not UTF-8 and Rust what belongs together.
fn one_replacement(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        if character != '\u{fffd}' || !out.ends_with('\u{fffd}') {
            out.push(character);
        }
    }
    out
}

fn by_series(points: &[Point]) -> Points {
    let mut all = Points::new();
    for point in points {
        let tags = point
            .series
            .tags()
            .map(|(key, value)| (one_replacement(key), one_replacement(value)))
            .collect();
        let key = (one_replacement(&point.series.name), tags, point.time.0);
        let fields = all.entry(key).or_default();
        for (key, value) in point.fields() {
            let value = match value {
                // The server prints a negative zero as a zero.
                FieldValue::Float(number) => ("float", format!("{:?}", number + 0.0)),
                FieldValue::Int(number) => ("integer", number.to_string()),
                FieldValue::Bool(value) => ("boolean", value.to_string()),
                FieldValue::Str(text) => ("string", one_replacement(text)),
                other => panic!("{other:?}"),
            };
            fields.insert(one_replacement(key), value);
        }
    }
    all
}

fn by_answer(
    series: &[Value],
    kinds: &[Value],
    unit: Precision,
    now: &std::ops::RangeInclusive<i64>,
) -> Points {
    let text = |value: &Value| one_replacement(value.as_str().unwrap());
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut kind_of = BTreeMap::new();
    for series in kinds {
        for row in list(&series["values"]) {
            let kind = match row[1].as_str().unwrap() {
                "float" => "float",
                "integer" => "integer",
                "boolean" => "boolean",
                "string" => "string",
                other => panic!("{other}"),
            };
            kind_of.insert((text(&series["name"]), text(&row[0])), kind);
        }
    }
    let mut all = Points::new();
    for series in series {
        let name = text(&series["name"]);
        let tags = series["tags"].as_object().into_iter().flatten();
        let mut tags: Vec<(String, String)> = tags
            .map(|(key, value)| (one_replacement(key), text(value)))
            .filter(|(_, value)| !value.is_empty())
            .collect();
        tags.sort();
        let columns = list(&series["columns"]);
        for row in list(&series["values"]) {
            let time = row[0].as_i64().unwrap();
            let is_now = now.contains(&time);
            if is_now {
                assert_eq!(time % unit.nanoseconds(), 0);
            }
            let time = if is_now { unit.truncate(Timestamp(NOW)).0 } else { time };
            let fields = all.entry((name.clone(), tags.clone(), time)).or_default();
            for (column, value) in columns.iter().zip(list(&row)).skip(1) {
                if value.is_null() {
                    continue;
                }
                let column = text(column);
                let Some(kind) = kind_of.get(&(name.clone(), column.clone())).copied() else {
                    panic!("field `{column}` of {name} among {kind_of:?}: {series}");
                };
                let value = match (kind, &value) {
                    ("float", value) => format!("{:?}", value.as_f64().unwrap() + 0.0),
                    (_, Value::String(value)) => one_replacement(value),
                    (_, value) => value.to_string(),
                };
                fields.insert(column, (kind, value));
            }
        }
    }
    all
}

#[expect(clippy::disallowed_methods, reason = "the server has the time of the machine")]
fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64
}
