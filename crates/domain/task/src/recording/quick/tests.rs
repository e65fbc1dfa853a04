#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

fn content(batch: &RecordedBatch) -> String {
    let points = batch.points.iter().map(|point| {
        let series = &point.series;
        let tags: Vec<_> = series.tags().collect();
        let fields: Vec<_> = point.fields().collect();
        format!("{} {tags:?} {fields:?} {}", series.name, point.time.0)
    });
    let points: Vec<String> = points.collect();
    format!("{:?} {:?} {} {points:?}", batch.name, batch.key, batch.time.0)
}

/// Whether the line was read here, and that both ways give the same.
fn both(batches: &mut Batches, line: &str) -> bool {
    let wanted = slow(line.as_bytes());
    let quick = batches.quick(line.as_bytes());
    let is_quick = quick.is_some();
    if let Some(quick) = quick {
        let wanted = wanted.as_ref().unwrap_or_else(|error| panic!("{line}: {error}"));
        let [quick, wanted] = [&quick, wanted].map(|batch| batch.as_ref().map(content));
        assert_eq!(quick, wanted, "{line}");
    }
    let read = batches.read(line.as_bytes());
    assert_eq!(
        read.map(|batch| batch.as_ref().map(content)),
        wanted.map(|b| b.as_ref().map(content))
    );
    is_quick
}

#[test]
fn usual_batches_are_read_as_the_slow_way_reads_them() {
    let lines = [
        r#"{"name":"cpu","tmax":"2026-03-01T10:01:00Z","byname":false,"tags":{"host":"a"},"points":[{"fields":{"mean":95.2},"tags":{"host":"a"},"time":"2026-03-01T10:00:50Z"}]}"#,
        r#"{"points":[{"time":"2026-03-01T10:00:50.123456789Z","fields":{"b":1,"a":-2.5e3,"s":"x\ny","f":false}},{"fields":{"b":2},"time":"2024-02-29T23:59:59.5Z"}],"byName":true,"tags":{"z":"1","a":"é\u00e9"},"name":"m"}"#,
        r#"{"name":"m","group":"z=1","points":[{"fields":{},"tags":{},"time":"1970-01-01T00:00:00Z"},{"tags":null,"time":"2199-12-31T00:00:00Z"}],"tmax":null}"#,
        r#"{"name":"m","points":[]}"#,
        r#"{"name":"m"}"#,
        r#"{"name":"m","points":null,"tags":{"a":"b"}}"#,
        r#"{"points":[{"fields":{"v":1},"time":"2000-01-01T00:00:00Z"}]}"#,
    ];
    let mut batches = Batches::default();
    for line in lines.iter().chain(&lines) {
        assert!(both(&mut batches, line), "{line}");
    }
}

