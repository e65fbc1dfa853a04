#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;
use crate::recording::batch as slow;

const LINE: &str = r#"{"name":"cpu","tmax":"2026-03-01T10:01:00Z","byname":true,"group":"host=a","tags":{"host":"a"},"points":[{"fields":{"mean":95.2,"n":-7},"tags":{"host":"a"},"time":"2026-03-01T10:00:50Z"},{"fields":{"mean":0.125,"n":1},"time":"2026-03-01T10:00:51.5Z"}]}"#;

fn content(batch: &RecordedBatch) -> String {
    let points = batch.points.iter().map(|point| {
        let tags: Vec<_> = point.series.tags().collect();
        let fields: Vec<_> = point.fields().collect();
        format!("{} {tags:?} {fields:?} {}", point.series.name, point.time.0)
    });
    let points: Vec<String> = points.collect();
    format!("{:?} {:?} {} {points:?}", batch.name, batch.key, batch.time.0)
}

/// Readers that know what the line has.
fn experienced() -> Batches {
    let mut batches = Batches::default();
    batches.read(LINE.as_bytes()).unwrap();
    batches
}

#[test]
fn lines_like_those_before_are_read_straight() {
    let replaced = [
        ("", ""),
        ("\"byname\":true,", "\"byname\":false,"),
        ("\"byname\":true,", ""),
        ("\"group\":\"host=a\",", ""),
        ("\"tmax\":\"2026-03-01T10:01:00Z\",", ""),
        ("95.2", "\"a{b}\""),
        ("95.2", "false"),
        ("95.2", "0"),
        ("95.2", "-0"),
        ("95.2", "9007199254740992"),
        ("95.2", "0.1234567890123"),
        ("2026-03-01T10:00:50Z", "2031-12-31T23:59:59.999999999Z"),
    ];
    for (from, to) in replaced {
        let line = LINE.replacen(from, to, 1);
        let read = experienced().straight(line.as_bytes());
        let read = read.unwrap_or_else(|| panic!("not read: {line}"));
        assert_eq!(content(&read), content(&slow(line.as_bytes()).unwrap().unwrap()), "{line}");
    }
}

#[test]
fn anything_else_is_left_alone() {
    assert!(Batches::default().straight(LINE.as_bytes()).is_none(), "nothing is known");
    let replaced = [
        ("cpu", "mem"),
        ("95.2", "095.2"),
        ("95.2", "95."),
        ("95.2", ".2"),
        ("95.2", "-"),
        ("95.2", "9.52e1"),
        ("95.2", "9007199254740993"),
        ("95.2", "1234567890123456789"),
        ("95.2", "null"),
        ("95.2", "[1]"),
        ("95.2", "\"a\\nb\""),
        ("\"mean\"", "\"m\\u0065an\""),
        ("\"mean\":95.2,", ""),
        ("\"host\":\"a\"}", "\"host\":\"b\"}"),
        ("\"host\":\"a\"}", "\"host\":\"}\"}"),
        (",\"time\"", ",\"kinds\":{},\"time\""),
        ("\"tags\":{\"host\":\"a\"},\"points\"", "\"points\""),
        ("\"byname\":true,", "\"byname\":true,\"byname\":true,"),
        ("]}", "],\"tags\":{}}"),
        ("]}", "]} "),
        ("]}", "]"),
        ("{\"name\"", "{ \"name\""),
    ];
    for (from, to) in replaced {
        let line = LINE.replacen(from, to, 1);
        assert!(experienced().straight(line.as_bytes()).is_none(), "{line}");
    }
    let many = LINE.replacen("95.2", &format!("0.{}", "1".repeat(17)), 1);
    assert!(experienced().straight(many.as_bytes()).is_none());
}

proptest! {
    #[test]
    fn damaged_lines_are_read_as_the_slow_way_reads_them(
        at in 0..LINE.len(),
        length in 0_usize..3,
        text in "[ -~]{0,2}",
    ) {
        let end = (at + length).min(LINE.len());
        let line = [&LINE[..at], &text, &LINE[end..]].concat();
        if let Some(read) = experienced().straight(line.as_bytes()) {
            let wanted = slow(line.as_bytes());
            let wanted = wanted.unwrap_or_else(|error| panic!("{line}: {error}")).unwrap();
            prop_assert_eq!(content(&read), content(&wanted), "{}", line);
        }
    }
}
