//! The connectors against ClickHouse's own engine: what it makes of the statements that the stand-in believes.

use levada_connectors::{Outcomes, Sink};
use levada_model::RecordBatch;
use levada_testkit::http::request;
use levada_testkit::{build, services};
use serde_json::{Value, json};

/// A server and a table that no other test has.
struct Server {
    address: String,
    table: String,
}

impl Server {
    fn find(test: &str) -> Option<Self> {
        let address = services::CLICKHOUSE.address(test)?;
        let server = Server { address, table: format!("{test}_{}", std::process::id()) };
        server.run(&format!("DROP TABLE IF EXISTS {}", server.table)).unwrap();
        Some(server)
    }

    /// Runs a statement; gives the lines of its answer, or the exception.
    fn run(&self, sql: &str) -> Result<Vec<String>, String> {
        let headers = [("X-ClickHouse-Database", "shop")];
        let (status, body) = request(&self.address, "POST", "/", &headers, sql.as_bytes()).unwrap();
        let text = String::from_utf8(body).unwrap();
        if status == 200 { Ok(text.lines().map(str::to_owned).collect()) } else { Err(text) }
    }

    fn settings(&self, more: Value) -> Value {
        let url = format!("clickhouse://anybody:secret@{}/shop?dial_timeout=10s", self.address);
        let mut settings = json!({"connectionString": url, "table": self.table});
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        settings
    }

    async fn sink(&self, more: Value) -> Box<dyn Sink> {
        let folder = std::path::Path::new(".");
        let mut sink = build::sink("clickhouse", &self.settings(more), folder).0;
        sink.open().await.unwrap();
        sink
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.run(&format!("DROP TABLE IF EXISTS {}", self.table)).is_ok();
    }
}

fn batch(payloads: &[String]) -> RecordBatch {
    let mut batch = RecordBatch::new();
    let origin = batch.push_origin("orders/0".into(), 9.into());
    for (index, payload) in payloads.iter().enumerate() {
        batch.push(payload.as_bytes(), origin, index as u64);
        batch.meta_mut(index).set("offset", levada_model::Value::Int(index as i64));
    }
    batch
}

async fn write(sink: &mut dyn Sink, batch: &RecordBatch) -> Vec<(usize, String)> {
    let mut outcomes = Outcomes::default();
    sink.write(batch, &mut outcomes).await.unwrap();
    assert_eq!(outcomes.resolved(), batch.len());
    let rejected = outcomes.rejected_records().iter();
    rejected.map(|(index, error)| (*index, error.message.clone())).collect()
}

