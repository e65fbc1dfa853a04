//! Destinations of every kind, by settings.

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use levada_testkit::fake_http::{FakeServer, Reply};
use serde_json::Value;

use crate::started::{Started, run};

async fn status(server: &Started) -> Value {
    let url = format!("{}/api/v1/gateway/status", server.url);
    let text = reqwest::get(url).await.unwrap().text().await.unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn points_go_to_destinations_of_every_kind() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let seen = Arc::<Mutex<Vec<String>>>::default();
        let kept = seen.clone();
        let target = FakeServer::start(move |request| {
            let kind = request.header("content-type").unwrap_or_default().to_owned();
            let version = request.header("x-prometheus-remote-write-version").unwrap_or_default();
            let name = request.header("authorization").unwrap_or_default();
            let line = format!("{} {kind} {version} {name}", request.target);
            kept.lock().unwrap().push(line);
            Reply::new(204, "").with("X-Prometheus-Remote-Write-Samples-Written", "1")
        });
        let file = data.path().join("levada.toml");
        let points = data.path().join("points.lp");
        let url = target.url("");
        let endpoint = |path: &str, token: &str| {
            format!("[[gateway.destination.endpoint]]\nurl = '{url}{path}'\ntoken = '{token}'\n")
        };
        let sinker = |name: &str| {
            format!("[[gateway.sinkers]]\ncategories = ['M']\ndestination = '{name}'\n")
        };
        let mut text = format!(
            "[[gateway.destination]]\nname = 'i1'\nkind = 'influx'\ninflux = {{ database = 'd' }}\n{}\
             [[gateway.destination]]\nname = 'i2'\nkind = 'influx'\ninflux = {{ bucket = 'b', org = 'o' }}\n{}\
             [[gateway.destination]]\nname = 'p1'\nkind = 'remote-write'\n{}\
             [[gateway.destination]]\nname = 'p2'\nkind = 'remote-write'\nremote-write = {{ version = '2.0' }}\n{}\
             [[gateway.destination]]\nname = 'f'\nkind = 'file'\nfile = {{ path = '{}' }}\n\
             [[gateway.destination]]\nname = 'k'\nkind = 'kafka'\nkafka = {{ brokers = ['127.0.0.1:1'], topic = 't' }}\n",
            endpoint("", ""),
            endpoint("", "tkn_i"),
            endpoint("/api/v1/write", "tkn_p"),
            endpoint("/api/v1/write", ""),
            points.display(),
        );
        for name in ["i1", "i2", "p1", "p2", "f", "k"] {
            text.push_str(&sinker(name));
        }
        fs::write(&file, text).unwrap();
        let server = Started::with(data.path(), &[], Some(&file)).await;
        let body = "cpu,h=a f=1i 1700000000\n";
        let post = reqwest::Client::new().post(format!("{}/v1/write/metric", server.url));
        assert_eq!(post.body(body).send().await.unwrap().status(), 200);
        let mut shown = Value::Null;
        for _ in 0..1_000 {
            shown = status(&server).await;
            let all = shown["destinations"].as_array().unwrap();
            if all.iter().filter(|one| one["delivered"] == 1).count() == 5 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for one in shown["destinations"].as_array().unwrap() {
            let expected = if one["name"] == "k" { (0, 1) } else { (1, 0) };
            let found = (one["delivered"].as_u64().unwrap(), one["queued"].as_u64().unwrap());
            assert_eq!(found, expected, "{one}");
        }
        assert_eq!(shown["balanced"], true);
        assert_eq!(fs::read_to_string(&points).unwrap(), "cpu,h=a f=1i 1700000000000000000\n");
        let mut lines = seen.lock().unwrap().clone();
        lines.sort();
        assert_eq!(
            lines,
            [
                "/api/v1/write application/x-protobuf 0.1.0 Bearer tkn_p",
                "/api/v1/write application/x-protobuf;proto=io.prometheus.write.v2.Request 2.0.0 ",
                "/api/v2/write?org=o&bucket=b&precision=ns text/plain; charset=utf-8  Token tkn_i",
                "/write?db=d&precision=ns text/plain; charset=utf-8  ",
            ]
        );
        let metrics = reqwest::get(format!("{}/metrics", server.url)).await.unwrap();
        let metrics = metrics.text().await.unwrap();
        assert!(!metrics.contains("datakit_io_dataway_point_total{"), "they are no Dataways");
        assert!(metrics.contains("levada_gateway_delivered_points_total{destination=\"p1\"} 1"));
        server.stop().await;
    });
}
