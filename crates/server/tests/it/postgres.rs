//! A server whose store is a PostgreSQL.

use levada_testkit::services::POSTGRES;
use reqwest::Method;
use serde_json::json;

use crate::ask::Client;
use crate::started::{Started, run};

const API: &str = "/kapacitor/v1";

#[test]
fn what_one_server_kept_another_one_finds() {
    run(async {
        let Some(address) = POSTGRES.address("what_one_server_kept_another_one_finds") else {
            return;
        };
        let store = format!("store.url=postgres://postgres@{address}/postgres");
        // Others use the same database: names are of this test, and of this process.
        let id = format!("postgres-{}", std::process::id());
        let data = tempfile::tempdir().unwrap();
        let server = Started::new(data.path(), &[&store]).await;
        let client = Client::new(&server);
        let script = format!(
            "stream|from().measurement('cpu')|alert().id('a').crit(lambda: TRUE).topic('{id}')|httpOut('out')"
        );
        assert_eq!(client.task_of(&id, &id, &script).await.status, 200);
        let handler =
            json!({"id": "h", "kind": "log", "options": {"path": "/dev/null"}}).to_string();
        let handlers = format!("{API}/alerts/topics/{id}/handlers");
        assert_eq!(client.ask(Method::POST, &handlers, handler).await.status, 200);
        let write = format!("{API}/write?db={id}&rp=r");
        assert_eq!(client.ask(Method::POST, &write, "cpu value=1 1").await.status, 204);
        let topic = format!("{API}/alerts/topics/{id}");
        let critical = |text: &str| text.contains("\"level\": \"CRITICAL\"");
        for round in 0.. {
            if critical(&client.get(&topic).await.text) {
                break;
            }
            assert!(round < 500, "the alert never came");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        server.stop().await;

        // Another data folder: everything that is kept is in the database.
        let other = tempfile::tempdir().unwrap();
        let server = Started::new(other.path(), &[&store]).await;
        let client = Client::new(&server);
        let task = client.get(&format!("{API}/tasks/{id}")).await.json();
        assert_eq!(task["status"], "enabled", "{task}");
        assert!(critical(&client.get(&topic).await.text));
        assert_eq!(client.get(&format!("{handlers}/h")).await.json()["kind"], "log");
        assert!(!other.path().join("levada.db").exists());
        for path in [format!("{API}/tasks/{id}"), format!("{handlers}/h"), topic] {
            assert_eq!(client.ask(Method::DELETE, &path, "").await.status, 204, "{path}");
        }
        server.stop().await;
    });
}
