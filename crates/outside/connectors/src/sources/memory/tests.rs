#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use levada_model::value::Value;
use levada_model::{Meta, RecordBatch};

use super::*;
use crate::sinks::memory as sink;
use crate::sources::testing::context;
use crate::spec::SinkSpec;
use crate::traits::{Outcomes, Sink};

fn source(name: &str) -> Box<dyn Source> {
    Spec { name: name.into() }.build(&context()).unwrap()
}

fn sink(name: &str, max_records: Option<u64>) -> Box<dyn Sink> {
    let spec = sink::Spec { name: name.into(), max_records, max_bytes: None };
    spec.build(&context()).unwrap()
}

fn batch(payloads: &[&str]) -> RecordBatch {
    let mut batch = RecordBatch::new();
    let origin = batch.push_origin("p".into(), 1.into());
    for payload in payloads {
        batch.push(payload.as_bytes(), origin, 0);
    }
    batch
}

async fn write(sink: &mut dyn Sink, batch: &RecordBatch) {
    let mut outcomes = Outcomes::default();
    sink.write(batch, &mut outcomes).await.unwrap();
    assert_eq!(outcomes.resolved(), batch.len());
}

async fn read(source: &mut dyn Source) -> Option<(Vec<String>, RecordBatch)> {
    let mut batch = RecordBatch::new();
    if !source.next(&mut batch).await.unwrap() {
        return None;
    }
    let payloads = (0..batch.len())
        .map(|index| String::from_utf8(batch.payload(index).into_owned()).unwrap())
        .collect();
    Some((payloads, batch))
}

#[tokio::test]
async fn records_edits_and_metadata_arrive_and_the_source_ends_with_the_last_sink() {
    let (mut first, mut second) = (sink("arrive", None), sink("arrive", None));
    let mut source = source("arrive");
    source.open(&[("memory".into(), 10.into())]).await.unwrap();
    let mut sent = batch(&["{\"a\":1}", "two"]);
    let mut meta = Meta::new();
    meta.set("k", Value::from("v"));
    sent.set_meta(1, Some(Arc::new(meta)));
    write(&mut *first, &sent).await;
    first.close().await.unwrap();
    let (payloads, got) = read(&mut *source).await.unwrap();
    assert_eq!(payloads, ["{\"a\":1}", "two"]);
    assert_eq!(got.origins[0].position, 12);
    assert!(got.meta(0).is_none());
    assert_eq!(got.meta(1).unwrap().get("k"), Some(&Value::from("v")));
    write(&mut *second, &batch(&["3"])).await;
    drop(second);
    assert_eq!(read(&mut *source).await.unwrap().0, ["3"]);
    assert!(read(&mut *source).await.is_none());
    drop((source, first));
    assert!(!hub::is_known("arrive"));
}

#[tokio::test]
async fn a_full_channel_makes_the_sink_wait() {
    let ctx = context();
    let mut sink = sink("full", Some(2));
    let mut source = source("full");
    let writer = ctx.tasks.spawn(levada_runtime::TaskKind::Sink, "t", async move {
        write(&mut *sink, &batch(&["1", "2", "3", "4", "5"])).await;
        sink.close().await.unwrap();
    });
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    assert!(!writer.is_finished());
    assert_eq!(source.lag(), Some(2));
    let mut all = Vec::new();
    while let Some((payloads, _)) = read(&mut *source).await {
        assert!(payloads.len() <= 2);
        all.extend(payloads);
    }
    assert_eq!(all, ["1", "2", "3", "4", "5"]);
    writer.await.unwrap();
}

#[tokio::test]
async fn what_waits_stays_until_a_source_comes() {
    let mut sink = sink("late", None);
    write(&mut *sink, &batch(&["1"])).await;
    drop(sink);
    assert!(hub::is_known("late"));
    let mut source = source("late");
    assert_eq!(read(&mut *source).await.unwrap().0, ["1"]);
    assert!(read(&mut *source).await.is_none());
    assert!(!hub::is_known("late"));
}

#[tokio::test]
async fn a_source_waits_for_its_first_sink() {
    let mut source = source("first");
    let mut batch_read = RecordBatch::new();
    let waits = tokio::select! {
        biased;
        _ = source.next(&mut batch_read) => false,
        () = tokio::task::yield_now() => true,
    };
    assert!(waits);
    let mut sink = sink("first", None);
    write(&mut *sink, &batch(&["1"])).await;
    assert_eq!(read(&mut *source).await.unwrap().0, ["1"]);
}

#[test]
fn settings_are_checked() {
    let mut report = Report::new();
    SourceSpec::check(&Spec::default(), &FieldPath::field("config"), &mut report);
    let spec = sink::Spec { max_records: Some(0), ..sink::Spec::default() };
    SinkSpec::check(&spec, &FieldPath::field("sink"), &mut report);
    let found: Vec<String> = report.problems().iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "config.name: Required value: name is required",
            "sink.name: Required value: name is required",
            "sink.maxRecords: Invalid value: 0: must be greater than zero",
        ]
    );
}
