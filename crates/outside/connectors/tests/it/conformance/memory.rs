//! The `memory` source and sink: each is the other's peer.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use levada_connectors::{Outcomes, Sink, Source};
use levada_model::RecordBatch;
use levada_testkit::conformance::{payloads, sink, source};
use levada_testkit::{build, sink_suite, source_suite};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

source_suite!(memory_source, Memory);
sink_suite!(memory_sink, Memory);

/// Records that wait in the channel at most.
const WAITING_MAX: u64 = 1000;

/// Records of one write.
const WRITE_RECORDS: usize = 100;

/// Why nothing outside of the process applies.
const INSIDE: Result<(), &str> = Err("it lives in one process");

struct Memory;

/// Gives a name that no other test uses.
fn unused_name() -> Value {
    static LAST: AtomicU64 = AtomicU64::new(0);
    format!("conformance-{}", LAST.fetch_add(1, Ordering::Relaxed)).into()
}

// === The source ===

struct Writer {
    name: Value,
    all: Vec<Vec<u8>>,
    taken: Arc<AtomicU64>,
    sink: Option<Box<dyn Sink>>,
}

#[async_trait]
impl source::SourceHarness for Memory {
    fn name(&self) -> String {
        "memory source".into()
    }

    fn abilities(&self) -> source::Abilities {
        source::Abilities {
            ends: Ok(()),
            resumes: Err("nothing survives a crash"),
            has_poison: Err("a record is what its sink was given"),
            disconnects: INSIDE,
            holds_back: Ok(()),
            ahead_max: WAITING_MAX + WRITE_RECORDS as u64,
        }
    }

    async fn scene(&self, plan: source::Plan) -> Box<dyn source::SourceScene> {
        let name = unused_name();
        let settings = json!({"name": name, "maxRecords": WAITING_MAX});
        let sink = Some(build::sink("memory", &settings, Path::new(".")).0);
        let all = payloads(plan.records, plan.bytes);
        Box::new(Writer { name, all, taken: Arc::default(), sink })
    }
}

#[async_trait]
impl source::SourceScene for Writer {
    async fn source(&mut self) -> Box<dyn Source> {
        build::source("memory", &json!({"name": self.name}), Path::new("."))
    }

    fn expected(&self) -> Option<Vec<Vec<u8>>> {
        Some(self.all.clone())
    }

    #[expect(clippy::disallowed_methods, reason = "a peer that writes while the case reads")]
    async fn begin(&mut self) {
        let (all, taken) = (self.all.clone(), self.taken.clone());
        let mut sink = self.sink.take().unwrap();
        tokio::spawn(async move {
            sink.open().await.unwrap();
            for part in all.chunks(WRITE_RECORDS) {
                let mut batch = RecordBatch::new();
                let origin = batch.push_origin("in".into(), 0.into());
                for payload in part {
                    batch.push(payload, origin, 0);
                }
                let mut outcomes = Outcomes::default();
                sink.write(&batch, &mut outcomes).await.unwrap();
                assert_eq!(outcomes.resolved(), part.len());
                taken.fetch_add(part.len() as u64, Ordering::AcqRel);
            }
            sink.close().await.unwrap();
        });
    }

    fn taken(&self) -> u64 {
        self.taken.load(Ordering::Acquire)
    }
}

// === The sink ===

struct Reader {
    name: Value,
    is_paused: watch::Sender<bool>,
    reading: Option<JoinHandle<Vec<Vec<u8>>>>,
}

#[async_trait]
impl sink::SinkHarness for Memory {
    fn name(&self) -> String {
        "memory sink".into()
    }

    fn abilities(&self) -> sink::Abilities {
        sink::Abilities {
            reads_back: Ok(()),
            has_poison: Err("it takes any bytes"),
            disconnects: INSIDE,
            slows: Ok(()),
            // The reader may take one block more before it stands still.
            ahead_max: WAITING_MAX + 2 * WRITE_RECORDS as u64,
            restarts: Err("nothing survives a crash"),
            is_idempotent: false,
        }
    }

    async fn scene(&self) -> Box<dyn sink::SinkScene> {
        Box::new(Reader { name: unused_name(), is_paused: watch::channel(false).0, reading: None })
    }
}

#[async_trait]
impl sink::SinkScene for Reader {
    #[expect(clippy::disallowed_methods, reason = "a peer that reads while the case writes")]
    async fn sink(&mut self) -> Box<dyn Sink> {
        let settings = json!({"name": self.name, "maxRecords": WAITING_MAX});
        let sink = build::sink("memory", &settings, Path::new(".")).0;
        let mut source = build::source("memory", &json!({"name": self.name}), Path::new("."));
        let mut is_paused = self.is_paused.subscribe();
        self.reading = Some(tokio::spawn(async move {
            source.open(&[]).await.unwrap();
            let mut got = Vec::new();
            let mut batch = RecordBatch::new();
            loop {
                is_paused.wait_for(|is_paused| !is_paused).await.unwrap();
                batch.clear();
                if !source.next(&mut batch).await.unwrap() {
                    return got;
                }
                got.extend((0..batch.len()).map(|index| batch.payload(index).into_owned()));
            }
        }));
        sink
    }

    async fn arrived(&mut self) -> Vec<Vec<u8>> {
        let reading = self.reading.take().unwrap();
        tokio::time::timeout(Duration::from_secs(20), reading).await.unwrap().unwrap()
    }

    async fn set(&mut self, target: sink::Target) {
        self.is_paused.send_replace(target == sink::Target::Slow);
    }
}
