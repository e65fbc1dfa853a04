use levada_model::point::FieldValue;
use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp(1_770_460_200_123_456_789);

fn text(text: &str) -> Str {
    Arc::from(text)
}

fn parser() -> Parser {
    Parser::new(Limits::default())
}

fn parse_with(parser: &mut Parser, precision: Precision, body: &[u8]) -> (Vec<Point>, Outcome) {
    let mut points = Vec::new();
    let outcome = parser.parse(&text("db"), &text("rp"), precision, NOW, body, &mut points);
    assert_eq!(outcome.points, points.len() as u64);
    (points, outcome)
}

/// Gives a point as `name{key=value,…} key=value,… time`, with every text quoted.
fn show(point: &Point) -> String {
    let series = &point.series;
    let tags: Vec<String> =
        series.tags().map(|(key, value)| format!("{key:?}={value:?}")).collect();
    let names = point.shape.names.iter();
    let fields: Vec<String> =
        names.zip(&point.values).map(|(key, value)| format!("{key:?}={value:?}")).collect();
    format!("{:?}{{{}}} {} {}", series.name, tags.join(","), fields.join(","), point.time.0)
}

/// Parses a body until everything is known, the order of the series as well, and gives points and messages.
fn check(body: &[u8]) -> (Vec<String>, Vec<String>) {
    let mut parser = parser();
    let (points, outcome) = parse_with(&mut parser, Precision::Nanoseconds, body);
    let points: Vec<String> = points.iter().map(show).collect();
    for _ in 0..4 {
        let (again, same) = parse_with(&mut parser, Precision::Nanoseconds, body);
        assert_eq!(again.iter().map(show).collect::<Vec<_>>(), points);
        assert_eq!(same, outcome);
    }
    (points, outcome.problems.iter().map(|problem| problem.refusal.to_string()).collect())
}

fn good(body: &str) -> String {
    let (points, problems) = check(body.as_bytes());
    assert_eq!(problems, [""; 0], "{body:?}");
    points.join("; ")
}

fn bad(body: &str) -> String {
    let (points, problems) = check(body.as_bytes());
    assert_eq!(points, [""; 0], "{body:?}");
    problems.join("; ")
}

