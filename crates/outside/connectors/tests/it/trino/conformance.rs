//! The suite that every connector must pass, against the real server behind a proxy.

use std::path::Path;

use async_trait::async_trait;
use levada_connectors::{Sink, Source};
use levada_testkit::build;
use levada_testkit::conformance::{payloads, sink, source};
use levada_testkit::proxy::{Link, Proxy};
use serde_json::{Value, json};

use super::server::{Trino, with};

/// The suite, where there is a server.
macro_rules! suite {
    ($name:ident, $part:ident: $($case:ident),*) => {
        mod $name {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    if super::is_there() {
                        levada_testkit::conformance::$part::$case(&super::Real).await;
                    }
                }
            )*
        }
    };
}

suite!(trino_source, source:
    hands_out_everything, reports_poison, goes_on_from_every_position, survives_dropped_calls,
    survives_a_broken_connection, holds_back_who_sends);
suite!(trino_sink, sink:
    delivers_everything, rejects_poison, survives_a_target_that_is_away, waits_for_a_slow_target,
    keeps_its_promise_on_duplicates, keeps_what_was_synced, survives_dropped_writes);

struct Real;

/// Says that the case is skipped where it is not.
fn is_there() -> bool {
    levada_testkit::services::TRINO.address("trino conformance").is_some()
}

/// A table, and the way to it.
struct Scene {
    trino: Trino,
    proxy: Proxy,
    settings: Value,
    table: String,
    all: Vec<Vec<u8>>,
}

impl Scene {
    fn new(word: &str) -> Scene {
        let mut trino = Trino::find("trino conformance").unwrap();
        let table = trino.table(word);
        let proxy = Proxy::start(&trino.address);
        let address = json!({"serverURL": format!("http://{}", proxy.address())});
        let settings = with(trino.settings(&table), address);
        Scene { trino, proxy, settings, table, all: Vec::new() }
    }

    fn run(&self, sql: &str) -> Vec<Vec<Value>> {
        self.trino.run(sql)
    }
}

// === The source ===

#[async_trait]
impl source::SourceHarness for Real {
    fn name(&self) -> String {
        "trino source".into()
    }

    fn abilities(&self) -> source::Abilities {
        source::Abilities {
            ends: Err("it polls for more"),
            resumes: Ok(()),
            has_poison: Err("a row is what the server says"),
            disconnects: Ok(()),
            holds_back: Err("it asks; nobody sends"),
            ahead_max: 0,
        }
    }

    async fn scene(&self, plan: source::Plan) -> Box<dyn source::SourceScene> {
        let mut scene = Scene::new("source");
        scene.all = payloads(plan.records, plan.bytes);
        let pad = plan.bytes.saturating_sub(30);
        scene.settings = with(scene.settings, json!({"pollInterval": 1}));
        scene.run(&format!(
            "CREATE TABLE {} AS SELECT n AS id, lpad(cast(n AS varchar), {pad}, 'x') AS pad \
             FROM unnest(sequence(0, {})) AS t(n)",
            scene.table,
            plan.records - 1
        ));
        Box::new(scene)
    }
}

#[async_trait]
impl source::SourceScene for Scene {
    async fn source(&mut self) -> Box<dyn Source> {
        build::source("trino", &self.settings, Path::new("."))
    }

    fn expected(&self) -> Option<Vec<Vec<u8>>> {
        Some(self.all.clone())
    }

    async fn disconnect(&mut self) {
        let proxy = &self.proxy;
        // More than one request tries by itself.
        proxy.refuse_next(8);
        proxy.cut();
    }
}

// === The sink ===

#[async_trait]
impl sink::SinkHarness for Real {
    fn name(&self) -> String {
        "trino sink".into()
    }

    fn abilities(&self) -> sink::Abilities {
        sink::Abilities {
            reads_back: Ok(()),
            has_poison: Ok(()),
            disconnects: Ok(()),
            slows: Ok(()),
            // A write ends when its statement did.
            ahead_max: 0,
            restarts: Ok(()),
            is_idempotent: false,
        }
    }

    async fn scene(&self) -> Box<dyn sink::SinkScene> {
        let scene = Scene::new("sink");
        scene.run(&format!("CREATE TABLE {} (id bigint, pad varchar)", scene.table));
        Box::new(scene)
    }
}

#[async_trait]
impl sink::SinkScene for Scene {
    async fn sink(&mut self) -> Box<dyn Sink> {
        build::sink("trino", &self.settings, Path::new(".")).0
    }

    async fn arrived(&mut self) -> Vec<Vec<u8>> {
        let record = |row: Vec<Value>| match &row[1] {
            Value::Null => format!("{{\"id\":{}}}", row[0]).into_bytes(),
            pad => format!("{{\"id\":{},\"pad\":{pad}}}", row[0]).into_bytes(),
        };
        let rows = self.run(&format!("SELECT id, pad FROM {}", self.table));
        rows.into_iter().map(record).collect()
    }

    async fn set(&mut self, target: sink::Target) {
        let proxy = &self.proxy;
        proxy.set(match target {
            sink::Target::Well => Link::Forward,
            sink::Target::Away => Link::Refuse,
            sink::Target::Slow => Link::Hold,
        });
        if target == sink::Target::Away {
            proxy.cut();
        }
    }

    fn poison(&self) -> Vec<u8> {
        b"{\"id\":\"poison\"}".to_vec()
    }
}
