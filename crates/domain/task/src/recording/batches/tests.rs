#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::Cursor;

use levada_model::{GroupKey, Shape, Str, Values};
use proptest::prelude::*;

use super::*;
use crate::recording::files;

fn batch_of(
    name: &str,
    tags: &[(&str, &str)],
    points: &[(i64, &str, FieldValue)],
) -> RecordedBatch {
    let texts = |at: fn(&(&str, &str)) -> Str| tags.iter().map(at).collect::<Vec<Str>>();
    let (names, values) = (texts(|tag| tag.0.into()), texts(|tag| tag.1.into()));
    let pairs = names.iter().cloned().zip(values.iter().cloned()).collect();
    let series = Series::new("".into(), "".into(), name.into(), pairs);
    let points = points.iter().map(|(time, field, value)| Point {
        series: series.clone(),
        shape: Shape::new([Str::from(*field)].into()),
        values: std::iter::once(value.clone()).collect::<Values>(),
        time: Timestamp(*time),
    });
    let points: Vec<Point> = points.collect();
    let key = GroupKey { name: None, dimensions: names.into(), values: values.into() };
    let time = points.iter().map(|point| point.time).max().unwrap_or(Timestamp(9));
    RecordedBatch { name: name.into(), key, time, points }
}

fn content(batch: &RecordedBatch) -> String {
    let points: Vec<_> = batch
        .points
        .iter()
        .map(|point| {
            let tags: Vec<_> = point.series.tags().collect();
            format!("{tags:?} {:?} {}", point.fields().collect::<Vec<_>>(), point.time.0)
        })
        .collect();
    format!("{:?} {:?} {} {points:?}", batch.name, batch.key, batch.time.0)
}

fn archive(nodes: &[&[RecordedBatch]]) -> Vec<u8> {
    let mut writer = BatchWriter::new(Cursor::new(Vec::new()));
    for batches in nodes {
        writer.file().unwrap();
        for batch in *batches {
            writer.batch(batch).unwrap();
        }
    }
    writer.finish().unwrap().into_inner()
}

fn read(bytes: &[u8], times: Times) -> Result<Vec<(usize, RecordedBatch)>, String> {
    let inputs =
        files::open_stream(Cursor::new(bytes.to_vec())).map_err(|error| error.to_string())?;
    let mut reader = BatchReader::new(inputs, times).map_err(|error| error.to_string())?;
    let mut batches = Vec::new();
    while let Some(batch) = reader.next_batch().map_err(|error| error.to_string())? {
        batches.push(batch);
    }
    Ok(batches)
}

#[test]
fn a_line_looks_as_upstream_writes_it() {
    let mut line = Vec::new();
    let mut one = batch_of("cpu", &[("host", "a")], &[(50, "mean", FieldValue::Float(95.2))]);
    write_batch(&one, &mut line);
    assert_eq!(
        String::from_utf8(std::mem::take(&mut line)).unwrap(),
        r#"{"name":"cpu","tmax":"1970-01-01T00:00:00.00000005Z","group":"host=a","tags":{"host":"a"},"points":[{"fields":{"mean":95.2},"tags":{"host":"a"},"time":"1970-01-01T00:00:00.00000005Z"}]}"#.to_owned() + "\n"
    );
    one.key.name = Some("cpu".into());
    one.points.clear();
    write_batch(&one, &mut line);
    assert!(String::from_utf8(line).unwrap().contains(r#""byname":true"#));
}

#[test]
fn numbers_come_back_as_what_they_were() {
    let values = [
        FieldValue::Int(i64::MIN),
        FieldValue::Int(9_007_199_254_740_993),
        FieldValue::UInt(u64::MAX),
        FieldValue::Duration(-5),
        FieldValue::Float(1.0),
        FieldValue::Float(f64::NAN),
        FieldValue::Float(f64::NEG_INFINITY),
        FieldValue::Float(f64::INFINITY),
        FieldValue::Bool(false),
        FieldValue::Str("a\n\"".into()),
    ];
    let points: Vec<_> = values.iter().map(|value| (1, "f", value.clone())).collect();
    let one = batch_of("m", &[], &points);
    let again = read(&archive(&[std::slice::from_ref(&one)]), Times::Recorded).unwrap();
    assert_eq!(content(&again[0].1), content(&one));
}

#[test]
fn files_are_read_together_in_the_order_of_their_times() {
    let at = |time| batch_of("m", &[], &[(time, "v", FieldValue::Float(0.0))]);
    let bytes = archive(&[&[at(10), at(30)], &[at(20)]]);
    let order = |times| -> Vec<(usize, i64)> {
        let read = read(&bytes, times).unwrap();
        read.iter().map(|(index, batch)| (*index, batch.time.0)).collect()
    };
    assert_eq!(order(Times::Recorded), [(0, 10), (1, 20), (0, 30)]);
    assert_eq!(order(Times::From(Timestamp(100))), [(0, 100), (1, 100), (0, 120)]);
}

/// A time after the last point moves with the points, unlike upstream's.
#[test]
fn the_time_of_a_batch_moves_with_its_points() {
    let mut one = batch_of("m", &[], &[(10, "v", FieldValue::Float(0.0))]);
    one.time = Timestamp(17);
    let again = read(&archive(&[&[one]]), Times::From(Timestamp(1_000))).unwrap();
    assert_eq!((again[0].1.points[0].time, again[0].1.time), (Timestamp(1_000), Timestamp(1_007)));
}

#[test]
fn empty_batches_are_left_out_and_bad_lines_are_told() {
    let empty = batch_of("m", &[], &[]);
    let full = batch_of("m", &[], &[(1, "v", FieldValue::Float(0.0))]);
    assert_eq!(read(&archive(&[&[empty, full], &[]]), Times::Recorded).unwrap().len(), 1);
    let error = read(b"{}\n\n{\"points\":[{\"time\":1}]}\n", Times::Recorded).unwrap_err();
    assert_eq!(error, "line 3: time: wanted a time in RFC 3339, got 1");
}

#[test]
fn a_cut_archive_is_told() {
    let full = batch_of("m", &[], &[(1, "v", FieldValue::Float(0.0))]);
    let mut bytes = archive(&[&[full]]);
    bytes.truncate(bytes.len() - 4);
    assert!(read(&bytes, Times::Recorded).unwrap_err().starts_with("not a zip archive"));
}

proptest! {
    #[test]
    fn batches_come_back_as_they_were(
        batches in proptest::collection::vec(
            ("[a-zü,=\n]{0,5}", "[a-z\"\n]{1,5}", proptest::collection::vec((any::<i64>(), any::<f64>(), any::<bool>()), 1..4)),
            1..10,
        ),
    ) {
        let batches: Vec<RecordedBatch> = batches.iter().enumerate().map(|(index, (name, tag, points))| {
            let points: Vec<_> = points.iter().map(|(time, number, is_int)| {
                let value = if *is_int { FieldValue::Int(*time) } else { FieldValue::Float(*number) };
                (time / 2, "f", value)
            }).collect();
            let mut batch = batch_of(name, &[("t", tag)], &points);
            // In the order of their times, or they would be read in another.
            batch.time = Timestamp(i64::MAX / 2 + index as i64);
            batch
        }).collect();
        let again = read(&archive(&[&batches]), Times::Recorded).unwrap();
        let contents = again.iter().map(|(_, batch)| content(batch)).collect::<Vec<_>>();
        prop_assert_eq!(contents, batches.iter().map(content).collect::<Vec<_>>());
    }
}
