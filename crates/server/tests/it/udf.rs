//! Functions that run outside, of both configurations.

use std::fs;
use std::path::Path;
use std::time::Duration;

use levada_testkit::udf;
use reqwest::Client;
use serde_json::{Value, json};

use crate::started::{self, Started};

/// This binary is started as a function by the other tests.
#[test]
fn this_binary_as_a_function() {
    udf::run();
}

async fn post(url: &str, path: &str, body: String) -> String {
    let answer = Client::new().post(format!("{url}/kapacitor/v1/{path}")).body(body).send().await;
    let answer = answer.unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert!(status.is_success(), "{path}: {status} {text}");
    text
}

async fn get(url: &str, path: &str) -> Value {
    let answer = Client::new().get(format!("{url}/kapacitor/v1/{path}")).send().await.unwrap();
    serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default()
}

/// Asks until the answer is as it should be.
async fn until(url: &str, path: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    for _ in 0..500 {
        last = get(url, path).await;
        if is_so(&last) {
            return last;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what}: {last}");
}

async fn define(url: &str, id: &str, function: &str) {
    let script = format!("stream|from().measurement('m')@{function}()|httpOut('out')");
    let task = json!({
        "id": id, "type": "stream", "script": script, "status": "enabled",
        "dbrps": [{"db": "db", "rp": "rp"}],
    });
    post(url, "tasks", task.to_string()).await;
}

/// Gives how many points the function has seen.
fn seen(out: &Value) -> Option<&Value> {
    let series = out["series"].get(0)?;
    let column = series["columns"].as_array()?.iter().position(|column| column == "seen")?;
    series["values"][0].get(column)
}

async fn write_and_see(url: &str, id: &str, count: u64) {
    post(url, "write?db=db&rp=rp", "m v=1".to_owned()).await;
    let path = format!("tasks/{id}/out");
    until(url, &path, "what the function saw", |out| seen(out) == Some(&json!(count))).await;
}

fn settings(name: &str, kind: &str) -> Vec<String> {
    let program = udf::program("udf::this_binary_as_a_function", kind);
    vec![
        format!("udf.functions.{name}.prog={}", program.program),
        format!("udf.functions.{name}.args={}", json!(program.args)),
        format!("udf.functions.{name}.env={}={}", program.env.0, program.env.1),
    ]
}

async fn server(data: &Path, settings: &[String]) -> Started {
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    Started::new(data, &settings).await
}

#[test]
fn a_function_of_the_settings_keeps_its_state_over_a_restart() {
    started::run(async {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings("own_count", "count");
        let first = server(folder.path(), &settings).await;
        define(&first.url, "t", "own_count").await;
        write_and_see(&first.url, "t", 1).await;
        write_and_see(&first.url, "t", 2).await;
        first.stop().await;
        let second = server(folder.path(), &settings).await;
        until(&second.url, "tasks/t", "it runs", |task| task["executing"] == true).await;
        write_and_see(&second.url, "t", 3).await;
        // Without its function the task does not run, and says why.
        second.stop().await;
        let third = server(folder.path(), &[]).await;
        let task = until(&third.url, "tasks/t", "an error", |task| task["error"] != "").await;
        let error = task["error"].as_str().unwrap();
        assert!(error.contains("no method or property \"own_count\""), "{error}");
        third.stop().await;
    });
}

#[test]
fn a_function_of_kapacitor_may_come_after_the_server() {
    started::run(async {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("copy.sock");
        let config = folder.path().join("kapacitor.conf");
        let text = format!(
            "[udf]\n[udf.functions.far_copy]\nsocket = {:?}\ntimeout = \"5s\"\n",
            socket.to_str().unwrap()
        );
        fs::write(&config, text).unwrap();
        let data = folder.path().join("data");
        let settings = [format!("kapacitor.config={}", config.display())];
        udf::listen(&socket, "copy");
        let first = server(&data, &settings).await;
        define(&first.url, "t", "far_copy").await;
        write_and_see(&first.url, "t", 1).await;
        first.stop().await;
        fs::remove_file(&socket).unwrap();
        let second = server(&data, &settings).await;
        let task = until(&second.url, "tasks/t", "an error", |task| task["error"] != "").await;
        let error = task["error"].as_str().unwrap();
        assert!(error.contains("the function far_copy cannot be used: it cannot be"), "{error}");
        udf::listen(&socket, "copy");
        until(&second.url, "tasks/t", "it runs", |task| task["executing"] == true).await;
        write_and_see(&second.url, "t", 1).await;
        second.stop().await;
    });
}