#[test]
fn unusual_and_wrong_batches_are_left_to_the_slow_way() {
    let point = |point: &str| format!("{{\"name\":\"m\",\"points\":[{point}]}}");
    let timed = |time: &str| point(&format!("{{\"fields\":{{\"v\":1}},\"time\":\"{time}\"}}"));
    let lines = [
        "",
        "x",
        "[]",
        "{\"name\":1}x",
        r#"{"name":"m","name":"n"}"#,
        r#"{"na\u006de":"m"}"#,
        r#"{"name":"m","points":{}}"#,
        r#"{"name":"m","tags":[],"points":[]}"#,
        r#"{"name":"m","tags":{"a":1}}"#,
        r#"{"name":"m","tags":{"a":"1","a":"2"}}"#,
        r#"{"byname":true,"byName":false}"#,
    ];
    let points = [
        "1",
        r#"{"fields":{"v":1}}"#,
        r#"{"fields":{"v":null},"time":"2000-01-01T00:00:00Z"}"#,
        r#"{"fields":{"v":1,"v":2},"time":"2000-01-01T00:00:00Z"}"#,
        r#"{"fields":{"v":[1]},"time":"2000-01-01T00:00:00Z"}"#,
        r#"{"fields":{"v":1e999},"time":"2000-01-01T00:00:00Z"}"#,
        r#"{"fields":[],"time":"2000-01-01T00:00:00Z"}"#,
        r#"{"fields":{"v":1},"kinds":{"v":"int"},"time":"2000-01-01T00:00:00Z"}"#,
        r#"{"fields":{"v":1},"time":7}"#,
        r#"{"fields":{"v\u0061":1},"time":"2000-01-01T00:00:00Z"}"#,
    ];
    let times = [
        "1969-12-31T23:59:59Z",
        "2000-02-30T00:00:00Z",
        "2001-02-29T00:00:00Z",
        "2000-01-01T24:00:00Z",
        "2000-01-01T00:60:00Z",
        "2000-01-01T00:00:60Z",
        "2000-01-01T00:00:00+01:00",
        "2000-01-01 00:00:00Z",
        "2000-01-01T00:00:00.Z",
        "2000-01-01T00:00:00.1234567891Z",
        "2000-01-01T00:00:00",
        "2000-13-01T00:00:00Z",
        "2000-00-01T00:00:00Z",
        "2300-01-01T00:00:00Z",
        "",
    ];
    let mut batches = Batches::default();
    let all = lines.iter().map(|line| (*line).to_owned());
    let all = all
        .chain(points.iter().map(|text| point(text)))
        .chain(times.iter().map(|text| timed(text)));
    for line in all {
        assert!(!both(&mut batches, &line), "{line}");
    }
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut batches = Batches::default();
    for number in 0..SHAPES_MAX + 3 {
        let line = format!(
            "{{\"name\":\"m\",\"points\":[{{\"fields\":{{\"f{number}\":1}},\"time\":\"2000-01-01T00:00:00Z\"}}]}}"
        );
        assert!(both(&mut batches, &line));
        assert!(batches.shapes.len() <= SHAPES_MAX);
    }
    let long = "x".repeat(SPELLING_BYTES_MAX);
    assert!(both(&mut batches, &format!("{{\"name\":\"m\",\"tags\":{{\"a\":\"{long}\"}}}}")));
    assert_eq!(batches.tags.len(), 0);
    // Tags belong to the measurement that they were read with.
    let of = |name: &str| {
        format!(
            "{{\"name\":\"{name}\",\"tags\":{{\"a\":\"b\"}},\"points\":[{{\"fields\":{{\"v\":1}},\"time\":\"2000-01-01T00:00:00Z\"}}]}}"
        )
    };
    assert!(
        both(&mut batches, &of("m"))
            && both(&mut batches, &of("n"))
            && both(&mut batches, &of("m"))
    );
}

