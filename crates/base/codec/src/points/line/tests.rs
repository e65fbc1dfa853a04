#![expect(clippy::unwrap_used, reason = "tests")]

use levada_model::{Category, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::line_protocol::Precision;
use crate::points::{Checks, checks::Verdict, checks::Warnings};

const NOW: Timestamp = Timestamp(777);
const NANOS: Unit = Unit::Fixed(Precision::Nanoseconds);

/// Reads a body, checks it, prints it; points without a field are not there.
fn through(body: &str, unit: Unit, checks: &Checks) -> Result<String, String> {
    let points = decode(body, unit, NOW).map_err(|error| error.to_string())?;
    let mut out = Vec::new();
    for mut point in points {
        checks.apply(&mut point, &mut Warnings::default());
        write_point(&point, &mut out);
    }
    Ok(String::from_utf8(out).unwrap().trim_end_matches('\n').to_owned())
}

/// Body, rules, what is printed. Source: dataway reference §8.3; where upstream loses or mangles, ours stands.
const GOOD: &[(&str, &str, &str)] = &[
    ("m,t=a f=1i 123", "", "m,t=a f=1i 123"),
    ("m,t=a f=1i", "", "m,t=a f=1i 777"),
    ("m f=1i -5", "", "m f=1i 777"),
    (
        "m f=1,g=2u,h=3i,s=\"x\",b=t,bin=\"aGVsbG8=\"b,arr=[1i,2i],fa=[1.5,2],sa=[\"a\",\"b,c\"] 1",
        "",
        "m arr=[1i,2i],b=true,bin=\"aGVsbG8=\"b,f=1,fa=[1.5,2],g=2u,h=3i,s=\"x\",sa=[\"a\",\"b,c\"] 1",
    ),
    ("m f=1,g=\"str\" 1", "metric", "m f=1 1"),
    ("m,a.b=x c.d=1i 1", "metric", "m,a.b=x c.d=1i 1"),
    ("m,a.b=x c.d=1i 1", "logging", "m,a_b=x c_d=1i,status=\"info\" 1"),
    ("m,a.b=x,a_b=y c.d=1i 1", "logging", "m,a_b=y c_d=1i,status=\"info\" 1"),
    ("m,source=x,status=err date=1i,message=\"hi\" 1", "logging", "m,status=err message=\"hi\" 1"),
    ("m,class=x f=1i 1", "object", "m f=1i,name=\"default\" 1"),
    ("m,class=x f=1i 1", "", "m,class=x f=1i 1"),
    ("m,x=1 x=2i 1", "", ""),
    ("m,x=1 x=2i,y=3i 1", "", "m,x=1 y=3i 1"),
    ("m f=1i,f=2i 1", "", "m f=2i 1"),
    ("m,t=a f=true,g=F,h=TRUE 1", "", "m,t=a f=true,g=false,h=true 1"),
    ("m\\ x,t\\ a=v\\ b f\\ c=1i 1", "", "m\\ x,t\\ a=v\\ b f\\ c=1i 1"),
    ("m f=\"multi\nline\" 1", "", "m f=\"multi\nline\" 1"),
    ("# c\nm f=1i 1\n\n  \nn f=2i 2\n", "", "m f=1i 1\nn f=2i 2"),
    ("m f=18446744073709551615u 1", "", "m f=18446744073709551615u 1"),
    ("m f=[] 1", "", ""),
    ("  \n\t\n", "", ""),
    ("m f=1i 1\r\nn f=2i\r\n", "", "m f=1i 1\nn f=2i 777"),
    ("m f=1e3,g=-0.5,h=1.e2,i=+1,j=.5 1", "", "m f=1000,g=-0.5,h=100,i=1,j=0.5 1"),
    ("m s=\"a\\\"b\\\\c\\d\" 1", "", "m s=\"a\\\"b\\\\c\\\\d\" 1"),
    ("m,a\\=b=c\\,d e\\=f=1i 1", "", "m,a\\=b=c\\,d e\\=f=1i 1"),
    ("m f=[ 1i , 2i ] 1", "", "m f=[1i,2i] 1"),
    ("m f=[\"]\",\"\\\"\"],g=[\"aGk=\"b] 1", "", "m f=[\"]\",\"\\\"\"],g=[\"aGk=\"b] 1"),
    ("m f=1i  5  ", "", "m f=1i 5"),
];

fn checks_of(name: &str) -> Checks {
    Category::of_name(name).map_or_else(Checks::default, Checks::of)
}

#[test]
fn good_bodies_are_read_checked_and_printed() {
    for (body, rules, expected) in GOOD {
        assert_eq!(through(body, NANOS, &checks_of(rules)).as_deref(), Ok(*expected), "{body}");
    }
}

#[test]
fn a_line_that_passes_is_the_one_that_checks_leave() {
    for (body, rules, expected) in GOOD {
        let checks = checks_of(rules);
        let mut scanner = Scanner::new(body, NANOS).unwrap();
        while let Some(Ok(line)) = scanner.next_line() {
            let mut point = line.point(NANOS, NOW);
            let before = point.clone();
            checks.apply(&mut point, &mut Warnings::default());
            match checks.passes(&line) {
                Verdict::Clean => assert_eq!(point, before, "{body}"),
                Verdict::Lacks(key, value) => {
                    let last = point.entries.pop();
                    assert_eq!(last, Some(Entry::field(key, Value::Str(value.into()))), "{body}");
                    assert_eq!(point, before, "{body}");
                }
                Verdict::Change => assert!(
                    point != before
                        || !line.is_plain()
                        || expected.is_empty()
                        || body.contains('['),
                    "{body}"
                ),
            }
        }
    }
}

#[test]
fn times_have_units() {
    let seconds = Unit::Fixed(Precision::Seconds);
    for (body, unit, expected) in [
        ("m f=1i", seconds, Ok("m f=1i 777")),
        ("m f=1i 1716544492", seconds, Ok("m f=1i 1716544492000000000")),
        ("m f=1i 1716544492", Unit::Dynamic, Ok("m f=1i 1716544492000000000")),
        ("m f=1i 1716544492000", Unit::Dynamic, Ok("m f=1i 1716544492000000000")),
        ("m f=1i 5", Unit::Dynamic, Ok("m f=1i 5000000000")),
        ("m f=1i 9999999999", Unit::Dynamic, Err("time out of range: 9999999999")),
        ("m f=1i 10000000000", Unit::Dynamic, Ok("m f=1i 10000000000000000")),
        ("m f=1i -5", Unit::Dynamic, Ok("m f=1i 777")),
    ] {
        match (through(body, unit, &Checks::default()), expected) {
            (Ok(text), Ok(expected)) => assert_eq!(text, expected, "{body}"),
            (Err(text), Err(expected)) => assert!(text.contains(expected), "{body}: {text}"),
            (other, _) => panic!("{body}: {other:?}"),
        }
    }
}

#[test]
fn bad_lines_say_why() {
    for (body, cause) in [
        ("m,t=a,t=b f=1i 1", "duplicate tags"),
        ("m,t= f=1i 1", "missing tag value"),
        ("m,t f=1i 1", "missing tag value"),
        (",t=a f=1i 1", "missing measurement"),
        ("m,=a f=1i 1", "missing tag key"),
        ("bad", "missing fields"),
        ("m ", "missing fields"),
        ("m 1", "invalid field format"),
        ("m =1 1", "missing field key"),
        ("m f= 1", "missing field value"),
        ("m f=1i, 1", "invalid field format"),
        ("m f=1x 1", "invalid number"),
        ("m f=NaN 1", "invalid number"),
        ("m f=- 1", "invalid number"),
        ("m f=1.i 1", "invalid number"),
        ("m f=-1u 1", "invalid number"),
        ("m f=\"abc 1", "unbalanced quotes"),
        ("m f=\"abc\"x 1", "invalid field format"),
        ("m f=\"a!\"b 1", "invalid base64 data"),
        ("m f=abc 1", "invalid boolean"),
        ("m f=1i abc", "bad timestamp"),
        ("m f=1i 1x", "bad timestamp"),
        ("m f=1i 1 2", "point is invalid"),
        (
            "m f=1i 99999999999999999999",
            "strconv.ParseInt: parsing \"99999999999999999999\": value out of range",
        ),
        ("m f=1e400 1", "invalid float"),
        (
            "m f=9223372036854775808i 1",
            "unable to parse integer 9223372036854775808: strconv.ParseInt: parsing \"9223372036854775808\": value out of range",
        ),
        (
            "m f=18446744073709551616u 1",
            "unable to parse unsigned 18446744073709551616: strconv.ParseUint: parsing \"18446744073709551616\": value out of range",
        ),
        ("m,t=a\\\\ f=\"x\" 1", "invalid tag format"),
        // A backslash behind a backslash makes the comma plain, and then there is a second equals sign.
        ("m,t=a\\\\,u=b f=1i 1", "invalid tag format"),
        ("m f=[1i,2.5] 1", "array elements of different types"),
        ("m f=[1i 1", "invalid array"),
        ("m f=[1i,] 1", "invalid array"),
        ("m f=[é] 1", "invalid array"),
        ("m f=[1é] 1", "invalid array"),
        ("m f=1é 1", "invalid number"),
        ("m f=[1i]2 1", "invalid field format"),
    ] {
        let error = decode(body, NANOS, NOW).map(|points| points.len());
        let Err(BodyError::Lines { problems, good: 0, bad: 1, .. }) = &error else {
            panic!("{body}: {error:?}");
        };
        assert_eq!(problems[0].cause.to_string(), cause, "{body}");
    }
}

#[test]
fn one_bad_line_refuses_the_body_in_the_words_of_upstream() {
    let error = decode("m f=1i 1\nbad\nn f=2i 2", NANOS, NOW).unwrap_err();
    assert_eq!(
        error.to_string(),
        "invalid lineprotocol: unable to parse 'bad'(pos: 13): missing fields\nwith 2 point parse ok, 1 points failed. Origin data: \"m f=1i 1\nbad\nn f=2i 2\""
    );
    assert_eq!(decode("", NANOS, NOW).unwrap_err().to_string(), "empty data");
    let many = "bad\n".repeat(10_000);
    let error = decode(&many, NANOS, NOW).unwrap_err().to_string();
    assert!(error.len() < 20_000 && error.contains("with 0 point parse ok, 10000 points failed"));
}

#[test]
fn what_a_bad_line_reached_is_not_read_again() {
    for (body, good, bad) in [
        ("m s=\"a\nb\",x 1\nn f=1i 2", 1, 1),
        ("m s=\"a\nb\" x\nn f=1i 2", 1, 1),
        ("m\\\nn f\nn f=1i 2", 1, 1),
        ("m f=[\"a\nb\"\nn f=1i 2", 1, 1),
        ("m f=[\"a\nn f=1i 2", 0, 1),
        ("m f=[1i\nn f=1i 2", 1, 1),
        ("m f=\"a\nn f=1i 2", 1, 1),
        ("m,t=\nn f=1i 2", 1, 1),
        ("m f=\nn f=1i 2", 1, 1),
        ("m f=1i 1 \"a\nn f=1i 2", 1, 1),
    ] {
        match decode(body, NANOS, NOW) {
            Err(BodyError::Lines { good: found, bad: refused, .. }) => {
                assert_eq!((found, refused), (good, bad), "{body}");
            }
            other => panic!("{body}: {other:?}"),
        }
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "how long it really takes is what is asked")]
fn no_body_is_read_again_and_again() {
    // Each line of these reaches to the end of the body, or has more keys than can be compared with each other.
    let twice: String = (0..200_000).map(|at| format!(",b{at}=1")).collect();
    for (body, lines) in [
        ("m\" f=[\"\n".repeat(100_000), 1),
        ("a\\\n".repeat(200_000), 1),
        ("m,t=x\\\n".repeat(100_000), 1),
        ("m f=\"!\n".repeat(100_000), 50_000),
        ("m,t=a,t=a f=\"\n".repeat(100_000), 100_000),
        (format!("m a=1,a=2{twice} 1"), 1),
        (format!("m,a=1{twice} a=1 1"), 1),
        (format!("m{twice},b1=1 a=1 1"), 1),
    ] {
        let began = std::time::Instant::now();
        let shown = &body[..20];
        match decode(&body, NANOS, NOW) {
            Ok(points) => assert_eq!(points.len(), lines, "{shown}"),
            Err(BodyError::Lines { good, bad, .. }) => assert_eq!(good + bad, lines, "{shown}"),
            Err(error) => panic!("{shown}: {error}"),
        }
        // What it takes is some milliseconds, or many minutes.
        assert!(began.elapsed() < std::time::Duration::from_secs(10), "{shown}");
    }
}

#[test]
fn what_lines_cannot_carry_is_left_out_or_changed() {
    let mut point = Point { name: "#a\nb\\".into(), time: Timestamp(1), ..Point::default() };
    point.entries = vec![
        Entry::tag("t\\", "x\ny"),
        Entry::tag("empty", ""),
        Entry::field("nan", Value::Float(f64::NAN)),
        Entry::field("nil", Value::Nil),
        Entry::field("map", Value::Map(vec![("k".into(), Value::Str("v".into()))])),
        Entry::field("f", Value::Float(1e21)),
    ];
    let mut out = b"before\n".to_vec();
    assert!(write_point(&point, &mut out));
    let text = String::from_utf8(out.clone()).unwrap();
    assert_eq!(
        text,
        "before\n_a\\ b,t=x\\ y f=1000000000000000000000,map=\"{\\\"k\\\":\\\"v\\\"}\" 1\n"
    );
    point.entries.truncate(4);
    assert!(!write_point(&point, &mut out));
    assert_eq!(String::from_utf8(out).unwrap(), text, "a point without a field leaves nothing");
}

#[test]
fn keys_are_found_whatever_their_length() {
    // Keys that differ in one byte only, wherever that is.
    for length in 1..24 {
        let keys: Vec<String> = (0..=length)
            .map(|at| (0..length).map(|byte| if byte == at { 'y' } else { 'x' }).collect())
            .collect();
        let body = |wanted: &String| {
            let others = keys.iter().filter(|key| *key != wanted);
            let (tags, fields): (Vec<_>, Vec<_>) =
                others.enumerate().partition(|(at, _)| at % 2 == 0);
            let tags: String = tags.iter().map(|(at, key)| format!(",{key}=v{at}")).collect();
            let fields: String = fields.iter().map(|(at, key)| format!("{key}={at},")).collect();
            format!("m{tags} {fields}zz=1 1")
        };
        for wanted in &keys {
            let text = body(wanted);
            let mut scanner = Scanner::new(&text, NANOS).unwrap();
            let line = scanner.next_line().unwrap().unwrap();
            assert_eq!(line.find(wanted), None, "{wanted} in {text}");
            for (at, key) in keys.iter().filter(|key| *key != wanted).enumerate() {
                let (tag, number) = (format!("v{at}"), at.to_string());
                let value = if at % 2 == 0 { Raw::Tag(&tag) } else { Raw::Float(&number) };
                assert_eq!(line.find(key), Some(value), "{key} in {text}");
            }
        }
    }
}

fn value() -> impl Strategy<Value = Value<'static>> {
    prop_oneof![
        any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Value::Float),
        any::<i64>().prop_map(Value::Int),
        any::<u64>().prop_map(Value::UInt),
        any::<bool>().prop_map(Value::Bool),
        ".{0,20}".prop_map(|text| Value::Str(text.into())),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| Value::Bytes(bytes.into())),
        prop::collection::vec(any::<i64>().prop_map(Value::Int), 1..4).prop_map(Value::Array),
        prop::collection::vec(".{0,9}".prop_map(|text| Value::Str(text.into())), 1..4)
            .prop_map(Value::Array),
    ]
}

