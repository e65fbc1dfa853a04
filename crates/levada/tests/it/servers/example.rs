//! The example of the README between real servers, with names of its own.

use std::path::Path;

use levada_testkit::process::Folder;
use levada_testkit::services;
use serde_json::Value;

use super::kafka::Topic;
use super::postgres::Database;
use super::scene::LONG;

#[test]
fn metrics_and_a_log_arrive_in_postgresql_and_opensearch() {
    let Some(metrics) = Topic::new("example-metrics", 1) else { return };
    let Some(log) = Topic::new("example-log", 1) else { return };
    let Some(database) = Database::new("example") else { return };
    let Some(opensearch) = services::OPENSEARCH.address("example") else { return };
    let index = format!("example-log-{}", std::process::id());
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/pipeline");
    let mut manifest = std::fs::read_to_string(example.join("pipeline.yaml")).unwrap();
    for (written, own) in [
        ("topic: metrics", format!("topic: {}", metrics.name)),
        ("topic: shop-log", format!("topic: {}", log.name)),
        ("index: shop-log", format!("index: {index}")),
        ("table: cpu", format!("table: {}.cpu", database.schema)),
        ("name: store-", format!("name: {}-", metrics.name)),
        ("127.0.0.1:29092", metrics.brokers.clone()),
        ("http://127.0.0.1:29200", format!("http://{opensearch}")),
        ("postgres://postgres@127.0.0.1:25432/postgres", database.url.clone()),
    ] {
        assert!(manifest.contains(written), "the example has no `{written}`");
        manifest = manifest.replace(written, &own);
    }
    let folder = Folder::new();
    folder.write("pipeline.yaml", manifest);
    folder.write("shop.log", std::fs::read(example.join("shop.log")).unwrap());
    let levada = env!("CARGO_BIN_EXE_levada");
    let run = ["run", "pipeline.yaml", "--for", "10s", "--output", "json"];
    let ended = folder.start(levada, &run).wait(LONG).expect_no_panic().expect_code(0);
    let summaries: Vec<Value> =
        ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let guarantee = |flow: &str| {
        let found = summaries.iter().find(|one| one["flow"].as_str().unwrap().ends_with(flow));
        found.map(|one| one["guarantee"].clone())
    };
    let own = format!("{}-metrics", metrics.name);
    assert_eq!(guarantee(&own), Some("exactly-once".into()), "{ended:#?}");
    let rows = database.column(&format!("SELECT usage FROM {}.cpu", database.schema));
    assert!(rows.len() >= 3, "{rows:?}");
    assert_eq!(found(&opensearch, &index), 2, "{ended:#?}");
    let letters = folder.read("out/failed.ndjson");
    let letter: Value = serde_json::from_slice(letters.trim_ascii()).unwrap();
    assert_eq!(letter["error"]["stage"], "transform[0]:cast");
    assert_eq!(letter["original_message"]["id"], 2);
    request(&opensearch, "DELETE", &format!("/{index}"));
}

/// Gives how many documents an index holds.
fn found(server: &str, index: &str) -> u64 {
    request(server, "POST", &format!("/{index}/_refresh"));
    let answer = request(server, "GET", &format!("/{index}/_count"));
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    let start = body.find('{').unwrap_or(0);
    let end = body.rfind('}').map_or(body.len(), |end| end + 1);
    let body: Value = serde_json::from_str(&body[start..end]).unwrap_or_default();
    body["count"].as_u64().unwrap_or_else(|| panic!("no count in {answer}"))
}

/// Makes an HTTP request and gives the whole answer.
fn request(server: &str, method: &str, path: &str) -> String {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(server).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {server}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
