//! Measures the `kafka` sink and source: CPU seconds of this process per million records of 256 bytes.
//!
//! ```text
//! cargo run --release -p levada-connectors --example kafka_bench -- 127.0.0.1:29092 [records] [batch] [setting=value…]
//! ```
//! The batch is what an engine would hand over. Further settings go into both blocks, as in
//! `sink.flushFrequency=5ms` or `source.maxPartitionFetchBytes=4194304`.

use std::path::Path;
use std::time::Duration;

use levada_connectors::{BuildContext, Links, Outcomes, SINKS, SOURCES, Sink, Source};
use levada_model::{ObjectRef, RecordBatch};
use levada_registry::{FieldPath, Node, Report};
use levada_runtime::{Clock, SystemClock, Tasks};
use levada_telemetry::metrics::Registry;
use serde_json::{Map, Value, json};

const PAYLOAD_BYTES: usize = 256;

type Failure = Box<dyn std::error::Error>;

/// Seconds of CPU of this process so far, in user and kernel mode.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
    let ticks: u64 = after
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    ticks as f64 / 100.0
}

fn block<'v>(settings: &'v [String], role: &str) -> impl Iterator<Item = (String, Value)> + 'v {
    let prefix = format!("{role}.");
    settings.iter().filter_map(move |setting| {
        let (key, value) = setting.strip_prefix(&prefix)?.split_once('=')?;
        let value = value.parse::<i64>().map_or_else(|_| json!(value), |number| json!(number));
        Some((key.to_owned(), value))
    })
}

fn sink(settings: &Value, ctx: &BuildContext) -> Result<Box<dyn Sink>, Failure> {
    let entry = SINKS.iter().find(|entry| entry.name == "kafka").ok_or("no kafka")?;
    let node = Node::from_json(settings);
    let spec = (entry.decode)(&node, &FieldPath::root(), &mut Report::new()).ok_or("settings")?;
    Ok(spec.build(ctx)?)
}

fn source(settings: &Value, ctx: &BuildContext) -> Result<Box<dyn Source>, Failure> {
    let entry = SOURCES.iter().find(|entry| entry.name == "kafka").ok_or("no kafka")?;
    let node = Node::from_json(settings);
    let spec = (entry.decode)(&node, &FieldPath::root(), &mut Report::new()).ok_or("settings")?;
    Ok(spec.build(ctx)?)
}

struct Meter<'c> {
    clock: &'c dyn Clock,
    wall: Duration,
    cpu: f64,
}

impl<'c> Meter<'c> {
    fn start(clock: &'c dyn Clock) -> Self {
        Meter { clock, wall: clock.monotonic(), cpu: cpu() }
    }

    #[expect(clippy::print_stdout, reason = "this is what it is for")]
    fn show(&self, what: &str, records: usize) {
        let wall = (self.clock.monotonic() - self.wall).as_secs_f64();
        let cpu = cpu() - self.cpu;
        let millions = records as f64 / 1e6;
        println!(
            "{what}: {:.2} CPU s per million, {:.0} records/s",
            cpu / millions,
            records as f64 / wall
        );
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let broker = arguments.first().ok_or("the address of a broker is missing")?;
    let records: usize = arguments.get(1).map_or(Ok(1_000_000), |text| text.parse())?;
    let batch_records: usize = arguments.get(2).map_or(Ok(2000), |text| text.parse())?;
    let clock = SystemClock::new();
    let ctx = BuildContext {
        flow: ObjectRef::new("DataFlow", "default", "bench"),
        base_dir: Path::new(".").to_owned(),
        clock: clock.clone(),
        metrics: Registry::new(),
        tasks: Tasks::new(),
        batch_records,
        batch_bytes: batch_records * 2 * PAYLOAD_BYTES,
        is_exactly_once: false,
        is_compat: false,
        links: Links::default(),
    };
    let topic = format!("levada-bench-{}", clock.now().0);
    let base = json!({"brokers": [broker], "topic": topic, "consumerGroup": topic});
    let settings = |role: &str| {
        let mut all: Map<String, Value> = base.as_object().cloned().unwrap_or_default();
        all.extend(block(&arguments, role));
        Value::Object(all)
    };

    let mut sink = sink(&settings("sink"), &ctx)?;
    sink.open().await?;
    let mut batch = RecordBatch::new();
    let origin = batch.push_origin("bench".into(), 0.into());
    let payload = vec![b'x'; PAYLOAD_BYTES];
    for number in 0..batch_records {
        batch.push(&payload, origin, number as u64);
    }
    let mut outcomes = Outcomes::default();
    let meter = Meter::start(&*clock);
    let mut sent = 0;
    while sent < records {
        outcomes.clear();
        sink.write(&batch, &mut outcomes).await?;
        sent += outcomes.resolved();
    }
    meter.show("sink", sent);

    let mut source = source(&settings("source"), &ctx)?;
    source.open(&[]).await?;
    let mut batch = RecordBatch::new();
    source.next(&mut batch).await?;
    let meter = Meter::start(&*clock);
    let first = batch.len();
    let mut seen = first;
    while seen < sent {
        batch.clear();
        source.next(&mut batch).await?;
        seen += batch.len();
    }
    meter.show("source", seen - first);
    Ok(())
}