proptest! {
    #[test]
    fn points_come_back_from_lines(
        name in "[a-z][ ,=\\\\\"é]{0,3}[a-z]",
        tags in prop::collection::btree_map("t[a-z ,=\\\\\"]{0,6}[a-z]", "[ ,=\\\\\"é]{0,6}[a-z]", 0..5),
        fields in prop::collection::btree_map("f[a-z ,=\\\\\"]{0,6}[a-z]", value(), 1..5),
        time in 0..i64::MAX,
    ) {
        let mut point = Point { name: name.into(), time: Timestamp(time), ..Point::default() };
        point.entries.extend(tags.into_iter().map(|(key, value)| Entry::tag(key, value)));
        point.entries.extend(fields.into_iter().map(|(key, value)| Entry::field(key, value)));
        let mut out = Vec::new();
        prop_assert!(write_point(&point, &mut out));
        let text = String::from_utf8(out).unwrap();
        let back = decode(&text, NANOS, NOW);
        prop_assert_eq!(back, Ok(vec![point]), "{}", text);
    }

    #[test]
    fn a_line_is_the_same_wherever_it_stands(
        text in "[mtfgé=, \\\\\"\n0-9ib\\[\\].\r\t-]{0,300}",
        before in 0_usize..200,
        good in 0..GOOD.len(),
        is_good: bool,
    ) {
        let text = if is_good { GOOD[good].0 } else { &text };
        let comment = format!("#{}\n", "x".repeat(before));
        let behind = format!("{comment}{text}");
        let shifted = decode(&behind, NANOS, NOW);
        match (decode(text, NANOS, NOW), shifted) {
            (Err(BodyError::Empty), shifted) => prop_assert_eq!(shifted, Ok(Vec::new())),
            (
                Err(BodyError::Lines { mut problems, good, bad, .. }),
                Err(BodyError::Lines { problems: shifted, good: shifted_good, bad: shifted_bad, .. }),
            ) => {
                problems.iter_mut().for_each(|problem| problem.position += comment.len());
                prop_assert_eq!((problems, good, bad), (shifted, shifted_good, shifted_bad));
            }
            (plain, shifted) => prop_assert_eq!(plain, shifted),
        }
    }

    #[test]
    fn keys_that_are_there_twice_are_found(
        tags in prop::collection::vec(0..2_000_u32, 0..150),
        fields in prop::collection::vec(0..2_000_u32, 1..150),
    ) {
        let has_twice = |keys: &[&[u32]]| {
            let all: Vec<u32> = keys.concat();
            all.len() > all.iter().collect::<std::collections::HashSet<_>>().len()
        };
        let of_tags: String = tags.iter().map(|key| format!(",k{key}=v")).collect();
        let of_fields: Vec<String> = fields.iter().map(|key| format!("k{key}=1")).collect();
        let body = format!("m{of_tags} {} 1", of_fields.join(","));
        let mut scanner = Scanner::new(&body, NANOS).unwrap();
        match scanner.next_line().unwrap() {
            Ok(line) => {
                prop_assert!(!has_twice(&[&tags]));
                prop_assert_eq!(line.is_plain(), !has_twice(&[&tags, &fields]));
                let known: std::collections::HashSet<_> = fields.iter().collect();
                prop_assert_eq!(line.point(NANOS, NOW).entries.len(), tags.len() + known.len());
            }
            Err(problem) => {
                prop_assert!(has_twice(&[&tags]));
                prop_assert_eq!(problem.cause.to_string(), "duplicate tags");
            }
        }
    }

    #[test]
    fn no_text_panics(text in "[mtfgé=, \\\\\"\n0-9ib\\[\\].#\r-]{0,60}", seconds: bool) {
        let unit = if seconds { Unit::Dynamic } else { NANOS };
        if let Ok(points) = decode(&text, unit, NOW) {
            for mut point in points {
                Checks::of(Category::Logging).apply(&mut point, &mut Warnings::default());
                let mut out = Vec::new();
                if write_point(&point, &mut out) {
                    let text = String::from_utf8(out).unwrap();
                    prop_assert_eq!(decode(&text, NANOS, NOW).map(|points| points.len()), Ok(1));
                }
            }
        }
    }

    #[test]
    fn the_scanner_never_panics_on_any_text(text in "\\PC{0,80}") {
        let _outcome = decode(&text, Unit::Dynamic, NOW).is_ok();
    }
}
