#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use levada_model::point::{FieldValue as Value, Point, Series, Shape};
use levada_model::{Str, Timestamp};
use proptest::prelude::*;

use super::super::{Limits, LineError, Parser, Precision};
use super::write_point;

fn text(text: &str) -> Str {
    Arc::from(text)
}

fn point(name: &str, tags: &[(&str, &str)], fields: &[(&str, Value)], time: i64) -> Point {
    let tags = tags.iter().map(|(key, value)| (text(key), text(value))).collect();
    Point {
        series: Series::new(text("db"), text("rp"), text(name), tags),
        shape: Shape::new(fields.iter().map(|(key, _)| text(key)).collect()),
        values: fields.iter().map(|(_, value)| value.clone()).collect(),
        time: Timestamp(time),
    }
}

fn line(point: &Point, precision: Precision) -> Result<String, LineError> {
    let mut out = b"before\n".to_vec();
    let result = write_point(point, precision, &mut out);
    if result.is_err() {
        assert_eq!(out, b"before\n", "the line is taken back");
    }
    result.map(|()| String::from_utf8(out.split_off(7)).unwrap())
}

#[test]
fn every_kind_of_value_has_its_line() {
    let fields = [
        ("u", Value::UInt(1)),
        ("f", Value::Float(1.5)),
        ("i", Value::Int(-1)),
        ("b", Value::Bool(true)),
        ("s", Value::Str(text("x"))),
        ("y", Value::Bytes(Arc::from(&b"raw"[..]))),
        ("d", Value::Duration(60)),
        ("n", Value::Null),
    ];
    let point = point("m", &[("b", "2"), ("a", "1"), ("e", "")], &fields, -1_500_000_001);
    assert_eq!(
        line(&point, Precision::Nanoseconds).unwrap(),
        "m,a=1,b=2 b=true,d=60i,f=1.5,i=-1i,s=\"x\",u=1u,y=\"raw\" -1500000001\n"
    );
    assert!(line(&point, Precision::Seconds).unwrap().ends_with(" -2\n"), "times round down");
    assert!(line(&point, Precision::Hours).unwrap().ends_with(" -1\n"));
}

#[test]
fn what_cannot_be_a_line_is_an_error() {
    let null = point("m", &[], &[("n", Value::Null)], 1);
    assert_eq!(line(&null, Precision::Nanoseconds), Err(LineError::NoFields));
    let none = point("m", &[], &[], 1);
    assert_eq!(line(&none, Precision::Nanoseconds), Err(LineError::NoFields));
    let nan = point("m", &[], &[("a", Value::Int(1)), ("f", Value::Float(f64::NAN))], 1);
    let error = line(&nan, Precision::Nanoseconds).unwrap_err();
    assert_eq!(error, LineError::NotFinite { key: "f".to_owned() });
    let bytes = point("m", &[], &[("y", Value::Bytes(Arc::from(&b"\xff"[..])))], 1);
    let error = line(&bytes, Precision::Nanoseconds).unwrap_err();
    let expected = "the field `y` holds bytes that are not UTF-8, which line protocol cannot carry";
    assert_eq!(error.to_string(), expected);
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-c]{1,3}", "[a-b,= \\\\\"é\t#]{1,5}", "\\PC{1,4}"]
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Value::Float),
        (-99_999i64..99_999).prop_map(|number| Value::Float(number as f64 / 100.0)),
        any::<i64>().prop_map(Value::Int),
        any::<u64>().prop_map(Value::UInt),
        any::<bool>().prop_map(Value::Bool),
        "[a-c \\\\\",=\n\r\t\0é]{0,8}".prop_map(|value| Value::Str(text(&value))),
        "\\PC{0,8}".prop_map(|value| Value::Str(text(&value))),
    ]
}

fn any_point() -> impl Strategy<Value = Point> {
    let tags = proptest::collection::btree_map(name(), name(), 0..4);
    let fields = proptest::collection::btree_map(name(), value(), 1..6);
    let times = prop_oneof![-1_000i64..1_000, i64::MIN + 2..i64::MAX];
    (name(), tags, fields, times).prop_map(|(name, tags, fields, time)| {
        let tags: Vec<(&str, &str)> = tags.iter().map(|(key, value)| (&**key, &**value)).collect();
        let fields: Vec<(&str, Value)> =
            fields.iter().map(|(key, value)| (&**key, value.clone())).collect();
        point(&name, &tags, &fields, time)
    })
}

/// What two points with the same content have in common.
fn content(point: &Point) -> impl PartialEq + std::fmt::Debug + use<> {
    let series = &point.series;
    let tags: Vec<(Str, Str)> = series.tags().map(|(k, v)| (k.clone(), v.clone())).collect();
    let fields: Vec<(Str, Value)> = point.fields().map(|(k, v)| (k.clone(), v.clone())).collect();
    let scope = (series.database.clone(), series.retention.clone());
    (scope, series.name.clone(), tags, fields, point.time)
}

proptest! {
    #[test]
    fn points_are_read_as_they_were_written(points in proptest::collection::vec(any_point(), 1..6)) {
        let mut body = Vec::new();
        let mut written = Vec::new();
        for point in &points {
            if write_point(point, Precision::Nanoseconds, &mut body).is_ok() {
                written.push(point);
            }
        }
        let mut parser = Parser::new(Limits { unsigned: true, ..Limits::default() });
        for pass in 0..2 {
            let mut read = Vec::new();
            let outcome = parser.parse(
                &text("db"), &text("rp"), Precision::Nanoseconds, Timestamp(0), &body, &mut read,
            );
            prop_assert_eq!(&outcome.problems, &vec![], "pass {}: {:?}", pass, String::from_utf8_lossy(&body));
            prop_assert_eq!(read.len(), written.len());
            for (one, other) in read.iter().zip(&written) {
                prop_assert_eq!(content(one), content(other));
            }
        }
    }
}
