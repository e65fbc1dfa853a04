//! The suite that every connector must pass.

use std::path::Path;

use async_trait::async_trait;
use levada_connectors::{Sink, Source};
use levada_testkit::conformance::{sink, source};
use levada_testkit::proxy::{Link, Proxy};
use levada_testkit::{build, sink_suite, source_suite};
use serde_json::{Value, json};

use super::Database;

sink_suite!(plain, Table { key: "", settings: json!({}) });
sink_suite!(keyed, Table { key: "PRIMARY KEY", settings: json!({}) });
sink_suite!(upserts, Table { key: "PRIMARY KEY", settings: json!({"upsertMode": true}) });

source_suite!(by_change, Rows { settings: json!({}) });
source_suite!(by_key, Rows { settings: json!({"table": "k", "overlap": "0s"}) });
source_suite!(by_key_with_window, Rows { settings: json!({"table": "k"}) });
source_suite!(
    by_query,
    Rows {
        settings: json!({
            "query": "SELECT id, pad, updated_at FROM t -- all", "changeTrackingColumn": "updated_at",
            "overlap": "0s",
        })
    }
);

struct Rows {
    settings: Value,
}

struct Filled {
    database: Option<Database>,
    proxy: Option<Proxy>,
    settings: Value,
    expected: Vec<Vec<u8>>,
}

#[async_trait]
impl source::SourceHarness for Rows {
    fn name(&self) -> String {
        format!("postgresql source ({})", self.settings)
    }

    fn abilities(&self) -> source::Abilities {
        let is_there = levada_testkit::services::POSTGRES.address("postgresql source").is_some();
        let can = if is_there { Ok(()) } else { Err("no server") };
        source::Abilities {
            ends: if is_there { Err("it polls") } else { Ok(()) },
            resumes: can,
            has_poison: Err("the server makes the JSON"),
            disconnects: can,
            holds_back: Err("it asks"),
            ahead_max: 0,
        }
    }

    async fn scene(&self, plan: source::Plan) -> Box<dyn source::SourceScene> {
        let Some(mut database) = Database::new(&self.name()).await else {
            let settings = Value::Null;
            return Box::new(Filled {
                database: None,
                proxy: None,
                settings,
                expected: Vec::new(),
            });
        };
        let pad = plan.bytes.saturating_sub(100);
        // Many rows share one time of change, across batches.
        database
            .run(&format!(
                "CREATE TABLE t (id bigint PRIMARY KEY, pad text, updated_at timestamptz); \
                 CREATE TABLE k (id bigint PRIMARY KEY, pad text); \
                 INSERT INTO t SELECT n, repeat('x', {pad}), timestamptz '2026-01-01' + n / 700 * interval '1 s' \
                 FROM generate_series(0, {0} - 1) n; \
                 INSERT INTO k SELECT n, repeat('x', {pad}) FROM generate_series(0, {0} - 1) n",
                plan.records
            ))
            .await;
        let is_keyed = self.settings["table"] == "k";
        let text = format!(
            "SELECT row_to_json({0})::text FROM {0} ORDER BY id",
            if is_keyed { "k" } else { "t" }
        );
        let expected = database.texts(&text).await.into_iter().map(String::into_bytes).collect();
        let proxy = Proxy::start(&database.address);
        let mut settings = self.settings.clone();
        settings["connectionString"] = database.url_at(&proxy.address()).into();
        settings["pollInterval"] = 1.into();
        if !is_keyed {
            settings["table"] = "t".into();
        }
        Box::new(Filled { database: Some(database), proxy: Some(proxy), settings, expected })
    }
}

#[async_trait]
impl source::SourceScene for Filled {
    async fn source(&mut self) -> Box<dyn Source> {
        if self.database.is_none() {
            return build::source("generator", &json!({"count": 1}), Path::new("."));
        }
        build::source("postgresql", &self.settings, Path::new("."))
    }

    fn expected(&self) -> Option<Vec<Vec<u8>>> {
        self.database.as_ref().map(|_| self.expected.clone())
    }

    async fn disconnect(&mut self) {
        if let Some(proxy) = &self.proxy {
            proxy.cut();
        }
    }
}

struct Table {
    key: &'static str,
    settings: Value,
}

struct Scene {
    database: Database,
    proxy: Proxy,
    settings: Value,
}

const NO_SERVER: sink::Abilities = sink::Abilities {
    reads_back: Err("no server"),
    has_poison: Err("no server"),
    disconnects: Err("no server"),
    slows: Err("no server"),
    ahead_max: 0,
    restarts: Err("no server"),
    is_idempotent: false,
};

struct Nothing;

#[async_trait]
impl sink::SinkHarness for Table {
    fn name(&self) -> String {
        format!("postgresql sink ({} {})", self.key, self.settings)
    }

    fn abilities(&self) -> sink::Abilities {
        if levada_testkit::services::POSTGRES.address("postgresql sink").is_none() {
            return NO_SERVER;
        }
        sink::Abilities {
            reads_back: Ok(()),
            has_poison: Ok(()),
            disconnects: Ok(()),
            slows: Ok(()),
            // A write ends when it is committed.
            ahead_max: 0,
            restarts: Ok(()),
            is_idempotent: !self.key.is_empty(),
        }
    }

    async fn scene(&self) -> Box<dyn sink::SinkScene> {
        let Some(mut database) = Database::new(&self.name()).await else {
            return Box::new(Nothing);
        };
        database.run(&format!("CREATE TABLE t (id bigint {}, pad text)", self.key)).await;
        let proxy = Proxy::start(&database.address);
        let mut settings = self.settings.clone();
        settings["connectionString"] = database.url_at(&proxy.address()).into();
        settings["table"] = "t".into();
        Box::new(Scene { database, proxy, settings })
    }
}

#[async_trait]
impl sink::SinkScene for Scene {
    async fn sink(&mut self) -> Box<dyn Sink> {
        build::sink("postgresql", &self.settings, Path::new(".")).0
    }

    async fn arrived(&mut self) -> Vec<Vec<u8>> {
        let text = "SELECT CASE WHEN pad IS NULL THEN format('{\"id\":%s}', id) \
            ELSE format('{\"id\":%s,\"pad\":\"%s\"}', id, pad) END FROM t";
        self.database.texts(text).await.into_iter().map(String::into_bytes).collect()
    }

    async fn set(&mut self, target: sink::Target) {
        match target {
            sink::Target::Well => self.proxy.set(Link::Forward),
            sink::Target::Away => {
                self.proxy.set(Link::Refuse);
                self.proxy.cut();
            }
            sink::Target::Slow => self.proxy.set(Link::Hold),
        }
    }

    fn poison(&self) -> Vec<u8> {
        b"{\"id\":\"poison\",\"pad\":\"x\"}".to_vec()
    }
}

#[async_trait]
impl sink::SinkScene for Nothing {
    async fn sink(&mut self) -> Box<dyn Sink> {
        build::sink("blackhole", &json!({}), Path::new(".")).0
    }

    async fn arrived(&mut self) -> Vec<Vec<u8>> {
        Vec::new()
    }
}
