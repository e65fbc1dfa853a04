//! The real server, asked by a client of a few lines that shares nothing with the connectors.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use levada_connectors::{Outcomes, Sink, Source};
use levada_model::{Meta, RecordBatch};
use levada_testkit::{build, services};
use serde_json::{Value, json};

/// A server, or nothing when it is not there: then the test is skipped.
pub(crate) struct Trino {
    pub(crate) address: String,
    /// Catalog and name.
    tables: Vec<(String, String)>,
}

impl Trino {
    pub(crate) fn find(test: &str) -> Option<Trino> {
        let address = services::TRINO.address(test)?;
        Some(Trino { address, tables: Vec::new() })
    }

    /// Gives the name of a table of `memory.default` that no other test uses; dropped at the end.
    pub(crate) fn table(&mut self, word: &str) -> String {
        self.table_of("memory", word)
    }

    /// Gives such a name in another catalog.
    pub(crate) fn table_of(&mut self, catalog: &str, word: &str) -> String {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let name = format!("it_{word}_{}_{number}", std::process::id());
        self.tables.push((catalog.to_owned(), name.clone()));
        name
    }

    /// Runs a statement; gives the rows, or the name of the error.
    pub(crate) fn ask(&self, sql: &str) -> Result<Vec<Vec<Value>>, String> {
        let mut answer = self.request("POST", "/v1/statement", sql);
        let mut rows = Vec::new();
        loop {
            let mut body = answer;
            if let Some(error) = body.get("error") {
                return Err(error["errorName"].as_str().unwrap_or_default().to_owned());
            }
            if let Some(Value::Array(data)) = body.get_mut("data") {
                rows.extend(data.drain(..).map(|row| row.as_array().unwrap().clone()));
            }
            let Some(next) = body["nextUri"].as_str() else { return Ok(rows) };
            let path = next.split_once("//").unwrap().1;
            answer = self.request("GET", &path[path.find('/').unwrap()..], "");
        }
    }

    /// Sends a request of HTTP/1.0, whose answer ends with the connection.
    fn request(&self, method: &str, path: &str, body: &str) -> Value {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: {}\r\nContent-Length: {}\r\nX-Trino-User: test\r\n\
             X-Trino-Catalog: memory\r\nX-Trino-Schema: default\r\n\
             X-Trino-Client-Capabilities: PARAMETRIC_DATETIME\r\n\r\n",
            self.address,
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let text = String::from_utf8(answer).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(" 200 "), "{text}");
        serde_json::from_str(body).unwrap()
    }

    pub(crate) fn run(&self, sql: &str) -> Vec<Vec<Value>> {
        self.ask(sql).unwrap_or_else(|error| panic!("{error}: {sql}"))
    }

    /// Gives rows as one text each.
    pub(crate) fn texts(&self, sql: &str) -> Vec<String> {
        self.run(sql).into_iter().map(|row| Value::Array(row).to_string()).collect()
    }

    /// Gives the settings for a table.
    pub(crate) fn settings(&self, table: &str) -> Value {
        json!({
            "serverURL": format!("http://{}", self.address), "catalog": "memory", "schema": "default",
            "table": table,
        })
    }
}

impl Drop for Trino {
    fn drop(&mut self) {
        for (catalog, table) in &self.tables {
            let sql = format!("DROP TABLE IF EXISTS {catalog}.default.\"{table}\"");
            let _dropped = self.ask(&sql).is_ok();
        }
    }
}

/// Adds settings to settings.
pub(crate) fn with(mut settings: Value, more: Value) -> Value {
    for (key, value) in more.as_object().unwrap() {
        settings[key] = value.clone();
    }
    settings
}

pub(crate) fn sink(settings: &Value) -> Box<dyn Sink> {
    build::sink("trino", settings, Path::new(".")).0
}

pub(crate) fn source(settings: &Value) -> Box<dyn Source> {
    build::source("trino", settings, Path::new("."))
}

pub(crate) fn batch_of<T: AsRef<[u8]>>(records: &[T]) -> RecordBatch {
    let mut batch = RecordBatch::new();
    let origin = batch.push_origin("test".into(), Value::Null);
    for record in records {
        batch.push(record.as_ref(), origin, 0);
    }
    batch
}

/// What became of a batch: the rejected records with their reasons, and the error.
pub(crate) async fn write(
    sink: &mut dyn Sink,
    batch: &RecordBatch,
) -> (Vec<(usize, String)>, Option<levada_connectors::SinkError>) {
    let mut outcomes = Outcomes::default();
    let write = tokio::time::timeout(Duration::from_secs(60), sink.write(batch, &mut outcomes));
    let error = write.await.expect("write hangs").err();
    if error.is_none() {
        assert_eq!(outcomes.resolved(), batch.len(), "a record has no answer");
    }
    let rejected = outcomes.rejected_records().iter();
    (rejected.map(|(index, error)| (*index, error.message.clone())).collect(), error)
}

/// Writes and expects that every record is taken.
pub(crate) async fn write_all<T: AsRef<[u8]>>(sink: &mut dyn Sink, records: &[T]) {
    let (rejected, error) = write(sink, &batch_of(records)).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(rejected, []);
}

/// Reads so many records; gives payloads, positions of batches and the metadata of the last one.
pub(crate) async fn read(
    source: &mut dyn Source,
    count: usize,
) -> (Vec<String>, Vec<Value>, Option<Meta>) {
    let (mut payloads, mut positions, mut meta) = (Vec::new(), Vec::new(), None);
    let mut batch = RecordBatch::new();
    while payloads.len() < count {
        batch.clear();
        let next = tokio::time::timeout(Duration::from_secs(60), source.next(&mut batch));
        assert!(next.await.expect("next hangs").unwrap());
        for index in 0..batch.len() {
            payloads.push(String::from_utf8(batch.payload(index).into_owned()).unwrap());
            assert!(batch.parse(index).is_ok(), "no JSON: {}", payloads.last().unwrap());
            meta = batch.meta(index).cloned();
        }
        positions.extend(batch.origins.iter().map(|origin| origin.position.clone()));
    }
    (payloads, positions, meta)
}
