//! The `victoriaMetrics` sink against VictoriaMetrics, in all its modes.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use levada_connectors::Sink;
use levada_runtime::{Clock as _, SystemClock};
use levada_testkit::conformance::sink;
use levada_testkit::http::request;
use levada_testkit::services::VICTORIA_METRICS;
use levada_testkit::sink_suite;
use serde_json::{Value, json};

use super::service;
use crate::gate::Gate;

sink_suite!(victoria_metrics_import, VictoriaMetrics("import"));
sink_suite!(victoria_metrics_prometheus, VictoriaMetrics("prometheus"));
sink_suite!(victoria_metrics_remote_write, VictoriaMetrics("remoteWrite"));

/// With this mode.
struct VictoriaMetrics(&'static str);

/// A metric of its own per scene.
struct Scene {
    address: Option<String>,
    gate: Option<Gate>,
    metric: String,
    settings: Value,
}

fn metric_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("levada_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Gives the exported series whose name begins so.
fn exported(address: &str, metric: &str) -> Vec<Value> {
    assert_eq!(request(address, "GET", "/internal/force_flush", &[], b"").unwrap().0, 200);
    let path =
        format!("/api/v1/export?match[]=%7B__name__%3D~%22{metric}.*%22%7D&start=0&end=4102444800");
    let (status, body) = request(address, "GET", &path, &[], b"").unwrap();
    assert_eq!(status, 200);
    let lines = body.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

#[async_trait]
impl sink::SinkHarness for VictoriaMetrics {
    fn name(&self) -> String {
        format!("victoriaMetrics sink ({})", self.0)
    }

    fn abilities(&self) -> sink::Abilities {
        let address = VICTORIA_METRICS.address("victoriaMetrics conformance");
        service::abilities(address, "there is no VictoriaMetrics", false)
    }

    async fn scene(&self) -> Box<dyn sink::SinkScene> {
        let address = VICTORIA_METRICS.address("victoriaMetrics conformance");
        let gate = address.as_deref().map(Gate::start);
        let metric = metric_name();
        let settings = json!({
            "url": gate.as_ref().map(Gate::url), "mode": self.0, "metric": metric, "value": "id",
            "labels": {"id": "$.id", "pad": "$.pad"}, "timeout": "10s",
        });
        Box::new(Scene { address, gate, metric, settings })
    }
}

#[async_trait]
impl sink::SinkScene for Scene {
    async fn sink(&mut self) -> Box<dyn Sink> {
        service::sink("victoriaMetrics", &self.settings, self.address.is_some())
    }

    async fn arrived(&mut self) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        for series in exported(self.address.as_deref().unwrap(), &self.metric) {
            let labels = &series["metric"];
            let pad = labels["pad"].as_str().map(|pad| format!(",\"pad\":\"{pad}\""));
            for value in series["values"].as_array().unwrap() {
                assert_eq!(value.to_string(), labels["id"].as_str().unwrap());
                all.push(
                    format!("{{\"id\":{value}{}}}", pad.clone().unwrap_or_default()).into_bytes(),
                );
            }
        }
        all
    }

    async fn set(&mut self, target: sink::Target) {
        self.gate.as_ref().unwrap().set(service::way(target));
    }

    fn poison(&self) -> Vec<u8> {
        b"{\"id\":\"no number\"}".to_vec()
    }
}

#[tokio::test]
async fn every_mode_gives_the_same_series() {
    let Some(address) = VICTORIA_METRICS.address("every_mode_gives_the_same_series") else {
        return;
    };
    // Recent, so that no retention drops it; and at its whole milliseconds.
    let start = SystemClock::new().now().0.div_euclid(1_000_000_000) * 1000 - 60_000 + 123;
    let record = |seconds: i64, user: &str| {
        format!(
            "{{\"metric\":\"cpu\",\"time\":{},\"tags\":{{\"a b\":\"x\\\"y\\\\z\\n é\"}},\"user\":{user},\"large\":1e300,\"up\":true}}",
            start + seconds * 1000
        )
    };
    let payloads = [record(1, "0.1"), record(2, "-5")];
    let mut seen = Vec::new();
    for mode in ["import", "prometheus", "remoteWrite"] {
        let metric = metric_name();
        let settings = json!({
            "url": format!("http://{address}"), "mode": mode, "prefix": format!("{metric}_{{metric}}_"),
            "labelsFrom": ["tags"], "timestamp": "time",
        });
        let payloads: Vec<&str> = payloads.iter().map(String::as_str).collect();
        let (error, outcomes) = service::write("victoriaMetrics", &settings, &payloads).await;
        assert!(
            error.is_none() && outcomes.rejected_records().is_empty(),
            "{error:?} {outcomes:?}"
        );
        let mut series = exported(&address, &metric);
        series.sort_by_key(|series| series["metric"]["__name__"].to_string());
        for series in &mut series {
            let name = series["metric"]["__name__"].as_str().unwrap().to_owned();
            series["metric"]["__name__"] = json!(name.strip_prefix(&metric).unwrap());
        }
        seen.push(series);
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0], seen[2]);
    assert_eq!(seen[0].len(), 3);
    let user = &seen[0][2];
    assert_eq!(user["metric"], json!({"__name__": "_cpu_user", "a_b": "x\"y\\z\n é"}));
    assert_eq!(user["values"], json!([0.1, -5]));
    assert_eq!(user["timestamps"], json!([start + 1000, start + 2000]));
}