#[test]
fn lines_become_points() {
    for (body, expected) in [
        ("m f=1 1", r#""m"{} "f"=Float(1.0) 1"#),
        ("m  f=1  1  ", r#""m"{} "f"=Float(1.0) 1"#),
        (" \t\0m f=1 \t1", r#""m"{} "f"=Float(1.0) 1"#),
        ("m f=1", r#""m"{} "f"=Float(1.0) 1770460200123456789"#),
        ("m,b=2,a=1 z=1i,y=t -5", r#""m"{"a"="1","b"="2"} "z"=Int(1),"y"=Bool(true) -5"#),
        ("m,t==v f=1 1", r#""m"{"t"="=v"} "f"=Float(1.0) 1"#),
        ("m\\=a\\\"b,t=a\\\"b f\\\"=1 1", r#""m=a\"b"{"t"="a\\\"b"} "f\""=Float(1.0) 1"#),
        ("m,t\\=x=\\  \\ f\\,=1 1", r#""m"{"t=x"=" "} " f,"=Float(1.0) 1"#),
        ("\\#m a\\\\\\\\b=1 1", r#""\\#m"{} "a\\\\\\\\b"=Float(1.0) 1"#),
        ("m\\\nb f=1 1", r#""m\\\nb"{} "f"=Float(1.0) 1"#),
        ("m f=1,f=2 1", r#""m"{} "f"=Float(2.0) 1"#),
        ("m f=1,g=2,f=\"x\" 1", r#""m"{} "f"=Str("x"),"g"=Float(2.0) 1"#),
        ("m \"f\"=\"x\ny\",g=1 1", r#""m"{} "\"f\""=Str("x\ny"),"g"=Float(1.0) 1"#),
        (r#"m f="a\"b\\c\d, =" 1"#, r#""m"{} "f"=Str("a\"b\\c\\d, =") 1"#),
        ("m f=\"a\"b 1", r#""m"{} "f"=Str("a\"") 1"#),
        ("m f=\"a\"\"b\" 1", r#""m"{} "f"=Str("a\"\"b") 1"#),
        ("m f,g=\"a\"=1 1", r#""m"{} "f,g"=Str("a\"=") 1"#),
        ("m a=1,\\=2=3 1", r#""m"{} "a"=Float(1.0),"=2"=Float(3.0) 1"#),
        ("m,t=é,ü=ö ä=\"ß\" 1", r#""m"{"t"="é","ü"="ö"} "ä"=Str("ß") 1"#),
        (" f=1\"m f=1 1\n", r#""f=1\"m"{} "f"=Float(1.0) 1"#),
        (" f=1\"m f=1 \n1\"x", r#""f=1\"m"{} "f"=Float(1.0) 1770460200123456789"#),
        ("m \t=1 1", r#""m"{} ""=Float(1.0) 1"#),
        ("m f=1,\tg=2 1", r#""m"{} "f"=Float(1.0),"\tg"=Float(2.0) 1"#),
        ("", ""),
        ("\n \n\t\n# a comment\n  # f=1\n", ""),
        ("# a b=\"x\nm f=1 1\"\nn f=2 2", r#""n"{} "f"=Float(2.0) 2"#),
        ("m f=1 9223372036854775806", r#""m"{} "f"=Float(1.0) 9223372036854775806"#),
        ("m f=1 -9223372036854775806", r#""m"{} "f"=Float(1.0) -9223372036854775806"#),
        ("m f=1 00000000000000000000000000001", r#""m"{} "f"=Float(1.0) 1"#),
    ] {
        assert_eq!(good(body), expected, "{body:?}");
    }
}

#[test]
fn values_have_kinds() {
    for (value, expected) in [
        ("-1", "Float(-1.0)"),
        (".5", "Float(0.5)"),
        ("-5.", "Float(-5.0)"),
        ("-0", "Float(-0.0)"),
        ("1e5", "Float(100000.0)"),
        ("1.e+5", "Float(100000.0)"),
        ("1E-400", "Float(0.0)"),
        ("0.1", "Float(0.1)"),
        ("123456789.123456789", "Float(123456789.12345679)"),
        ("99999999999999999999", "Float(1e20)"),
        ("-0i", "Int(0)"),
        ("000000000000000000000000001i", "Int(1)"),
        ("9223372036854775807i", "Int(9223372036854775807)"),
        ("-9223372036854775808i", "Int(-9223372036854775808)"),
        ("T", "Bool(true)"),
        ("True", "Bool(true)"),
        ("TRUE", "Bool(true)"),
        ("f", "Bool(false)"),
        ("False", "Bool(false)"),
        ("FALSE", "Bool(false)"),
        ("\"\"", "Str(\"\")"),
    ] {
        assert_eq!(good(&format!("m f={value} 1")), format!("\"m\"{{}} \"f\"={expected} 1"));
    }
}

#[test]
fn bad_lines_are_refused_in_the_words_of_the_server() {
    for (body, expected) in [
        (",t=a f=1", "missing measurement"),
        ("m", "missing fields"),
        ("m\tf=1", "missing fields"),
        ("m,a=1", "missing fields"),
        ("m,a==", "missing fields"),
        ("m,a=\\", "missing fields"),
        ("m ", "invalid field format"),
        ("m f", "invalid field format"),
        ("m\\ f=1 1", "invalid field format"),
        ("m\\\\ f=1 1", "invalid field format"),
        ("m f=1,", "invalid field format"),
        ("m f=1,,g=2", "invalid field format"),
        ("m ,a=1", "invalid field format"),
        ("m f\\=1 1", "invalid field format"),
        ("m f\\\\=1 1", "invalid value: field-key=f\\\\=1"),
        ("m f=\"a\"=1,g=2,h 1", "invalid value: field-key=h"),
        ("m f=", "missing field value"),
        ("m f=,g=1", "missing field value"),
        ("m =1", "missing field key"),
        ("m f=1,=2", "missing field key"),
        ("m,=a f=1", "missing tag key"),
        ("m, f=1", "missing tag key"),
        ("m,a f=1", "missing tag value"),
        ("m,a= f=1", "missing tag value"),
        ("m,a=,b", "missing tag value"),
        ("m,t=a=b f=1", "invalid tag format"),
        ("m,t=a\\ f=1 1", "invalid tag format"),
        ("m,b=1,a=2,b=3 f=1 1", "duplicate tags"),
        ("m f=1 1 2", "point is invalid"),
        ("m f=1 1 \t", "point is invalid"),
        (" f=1\"m f=1 1\n\"", "point is invalid"),
        (" f=1\"m f=1\n\"", "invalid number"),
        ("m f=1 1x", "bad timestamp"),
        ("m f=1 1\r\n", "bad timestamp"),
        ("m f=1 +1", "bad timestamp"),
        ("m f=1 1-2", "bad timestamp"),
        ("m f=1 -", "strconv.ParseInt: parsing \"-\": invalid syntax"),
        (
            "m f=1 99999999999999999999 x",
            "strconv.ParseInt: parsing \"99999999999999999999\": value out of range",
        ),
        (
            "m f=1 9223372036854775807 x",
            "time outside range -9223372036854775806 - 9223372036854775806",
        ),
        (
            "m f=1 -9223372036854775807",
            "time outside range -9223372036854775806 - 9223372036854775806",
        ),
        ("m f=\"a", "unbalanced quotes"),
        ("m f=\"a\\\" 1", "unbalanced quotes"),
        ("m f=1\r\nm f=t\r\n", "invalid number; invalid boolean"),
        (
            "m f=9223372036854775808i",
            "unable to parse integer 9223372036854775808: strconv.ParseInt: parsing \
             \"9223372036854775808\": value out of range",
        ),
    ] {
        assert_eq!(bad(body), expected, "{body:?}");
    }
    for (expected, values) in [
        (
            "invalid number",
            ". - -. 1.1.1 -i 1.0i 1e5i 9i1 9ii 1u 1iu NaN nan -NaN -inf n N 1_0 0x1 1- 1+ 1e5+ 1e+-5 --1 1nan",
        ),
        ("invalid float", "1e -e5 1e5e5 1e400 -1e400 1ee5"),
        ("invalid boolean", "e5 i Inf inf +1 +Inf tRUE tr truee fALSE x é t\" t\\ 1"),
    ] {
        for value in values.split(' ').filter(|value| *value != "1") {
            assert_eq!(bad(&format!("m f={value} 1")), expected, "{value}");
        }
    }
    assert_eq!(bad(&format!("m f={} 1", "1".repeat(400))), "invalid float");
}

#[test]
fn names_are_bounded() {
    let line = |name: usize, key: usize| format!("{} {}=1 1", "m".repeat(name), "k".repeat(key));
    let too_long = |bytes: usize| format!("max key length exceeded: {bytes} > 65535");
    assert!(good(&line(65_530, 1)).ends_with("\"k\"=Float(1.0) 1"));
    assert_eq!(bad(&line(65_531, 1)), too_long(65_536));
    assert_eq!(bad(&line(65_536, 1)), too_long(65_536));
    // Known series and known shapes are no way around.
    let mut parser = parser();
    let body = [line(65_530, 1), line(1, 2), line(65_530, 2), "m f=1".to_owned()].join("\n");
    for _ in 0..2 {
        let (points, outcome) = parse_with(&mut parser, Precision::Nanoseconds, body.as_bytes());
        assert_eq!((points.len(), outcome.refused), (3, 1));
        assert_eq!(outcome.problems[0].refusal.to_string(), too_long(65_536));
        assert_eq!((outcome.problems[0].line, outcome.problems[0].excerpt.len()), (3, 512));
    }
}

#[test]
fn times_have_units() {
    for (name, time, expected) in [
        ("n", "5", Some(5)),
        ("ns", "5", Some(5)),
        ("u", "5", Some(5_000)),
        ("ms", "-5", Some(-5_000_000)),
        ("s", "9223372036", Some(9_223_372_036_000_000_000)),
        ("s", "9223372037", None),
        ("s", "-9223372037", None),
        ("m", "5", Some(300_000_000_000)),
        ("h", "5", Some(18_000_000_000_000)),
        ("n", "", Some(1_770_460_200_123_456_789)),
        ("u", "", Some(1_770_460_200_123_456_000)),
        ("ms", "", Some(1_770_460_200_123_000_000)),
        ("s", "", Some(1_770_460_200_000_000_000)),
        ("m", "", Some(1_770_460_200_000_000_000)),
        ("h", "", Some(1_770_458_400_000_000_000)),
    ] {
        let mut parser = parser();
        let body = format!("m f=1 {time}");
        for _ in 0..2 {
            let (points, _) =
                parse_with(&mut parser, Precision::of(name), body.trim_end().as_bytes());
            assert_eq!(points.first().map(|point| point.time.0), expected, "{name} {time}");
        }
    }
    assert_eq!(Precision::Hours.truncate(Timestamp(-1)), Timestamp(-3_600_000_000_000));
    assert_eq!(Precision::Hours.truncate(Timestamp(i64::MIN)), Timestamp(i64::MIN));
}

#[test]
fn good_lines_are_kept_and_bad_ones_described() {
    let mut parser = Parser::new(Limits { problems_max: 2, ..Limits::default() });
    let body = "m f=1 1\n\n  bad\nm s=\"two\nlines\" 2\nn f=x 3\nworse\nm f=1 4\n";
    let (points, outcome) = parse_with(&mut parser, Precision::Nanoseconds, body.as_bytes());
    assert_eq!(points.iter().map(|point| point.time.0).collect::<Vec<_>>(), [1, 2, 4]);
    assert_eq!(outcome.refused, 3);
    let problems: Vec<String> = outcome.problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        problems,
        [
            "line 3, column 6: unable to parse 'bad': missing fields",
            "line 6, column 5: unable to parse 'n f=x 3': invalid boolean",
        ]
    );
    assert_eq!(outcome.problems[0].server_text(), "unable to parse 'bad': missing fields");
}

#[test]
fn unsigned_numbers_are_an_option() {
    let mut parser = Parser::new(Limits { unsigned: true, ..Limits::default() });
    for _ in 0..2 {
        let body = b"m f=18446744073709551615u 1\nm f=18446744073709551616u 1\nm f=-1u 1";
        let (points, outcome) = parse_with(&mut parser, Precision::Nanoseconds, body);
        assert_eq!(points.len(), 1);
        assert_eq!(points[0].values[0], FieldValue::UInt(u64::MAX));
        assert_eq!(outcome.refused, 2);
    }
}

#[test]
fn one_series_has_one_object_in_whatever_order_its_tags_come() {
    let mut parser = parser();
    let body = b"m,b=2,a=1 f=1 1\nm,a=1,b=2 f=1 1\nm,b=2,a=1 f=1 1\nm,a=1,b=3 g=1 1";
    let (points, _) = parse_with(&mut parser, Precision::Nanoseconds, body);
    assert_eq!(points[0].series.id, points[1].series.id);
    assert_eq!(points[0].series.id, points[2].series.id);
    assert_ne!(points[0].series.id, points[3].series.id);
    assert_eq!(points[0].series.keys.id, points[3].series.keys.id);
    assert_eq!(points[0].shape.id, points[2].shape.id);
    assert_ne!(points[0].shape.id, points[3].shape.id);
    assert_eq!(parser.statistics().series, 3);
    assert_eq!(parser.statistics().series_misses, 2, "the sorted spelling came with the other one");

    let mut other = Vec::new();
    let (precision, body) = (Precision::Nanoseconds, &body[..15]);
    parser.parse(&text("db"), &text("other"), precision, NOW, body, &mut other);
    assert_eq!(*other[0].series.retention, *"other");
    parser.parse(&text("db"), &text("rp"), precision, NOW, body, &mut other);
    assert_eq!(other[1].series.id, points[0].series.id);
}

#[test]
fn what_is_known_is_bounded() {
    let limits =
        Limits { series_max: 100, series_bytes_max: 1 << 20, shapes_max: 10, ..Limits::default() };
    let mut parser = Parser::new(limits);
    let mut points = Vec::new();
    for number in 0..2_000 {
        let body = format!("m,b={number},a=1 f{}=1 1\nm,b=0,a=1 f0=1 1", number % 50);
        let (db, rp) = (text("db"), text("rp"));
        parser.parse(&db, &rp, Precision::Nanoseconds, NOW, body.as_bytes(), &mut points);
        let statistics = parser.statistics();
        assert!(statistics.series <= 100 && statistics.shapes <= 10, "{statistics:?}");
    }
    let statistics = parser.statistics();
    assert!(statistics.series_evicted >= 3_800, "{statistics:?}");
    let often: Vec<u64> = points.iter().skip(1).step_by(2).map(|point| point.series.id).collect();
    assert!(often.iter().all(|id| *id == often[0]), "what is used stays");

    let mut parser = Parser::new(Limits { series_bytes_max: 100_000, ..Limits::default() });
    for number in 0..100 {
        let body = format!("m,t={number:010000} f=1 1");
        parse_with(&mut parser, Precision::Nanoseconds, body.as_bytes());
        let statistics = parser.statistics();
        assert!(statistics.series_bytes <= 100_000, "{statistics:?}");
    }
}

/// What the rules of the server alone make of a body.
fn by_the_rules(body: &[u8]) -> (Vec<Point>, Outcome) {
    let mut parser = parser();
    let scope = parser.scope(&text("db"), &text("rp"));
    let (bytes, precision) = (body, Precision::Nanoseconds);
    let outcome = Outcome::default();
    let mut body = Body { bytes, precision, default_time: NOW, counted: 0, lines: 1, outcome };
    let (mut at, mut points) = (0, Vec::new());
    while at < bytes.len() {
        at = parser.thorough(&scope, &mut body, at, &mut points);
    }
    body.outcome.points = points.len() as u64;
    (points, body.outcome)
}

fn piece() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: &[&[u8]] = &[
        b"m",
        b"cpu,host=a",
        b",t=a",
        b",u=b\\ c",
        b" f=1",
        b" f=1,g=2i",
        b"f=\"a\"",
        b"f=\"a\\\"b\"",
        b"f=\"x\ny\"",
        b"g=t",
        b"h=1.5e3",
        b"\\,=1",
        b"a\\ b=1",
        b",",
        b"=",
        b" ",
        b"  ",
        b"\n",
        b"\n",
        b"\"",
        b"\\",
        b"\\\\",
        b"#",
        b"1",
        b"-",
        b".",
        b"i",
        b"u",
        b"e",
        b"true",
        b" 17",
        b" -1\n",
        b"\t",
        b"\0",
        b"\r",
        "é".as_bytes(),
        b"\xff",
        b"m f=1 1\n",
        b"m,t=a f=\"b\",g=2i 5\n",
        b"9223372036854775807",
        b"m,b=1,a=2 f=1\n",
    ];
    proptest::sample::select(PIECES).prop_map(<[u8]>::to_vec)
}

fn any_body() -> impl Strategy<Value = Vec<u8>> {
    let pieces = proptest::collection::vec(piece(), 0..24).prop_map(|pieces| pieces.concat());
    let noise = proptest::collection::vec(any::<u8>(), 0..80);
    let lines =
        "cpu,host=a,core=0 usage=1.5,idle=98i,s=\"x y\",t=\"q\\\"\" 17\nm f=1\nm,b=1 f\\ g=t 5\n";
    let changes =
        proptest::collection::vec((any::<proptest::sample::Index>(), piece(), any::<bool>()), 0..5);
    let mutated = changes.prop_map(move |changes| {
        let mut body = lines.as_bytes().repeat(2);
        for (place, piece, is_insertion) in changes {
            let at = place.index(body.len());
            let end = if is_insertion { at } else { (at + piece.len()).min(body.len()) };
            body.splice(at..end, piece);
        }
        body
    });
    prop_oneof![3 => pieces, 1 => noise, 4 => mutated]
}

#[test]
fn what_is_known_is_no_way_around_the_rules() {
    for (known, body) in [
        // The quote begins a text for the one who looks for the line end.
        (r#"m\\ a=",t=b f=1"#, "m\\\\ a=\",t=b f=1\n\" 5"),
        ("m \t=1", "m =1"),
        ("m f=1,\tg=2", "m \tg=2"),
        ("m f=1", "m f=1,f=2"),
        ("m f=1", "m f=1,"),
        ("m f=1,g=2", "m f=1"),
        ("m a\\\\b=1", "m a\\\\b=1"),
        ("m f,g=\"a\"=1", "m f,g=1"),
        ("m f=\"a\"", "m f=\"a\\\""),
        ("m f=\"a\"", "m f=\"a\\"),
        ("m f=\"a\"", "m f=\"a\"b"),
        ("m f=1", "m f=1\t5"),
        ("m f=1", "m f=1 \t5"),
        ("m f=1", "m f=1 5 "),
    ] {
        let mut parser = parser();
        let (first, _) = parse_with(&mut parser, Precision::Nanoseconds, known.as_bytes());
        assert_eq!(first.len(), 1, "{known:?}");
        let (points, outcome) = parse_with(&mut parser, Precision::Nanoseconds, body.as_bytes());
        let (expected, by_rules) = by_the_rules(body.as_bytes());
        assert_eq!(outcome, by_rules, "{body:?}");
        let shown = |points: &[Point]| points.iter().map(show).collect::<Vec<_>>();
        assert_eq!(shown(&points), shown(&expected), "{body:?}");
    }
}

#[test]
fn the_order_of_series_is_learnt() {
    let body = b"m,t=1 f=1 1\nm,t=2 f=1 1\nn f=1 1\n";
    let mut parser = parser();
    let (nanoseconds, scope) = (Precision::Nanoseconds, 1);
    // First the series are not known, then not what comes after the last one, then that may have been by chance.
    for _ in 0..3 {
        parse_with(&mut parser, nanoseconds, body);
        assert_eq!(parser.series.expected(scope, body, 0), None);
    }
    parse_with(&mut parser, nanoseconds, body);
    let (first, end) = parser.series.expected(scope, body, 0).expect("the first series");
    assert_eq!(end, "m,t=1".len());
    let (second, end) = parser.series.expected(scope, body, 12).expect("the one after it");
    assert_eq!((end, first != second), (17, true));
    assert_eq!(parser.series.expected(scope + 1, body, 24), None, "another database");
    for other in ["nn f=1 1", "n,t=1 f=1", "n\\ f=1", "n\tf=1", "n", "m,t=1 f=1", ""] {
        assert_eq!(parser.series.expected(scope, other.as_bytes(), 0), None, "{other:?}");
    }
    assert!(parser.series.expected(scope, body, 24).is_some());
    // Another order is not expected, and the first one no more.
    let other = b"n f=1 1\nm,t=2 f=1 1\nn f=1 1\nm,t=1 f=1 1\nn f=1 1\n";
    parse_with(&mut parser, nanoseconds, other);
    assert_eq!(parser.series.expected(scope, body, 0), None);
}

#[test]
fn series_of_one_measurement_share_its_name() {
    let (points, _) =
        parse_with(&mut parser(), Precision::Nanoseconds, b"m,t=1 f=1\nm,t=2 f=1\nn f=1\n");
    assert!(Arc::ptr_eq(&points[0].series.name, &points[1].series.name));
    assert_eq!(&*points[2].series.name, "n");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, ..ProptestConfig::default() })]

    #[test]
    fn both_ways_give_the_same(bodies in proptest::collection::vec(any_body(), 1..4)) {
        let mut parser = parser();
        // The third time the order of the series is known; then it is another one.
        for body in bodies.iter().chain(&bodies).chain(&bodies).chain(bodies.iter().rev()) {
            let (points, outcome) = parse_with(&mut parser, Precision::Nanoseconds, body);
            let (expected, by_rules) = by_the_rules(body);
            let shown = String::from_utf8_lossy(body);
            prop_assert_eq!(outcome, by_rules, "{:?}", shown);
            let points: Vec<String> = points.iter().map(show).collect();
            let expected: Vec<String> = expected.iter().map(show).collect();
            prop_assert_eq!(points, expected, "{:?}", shown);
        }
    }
}

#[test]
fn a_long_line_costs_no_more_than_its_length() {
    let long = 1 << 20;
    let quotes = "\"".repeat(long);
    let tags = ",t=a".repeat(long / 4);
    let fields = "f=1,".repeat(long / 4);
    let texts = "m f=\"".repeat(long / 5);
    let escapes = "\\ ".repeat(long / 2);
    let blanks = " ".repeat(long);
    let lines = "\\\\ \n".repeat(long / 4);
    for body in [
        quotes,
        tags.clone(),
        format!("m{tags} f=1"),
        format!("m {fields}g=2 1"),
        texts,
        escapes,
        blanks,
        lines,
    ] {
        let mut parser = parser();
        for _ in 0..2 {
            let (points, outcome) =
                parse_with(&mut parser, Precision::Nanoseconds, body.as_bytes());
            assert!(points.len() <= 1);
            assert!(
                outcome.problems.iter().all(|problem| problem.excerpt.len() <= EXCERPT_BYTES_MAX)
            );
        }
    }
}
