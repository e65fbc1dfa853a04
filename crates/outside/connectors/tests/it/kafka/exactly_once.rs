//! Kafka to Kafka, each record exactly once.
//!
//! The engine's part is played here: open the sink, ask for its positions, open the source there, then
//! prepare and commit; after an error all of that again.

use std::collections::BTreeMap;
use std::time::Duration;

use levada_connectors::{BuildContext, Outcomes, Sink, SinkError, Source};
use levada_model::{ErrorClass, Position, RecordBatch, Str};
use levada_runtime::TaskKind;
use serde_json::json;

use super::support::{
    MOST, Stored, broker, committed, context, produce, sink, source, stored, stored_payloads,
    topic, topic_with, try_sink, unique,
};

struct Flow {
    source: Box<dyn Source>,
    sink: Box<dyn Sink>,
}

/// Where a flow reads and writes, and as whom.
#[derive(Clone)]
struct Place {
    broker: String,
    input: String,
    output: String,
    group: String,
}

fn exactly_once() -> BuildContext {
    BuildContext { is_exactly_once: true, batch_records: 100, ..context() }
}

impl Place {
    async fn new(broker: String, partitions: i32, records: i32) -> Self {
        let input = topic("exactly-in", partitions).await;
        produce(&input, &numbers(partitions, 0..records));
        Place { broker, input, output: topic("exactly-out", 2).await, group: unique("exactly") }
    }

    fn flow(&self, id: &str) -> Flow {
        let ctx = exactly_once();
        let from = json!({
            "brokers": [self.broker], "topic": self.input, "consumerGroup": self.group,
            "sessionTimeout": "6s",
        });
        let to = json!({
            "brokers": [self.broker], "topic": self.output,
            "transactionalId": format!("{}-{id}", self.group),
        });
        let source = source(&from, &ctx);
        Flow { source, sink: sink(&to, &ctx) }
    }

    /// Gives what arrived, sorted.
    fn arrived(&self) -> Vec<i32> {
        let payloads = stored_payloads(&self.output);
        let numbers = payloads.iter().map(|payload| std::str::from_utf8(payload).unwrap().parse());
        let mut numbers: Vec<i32> = numbers.map(Result::unwrap).collect();
        numbers.sort_unstable();
        numbers
    }
}

impl Flow {
    async fn open(&mut self) -> Result<(), SinkError> {
        self.sink.open().await?;
        let positions = self.sink.transactional().unwrap().stored().await?;
        assert_eq!(positions, [], "the group has them");
        self.source.open(&positions).await.unwrap();
        Ok(())
    }

    /// Reads a batch; nothing: none came in time, or the source must be opened again.
    async fn read(&mut self, wait: Duration) -> Result<Option<RecordBatch>, ()> {
        let mut batch = RecordBatch::new();
        match tokio::time::timeout(wait, self.source.next(&mut batch)).await {
            Err(_) => Ok(None),
            Ok(Ok(more)) => {
                assert!(more);
                Ok(Some(batch))
            }
            Ok(Err(error)) => {
                assert!(error.class.is_transient(), "{error}");
                Err(())
            }
        }
    }

    async fn prepare(&mut self, batch: &RecordBatch) -> Result<(), SinkError> {
        let mut outcomes = Outcomes::default();
        self.sink.transactional().unwrap().prepare(batch, &mut outcomes).await?;
        assert_eq!(outcomes.resolved(), batch.len());
        Ok(())
    }

    async fn commit(&mut self, batch: &RecordBatch) -> Result<(), SinkError> {
        self.sink.transactional().unwrap().commit(&positions(batch)).await
    }

