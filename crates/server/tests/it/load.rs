//! The load directory.

use std::fs;
use std::path::Path;
use std::time::Duration;

use reqwest::Client;
use serde_json::Value;

use crate::started::{Started, run};

const TASK: &str = "dbrp \"telegraf\".\"autogen\"\nstream|from().measurement('cpu')|httpOut('out')";

async fn get(url: &str, path: &str) -> (u16, String) {
    let answer = Client::new().get(format!("{url}/kapacitor/v1/{path}")).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

/// Asks until the answer has a status: the directory is loaded beside the first requests.
async fn until(url: &str, path: &str, status: u16) -> String {
    for _ in 0..250 {
        let (found, text) = get(url, path).await;
        if found == status {
            return text;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{path} never had status {status}");
}

/// Asks until a part of the server does not work.
async fn degraded(url: &str) -> Value {
    for _ in 0..250 {
        let health = Client::new().get(format!("{url}/health")).send().await.unwrap();
        let health: Value = serde_json::from_str(&health.text().await.unwrap()).unwrap();
        if health["status"] == "degraded" {
            return health;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the server never was degraded");
}

fn write(folder: &Path, file: &str, text: &str) {
    let path = folder.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn files_become_tasks_and_handlers_and_take_them_along_when_they_go() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let (data, load) = (folder.path().join("data"), folder.path().join("load"));
        write(&load, "tasks/cpu.tick", TASK);
        write(&load, "tasks/bad.tick", "stream|nothing()");
        write(
            &load,
            "handlers/log.yaml",
            "topic: main\nid: log\nkind: log\noptions:\n  path: /tmp/x\n",
        );
        let setting = format!("task.load-dir={}", load.display());
        let server = Started::new(&data, &[&setting]).await;
        let task = until(&server.url, "tasks/cpu", 200).await;
        assert!(task.contains("\"status\": \"enabled\"") && task.contains("telegraf"), "{task}");
        let handler = until(&server.url, "alerts/topics/main/handlers/log", 200).await;
        assert!(handler.contains("\"kind\": \"log\""), "{handler}");
        assert_eq!(get(&server.url, "tasks/bad").await.0, 404);
        let health = degraded(&server.url).await;
        let part = health["parts"].as_array().unwrap().iter();
        let part = part.filter(|part| part["name"] == "load directory").collect::<Vec<_>>();
        let message = part[0]["message"].as_str().unwrap();
        assert!(message.starts_with("files that were not loaded: 1, e.g. `"), "{message}");
        assert_eq!(part.len(), 1);
        let vars: Value = serde_json::from_str(&get(&server.url, "debug/vars").await.1).unwrap();
        let mut entries = vars["kapacitor"].as_object().unwrap().values();
        let counted = entries.find(|entry| entry["name"] == "load").unwrap();
        assert_eq!(counted["values"]["errors"], 1);
        server.stop().await;

        fs::remove_file(load.join("tasks/bad.tick")).unwrap();

        write(&load, "tasks/mem.tick", &TASK.replace("cpu", "mem"));
        fs::remove_file(load.join("handlers/log.yaml")).unwrap();
        let server = Started::new(&data, &[&setting]).await;
        until(&server.url, "tasks/mem", 200).await;
        until(&server.url, "alerts/topics/main/handlers/log", 404).await;
        assert_eq!(get(&server.url, "tasks/cpu").await.0, 200);
        server.stop().await;
    });
}
