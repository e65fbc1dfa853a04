//! The `influxdb` sink against InfluxDB 1.x.
//!
//! The 2.x API has no server here (1.x answers it from 1.8 on, and this is 1.6): a fake stands in for it,
//! in the unit tests of the sink.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use levada_connectors::Sink;
use levada_model::ErrorClass;
use levada_testkit::conformance::sink;
use levada_testkit::http::request;
use levada_testkit::services::INFLUXDB;
use levada_testkit::sink_suite;
use serde_json::{Value, json};

use super::service;
use crate::gate::Gate;

sink_suite!(influxdb, Influxdb);

/// Times from here on belong to points that the test wrote itself.
const OWN_FROM: u64 = 1_000_000;

struct Influxdb;

/// A database of its own per scene.
struct Scene {
    address: Option<String>,
    gate: Option<Gate>,
    database: String,
    settings: Value,
}

fn database_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("levada {}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn query(address: &str, database: &str, statement: &str) -> Value {
    let path = format!("/query?db={}&epoch=ns&q={}", encoded(database), encoded(statement));
    let (status, body) = request(address, "POST", &path, &[], b"").unwrap();
    assert_eq!(status, 200, "{statement}");
    serde_json::from_slice(&body).unwrap()
}

fn rows(answer: &Value) -> Vec<Value> {
    answer["results"][0]["series"][0]["values"].as_array().cloned().unwrap_or_default()
}

#[async_trait]
impl sink::SinkHarness for Influxdb {
    fn name(&self) -> String {
        "influxdb sink".into()
    }

    fn abilities(&self) -> sink::Abilities {
        let address = INFLUXDB.address("influxdb conformance");
        service::abilities(address, "there is no InfluxDB", true)
    }

    async fn scene(&self) -> Box<dyn sink::SinkScene> {
        let address = INFLUXDB.address("influxdb conformance");
        let gate = address.as_deref().map(Gate::start);
        let database = database_name();
        let mut settings = json!({
            "database": database, "createDatabase": true, "measurement": "points", "timestamp": "id",
            "timestampUnit": "ns", "fields": ["id", "pad"], "timeout": "10s", "compression": "gzip",
        });
        if let (Some(address), Some(gate)) = (&address, &gate) {
            settings["url"] = json!(gate.url());
            // The first write to a shard decides that `pad` is a text.
            query(address, "", &format!("CREATE DATABASE \"{database}\""));
            let path = format!("/write?db={}", encoded(&database));
            let point = format!("points pad=\"x\" {OWN_FROM}");
            assert_eq!(request(address, "POST", &path, &[], point.as_bytes()).unwrap().0, 204);
        }
        Box::new(Scene { address, gate, database, settings })
    }
}

#[async_trait]
impl sink::SinkScene for Scene {
    async fn sink(&mut self) -> Box<dyn Sink> {
        service::sink("influxdb", &self.settings, self.address.is_some())
    }

    async fn arrived(&mut self) -> Vec<Vec<u8>> {
        let statement = format!("SELECT id, pad FROM points WHERE time < {OWN_FROM}");
        let answer = query(self.address.as_deref().unwrap(), &self.database, &statement);
        let point = |row: &Value| {
            let pad = row[2].as_str().map(|pad| format!(",\"pad\":\"{pad}\"")).unwrap_or_default();
            format!("{{\"id\":{}{pad}}}", row[0]).into_bytes()
        };
        rows(&answer).iter().map(point).collect()
    }

    async fn set(&mut self, target: sink::Target) {
        self.gate.as_ref().unwrap().set(service::way(target));
    }

    fn poison(&self) -> Vec<u8> {
        b"{\"id\":7000,\"pad\":1}".to_vec()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Some(address) = &self.address {
            query(address, "", &format!("DROP DATABASE \"{}\"", self.database));
        }
    }
}

#[tokio::test]
async fn values_arrive_as_they_were() {
    let Some(address) = INFLUXDB.address("values_arrive_as_they_were") else { return };
    let database = database_name();
    let settings = json!({
        "url": format!("http://{address}"), "database": database, "createDatabase": true,
        "measurement": "$.m", "tags": {"t, =": "$.t"}, "timestamp": "at", "precision": "ms",
    });
    let payload = json!({
        "m": "a, b=#\"c\\d", "t": "x, =\"\\y é", "at": "2026-02-07T10:30:00.123456Z",
        "text": "q\"uote\\ \n, = end\\", "whole": -5, "real": 0.1, "large": 1e300, "yes": true,
    });
    let (error, outcomes) = service::write("influxdb", &settings, &[&payload.to_string()]).await;
    assert!(error.is_none() && outcomes.rejected_records().is_empty(), "{error:?} {outcomes:?}");
    let answer = query(&address, &database, "SELECT * FROM /.*/");
    let series = &answer["results"][0]["series"][0];
    assert_eq!(series["name"], payload["m"]);
    let row: serde_json::Map<String, Value> = series["columns"]
        .as_array()
        .unwrap()
        .iter()
        .zip(series["values"][0].as_array().unwrap())
        .map(|(name, value)| (name.as_str().unwrap().to_owned(), value.clone()))
        .collect();
    assert_eq!(row["t, ="], payload["t"]);
    assert_eq!(row["time"], json!(1_770_460_200_123_000_000_i64));
    for field in ["text", "whole", "yes"] {
        assert_eq!(row[field], payload[field], "{field}");
    }
    assert_eq!((row["real"].as_f64(), row["large"].as_f64()), (Some(0.1), Some(1e300)));
    query(&address, "", &format!("DROP DATABASE \"{database}\""));
}

#[tokio::test]
async fn conflicts_and_missing_places_are_told_apart() {
    let Some(address) = INFLUXDB.address("conflicts_and_missing_places_are_told_apart") else {
        return;
    };
    let database = database_name();
    let settings = json!({
        "url": format!("http://{address}"), "database": database, "measurement": "m",
        "timestamp": "t", "timestampUnit": "s",
    });
    let error = service::write("influxdb", &settings, &["{\"v\":1,\"t\":1}"]).await.0.unwrap();
    assert_eq!(error.class, ErrorClass::Unknown);
    assert!(error.message.contains(&format!("no database `{database}`")), "{error}");

    query(&address, "", &format!("CREATE DATABASE \"{database}\""));
    let payloads: Vec<String> = (0..100)
        .map(|at| format!("{{\"v\":{},\"t\":{at}}}", if at % 33 == 7 { "\"x\"" } else { "1" }))
        .collect();
    let payloads: Vec<&str> = payloads.iter().map(String::as_str).collect();
    // The kind is decided first; else the whole request conflicts with itself.
    assert!(service::write("influxdb", &settings, &payloads[..1]).await.0.is_none());
    let (error, outcomes) = service::write("influxdb", &settings, &payloads).await;
    assert!(error.is_none(), "{error:?}");
    let mut rejected: Vec<usize> =
        outcomes.rejected_records().iter().map(|(index, _)| *index).collect();
    rejected.sort_unstable();
    assert_eq!(rejected, [7, 40, 73]);
    let reason = &outcomes.rejected_records()[0].1.message;
    assert!(reason.contains("field type conflict"), "{reason}");
    assert_eq!(rows(&query(&address, &database, "SELECT count(v) FROM m"))[0][1], json!(97));

    let mut elsewhere = settings.clone();
    elsewhere["retentionPolicy"] = json!("none such");
    let error = service::write("influxdb", &elsewhere, &payloads[..1]).await.0.unwrap();
    assert!(error.message.ends_with("see the setting retentionPolicy"), "{error}");
    query(&address, "", &format!("DROP DATABASE \"{database}\""));
}
