//! The suite that every connector must pass.

use std::path::Path;

use async_trait::async_trait;
use levada_connectors::Sink;
use levada_testkit::conformance::sink;
use levada_testkit::proxy::{Link, Proxy};
use levada_testkit::{build, sink_suite};
use serde_json::{Value, json};

use super::Database;

sink_suite!(plain, Table { key: "", settings: json!({}) });
sink_suite!(keyed, Table { key: "PRIMARY KEY", settings: json!({}) });
sink_suite!(upserts, Table { key: "PRIMARY KEY", settings: json!({"upsertMode": true}) });

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
