//! What filters say about points.

use levada_condition::filter::{Compat, Filter, Lookup, Record};
use levada_model::{Category, FieldValue};

pub(crate) const MODES: [Compat; 3] = [Compat::Seed, Compat::Head, Compat::Strict];

#[test]
fn truth_tables() {
    let mut rows = 0;
    for (number, line) in lines(include_str!("../../cases/truth.txt")) {
        if line.starts_with("== ") {
            continue;
        }
        let (row, rest) = line.split_once(": ").expect(line);
        let (rest, expected) = rest.rsplit_once(" => ").expect(line);
        let mut parts = rest.rsplitn(3, " @ ");
        let fields = parts.next().expect(line);
        let tags = parts.next().expect(line);
        let expression = parts.next().expect(line);
        rows += 1;
        assert_eq!(row, rows.to_string(), "line {number}");
        check(number, expression, &record("n", None, tags, fields), expected);
    }
    assert_eq!(rows, 157);
}

#[test]
fn examples() {
    let rows = check_points(include_str!("../../cases/examples.txt"));
    assert!(rows > 150, "{rows}");
}

#[test]
fn register() {
    let rows = check_points(include_str!("../../cases/register.txt"));
    assert!(rows > 50, "{rows}");
}

/// Checks the rows of points in a case file, and gives how many there are.
fn check_points(text: &str) -> usize {
    let mut point = Record::default();
    let mut rows = 0;
    for (number, line) in lines(text) {
        if line.starts_with("== ") {
            continue;
        }
        if let Some(written) = line.strip_prefix("> ") {
            let mut parts = written.splitn(3, " @ ");
            let (category, name) = parts.next().and_then(|head| head.split_once(' ')).expect(line);
            let category = (category != "-").then(|| Category::of_name(category).expect(line));
            point = record(name, category, parts.next().expect(line), parts.next().expect(line));
            continue;
        }
        let (expression, expected) = line.rsplit_once(" => ").expect(line);
        check(number, expression, &point, expected);
        rows += 1;
    }
    rows
}

/// Gives the lines of a case file with their numbers; blank lines and notes left out.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_case = |line: &str| !line.is_empty() && !line.starts_with("# ") && line != "#";
    let numbered = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    numbered.filter(move |(_, line)| is_case(line))
}

fn check(number: usize, expression: &str, point: &Record, expected: &str) {
    let expression = expression.replace('⏎', "\n");
    let expected: Vec<&str> = expected.split(' ').collect();
    assert_eq!(expected.len(), MODES.len(), "line {number}");
    for (compat, expected) in MODES.into_iter().zip(expected) {
        let found = match Filter::parse(&expression, compat) {
            Ok(filter) => {
                let matched = filter.matches(point);
                let dynamic: &dyn Lookup = point;
                assert_eq!(matched, filter.matches(dynamic));
                assert_eq!(matched, filter.explain(point).matched, "line {number}: {expression}");
                format!("{matched}{}", if filter.warnings().is_empty() { "" } else { "+warn" })
            }
            Err(_) => "error".into(),
        };
        assert_eq!(found, expected, "line {number}: {expression} in {compat}");
    }
}

/// Makes a point of `a=x, b=y` and `c=1i, d="x"`; `-` is none.
fn record(name: &str, category: Option<Category>, tags: &str, fields: &str) -> Record {
    let pairs = |text: &str| -> Vec<(String, String)> {
        let written = if text == "-" { "" } else { text };
        let pairs = written.split(", ").filter(|pair| !pair.is_empty());
        pairs
            .map(|pair| {
                let (key, value) = pair.split_once('=').expect(pair);
                (key.to_owned(), value.to_owned())
            })
            .collect()
    };
    let fields = pairs(fields).into_iter().map(|(key, value)| (key, field(&value))).collect();
    Record { name: name.into(), category, tags: pairs(tags), fields }
}

fn field(written: &str) -> FieldValue {
    let inside = |text: &str| text.trim_matches('"').replace("\\\"", "\"");
    match written {
        "true" => FieldValue::Bool(true),
        "false" => FieldValue::Bool(false),
        text if text.starts_with('"') => {
            let inner = &text[1..text.len() - 1];
            FieldValue::Str(inner.replace("\\\"", "\"").into())
        }
        text if text.starts_with("b\"") => {
            FieldValue::Bytes(inside(&text[1..]).into_bytes().into())
        }
        text if text.ends_with('i') => FieldValue::Int(text[..text.len() - 1].parse().expect(text)),
        text if text.ends_with('u') => {
            FieldValue::UInt(text[..text.len() - 1].parse().expect(text))
        }
        text => FieldValue::Float(text.parse().expect(text)),
    }
}
