#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Mutex;

use levada_model::{Group, GroupKey, Series, Shape};

use super::*;
use crate::rows::{Cell, cell};

pub(crate) fn point(
    name: &str,
    tags: &[(&str, &str)],
    fields: &[(&str, FieldValue)],
    seconds: i64,
) -> Point {
    let empty = || Str::from("");
    let tags = tags.iter().map(|(key, value)| (Str::from(*key), Str::from(*value))).collect();
    let names: Box<[Str]> = fields.iter().map(|(key, _)| Str::from(*key)).collect();
    Point {
        series: Series::new(empty(), empty(), name.into(), tags),
        shape: Shape::new(names),
        values: fields.iter().map(|(_, value)| value.clone()).collect(),
        time: Timestamp(seconds * 1_000_000_000),
    }
}

pub(crate) fn batch(name: &str, group: &[(&str, &str)], seconds: i64, points: Vec<Point>) -> Batch {
    let key = GroupKey {
        name: None,
        dimensions: group.iter().map(|(key, _)| Str::from(*key)).collect(),
        values: group.iter().map(|(_, value)| Str::from(*value)).collect(),
    };
    let id = key.text().into();
    let group = Arc::new(Group { slot: 0, key, id });
    Batch { name: name.into(), group, time: Timestamp(seconds * 1_000_000_000), points }
}

/// An event about `cpu,host=a value=61`.
pub(crate) fn event(id: &str, level: Level) -> Event {
    let data = point("cpu", &[("host", "a")], &[("value", FieldValue::Float(61.0))], 1);
    Event {
        id: id.into(),
        message: format!("{id} is {level}").into(),
        details: Details::from("d"),
        time: Timestamp(1_000_000_000),
        duration: 0,
        level,
        previous_level: Level::Ok,
        is_recoverable: true,
        task: "tid".into(),
        category: "".into(),
        group: "host=a".into(),
        data: EventData::Point(Arc::new(data)),
        hops: 0,
    }
}

fn json(event: &Event) -> String {
    String::from_utf8(event.to_json()).unwrap()
}

fn rows(data: &EventData) -> String {
    let mut out = Vec::new();
    data.write(&mut out);
    let text = String::from_utf8(out).unwrap();
    serde_json::from_str::<serde_json::Value>(&text).unwrap();
    text
}

#[test]
fn the_json_of_the_reference() {
    let expected = concat!(
        r#"{"id":"cpu:host=a","message":"cpu:host=a is CRITICAL","details":"d","time":"1970-01-01T00:00:01Z","duration":0,"level":"CRITICAL","#,
        r#""data":{"series":[{"name":"cpu","tags":{"host":"a"},"columns":["time","value"],"values":[["1970-01-01T00:00:01Z",61]]}]},"#,
        r#""previousLevel":"OK","recoverable":true}"#,
        "\n"
    );
    assert_eq!(json(&event("cpu:host=a", Level::Critical)), expected);
}

#[test]
fn texts_are_escaped_and_numbers_that_json_lacks_are_null() {
    let fields = [
        ("w", FieldValue::Str("x&y".into())),
        ("nan", FieldValue::Float(f64::NAN)),
        ("big", FieldValue::Float(1e21)),
        ("none", FieldValue::Null),
    ];
    let event = Event {
        details: Details::from("<b>\u{2028}"),
        data: EventData::Point(Arc::new(point("m<", &[("h", "a>b")], &fields, 1))),
        is_recoverable: false,
        duration: 300_000_000_000,
        time: Timestamp(1_500_000_000),
        ..event("i\"d", Level::Warning)
    };
    let expected = concat!(
        r#"{"id":"i\"d","message":"i\"d is WARNING","details":"\u003cb\u003e\u2028","time":"1970-01-01T00:00:01.5Z","duration":300000000000,"level":"WARNING","#,
        r#""data":{"series":[{"name":"m\u003c","tags":{"h":"a\u003eb"},"columns":["time","big","nan","none","w"],"#,
        r#""values":[["1970-01-01T00:00:01Z",1e+21,null,null,"x\u0026y"]]}]},"previousLevel":"OK","recoverable":false}"#,
        "\n"
    );
    assert_eq!(json(&event), expected);
}

#[test]
fn rows_of_batches() {
    let float = FieldValue::Float;
    let points = vec![
        point(
            "cpu",
            &[("host", "a"), ("core", "1")],
            &[("v", float(1.0)), ("b", FieldValue::Bool(true))],
            1,
        ),
        point("cpu", &[("host", "a")], &[("v", float(2.5)), ("late", float(9.0))], 2),
        point("cpu", &[("host", "a"), ("core", "2")], &[], 3),
    ];
    let data = EventData::Batch(Arc::new(batch("cpu", &[("host", "a")], 5, points)), 1);
    let expected = concat!(
        r#"{"series":[{"name":"cpu","tags":{"host":"a"},"columns":["time","b","core","v"],"values":["#,
        r#"["1970-01-01T00:00:01Z",true,"1",1],["1970-01-01T00:00:02Z",null,null,2.5],["1970-01-01T00:00:03Z",null,"2",null]]}]}"#
    );
    assert_eq!(rows(&data), expected);
    let event = Event { data, ..event("x", Level::Info) };
    let fields: Vec<&str> = event.fields().map(|(name, _)| &**name).collect();
    assert_eq!(fields, ["late", "v"], "the fields of the worst point");
    let tags: Vec<(&str, &str)> = event.tags().map(|(key, value)| (&**key, &**value)).collect();
    assert_eq!(tags, [("host", "a")], "the tags of the batch");
    assert_eq!(event.tag("core"), None);
    assert_eq!(event.name(), "cpu");
}

