//! The `clickhouse` source and sink, against a stand-in for the server.

use async_trait::async_trait;
use levada_connectors::{Sink, Source};
use levada_testkit::clickhouse::{Clickhouse, Mode};
use levada_testkit::conformance::{payloads, sink, source};
use levada_testkit::{build, sink_suite, source_suite};
use serde_json::json;

source_suite!(clickhouse_source, Polled { page: 0 });
source_suite!(clickhouse_source_paged, Polled { page: 700 });
sink_suite!(clickhouse_sink, Written { is_replicated: false });
sink_suite!(clickhouse_sink_replicated, Written { is_replicated: true });

const COLUMNS: &[(&str, &str)] = &[("id", "Int64"), ("pad", "Nullable(String)")];

// === The source ===

struct Polled {
    page: usize,
}

struct Table {
    server: Clickhouse,
    all: Vec<Vec<u8>>,
    page: usize,
}

#[async_trait]
impl source::SourceHarness for Polled {
    fn name(&self) -> String {
        format!("clickhouse source (pages of {})", self.page)
    }

    fn abilities(&self) -> source::Abilities {
        source::Abilities {
            ends: Err("a table may always grow"),
            resumes: Ok(()),
            has_poison: Err("the server writes every row as JSON"),
            disconnects: Ok(()),
            holds_back: Err("it asks for rows; nobody sends them unasked"),
            ahead_max: 0,
        }
    }

    async fn scene(&self, plan: source::Plan) -> Box<dyn source::SourceScene> {
        let server = Clickhouse::start(COLUMNS);
        let all = payloads(plan.records, plan.bytes);
        server.with(|state| state.rows.clone_from(&all));
        Box::new(Table { server, all, page: self.page })
    }
}

#[async_trait]
impl source::SourceScene for Table {
    async fn source(&mut self) -> Box<dyn Source> {
        let settings = json!({
            "connectionString": self.server.connection(), "table": "orders", "pollInterval": 1,
            "changeTrackingColumn": "id", "orderByColumn": "id", "readBatchSize": self.page,
        });
        build::source("clickhouse", &settings, std::path::Path::new("."))
    }

    fn expected(&self) -> Option<Vec<Vec<u8>>> {
        Some(self.all.clone())
    }

    async fn disconnect(&mut self) {
        self.server.set_for(Mode::Cut, Some(1));
    }
}

// === The sink ===

struct Written {
    is_replicated: bool,
}

struct Target {
    server: Clickhouse,
}

#[async_trait]
impl sink::SinkHarness for Written {
    fn name(&self) -> String {
        format!("clickhouse sink (replicated: {})", self.is_replicated)
    }

    fn abilities(&self) -> sink::Abilities {
        sink::Abilities {
            reads_back: Ok(()),
            has_poison: Ok(()),
            disconnects: Ok(()),
            slows: Ok(()),
            // A write ends when it is answered.
            ahead_max: 0,
            restarts: Ok(()),
            is_idempotent: self.is_replicated,
        }
    }

    async fn scene(&self) -> Box<dyn sink::SinkScene> {
        let server = Clickhouse::start(COLUMNS);
        server.with(|state| state.looks_at_tokens = self.is_replicated);
        Box::new(Target { server })
    }
}

#[async_trait]
impl sink::SinkScene for Target {
    async fn sink(&mut self) -> Box<dyn Sink> {
        let settings = json!({"connectionString": self.server.connection(), "table": "orders"});
        build::sink("clickhouse", &settings, std::path::Path::new(".")).0
    }

    async fn arrived(&mut self) -> Vec<Vec<u8>> {
        self.server.with(|state| state.rows.clone())
    }

    async fn set(&mut self, target: sink::Target) {
        self.server.set(match target {
            sink::Target::Well => Mode::Well,
            sink::Target::Away => Mode::Away,
            sink::Target::Slow => Mode::Hold,
        });
    }

    fn poison(&self) -> Vec<u8> {
        b"{\"id\":\"poison\"}".to_vec()
    }
}
