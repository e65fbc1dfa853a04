//! Small things that clients compare.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::ask::{Asked, Client};
use crate::started::{Started, run};

const API: &str = "/kapacitor/v1";

/// Asks until an answer is as it should be.
async fn until(client: &Client, path: &str, is_so: impl Fn(&Asked) -> bool) -> Asked {
    for _ in 0..500 {
        let answer = client.get(path).await;
        if is_so(&answer) {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{path}: {:?}", client.get(path).await);
}

async fn define(client: &Client, id: &str, script: &str) {
    let dbrps = json!([{"db": "db", "rp": "rp"}]);
    let task = json!({"id": id, "script": script, "status": "enabled", "dbrps": dbrps});
    let answer = client.ask(Method::POST, &format!("{API}/tasks"), task.to_string()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[test]
fn alerts_know_the_ids_of_the_server() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let server = Started::new(data.path(), &[]).await;
        let client = Client::new(&server);
        let script = "stream|from()|alert().id('a').topic('t').crit(lambda: TRUE)\
             .message('{{ .ServerInfo.ClusterID }} {{ .ServerInfo.ServerID }}')";
        define(&client, "cpu", script).await;
        client.ask(Method::POST, "/write?db=db&rp=rp", "cpu value=1").await;
        let path = format!("{API}/alerts/topics/t/events/a");
        let event = until(&client, &path, |answer| answer.status == 200).await.json();
        let vars = client.get(&format!("{API}/debug/vars")).await.json();
        let id = |name: &str| vars[name].as_str().unwrap().to_owned();
        let expected = format!("{} {}", id("cluster_id"), id("server_id"));
        assert_eq!(event["state"]["message"], expected);
        server.stop().await;
    });
}

#[test]
fn what_is_shown_of_recordings_and_replays_looks_as_go_writes_it() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let server = Started::new(data.path(), &[]).await;
        let client = Client::new(&server);
        define(&client, "cpu", "stream|from()|log()").await;
        let recording = json!({"id": "r", "task": "cpu"}).to_string();
        client.ask(Method::POST, &format!("{API}/recordings/stream"), recording).await;
        // Any point is later than a time that was not given.
        client.ask(Method::POST, "/write?db=db&rp=rp", "cpu value=1").await;
        until(&client, &format!("{API}/recordings/r"), |answer| answer.status == 200).await;
        let listed = client.get(&format!("{API}/recordings")).await;
        assert!(listed.text.contains("\"progress\": 1\n"), "{}", listed.text);
        let replay = json!({"id": "p", "task": "cpu", "recording": "r"}).to_string();
        client.ask(Method::POST, &format!("{API}/replays"), replay).await;
        let path = format!("{API}/replays/p");
        let shown = until(&client, &path, |answer| answer.status == 200).await;
        assert!(shown.text.contains("\"throughput\": 0\n"), "{}", shown.text);
        let stats = &shown.json()["stats"]["node-stats"];
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(stats), ["from1", "log2", "stream0"]);
        let node = ["avg_exec_time_ns", "collected", "emitted", "errors", "working_cardinality"];
        assert_eq!(keys(&stats["from1"]), node);
        let listed = client.get(&format!("{API}/replays?fields=progress")).await;
        assert!(listed.text.contains("\"progress\": 1\n"), "{}", listed.text);
        server.stop().await;
    });
}

#[test]
fn what_cannot_be_there_is_deleted_already() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let server = Started::new(data.path(), &[]).await;
        let client = Client::new(&server);
        let long = "a".repeat(300);
        for kind in ["tasks", "templates", "recordings", "replays"] {
            for id in ["nothing", "a/b", "a%2Fb", "a%20b", "a%00b", "%ff", &long] {
                let answer = client.ask(Method::DELETE, &format!("{API}/{kind}/{id}"), "").await;
                assert_eq!((answer.status, &*answer.text), (204, ""), "{kind} {id}");
            }
        }
        server.stop().await;
    });
}

/// Gives what `/health` says of a part.
async fn health(client: &Client, part: &str) -> Option<String> {
    let health = client.get("/health").await.json();
    let mut parts = health["parts"].as_array().unwrap().iter();
    let part = parts.find(|found| found["name"] == part).unwrap();
    part["message"].as_str().map(str::to_owned)
}

#[test]
fn enabled_tasks_that_do_not_run_degrade_the_server() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let server = Started::new(data.path(), &[]).await;
        let client = Client::new(&server);
        assert_eq!(health(&client, "tasks").await, None);
        let script =
            "stream|from()|alert().crit(lambda: TRUE).kafka().cluster('none').kafkaTopic('t')";
        assert_eq!(client.task("bad", script).await.status, 500);
        let text = "enabled tasks that do not run: 1, e.g. `bad`: unknown cluster \"none\"";
        assert_eq!(health(&client, "tasks").await.as_deref(), Some(text));
        let path = format!("{API}/tasks/bad");
        let renamed = client.ask(Method::PATCH, &path, r#"{"id": "worse"}"#).await;
        assert_eq!(renamed.status, 500);
        server.stop().await;

        let server = Started::new(data.path(), &[]).await;
        let client = Client::new(&server);
        let text = text.replace("bad", "worse");
        // Kept tasks start beside the first requests.
        for _ in 0..500 {
            if health(&client, "tasks").await.is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(health(&client, "tasks").await, Some(text));
        let path = format!("{API}/tasks/worse");
        let disabled = client.ask(Method::PATCH, &path, r#"{"status": "disabled"}"#).await;
        assert_eq!((disabled.status, health(&client, "tasks").await), (200, None));
        let enabled = client.ask(Method::PATCH, &path, r#"{"status": "enabled"}"#).await;
        assert_eq!(enabled.status, 500);
        assert!(health(&client, "tasks").await.is_some());
        assert_eq!(client.ask(Method::DELETE, &path, "").await.status, 204);
        assert_eq!(health(&client, "tasks").await, None);
        server.stop().await;
    });
}
