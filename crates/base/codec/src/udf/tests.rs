//! Bytes are those of the format's own implementation; the rest goes there and back.

#![expect(clippy::unwrap_used, reason = "tests")]

use levada_model::{FieldValue, Str};
use proptest::prelude::*;

use super::*;
use crate::wire::WireError;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn tags(tags: &[(&str, &str)]) -> Tags {
    tags.iter().map(|(name, value)| (Str::from(*name), Str::from(*value))).collect()
}

fn sample_point() -> Point {
    Point {
        time: -5,
        name: "cpu".into(),
        database: "d".into(),
        retention: "r".into(),
        group: "host=a".into(),
        dimensions: vec!["host".into()],
        tags: tags(&[("dc", ""), ("host", "a")]),
        fields: vec![
            ("f".into(), FieldValue::Float(0.5)),
            ("i".into(), FieldValue::Int(0)),
            ("s".into(), FieldValue::Str("x".repeat(130).into())),
            ("b".into(), FieldValue::Bool(true)),
        ],
        by_name: true,
    }
}

fn requests() -> Vec<(Request, String)> {
    let values = vec![
        OptionValue::Bool(false),
        OptionValue::Int(-1),
        OptionValue::Double(0.0),
        OptionValue::String(String::new()),
        OptionValue::Duration(0),
    ];
    let init = Init {
        options: vec![InitOption { name: "o".into(), values }],
        task: "t".into(),
        node: "n2".into(),
    };
    let begin = Begin {
        name: "cpu".into(),
        group: "host=a".into(),
        tags: tags(&[("host", "a")]),
        size: 2,
        by_name: true,
    };
    let end = End {
        name: "cpu".into(),
        group: "host=a".into(),
        tmax: 9,
        tags: tags(&[("host", "a")]),
        by_name: false,
    };
    let point = format!(
        "8a01e00108fbffffffffffffffff0112036370751a01642201722a06686f73743d613204686f73743a060a02646312003a090a04686f7374120161420c0a016611000000000000e03f4a050a016910005288010a0173128201{}580162050a01621001",
        "78".repeat(130)
    );
    let own = |text: &str| text.to_owned();
    vec![
        (Request::Info, own("0a00")),
        (
            Request::Init(init),
            own(
                "12380a2f0a016f12021000120d080118ffffffffffffffffff01120b0802210000000000000000120408032a001204080430001201741a026e32",
            ),
        ),
        (Request::Keepalive { time: 1500 }, own("1a0308dc0b")),
        (Request::Snapshot, own("2200")),
        (Request::Restore { snapshot: vec![0, 255] }, own("2a040a0200ff")),
        (
            Request::Begin(begin),
            own("82011c0a036370751206686f73743d611a090a04686f7374120161200228 01").replace(' ', ""),
        ),
        (Request::Point(sample_point()), point),
        (Request::End(end), own("92011a0a036370751206686f73743d61180922090a04686f7374120161")),
    ]
}

fn responses() -> Vec<(Response, &'static str)> {
    let options =
        vec![("a".into(), vec![ValueType::String, ValueType::Duration]), ("b".into(), vec![])];
    let info = Info { wants: EdgeKind::Stream, provides: EdgeKind::Batch, options };
    vec![
        (Response::Info(info), "0a1410011a090a016112040a0203041a050a01621200"),
        (Response::Init(Outcome { success: true, error: String::new() }), "12020801"),
        (Response::Restore(Outcome { success: false, error: "no".into() }), "2a0412026e6f"),
        (Response::Keepalive { time: 1500 }, "1a0308dc0b"),
        (Response::Snapshot { snapshot: Vec::new() }, "2200"),
        (Response::Error { text: "bad".into() }, "32050a03626164"),
    ]
}

/// Takes the length from the front.
fn content(framed: &[u8]) -> Vec<u8> {
    let mut frames = Frames::new(1 << 20);
    frames.push(framed);
    let frame = frames.next_frame().unwrap().unwrap().to_vec();
    assert!(!frames.is_within());
    frame
}

#[test]
fn bytes_are_those_of_the_format() {
    for (request, wanted) in requests() {
        let mut written = Vec::new();
        request.append(&mut written);
        let content = content(&written);
        assert_eq!(hex(&content), wanted, "{request:?}");
        assert_eq!(Request::read(&unhex(&wanted)), Ok(request));
    }
    for (response, wanted) in responses() {
        let mut written = Vec::new();
        response.append(&mut written);
        assert_eq!(hex(&content(&written)), wanted, "{response:?}");
        assert_eq!(Response::read(&unhex(wanted)), Ok(response));
    }
}

