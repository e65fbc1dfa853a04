//! Measures the `postgresql` sink: rows and CPU seconds of this process per million rows.
//!
//! ```text
//! cargo run --release -p levada-connectors --no-default-features --features postgresql \
//!     --example postgresql_bench -- postgres://postgres@127.0.0.1:25432/postgres 1000000 10000
//! ```
//! The rows have six typed columns. Plain inserts go by COPY; those into a view go by arrays, so that
//! the two ways can be compared; upserts and transactions with positions follow.
#![expect(clippy::print_stdout, reason = "prints what it measures")]
#![expect(clippy::disallowed_methods, reason = "a measurement runs on the real clock")]
#![expect(clippy::unwrap_used, reason = "a measurement that fails ends")]

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use levada_connectors::{BuildContext, Links, Outcomes, SINKS, Sink};
use levada_model::{ObjectRef, RecordBatch};
use levada_registry::{FieldPath, Node, Report};
use levada_runtime::{SystemClock, Tasks};
use levada_telemetry::metrics::Registry;
use serde_json::json;
use sqlx::{Connection as _, PgConnection};

const COLUMNS: &str =
    "(id bigint, at timestamptz, name text, amount numeric, rate double precision, ok boolean)";

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().expect("a connection string");
    let count: usize = arguments.next().map_or(1_000_000, |text| text.parse().unwrap());
    let size: usize = arguments.next().map_or(10_000, |text| text.parse().unwrap());
    let mut admin = PgConnection::connect(&url).await.unwrap();
    for (name, setup, settings, every) in [
        ("copy", "", json!({}), 0),
        (
            "arrays",
            "CREATE VIEW bench_view AS SELECT * FROM bench",
            json!({"table": "bench_view"}),
            0,
        ),
        ("upsert", "ALTER TABLE bench ADD PRIMARY KEY (id)", json!({"upsertMode": true}), 0),
        ("copy, exactly once, 10 batches", "", json!({}), 10),
        ("copy, exactly once, each batch", "", json!({}), 1),
    ] {
        let text =
            format!("DROP TABLE IF EXISTS bench CASCADE; CREATE TABLE bench {COLUMNS}; {setup}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(text)).execute(&mut admin).await.unwrap();
        let mut sink = sink(&url, settings, every > 0);
        let (seconds, cpu) = measure(&mut *sink, count, size, every).await;
        let million = count as f64 / 1e6;
        println!(
            "{name:32} {:>9.0} rows/s  {:.2} CPU s per million",
            count as f64 / seconds,
            cpu / million
        );
    }
    sqlx::raw_sql("DROP TABLE bench CASCADE").execute(&mut admin).await.unwrap();
}

async fn measure(sink: &mut dyn Sink, count: usize, size: usize, every: usize) -> (f64, f64) {
    sink.open().await.unwrap();
    if every > 0 {
        sink.transactional().unwrap().stored().await.unwrap();
    }
    let mut batch = RecordBatch::new();
    let mut outcomes = Outcomes::default();
    let (mut seconds, mut used) = (0.0, 0.0);
    for (number, start) in (0..count).step_by(size).enumerate() {
        fill(&mut batch, start, size.min(count - start));
        outcomes.clear();
        let (begun, cpu_before) = (Instant::now(), cpu());
        if every > 0 {
            let sink = sink.transactional().unwrap();
            sink.prepare(&batch, &mut outcomes).await.unwrap();
            if number % every == every - 1 || start + size >= count {
                sink.commit(&[("p/0".into(), start.into())]).await.unwrap();
            }
        } else {
            sink.write(&batch, &mut outcomes).await.unwrap();
        }
        seconds += begun.elapsed().as_secs_f64();
        used += cpu() - cpu_before;
        assert_eq!(outcomes.rejected_records().len(), 0);
    }
    (seconds, used)
}

fn fill(batch: &mut RecordBatch, start: usize, count: usize) {
    batch.clear();
    let origin = batch.push_origin("p/0".into(), start.into());
    let mut text = String::new();
    for id in start..start + count {
        text.clear();
        write!(
            text,
            "{{\"id\":{id},\"at\":\"2026-02-07T10:30:{:02}.{:03}Z\",\"name\":\"customer {id}\",\
             \"amount\":{}.{:02},\"rate\":0.{id},\"ok\":{}}}",
            id % 60,
            id % 1000,
            id % 9973,
            id % 100,
            id % 2 == 0
        )
        .unwrap();
        batch.push(text.as_bytes(), origin, id as u64);
    }
}

fn sink(url: &str, settings: serde_json::Value, is_exactly_once: bool) -> Box<dyn Sink> {
    let mut all = json!({"connectionString": url, "table": "bench"});
    all.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    let entry = SINKS.iter().find(|entry| entry.name == "postgresql").unwrap();
    let mut report = Report::new();
    let spec = (entry.decode)(&Node::from_json(&all), &FieldPath::field("sink"), &mut report);
    assert!(report.is_ok(), "{:?}", report.problems());
    let ctx = BuildContext {
        flow: ObjectRef::new("DataFlow", "default", "bench"),
        base_dir: PathBuf::from("."),
        clock: SystemClock::new(),
        metrics: Registry::new(),
        tasks: Tasks::new(),
        batch_records: 2000,
        batch_bytes: 128 << 10,
        is_exactly_once,
        is_compat: false,
        links: Links::default(),
    };
    spec.unwrap().build(&ctx).unwrap()
}

/// Gives the CPU seconds of this thread: user and system, in nanoseconds of the scheduler.
fn cpu() -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap();
    text.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1e9
}
