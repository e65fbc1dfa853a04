//! The `elasticsearch` sink against OpenSearch.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use levada_connectors::Sink;
use levada_model::ErrorClass;
use levada_testkit::conformance::sink;
use levada_testkit::http::request;
use levada_testkit::services::OPENSEARCH;
use levada_testkit::sink_suite;
use serde_json::{Value, json};

use super::service;
use crate::gate::Gate;

sink_suite!(elasticsearch, Opensearch { has_id: false });
sink_suite!(elasticsearch_with_ids, Opensearch { has_id: true });

struct Opensearch {
    has_id: bool,
}

/// An index of its own per scene.
struct Scene {
    address: Option<String>,
    gate: Option<Gate>,
    index: String,
    settings: Value,
}

fn ask(address: &str, method: &str, path: &str, body: &str) -> (u16, Value) {
    let headers = [("Content-Type", "application/json")];
    let (status, body) = request(address, method, path, &headers, body.as_bytes()).unwrap();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

fn index_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("levada-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Makes an index whose `id` is a number, and nothing else is looked at.
fn make_index(address: &str) -> String {
    let index = index_name();
    let body = json!({
        "settings": {"number_of_shards": 1, "number_of_replicas": 0},
        "mappings": {"dynamic": false, "properties": {"id": {"type": "long"}}},
    });
    assert_eq!(ask(address, "PUT", &format!("/{index}"), &body.to_string()).0, 200);
    index
}

/// Gives the sources of an index as they were written.
fn documents(address: &str, index: &str) -> Vec<Vec<u8>> {
    ask(address, "POST", &format!("/{index}/_refresh"), "");
    let (status, body) = ask(address, "GET", &format!("/{index}/_search?size=10000"), "");
    assert_eq!(status, 200, "{body}");
    let hits = body["hits"]["hits"].as_array().unwrap().clone();
    hits.iter().map(|hit| hit["_source"].to_string().into_bytes()).collect()
}

#[async_trait]
impl sink::SinkHarness for Opensearch {
    fn name(&self) -> String {
        format!("elasticsearch sink (ids: {})", self.has_id)
    }

    fn abilities(&self) -> sink::Abilities {
        let address = OPENSEARCH.address("elasticsearch conformance");
        service::abilities(address, "there is no OpenSearch", self.has_id)
    }

    async fn scene(&self) -> Box<dyn sink::SinkScene> {
        let address = OPENSEARCH.address("elasticsearch conformance");
        let Some(address) = address else {
            return Box::new(Scene {
                address: None,
                gate: None,
                index: String::new(),
                settings: json!({}),
            });
        };
        let (index, gate) = (make_index(&address), Gate::start(&address));
        let settings = json!({
            "urls": [gate.url()], "index": index, "timeout": "10s", "compression": "gzip",
            "id": if self.has_id { "id" } else { "" },
            "opType": if self.has_id { "create" } else { "index" },
        });
        Box::new(Scene { address: Some(address), gate: Some(gate), index, settings })
    }
}

#[async_trait]
impl sink::SinkScene for Scene {
    async fn sink(&mut self) -> Box<dyn Sink> {
        service::sink("elasticsearch", &self.settings, self.address.is_some())
    }

    async fn arrived(&mut self) -> Vec<Vec<u8>> {
        documents(self.address.as_deref().unwrap(), &self.index)
    }

    async fn set(&mut self, target: sink::Target) {
        self.gate.as_ref().unwrap().set(service::way(target));
    }

    fn poison(&self) -> Vec<u8> {
        b"{\"id\":\"no number\"}".to_vec()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Some(address) = &self.address {
            ask(address, "DELETE", &format!("/{}", self.index), "");
        }
    }
}

#[tokio::test]
async fn reasons_of_the_server_are_given() {
    let Some(address) = OPENSEARCH.address("reasons_of_the_server_are_given") else { return };
    let index = make_index(&address);
    let url = format!("http://{address}");
    let settings = json!({"urls": [url], "index": index});
    let payloads = ["{\"id\":\"x\"}", "{\"id\":1} more", "{\"id\":", "{\"id\":\n2}"];
    let (error, outcomes) = service::write("elasticsearch", &settings, &payloads).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(outcomes.delivered_ranges(), std::slice::from_ref(&(3..4)));
    let reasons = outcomes.rejected_records();
    assert!(
        reasons[0].1.message.contains("failed to parse field [id] of type [long]"),
        "{reasons:?}"
    );
    assert_eq!(documents(&address, &index), [b"{\"id\":2}"]);

    let settings = json!({"urls": [url], "index": index, "pipeline": "no-such-pipeline"});
    let error = service::write("elasticsearch", &settings, &["{\"id\":1}"]).await.0.unwrap();
    assert_eq!(error.class, ErrorClass::Unknown);
    assert!(error.message.ends_with("see the setting pipeline"), "{error}");

    // Updates add fields; deletes are idempotent.
    let settings = |op: &str| json!({"urls": [url], "index": index, "id": "id", "opType": op});
    for payload in ["{\"id\":7,\"a\":1}", "{\"id\":7,\"b\":2}"] {
        let (error, outcomes) =
            service::write("elasticsearch", &settings("update"), &[payload]).await;
        assert!(error.is_none() && outcomes.delivered_ranges().len() == 1, "{error:?}");
    }
    let found = documents(&address, &index);
    assert!(found.contains(&b"{\"id\":7,\"a\":1,\"b\":2}".to_vec()), "{found:?}");
    for _ in 0..2 {
        let (error, outcomes) =
            service::write("elasticsearch", &settings("delete"), &["{\"id\":7}"]).await;
        assert!(error.is_none() && outcomes.delivered_ranges().len() == 1, "{error:?}");
    }
    assert_eq!(documents(&address, &index).len(), 1);
    ask(&address, "DELETE", &format!("/{index}"), "");
}

#[tokio::test]
async fn data_streams_take_create_only() {
    let Some(address) = OPENSEARCH.address("data_streams_take_create_only") else { return };
    let stream = index_name();
    let template = json!({"index_patterns": [stream], "data_stream": {}});
    let path = format!("/_index_template/{stream}");
    if ask(&address, "PUT", &path, &template.to_string()).0 != 200 {
        levada_testkit::skipped("data_streams_take_create_only", "this server has no data streams");
        return;
    }
    let url = format!("http://{address}");
    let payload = "{\"@timestamp\":\"2026-02-07T10:30:00Z\",\"a\":1}";
    let index = json!({"urls": [url], "index": stream});
    let error = service::write("elasticsearch", &index, &[payload]).await.0.unwrap();
    assert!(error.message.ends_with("set opType to create"), "{error}");
    let create = json!({"urls": [url], "index": stream, "opType": "create"});
    let (error, outcomes) = service::write("elasticsearch", &create, &[payload, payload]).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(outcomes.delivered_ranges(), std::slice::from_ref(&(0..2)));
    assert_eq!(documents(&address, &stream).len(), 2);
    ask(&address, "DELETE", &format!("/_data_stream/{stream}"), "");
    ask(&address, "DELETE", &path, "");
}
