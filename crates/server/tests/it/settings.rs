//! Settings that change what the server does.

use std::fs;

use reqwest::Method;
use serde_json::json;

use crate::ask::Client;
use crate::started::{Started, run};

const API: &str = "/kapacitor/v1";

#[test]
fn handlers_may_only_do_what_the_settings_allow() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let settings = ["alert.disabled-handlers=exec", "alert.deny-networks=127.0.0.0/8"];
        let server = Started::new(data.path(), &settings).await;
        let client = Client::new(&server);
        let refused = "handlers of kind \\\"exec\\\" are disabled on this server";

        let exec = json!({"id": "h", "kind": "exec", "options": {"prog": "/bin/true"}}).to_string();
        let path = format!("{API}/alerts/topics/t/handlers");
        let answer = client.ask(Method::POST, &path, exec).await;
        assert_eq!(answer.status, 500, "{answer:?}");
        assert!(
            answer.text.contains(&format!("failed to create handler: {refused}")),
            "{answer:?}"
        );
        let script = "stream|from()|alert().crit(lambda: TRUE).exec('/bin/true')";
        let answer = client.task("t", script).await;
        assert_eq!(answer.status, 500, "{answer:?}");
        assert!(answer.text.contains(refused), "{answer:?}");

        let body = json!({"url": format!("{}/ping", server.url)}).to_string();
        let answer = client.ask(Method::POST, &format!("{API}/service-tests/httppost"), body).await;
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(message.contains("address 127.0.0.1 is on the deny list"), "{message}");
        server.stop().await;
    });
}

#[test]
fn the_configuration_of_kapacitor_places_recordings_and_points() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let (data, replay) = (folder.path().join("data"), folder.path().join("replay"));
        fs::create_dir(&replay).unwrap();
        fs::write(replay.join("seen.srpl"), "").unwrap();
        let file = folder.path().join("kapacitor.conf");
        let text = format!("default-retention-policy = \"r\"\n[replay]\ndir = {:?}\n", replay);
        fs::write(&file, text).unwrap();
        let setting = format!("kapacitor.config={}", file.display());
        let server = Started::new(&data, &[&setting]).await;
        let client = Client::new(&server);
        let recordings = client.get(&format!("{API}/recordings")).await.json();
        assert_eq!(recordings["recordings"][0]["id"], "seen", "{recordings}");

        let made = client.task("t", "stream|from().measurement('cpu')|httpOut('out')").await;
        assert_eq!(made.status, 200, "{made:?}");
        let path = format!("{API}/write?db=d");
        assert_eq!(client.ask(Method::POST, &path, "cpu value=1 1").await.status, 204);
        for round in 0.. {
            let out = client.get(&format!("{API}/tasks/t/out")).await.json();
            if out["series"][0]["name"] == "cpu" {
                break;
            }
            assert!(round < 500, "the point never came: {out}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        server.stop().await;

        // The own setting goes before it.
        let own = folder.path().join("own");
        let own = format!("recording.dir={}", own.display());
        let server = Started::new(&data, &[&setting, &own]).await;
        let recordings = Client::new(&server).get(&format!("{API}/recordings")).await.json();
        assert!(!recordings.to_string().contains("/own/seen"), "{recordings}");
        assert!(folder.path().join("own").is_dir());
        server.stop().await;
    });
}