#[test]
fn cells_of_points_whose_fields_are_in_other_places() {
    let int = FieldValue::Int;
    let points = vec![
        point("m", &[("t", "x")], &[("a", int(1)), ("b", int(2))], 1),
        point("m", &[("b", "tag"), ("t", "x")], &[("c", int(0)), ("a", int(3))], 2),
        point("m", &[], &[("b", int(4)), ("a", FieldValue::Null)], 3),
    ];
    let batch = batch("m", &[], 3, points);
    let row = Row::Batch(batch.as_ref());
    let mut out = Vec::new();
    row.write(&mut out);
    let expected = concat!(
        r#"{"name":"m","columns":["time","a","b","t"],"values":[["1970-01-01T00:00:01Z",1,2,"x"],"#,
        r#"["1970-01-01T00:00:02Z",3,"tag","x"],["1970-01-01T00:00:03Z",null,4,null]]}"#
    );
    assert_eq!(String::from_utf8(out).unwrap(), expected);
    let (tag, x) = (Str::from("tag"), Str::from("x"));
    let cells = [
        [Cell::Field(&int(1)), Cell::Field(&int(2)), Cell::Tag(&x)],
        [Cell::Field(&int(3)), Cell::Tag(&tag), Cell::Tag(&x)],
        [Cell::Field(&FieldValue::Null), Cell::Field(&int(4)), Cell::Missing],
    ];
    for (point, expected) in batch.points.iter().zip(cells) {
        let found: Vec<Cell<'_>> =
            row.columns().into_iter().map(|column| cell(point, column)).collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn what_is_empty_is_left_out() {
    assert_eq!(rows(&EventData::None), r#"{"series":null}"#);
    let nothing = EventData::Batch(Arc::new(batch("", &[], 5, Vec::new())), 0);
    assert_eq!(rows(&nothing), r#"{"series":[{}]}"#);
    let ungrouped = EventData::Point(Arc::new(point("m", &[], &[], 0)));
    assert_eq!(
        rows(&ungrouped),
        r#"{"series":[{"name":"m","columns":["time"],"values":[["1970-01-01T00:00:00Z"]]}]}"#
    );
    let many = EventData::Many(Arc::from([EventData::None, ungrouped.clone(), ungrouped]));
    assert_eq!(rows(&many).matches(r#""name":"m""#).count(), 2);
    let event = Event { data: many, ..event("x", Level::Info) };
    assert_eq!((event.name(), event.tags().count(), event.fields().count()), ("", 0, 0));
    let mut out = Vec::new();
    write_result([None, None], &mut out);
    assert_eq!(out, br#"{"series":[null,null]}"#, "a group that a barrier made");
}

#[test]
fn a_field_hides_a_tag_of_its_name() {
    let one = point("m", &[("x", "tag")], &[("x", FieldValue::Int(1))], 0);
    let data = EventData::Batch(Arc::new(batch("m", &[], 0, vec![one])), 0);
    let expected =
        r#"{"series":[{"name":"m","columns":["time","x"],"values":[["1970-01-01T00:00:00Z",1]]}]}"#;
    assert_eq!(rows(&data), expected);
}

#[test]
fn details_are_made_once_and_let_go_of_what_made_them() {
    let held = Arc::new(Mutex::new(0));
    let counter = held.clone();
    let details = Details::lazy(move || {
        *counter.lock().unwrap() += 1;
        "text".to_owned()
    });
    let copy = details.clone();
    assert_eq!(format!("{details:?}"), "(not made yet)");
    assert_eq!((&**details.text(), &**copy.text()), ("text", "text"));
    assert_eq!(*held.lock().unwrap(), 1);
    assert_eq!(Arc::strong_count(&held), 1);
    assert!(copy.is_made());
}

proptest::proptest! {
    #[test]
    fn every_event_is_one_line_of_json(
        texts in proptest::array::uniform4(".*"),
        tags in proptest::collection::btree_map(".*", ".*", 0..4),
        bits: u64,
        nanos: i64,
    ) {
        let tags: Vec<(&str, &str)> = tags.iter().map(|(key, value)| (&**key, &**value)).collect();
        let fields = [(&*texts[0], FieldValue::Float(f64::from_bits(bits)))];
        let one = Event {
            id: texts[1].as_str().into(),
            message: texts[2].as_str().into(),
            details: Details::from(&*texts[3]),
            time: Timestamp(nanos),
            data: EventData::Point(Arc::new(point("m", &tags, &fields, 0))),
            ..event("", Level::Info)
        };
        let line = json(&one);
        proptest::prop_assert_eq!(line.matches('\n').count(), 1);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        proptest::prop_assert_eq!(value["id"].as_str(), Some(&*texts[1]));
        proptest::prop_assert_eq!(value["details"].as_str(), Some(&*texts[3]));
        proptest::prop_assert_eq!(value["data"]["series"][0]["columns"][1].as_str(), Some(&*texts[0]));
    }
}
