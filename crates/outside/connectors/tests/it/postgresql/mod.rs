//! The `postgresql` source and sink against a real server; each test has a table of its own.

#![allow(clippy::unwrap_used, reason = "tests end by panicking")]

mod conformance;
mod exactly_once;
mod sink;
mod source;
mod tls;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use levada_connectors::{BuildContext, Outcomes, SINKS, Sink, Source};
use levada_model::{Meta, RecordBatch, RecordError, Value};
use levada_registry::{FieldPath, Node, Report};
use levada_testkit::{build, services};
use serde_json::json;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

/// A database, and a schema that is dropped with it.
struct Database {
    address: String,
    schema: String,
    admin: PgConnection,
}

static NUMBER: AtomicU64 = AtomicU64::new(0);

// === impl Database ===

impl Database {
    /// Connects and makes an empty schema; nothing when there is no server.
    async fn new(test: &str) -> Option<Self> {
        let address = services::POSTGRES.address(test)?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let schema = format!("it_{}_{number}", std::process::id());
        let url = format!("postgres://postgres@{address}/postgres");
        let mut admin = PgConnection::connect(&url).await.unwrap();
        let text = format!(
            "DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}; SET search_path = {schema}"
        );
        sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut admin).await.unwrap();
        Some(Database { address, schema, admin })
    }

    /// Gives a connection string whose tables are those of the schema.
    fn url(&self) -> String {
        self.url_at(&self.address)
    }

    fn url_at(&self, address: &str) -> String {
        let schema = &self.schema;
        format!(
            "postgres://postgres@{address}/postgres?search_path={schema}&application_name={schema}"
        )
    }

    /// Connects once more.
    async fn another(&self) -> PgConnection {
        let url = format!("postgres://postgres@{}/postgres", self.address);
        let mut connection = PgConnection::connect(&url).await.unwrap();
        let text = format!("SET search_path = {}", self.schema);
        sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut connection).await.unwrap();
        connection
    }

    async fn run(&mut self, text: &str) {
        sqlx::raw_sql(AssertSqlSafe(text.to_owned())).execute(&mut self.admin).await.unwrap();
    }

    async fn rows(&mut self, text: &str) -> Vec<PgRow> {
        sqlx::query(AssertSqlSafe(text.to_owned())).fetch_all(&mut self.admin).await.unwrap()
    }

    /// Gives the first column of every row.
    async fn texts(&mut self, text: &str) -> Vec<String> {
        let rows = self.rows(text).await;
        rows.iter().map(|row| row.get::<Option<String>, _>(0).unwrap_or("NULL".into())).collect()
    }

    async fn text(&mut self, text: &str) -> String {
        self.texts(text).await.join("\n")
    }

    /// Ends every connection of the connectors of this test.
    async fn terminate(&mut self) {
        let text = format!(
            "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity WHERE application_name = '{}'",
            self.schema
        );
        self.texts(&text).await;
    }

    /// Makes a sink; `settings` are added to connection and table.
    fn sink(&self, settings: serde_json::Value) -> Box<dyn Sink> {
        self.sink_in(&build::context(Path::new(".")), settings)
    }

    fn sink_in(&self, ctx: &BuildContext, settings: serde_json::Value) -> Box<dyn Sink> {
        let mut all = json!({"connectionString": self.url(), "table": "t"});
        all.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        let entry = SINKS.iter().find(|entry| entry.name == "postgresql").unwrap();
        let mut report = Report::new();
        let spec = (entry.decode)(&Node::from_json(&all), &FieldPath::field("sink"), &mut report);
        assert!(report.is_ok(), "{:?}", report.problems());
        spec.unwrap().build(ctx).unwrap()
    }

    /// Makes a source; `settings` are added to connection and table.
    fn source(&self, settings: serde_json::Value) -> Box<dyn Source> {
        let mut all = json!({"connectionString": self.url(), "table": "t", "pollInterval": 1});
        all.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        build::source("postgresql", &all, Path::new("."))
    }

    async fn drop_schema(mut self) {
        let text = format!("DROP SCHEMA {} CASCADE", self.schema);
        self.run(&text).await;
    }
}

fn batch(payloads: &[&str]) -> RecordBatch {
    batch_with(payloads.iter().map(|payload| (*payload, None)))
}

/// Makes a batch of payloads and operations.
fn batch_with<'a>(records: impl Iterator<Item = (&'a str, Option<&'a str>)>) -> RecordBatch {
    let mut batch = RecordBatch::new();
    let origin = batch.push_origin("test".into(), 1.into());
    for (index, (payload, operation)) in records.enumerate() {
        let meta: Option<Meta> =
            operation.map(|word| [("operation".into(), Value::from(word))].into_iter().collect());
        batch.set_shared_meta(meta.map(Arc::new));
        batch.push(payload.as_bytes(), origin, index as u64);
    }
    batch
}

/// Opens a sink and writes a batch; gives what was rejected.
async fn write(sink: &mut dyn Sink, batch: &RecordBatch) -> Vec<(usize, RecordError)> {
    let mut outcomes = Outcomes::default();
    sink.write(batch, &mut outcomes).await.unwrap();
    assert_eq!(outcomes.resolved(), batch.len());
    outcomes.rejected_records().to_vec()
}

async fn write_all(sink: &mut dyn Sink, payloads: &[&str]) -> Vec<(usize, RecordError)> {
    write(sink, &batch(payloads)).await
}
