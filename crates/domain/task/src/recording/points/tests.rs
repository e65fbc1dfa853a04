#![expect(clippy::unwrap_used, reason = "tests")]

use levada_codec::line_protocol::Limits;
use levada_model::{FieldValue, Series, Shape, Values};
use proptest::prelude::*;

use super::*;

fn point(
    database: &str,
    name: &str,
    tags: &[(&str, &str)],
    fields: &[(&str, FieldValue)],
) -> Point {
    let tags = tags.iter().map(|(key, value)| (Str::from(*key), Str::from(*value))).collect();
    let names: Vec<Str> = fields.iter().map(|(name, _)| Str::from(*name)).collect();
    Point {
        series: Series::new(database.into(), "rp".into(), name.into(), tags),
        shape: Shape::new(names.into()),
        values: fields.iter().map(|(_, value)| value.clone()).collect::<Values>(),
        time: Timestamp(1_772_359_205_000_000_001),
    }
}

/// What of a point must be the same again.
fn content(point: &Point) -> String {
    let tags: Vec<_> = point.series.tags().filter(|(_, value)| !value.is_empty()).collect();
    let fields: Vec<_> = point.fields().collect();
    let series = &point.series;
    format!(
        "{:?} {:?} {:?} {tags:?} {fields:?} {}",
        series.database, series.retention, series.name, point.time.0
    )
}

fn written(points: &[Point]) -> Vec<u8> {
    let mut writer = PointWriter::new(Vec::new());
    for point in points {
        writer.point(point).unwrap();
    }
    writer.into_inner()
}

fn read(bytes: &[u8]) -> Result<Vec<Point>, String> {
    let (mut reader, mut parser) = (PointReader::new(bytes), Parser::new(Limits::default()));
    let mut points = Vec::new();
    while reader
        .next(&mut parser, Precision::Nanoseconds, &mut points)
        .map_err(|error| error.to_string())?
    {}
    Ok(points)
}

#[test]
fn what_upstream_can_read_is_written_as_upstream_writes_it() {
    let usage = point("telegraf", "cpu", &[("host", "a b")], &[("usage", FieldValue::Float(97.1))]);
    let text = "telegraf\nrp\ncpu,host=a\\ b usage=97.1 1772359205000000001\n";
    assert_eq!(String::from_utf8(written(&[usage])).unwrap(), text);
}

#[test]
fn strings_with_line_ends_and_long_points_come_back() {
    for text in ["a\nb", "\n", "\"\n\\", &"x".repeat(PLAIN_LINE_BYTES_MAX), &"y\n".repeat(100_000)]
    {
        let one = point("db", "m", &[("t", "v")], &[("s", FieldValue::Str(text.into()))]);
        let plain = point("db", "m", &[], &[("v", FieldValue::Int(1))]);
        let bytes = written(&[one.clone(), plain.clone()]);
        assert!(bytes.starts_with(b"#levada point 2 2 "), "{text:.10}");
        let again = read(&bytes).unwrap();
        assert_eq!(again.iter().map(content).collect::<Vec<_>>(), [content(&one), content(&plain)]);
    }
}

#[test]
fn the_longest_line_of_upstream_is_the_edge() {
    let of = |length: usize| {
        let text = "x".repeat(length);
        written(&[point("db", "m", &[], &[("s", FieldValue::Str(text.as_str().into()))])])
    };
    let around = of(0).len() - "db\nrp\n\n".len();
    assert!(of(PLAIN_LINE_BYTES_MAX - around).starts_with(b"db\nrp\nm"));
    assert!(of(PLAIN_LINE_BYTES_MAX - around + 1).starts_with(MARK.as_bytes()));
}

#[test]
fn odd_names_of_databases_come_back() {
    for name in ["a\nb", "a\r", " a ", "#levada point 1 2 3", "", "#", "ü"] {
        let one = point(name, "m", &[], &[("v", FieldValue::Bool(true))]);
        assert_eq!(content(&read(&written(std::slice::from_ref(&one))).unwrap()[0]), content(&one));
    }
}