#[test]
fn what_is_unknown_is_skipped_and_what_is_missing_is_empty() {
    // Fields 19 to 21 of all kinds beside a keepalive; a packed list that is not packed; entries without key or value.
    let strange = "980105a1010000000000000000ad0100000000aa0100 1a00".replace(' ', "");
    assert_eq!(Response::read(&unhex(&strange)), Ok(Response::Keepalive { time: 0 }));
    let unpacked = Info { options: vec![("a".into(), vec![ValueType::Int])], ..Info::default() };
    assert_eq!(Response::read(&unhex("0a091a070a016112020801")), Ok(Response::Info(unpacked)));
    let point = Point {
        tags: tags(&[("", "")]),
        fields: vec![("x".into(), FieldValue::Int(0))],
        ..Point::default()
    };
    assert_eq!(Response::read(&unhex("8a01073a004a030a0178")), Ok(Response::Point(point)));
}

#[test]
fn what_is_wrong_is_said() {
    let wrong = [
        ("", UdfError::Empty),
        ("9801", WireError::Truncated.into()),
        ("0a05", WireError::Truncated.into()),
        ("8a010309", WireError::Truncated.into()),
        ("0b", WireError::Kind(3).into()),
        ("1005", WireError::Type(2).into()),
        ("8a0103 120180".replace(' ', "").leak(), WireError::Utf8(2).into()),
        ("0a020802", UdfError::Unknown { what: "edge", number: 2 }),
        ("0a0a1a080a016112030a0109", UdfError::Unknown { what: "type", number: 9 }),
        ("ffffffffffffffffffffff", WireError::Varint.into()),
    ];
    for (bytes, error) in wrong {
        assert_eq!(Response::read(&unhex(bytes)), Err(error), "{bytes}");
    }
}

#[test]
fn a_frame_is_bounded_before_it_is_there() {
    let mut frames = Frames::new(5);
    frames.push(&[5, 1, 2, 3]);
    assert_eq!(frames.next_frame(), Ok(None));
    assert!(frames.is_within());
    frames.push(&[4, 5, 0, 6]);
    assert_eq!(frames.next_frame(), Ok(Some(&[1, 2, 3, 4, 5][..])));
    assert_eq!(frames.next_frame(), Ok(Some(&[][..])));
    assert_eq!(frames.next_frame(), Err(UdfError::TooLarge { bytes: 6, limit: 5 }));
    let mut frames = Frames::new(usize::MAX);
    frames.push(&[0x80; 9]);
    assert_eq!(frames.next_frame(), Ok(None));
    frames.push(&[0x80]);
    assert_eq!(frames.next_frame(), Err(WireError::Varint.into()));
}

fn text() -> impl Strategy<Value = Str> {
    "[a-zä=,\n ]{0,8}".prop_map(Str::from)
}

fn value() -> impl Strategy<Value = FieldValue> {
    prop_oneof![
        (-1e300..1e300).prop_map(FieldValue::Float),
        any::<i64>().prop_map(FieldValue::Int),
        "[a-z]{0,200}".prop_map(|text| FieldValue::Str(text.into())),
        any::<bool>().prop_map(FieldValue::Bool),
    ]
}

fn rank(value: &FieldValue) -> usize {
    ["float64", "int64", "string", "bool"].iter().position(|kind| *kind == value.go_type()).unwrap()
}

fn point() -> impl Strategy<Value = Point> {
    let names = (text(), text(), text(), text());
    let lists = (
        prop::collection::vec(text(), 0..4),
        prop::collection::vec((text(), text()), 0..4),
        prop::collection::vec((text(), value()), 0..6),
    );
    (any::<i64>(), names, lists, any::<bool>()).prop_map(|(time, names, lists, by_name)| {
        let (name, database, retention, group) = names;
        let (dimensions, tags, mut fields) = lists;
        // They travel by kind.
        fields.sort_by_key(|(_, value)| rank(value));
        Point { time, name, database, retention, group, dimensions, tags, fields, by_name }
    })
}

proptest! {
    #[test]
    fn points_go_there_and_back_in_pieces(points in prop::collection::vec(point(), 1..5), piece in 1usize..50) {
        let mut bytes = Vec::new();
        for point in &points {
            Response::Point(point.clone()).append(&mut bytes);
        }
        let (mut frames, mut read) = (Frames::new(1 << 20), Vec::new());
        for piece in bytes.chunks(piece) {
            frames.push(piece);
            while let Some(frame) = frames.next_frame().unwrap() {
                read.push(Response::read(frame).unwrap());
            }
        }
        let wanted: Vec<Response> = points.into_iter().map(Response::Point).collect();
        prop_assert_eq!(read, wanted);
    }

    #[test]
    fn damaged_bytes_are_read_or_refused(point in point(), cut in any::<prop::sample::Index>(), byte: u8, is_cut: bool) {
        let mut bytes = Vec::new();
        Request::Point(point).append(&mut bytes);
        let at = cut.index(bytes.len());
        if is_cut { bytes.truncate(at) } else { bytes[at] = byte }
        let mut frames = Frames::new(1 << 16);
        frames.push(&bytes);
        while let Ok(Some(frame)) = frames.next_frame() {
            Request::read(frame).ok();
            Response::read(frame).ok();
        }
    }

    #[test]
    fn random_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        Request::read(&bytes).ok();
        Response::read(&bytes).ok();
    }
}