    /// Reads and commits until nothing more comes, opening again after errors; gives how often.
    async fn run(&mut self, quiet: Duration) -> usize {
        let mut opened = 0;
        loop {
            opened += 1;
            assert!(opened < 50, "no progress");
            if let Err(error) = self.open().await {
                assert!(error.class.is_transient(), "{error}");
                continue;
            }
            loop {
                let Ok(batch) = self.read(quiet).await else { break };
                let Some(batch) = batch else { return opened };
                let done = match self.prepare(&batch).await {
                    Ok(()) => self.commit(&batch).await,
                    Err(error) => Err(error),
                };
                if let Err(error) = done {
                    assert!(error.class.is_transient(), "{error}");
                    break;
                }
            }
        }
    }
}

fn numbers(partitions: i32, range: std::ops::Range<i32>) -> Vec<Stored> {
    range
        .map(|number| Stored {
            partition: number % partitions,
            payload: Some(number.to_string().into_bytes()),
            ..Stored::default()
        })
        .collect()
}

fn positions(batch: &RecordBatch) -> Vec<(Str, Position)> {
    let origins = batch.origins.iter();
    origins.map(|origin| (origin.partition.clone(), origin.position.clone())).collect()
}

/// Longer than the group takes to hand out partitions.
const QUIET: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_and_offsets_are_committed_together() {
    let Some(broker) = broker("records_and_offsets_are_committed_together") else { return };
    let place = Place::new(broker, 2, 1000).await;
    let mut flow = place.flow("a");
    assert_eq!(flow.run(QUIET).await, 1);
    assert_eq!(place.arrived(), (0..1000).collect::<Vec<_>>());
    let wanted = BTreeMap::from([(0, 500), (1, 500)]);
    assert_eq!(committed(&place.group, &place.input, 2), wanted);
    // The source itself commits nothing.
    flow.source.commit(&[(format!("{}/0", place.input).into(), json!(7))]).await.unwrap();
    drop(flow);
    assert_eq!(committed(&place.group, &place.input, 2), wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_committed_is_not_there_and_comes_again() {
    let Some(broker) = broker("what_is_not_committed_is_not_there") else { return };
    let place = Place::new(broker, 1, 300).await;
    let mut flow = place.flow("a");
    flow.open().await.unwrap();
    let first = flow.read(MOST).await.unwrap().unwrap();
    flow.prepare(&first).await.unwrap();
    assert_eq!(stored(&place.output), [], "a transaction under way shows nothing");
    flow.sink.transactional().unwrap().rollback().await.unwrap();
    assert_eq!(stored(&place.output), [], "nor one that was undone");
    // Opened again, the source goes back to what the group has.
    flow.open().await.unwrap();
    let again = flow.read(MOST).await.unwrap().unwrap();
    assert_eq!(again.payload(0), first.payload(0));
    flow.prepare(&again).await.unwrap();
    // The process is killed: nothing is told to anybody, and the next one takes the id over.
    let mut next = place.flow("a");
    drop(flow.source);
    next.run(QUIET).await;
    assert_eq!(place.arrived(), (0..300).collect::<Vec<_>>());
    // The former owner cannot commit any more.
    let error = flow.sink.transactional().unwrap().commit(&[]).await.unwrap_err();
    assert!(error.class.is_transient(), "{error}");
    assert_eq!(place.arrived(), (0..300).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_come_and_go_double_nothing() {
    let Some(broker) = broker("members_that_come_and_go_double_nothing") else { return };
    let place = Place::new(broker, 4, 2000).await;
    let ctx = context();
    let start = |id: &'static str| {
        let mut flow = place.flow(id);
        ctx.tasks.spawn(TaskKind::Source, id, async move { flow.run(QUIET * 2).await })
    };
    let first = start("a");
    tokio::time::sleep(Duration::from_millis(500)).await;
    let second = start("b");
    produce(&place.input, &numbers(4, 2000..4000));
    tokio::time::sleep(Duration::from_millis(500)).await;
    // One that is given up in the middle of its work.
    let third = start("c");
    tokio::time::sleep(Duration::from_millis(1500)).await;
    third.abort();
    produce(&place.input, &numbers(4, 4000..6000));
    first.await.unwrap();
    second.await.unwrap();
    // Whoever was left over is read by one more.
    place.flow("d").run(QUIET).await;
    assert_eq!(place.arrived(), (0..6000).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_of_partitions_that_were_lost_are_refused() {
    let Some(broker) = broker("offsets_of_partitions_that_were_lost_are_refused") else { return };
    let place = Place::new(broker, 2, 2000).await;
    let mut slow = place.flow("slow");
    slow.open().await.unwrap();
    // Both partitions, each with its first records.
    let mut held = BTreeMap::new();
    while held.len() < 2 {
        let batch = slow.read(MOST).await.unwrap().unwrap();
        slow.prepare(&batch).await.unwrap();
        held.extend(positions(&batch));
    }
    let mut other = place.flow("other");
    other.open().await.unwrap();
    let taken = other.read(MOST).await.unwrap().unwrap();
    assert_eq!(taken.origins.len(), 1, "one partition came over");
    let held: Vec<(Str, Position)> = held.into_iter().collect();
    let error = slow.sink.transactional().unwrap().commit(&held).await.unwrap_err();
    assert!(error.class.is_transient(), "{error}");
    assert!(error.to_string().contains("another member"), "{error}");
    // The source says so too, behind what it has handed on already.
    while let Ok(batch) = slow.read(MOST).await {
        assert!(batch.is_some(), "the source says nothing");
    }
    let ctx = context();
    let slow = ctx.tasks.spawn(TaskKind::Source, "slow", async move { slow.run(QUIET).await });
    other.prepare(&taken).await.unwrap();
    other.commit(&taken).await.unwrap();
    other.run(QUIET).await;
    slow.await.unwrap();
    assert_eq!(place.arrived(), (0..2000).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_is_refused_leaves_no_trace() {
    let Some(broker) = broker("a_record_that_is_refused_leaves_no_trace") else { return };
    let mut place = Place::new(broker, 1, 10).await;
    place.output = topic_with("exactly-small", 1, &[("max.message.bytes", "20000")]).await;
    let mut flow = place.flow("a");
    flow.open().await.unwrap();
    let mut batch = flow.read(MOST).await.unwrap().unwrap();
    // Too large for the client: rejected by itself.
    batch.set_payload(3, &vec![b'x'; 1_100_000]);
    let mut outcomes = Outcomes::default();
    flow.sink.transactional().unwrap().prepare(&batch, &mut outcomes).await.unwrap();
    assert_eq!(outcomes.rejected_records().len(), 1);
    assert_eq!(outcomes.resolved(), batch.len());
    // Too large for the topic: the whole transaction is undone, and the error is about records.
    batch.set_payload(3, &vec![b'x'; 50_000]);
    let mut outcomes = Outcomes::default();
    let prepared = flow.sink.transactional().unwrap().prepare(&batch, &mut outcomes).await;
    let error = prepared.unwrap_err();
    assert!(error.is_about_records && error.class == ErrorClass::InvalidData, "{error}");
    assert_eq!(outcomes.resolved(), 0);
    assert_eq!(stored(&place.output), []);
    // Left out, everything else passes.
    batch.set_payload(3, b"3");
    flow.prepare(&batch).await.unwrap();
    flow.commit(&batch).await.unwrap();
    assert_eq!(place.arrived(), (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn two_clusters_are_refused() {
    let ctx = exactly_once();
    let here = json!({"brokers": ["a:9092", "b:9092"], "topic": "in"});
    let there = json!({"brokers": ["c:9092"], "topic": "out"});
    drop(source(&here, &ctx));
    let text = try_sink(&there, &ctx).err().unwrap();
    assert!(text.contains("one cluster") && text.contains("c:9092"), "{text}");
    let same = json!({"brokers": ["b:9092"], "topic": "out"});
    assert!(try_sink(&same, &ctx).is_ok());
    let text = try_sink(&same, &exactly_once()).err().unwrap();
    assert!(text.contains("kafka source"), "{text}");
}