#[test]
fn strings_over_lines_in_files_of_upstream_are_read() {
    let points = read(b"db\nrp\nm s=\"a\nb\" 1\r\ndb\n\nm v=1 2").unwrap();
    assert_eq!(points[0].field("s"), Some(&FieldValue::Str("a\nb".into())));
    assert_eq!((&*points[1].series.retention, points[1].time), ("", Timestamp(2)));
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    let cases: &[(&[u8], &str)] = &[
        (b"db\n", "line 2: invalid replay file format, expected another line"),
        (b"db\nrp\nm v=1 1\ndb\nrp\n", "line 6: invalid replay file format, expected another line"),
        (b"db\nrp\nm v=1 1\ndb\n\xff\nm v=1 1", "line 5: not UTF-8"),
        (
            b"db\nrp\nm v=1 1\n#levada point 1 2\n",
            "line 4: the lengths of a point are not three numbers",
        ),
        (
            b"db\nrp\nm v=1 1\ndb\nrp\nm v=1 1\ndb\nrp",
            "line 9: invalid replay file format, expected another line",
        ),
        (b"#levada point 2 2 500\ndbrpm v=1 1\n", "line 2: a point is not as long as it says"),
        (b"#levada point 2 2 6\ndbrpm v=1 1\n", "line 1: a point is not as long as it says"),
        (
            b"#levada point 1 1 18446744073709551615\nab",
            "line 1: a point of more than 67108864 bytes",
        ),
    ];
    for (bytes, expected) in cases {
        assert_eq!(read(bytes).unwrap_err(), *expected, "{}", String::from_utf8_lossy(bytes));
    }
    let error = read(b"db\nrp\nm v=1 1\ndb\nrp\nm v= 1\n").unwrap_err();
    assert!(error.starts_with("line 6: "), "{error}");
}

#[test]
fn points_that_are_read_together_count_up_to_the_one_that_is_wrong() {
    for good in [0, 1, 2, RUN_MAX, RUN_MAX + 1, 3 * RUN_MAX] {
        let mut text = Vec::new();
        for number in 0..good {
            text.extend_from_slice(format!("db\nrp\nm v={number} {number}\n").as_bytes());
        }
        let whole = read(&text).unwrap();
        assert_eq!(
            whole.iter().map(|point| point.time.0).collect::<Vec<_>>(),
            Vec::from_iter(0..good as i64)
        );
        text.extend_from_slice(b"db\nrp\nm v= 1\ndb\nrp\nm v=2 2\n");
        let (mut reader, mut parser) = (PointReader::new(&*text), Parser::new(Limits::default()));
        let mut points = Vec::new();
        let error = loop {
            match reader.next(&mut parser, Precision::Nanoseconds, &mut points) {
                Ok(is_more) => assert!(is_more, "{good}: the wrong one was left out"),
                Err(error) => break error.to_string(),
            }
        };
        assert!(
            error.starts_with(&format!("line {}: unable to parse 'm v= 1'", good * 3 + 3)),
            "{error}"
        );
        assert_eq!(points.len(), good);
    }
}

#[test]
fn a_line_without_end_is_refused_at_its_bound() {
    let endless = std::io::repeat(b'x').take(LINE_BYTES_MAX as u64 + 10);
    let mut reader = PointReader::new(std::io::BufReader::new(endless));
    let mut parser = Parser::new(Limits::default());
    let error = reader.next(&mut parser, Precision::Nanoseconds, &mut Vec::new()).unwrap_err();
    assert!(error.to_string().starts_with("line 1: more than 67108864 bytes"), "{error}");
}

#[test]
fn a_point_that_no_line_can_carry_is_refused_and_the_next_is_written() {
    let mut writer = PointWriter::new(Vec::new());
    let bad = point("db", "m", &[], &[("v", FieldValue::Float(f64::NAN))]);
    assert!(matches!(writer.point(&bad), Err(WriteError::Point(_))));
    writer.point(&point("db", "m", &[], &[("v", FieldValue::Int(1))])).unwrap();
    assert_eq!(writer.points(), 1);
    assert_eq!(writer.into_inner(), b"db\nrp\nm v=1i 1772359205000000001\n");
}

fn value() -> impl Strategy<Value = FieldValue> {
    prop_oneof![
        any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(FieldValue::Float),
        any::<i64>().prop_map(FieldValue::Int),
        any::<bool>().prop_map(FieldValue::Bool),
        "[a-z\n\r\"\\\\ ,=ü]{0,12}".prop_map(|text| FieldValue::Str(text.as_str().into())),
    ]
}

/// Reads what stands in a text, piece by piece of so many bytes; in pieces of one nothing is read together.
fn read_in(pieces: usize, text: &[u8]) -> (Vec<String>, Option<String>, u64) {
    let input = std::io::BufReader::with_capacity(pieces, text);
    let (mut reader, mut parser) = (PointReader::new(input), Parser::new(Limits::default()));
    let mut points = Vec::new();
    let error = loop {
        match reader.next(&mut parser, Precision::Nanoseconds, &mut points) {
            Ok(true) => {}
            Ok(false) => break None,
            Err(error) => break Some(error.to_string()),
        }
    };
    let line = if error.is_some() { 0 } else { reader.line() };
    (points.iter().map(content).collect(), error, line)
}

