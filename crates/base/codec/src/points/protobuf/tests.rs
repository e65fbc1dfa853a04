#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::{ITEMS_MAX, ProtobufError, Reader, write_point};
use crate::points::{Details, Entry, Point, Remark, Value};
use crate::wire;
use levada_model::Timestamp;

use crate::points::json;

const NOW: Timestamp = Timestamp(777);

fn everything() -> Point<'static> {
    let mut count = Entry::field("u", Value::UInt(u64::MAX));
    count.details =
        Some(Box::new(Details { metric_type: 1, unit: "kb".into(), description: "all".into() }));
    Point {
        name: "abc".into(),
        entries: vec![
            Entry::tag("t", "v"),
            Entry::field("i", Value::Int(-12)),
            count,
            Entry::field("f", Value::Float(1.5)),
            Entry::field("b", Value::Bool(false)),
            Entry::field("d", Value::Bytes(b"hi"[..].into())),
            Entry::field("s", Value::Str("text".into())),
            Entry::field("arr", Value::Array(vec![Value::Int(1), Value::Int(2)])),
            Entry::field("map", Value::Map(vec![("k".into(), Value::Str("v".into()))])),
            Entry::field("nil", Value::Nil),
        ],
        time: Timestamp(1_709_523_668_830_398_000),
        warnings: vec![Remark { kind: "no_field".into(), message: "m".into() }],
        debugs: vec!["d".into()],
    }
}

fn read(body: &[u8]) -> Result<Vec<Point<'_>>, ProtobufError> {
    Reader::new(body, NOW).collect()
}

#[test]
fn everything_comes_back() {
    let (point, mut body) = (everything(), Vec::new());
    write_point(&point, &mut body);
    write_point(&point, &mut body);
    assert_eq!(read(&body), Ok(vec![point.clone(), point.clone()]));
    let mut text = Vec::new();
    json::write_full([&point].into_iter(), &mut text);
    let document = json::Document::parse(&text).unwrap();
    let back: Result<Vec<_>, _> = document.points(crate::points::Unit::Dynamic, NOW).collect();
    assert_eq!(back.unwrap(), [point]);
}

#[test]
fn bytes_are_those_of_the_schema() {
    let mut body = Vec::new();
    let point = Point {
        name: "m".into(),
        entries: vec![Entry::tag("t", "v"), Entry::field("i", Value::Int(3))],
        time: Timestamp(5),
        ..Point::default()
    };
    write_point(&point, &mut body);
    let expected =
        b"\x0a\x16\x0a\x01m\x12\x08\x0a\x01t\x5a\x01v\x40\x01\x12\x05\x0a\x01i\x10\x03\x18\x05";
    assert_eq!(body, expected);
}

#[test]
fn a_point_without_a_time_is_of_now() {
    assert_eq!(read(b"\x0a\x03\x0a\x01m").unwrap()[0].time, NOW);
    assert_eq!(read(b"").unwrap(), []);
}

#[test]
fn texts_that_are_not_utf8_become_texts() {
    let points = read(b"\x0a\x0a\x12\x08\x0a\x01k\x5a\x03a\xffb").unwrap();
    assert_eq!(points[0].entries[0].value, Value::Str("a\u{fffd}b".into()));
}

#[test]
fn what_is_no_point_is_an_error_and_ends_the_body() {
    for (body, expected) in [
        (&b"\x0a\x05\x0a"[..], "invalid protobuf point: the message ends within a value"),
        (b"\x10\x01\x0d", "invalid protobuf point: the message ends within a value"),
        (b"\x0a\x02\x08\x01", "invalid protobuf point: field 1 has another type"),
        (b"\x0a\x03\x0a\x01\xff", "invalid protobuf point: field 1 is not UTF-8"),
        (b"\x0a\x09\x12\x07\x3a\x05\x0a\x03foo", "invalid protobuf point: unknown type `foo`"),
    ] {
        let mut reader = Reader::new(body, NOW);
        assert_eq!(reader.next().unwrap().unwrap_err().to_string(), expected, "{body:x?}");
        assert!(reader.next().is_none());
    }
}

#[test]
fn a_small_body_does_not_become_a_large_point() {
    let mut point = Vec::new();
    for _ in 0..=ITEMS_MAX {
        point.extend_from_slice(b"\x12\x00");
    }
    let mut body = Vec::new();
    wire::push_bytes(1, &point, &mut body);
    assert_eq!(read(&body).unwrap_err(), ProtobufError::TooMany);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0usize..200) {
        let _any = Reader::new(&bytes, NOW).count();
        let mut body = Vec::new();
        write_point(&everything(), &mut body);
        let at = cut % body.len();
        for byte in &bytes {
            body[at] = *byte;
            let _changed = Reader::new(&body, NOW).count();
        }
        body.truncate(at);
        prop_assert!(read(&body).is_err() || at == 0);
    }
}