fn order(id: u64) -> String {
    format!(
        "{{\"id\":{id},\"name\":\"it's \\\\ \\u00e9\",\"price\":{id}.25,\"big\":9007199254740993,\"ok\":true,\
         \"created_at\":\"2024-02-29T10:11:12.{id:03}Z\",\"items\":[{{\"sku\":\"a\"}}],\"none\":null}}"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_written_and_read_as_they_were() {
    let Some(server) = Server::find("rows_are_written_and_read") else { return };
    let more = json!({"autoCreateTable": true, "upsertMode": true, "conflictKey": "id", "compression": "gzip"});
    let mut sink = server.sink(more).await;
    let records: Vec<String> = (0..50).map(order).collect();
    assert_eq!(write(&mut *sink, &batch(&records)).await, []);
    // A row that changes replaces the one before it.
    let changed = vec![order(7).replace("7.25", "99.75")];
    assert_eq!(write(&mut *sink, &batch(&changed)).await, []);
    let sql = format!("SELECT count(), max(price) FROM {} FINAL", server.table);
    assert_eq!(server.run(&sql).unwrap(), ["50\t99.75"]);

    let more = json!({"stopAtEnd": true, "readBatchSize": 20, "pollInterval": 1});
    let settings = server.settings(more);
    let mut source = build::source("clickhouse", &settings, std::path::Path::new("."));
    source.open(&[]).await.unwrap();
    let mut read: Vec<Value> = Vec::new();
    let mut batch = RecordBatch::new();
    while source.next(&mut batch).await.unwrap() {
        read.extend((0..batch.len()).map(|index| {
            let payload = batch.payload(index);
            serde_json::from_slice::<Value>(&payload).unwrap()
        }));
        batch.clear();
    }
    // The last row of the key 7 may stand beside the one that it replaces, until they are merged.
    read.dedup_by_key(|row| row["id"].clone());
    assert_eq!(read.len(), 50);
    let mut wanted: Value = serde_json::from_str(&order(3)).unwrap();
    wanted["items"] = "[{\"sku\":\"a\"}]".into();
    assert_eq!(read[3], wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_batch_is_there_once() {
    let Some(server) = Server::find("a_repeated_batch_is_there_once") else { return };
    let window = "SETTINGS non_replicated_deduplication_window = 100";
    let columns = "(id Int64, name Nullable(String))";
    let sql =
        format!("CREATE TABLE {} {columns} ENGINE = MergeTree ORDER BY id {window}", server.table);
    server.run(&sql).unwrap();
    let mut sink = server.sink(json!({})).await;
    let records: Vec<String> = (0..20).map(|id| format!("{{\"id\":{id}}}")).collect();
    for _ in 0..3 {
        assert_eq!(write(&mut *sink, &batch(&records)).await, []);
    }
    let count = format!("SELECT count() FROM {}", server.table);
    assert_eq!(server.run(&count).unwrap(), ["20"], "the token tells that it is the same batch");
    // Others with the same content are others.
    let mut other = batch(&records);
    for record in &mut other.records {
        record.position += 20;
    }
    assert_eq!(write(&mut *sink, &other).await, []);
    assert_eq!(server.run(&count).unwrap(), ["40"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_the_engine_cannot_take_are_at_fault() {
    let Some(server) = Server::find("records_that_the_engine_cannot_take") else { return };
    let sql = format!(
        "CREATE TABLE {} (id Int64, at DateTime) ENGINE = MergeTree ORDER BY id",
        server.table
    );
    server.run(&sql).unwrap();
    let mut sink = server.sink(json!({})).await;
    for bad in [
        "{\"id\":\"x\",\"at\":\"2024-01-01T00:00:00Z\"}",
        "{\"id\":1,\"at\":\"yesterday\"}",
        "{\"id\":1,\"at\":\"2024-01-01T00:00:00Z\",\"more\":1}",
    ] {
        let mut outcomes = Outcomes::default();
        let error = sink.write(&batch(&[bad.to_owned()]), &mut outcomes).await.err();
        let is_about = error.as_ref().is_some_and(|error| error.is_about_records);
        assert!(is_about || outcomes.rejected_records().len() == 1, "{bad}: {error:?}");
    }
    let good = ["{\"id\":1,\"at\":\"2024-01-01T00:00:00Z\"}".to_owned()];
    assert_eq!(write(&mut *sink, &batch(&good)).await, []);
    assert_eq!(
        server.run(&format!("SELECT * FROM {}", server.table)).unwrap(),
        ["1\t2024-01-01 00:00:00"]
    );
    // A table that is gone ends the flow; no record is at fault.
    server.run(&format!("DROP TABLE {}", server.table)).unwrap();
    let mut outcomes = Outcomes::default();
    let error = sink.write(&batch(&good), &mut outcomes).await.unwrap_err();
    assert!(!error.is_about_records && !error.class.is_transient(), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_records_get_a_table() {
    let Some(server) = Server::find("raw_records_get_a_table") else { return };
    let more = json!({
        "autoCreateTable": true, "rawMode": true, "flattenMetadataColumns": true,
        "flattenMetadataColumnsPrefix": "kafka_",
    });
    let mut sink = server.sink(more).await;
    let records = ["{\"a\":\"it's\"}".to_owned(), "plain \\text".to_owned()];
    assert_eq!(write(&mut *sink, &batch(&records)).await, []);
    let sql = format!(
        "SELECT data, kafka_offset FROM {} ORDER BY kafka_offset FORMAT JSONEachRow",
        server.table
    );
    let rows: Vec<Value> =
        server.run(&sql).unwrap().iter().map(|row| serde_json::from_str(row).unwrap()).collect();
    assert_eq!(rows.iter().map(|row| &row["data"]).collect::<Vec<_>>(), [&records[0], &records[1]]);
}