#[test]
fn what_is_wrong_with_the_file_is_told_as_it_is() {
    let text = b"db\nrp\nm v=1 1\n".repeat(5_000);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&text).unwrap();
    let packed = packed.finish().unwrap();
    for (what, wanted) in [
        (&packed[..packed.len() - 1], "gzip"),
        (&packed[..packed.len() / 2], "gzip"),
        (&[&packed[..packed.len() - 5], b"x", &packed[packed.len() - 4..]].concat(), "gzip"),
    ] {
        let input = super::super::files::open_stream(std::io::Cursor::new(what.to_vec()));
        let mut reader = PointReader::new(input.unwrap().remove(0));
        let mut parser = Parser::new(Limits::default());
        let mut points = Vec::new();
        let error = loop {
            match reader.next(&mut parser, Precision::Nanoseconds, &mut points) {
                Ok(is_more) => assert!(is_more, "damage was not seen"),
                Err(error) => break error.to_string(),
            }
        };
        assert!(error.contains(wanted), "{error}");
        assert!(!error.contains("failed before"), "{error}");
    }
}

proptest! {
    #[test]
    fn points_that_are_read_together_are_as_those_read_one_by_one(
        parts in proptest::collection::vec(
            (
                proptest::sample::select(vec!["db", "db", "db", "db", "", "d\r", "x", "#levada point 2 2 7", "#levada point 1"]),
                proptest::sample::select(vec!["rp", "rp", "rp", "", "r p", "#"]),
                proptest::sample::select(vec![
                    "m,t=a v=1 1", "m,t=a v=2i,w=t 2", "m v=1.5e3 3", "m,t=a\\ b v=1 4", "m s=\"x\" 5",
                    "m s=\"x\ny\" 6", "m s=\"x\\\"\" 7", "m v=1 8\r", "# comment", "", " ", "m v=", "m v=1",
                    "m v=\"x", "m v=99999999999999999999i 9", "m,t v=1 10", "m,t=ü v=1 11", "m v=nan 12", "m v=1 1x",
                    "m  v=1 13", "\tm v=1 14", "dbrpm v=1 15", "m v=0x1 1", "m v=1,v=2 16", "m v=1\0 1",
                ]),
            ),
            0..40,
        ),
        pieces in 2_usize..400,
        cut in 0_usize..40,
    ) {
        let lines = parts.iter().flat_map(|(database, retention, line)| [database, retention, line]);
        let mut text: Vec<u8> = lines.flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect();
        text.truncate(text.len() - cut.min(text.len()));
        let wanted = read_in(1, &text);
        prop_assert_eq!(&read_in(pieces, &text), &wanted, "{}", String::from_utf8_lossy(&text));
        prop_assert_eq!(&read_in(1 << 16, &text), &wanted, "{}", String::from_utf8_lossy(&text));
    }

    #[test]
    fn points_come_back_as_they_were(
        points in proptest::collection::vec(
            ("[a-z#\n\r ]{0,6}", "[a-z ,=\"\\\\]{1,6}", "[a-z ,=\"\\\\]{0,6}", value(), value(), any::<i64>()),
            1..20,
        ),
    ) {
        let mut writer = PointWriter::new(Vec::new());
        let mut expected = Vec::new();
        for (database, name, tag, first, second, time) in points {
            let mut point = point(&database, &name, &[("t", &tag)], &[("a", first), ("b", second)]);
            // The ends of the range are not times for the parser.
            point.time = Timestamp(time / 2);
            match writer.point(&point) {
                Ok(()) => expected.push(content(&point)),
                Err(error) => prop_assert!(matches!(error, WriteError::Point(_)), "{error}"),
            }
        }
        let bytes = writer.into_inner();
        let again = read(&bytes);
        prop_assert!(again.is_ok(), "{again:?}: {}", String::from_utf8_lossy(&bytes));
        prop_assert_eq!(again.unwrap().iter().map(content).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0usize..200) {
        let one = point("db", "m", &[], &[("s", FieldValue::Str("a\nb".into()))]);
        let mut all = written(&[one.clone(), one]);
        all.truncate(cut.min(all.len()));
        all.extend_from_slice(&bytes);
        let _result = read(&all).is_ok();
    }
}
