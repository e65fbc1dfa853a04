//! Small things that clients compare.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

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