#[test]
fn series_with_the_same_names_of_tags_share_them() {
    let mut batches = Batches::default();
    let mut keys = |tags: &str| {
        let line = format!(
            "{{\"name\":\"m\",\"tags\":{tags},\"points\":[{{\"fields\":{{\"v\":1}},\"time\":\"2000-01-01T00:00:00Z\"}}]}}"
        );
        let batch = batches.read(line.as_bytes()).unwrap().unwrap();
        batch.points[0].series.keys.clone()
    };
    let first = keys(r#"{"b":"1","a":"2"}"#);
    assert!(Arc::ptr_eq(&first, &keys(r#"{"a":"3","b":"4"}"#)));
    for other in [r#"{"a":"3"}"#, r#"{"a":"3","b":"4","c":"5"}"#, "{}"] {
        assert_ne!(first.names, keys(other).names, "{other}");
    }
}

/// A number, a text or something else as it may stand for a field.
const VALUES: &[&str] = &[
    "1",
    "-7",
    "95.2",
    "0.1234567890123",
    "-0",
    "0",
    "1e3",
    "9007199254740993",
    "123456789012345678901",
    "1e999",
    "01",
    "1.",
    "-",
    "true",
    "false",
    "null",
    "\"a\"",
    "\"\"",
    "\"a\\nb\"",
    "\"a}b{\"",
    "\"\u{7f}\"",
    "\"\t\"",
    "\"\\ud83d\\ude00\"",
    "\"\\ud83d\"",
    "\"\\ud83d\\u0061\\ude00\"",
    "\"\\\\ud83d\"",
    "\"\\ud83d\\ud83d\\ude00\"",
    "\"\\u00\"",
    "\"ü\"",
    "[]",
    "{}",
    "",
];

/// Tags of a batch or of a point.
const TAGS: &[&str] = &[
    "\"tags\":{\"host\":\"a\"},",
    "\"tags\":{\"host\":\"a\"},",
    "\"tags\":{\"host\":\"b\"},",
    "",
    "\"tags\":{},",
    "\"tags\":null,",
    "\"tags\":{\"host\":\"}\"},",
    "\"tags\":{\"host\":\"a\",\"az\":\"1\"},",
    "\"tags\":{\"az\":\"1\",\"host\":\"a\"},",
    "\"tags\":{\"h\\u006fst\":\"a\"},",
    "\"tags\":{\"host\":1},",
    "\"tags\":{\"host\":\"a\",\"host\":\"b\"},",
    "\"tags\" : {\"host\":\"a\"},",
    "\"tags\":{\"host\":\"\\\"a\"},",
    "\"tags\":[],",
    "\"tags\":{\"host\":\"a\"},\"tags\":{\"host\":\"b\"},",
];

const TIMES: &[&str] = &[
    "\"2026-03-01T10:00:50Z\"",
    "\"2026-03-01T10:00:50Z\"",
    "\"2026-03-02T10:00:50.5Z\"",
    "\"2026-03-01T10:00:50.123456789Z\"",
    "\"2026-02-29T10:00:50Z\"",
    "\"1969-12-31T23:59:59Z\"",
    "\"2026-03-01T10:00:60Z\"",
    "\"2026-03-01t10:00:50z\"",
    "7",
    "null",
    "\"2026-03-01T10:00:50+01:00\"",
    "\"2026-03-01T10:00:50\"",
];

const HEADS: &[&str] = &[
    "\"name\":\"cpu\",",
    "\"name\":\"cpu\",",
    "\"name\":\"cpu\",",
    "\"name\":\"m\\u0065m\",",
    "\"name\":\"mem\",",
    "",
    "\"name\":1,",
    "\"name\":\"c\\\"pu\",",
    "\"name\":\"cpu\",\"group\":\"host=a\",",
    "\"name\":\"cpu\",\"byname\":true,",
    "\"name\":\"cpu\",\"byName\":true,",
    "\"name\":\"cpu\",\"more\":[1,{}],",
];

const FIELDS: &[&[&str]] = &[
    &["usage", "idle"],
    &["usage", "idle"],
    &["idle", "usage"],
    &["v"],
    &[],
    &["v", "v"],
    &["\\u0076"],
    &["ü"],
];

/// Lines like each other, but for what is odd in some of them.
fn line() -> impl Strategy<Value = String> {
    use proptest::sample::select;
    let point =
        (select(FIELDS), select(VALUES), select(VALUES), select(TAGS), select(TIMES), 0..20_usize)
            .prop_map(|(names, first, second, tags, time, odd)| {
                // Most are as they should be, or nothing would be read.
                let first = if odd < 14 { "97.1" } else { first };
                let second = if odd < 16 { "-2.5" } else { second };
                let fields: Vec<String> = names
                    .iter()
                    .zip([first, second])
                    .map(|(name, value)| format!("\"{name}\":{value}"))
                    .collect();
                let kinds = if odd == 19 { "\"kinds\":{\"v\":\"int\"}," } else { "" };
                format!("{{\"fields\":{{{}}},{kinds}{tags}\"time\":{time}}}", fields.join(","))
            });
    let points = proptest::collection::vec(point, 0..4);
    (select(HEADS), select(TAGS), select(TIMES), points, 0..12_usize).prop_map(
        |(head, tags, tmax, points, odd)| {
            let tmax = if odd < 6 { format!("\"tmax\":{tmax},") } else { String::new() };
            let end = ["", " ", "\r\n", "x", "}"][odd.saturating_sub(7)];
            format!("{{{head}{tmax}{tags}\"points\":[{}]}}{end}", points.join(","))
        },
    )
}

proptest! {
    #[test]
    fn lines_one_after_the_other_are_read_as_the_slow_way_reads_them(lines in proptest::collection::vec(line(), 1..12)) {
        let mut batches = Batches::default();
        for line in lines.iter().chain(&lines) {
            both(&mut batches, line);
        }
    }

    #[test]
    fn days_are_those_of_the_calendar(day in 0_i64..84_000, second in 0_i64..86_400) {
        let time = Timestamp((day * 86_400 + second) * 1_000_000_000);
        let line = format!("{{\"name\":\"m\",\"tmax\":\"{}\",\"points\":[{{\"time\":\"1970-01-01T00:00:00Z\"}}]}}", time.rfc3339());
        let batch = Batches::default().quick(line.as_bytes()).unwrap().unwrap();
        prop_assert_eq!(batch.time, time);
    }

    #[test]
    fn damaged_lines_are_read_alike(at in 0_usize..160, byte in proptest::char::range(' ', '~')) {
        let line = r#"{"name":"cpu","tmax":"2026-03-01T10:01:00Z","byname":true,"tags":{"host":"a"},"points":[{"fields":{"mean":95.2},"tags":{"host":"a"},"time":"2026-03-01T10:00:50Z"}]}"#;
        let mut line = line.to_owned().into_bytes();
        line[at] = byte as u8;
        both(&mut Batches::default(), std::str::from_utf8(&line).unwrap());
    }
}
