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

proptest! {
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
