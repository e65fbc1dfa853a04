//! The load directory.

use std::fs;
use std::path::Path;
use std::time::Duration;

use reqwest::Client;

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
        server.stop().await;

        write(&load, "tasks/mem.tick", &TASK.replace("cpu", "mem"));
        fs::remove_file(load.join("handlers/log.yaml")).unwrap();
        let server = Started::new(&data, &[&setting]).await;
        until(&server.url, "tasks/mem", 200).await;
        until(&server.url, "alerts/topics/main/handlers/log", 404).await;
        assert_eq!(get(&server.url, "tasks/cpu").await.0, 200);
        server.stop().await;
    });
}
