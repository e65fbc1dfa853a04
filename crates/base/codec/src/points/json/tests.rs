#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::line_protocol::Precision;

const NOW: Timestamp = Timestamp(777);

fn read(text: &str, unit: Unit) -> Result<Vec<Point<'static>>, String> {
    let chain = |error: JsonError| match error {
        JsonError::Parse(_) => "invalid JSON".to_owned(),
        other => other.to_string(),
    };
    let document = Document::parse(text.as_bytes()).map_err(chain)?;
    document.points(unit, NOW).map(|point| point.map(Point::into_owned).map_err(chain)).collect()
}

#[test]
fn both_shapes_are_read() {
    let text = r#"[{"measurement":"abc","tags":{"t1":"b"},
        "fields":{"f1":123,"f2":3.4,"f3":"s","f4":false,"f5":[1,2],"f6":null},"time":1624550216},
        {"name":"abc","fields":[{"key":"i","i":"12"},{"key":"t","s":"v","is_tag":true},
        {"key":"u","u":"7","type":"COUNT","unit":"kb"},{"key":"d","d":"aGk="},{"key":"n","f":"NaN"}],
        "time":"1709523668830398000"}, {"measurement":"now"}]"#;
    let points = read(text, Unit::Fixed(Precision::Seconds)).unwrap();
    assert_eq!(
        points[0].entries,
        [
            Entry::tag("t1", "b"),
            Entry::field("f1", Value::Float(123.0)),
            Entry::field("f2", Value::Float(3.4)),
            Entry::field("f3", Value::Str("s".into())),
            Entry::field("f4", Value::Bool(false)),
            Entry::field("f5", Value::Array(vec![Value::Float(1.0), Value::Float(2.0)])),
            Entry::field("f6", Value::Nil),
        ]
    );
    assert_eq!(points[0].time.0, 1_624_550_216_000_000_000);
    assert_eq!(points[1].entries[0], Entry::field("i", Value::Int(12)));
    assert_eq!(points[1].entries[1], Entry::tag("t", "v"));
    let details = points[1].entries[2].details.as_ref().unwrap();
    assert_eq!((details.metric_type, &*details.unit), (1, "kb"));
    assert_eq!(points[1].entries[3].value, Value::Bytes(b"hi"[..].into()));
    assert!(matches!(points[1].entries[4].value, Value::Float(number) if number.is_nan()));
    assert_eq!(points[1].time.0, 1_709_523_668_830_398_000);
    assert_eq!((&*points[2].name, points[2].time), ("now", NOW));
}

#[test]
fn the_first_shape_is_written_as_it_is_read() {
    let text = r#"[{"measurement":"abc","tags":{"t1":"b"},"fields":{"f1":123,"f2":3.4,"f5":[1,2]},"time":1624550216000000000}]"#;
    let points = read(text, Unit::Dynamic).unwrap();
    let mut out = Vec::new();
    write_simple(points.iter(), &mut out);
    assert_eq!(String::from_utf8(out).unwrap(), text);
}

#[test]
fn what_is_no_list_of_points_is_refused() {
    for (text, expected) in [
        ("", "invalid JSON"),
        ("[", "invalid JSON"),
        ("{}", "invalid JSON point: the body is no array"),
        ("[1]", "invalid JSON point: an element has neither `measurement` nor `name`"),
        (r#"[{"measurement":1}]"#, "invalid JSON point: `measurement` is no string"),
        (r#"[{"measurement":"m","tags":{"t":1}}]"#, "invalid JSON point: `t` is no string"),
        (
            r#"[{"measurement":"m","fields":{"f":[1,"a"]}}]"#,
            "invalid JSON point: field `f` has no value of a point",
        ),
        (
            r#"[{"measurement":"m","time":"x"}]"#,
            "invalid JSON point: `time` is no number of its type",
        ),
        (
            r#"[{"measurement":"m","time":9999999999}]"#,
            "invalid JSON point: time out of range: 9999999999",
        ),
        (r#"[{"name":"m","fields":[{"i":"1"}]}]"#, "invalid JSON point: a field has no `key`"),
        (
            r#"[{"name":"m","fields":[{"key":"k","i":"1.5"}]}]"#,
            "invalid JSON point: `i` is no number of its type",
        ),
        (
            r#"[{"name":"m","fields":[{"key":"k","d":"!"}]}]"#,
            "invalid JSON point: `d` is no base64",
        ),
        (
            r#"[{"name":"m","fields":[{"key":"k","type":"HUGE"}]}]"#,
            "invalid JSON point: unknown type `HUGE`",
        ),
    ] {
        assert_eq!(read(text, Unit::Dynamic).unwrap_err(), expected, "{text}");
    }
    let large = vec![b' '; JSON_BYTES_MAX + 1];
    assert!(matches!(Document::parse(&large), Err(JsonError::TooLarge(_))));
}
