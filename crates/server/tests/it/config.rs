//! Overrides of the configuration: what they do, that they stay, that secrets do not leave.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use crate::started::{Started, run};

const SECRET: &str = "s3cret";

async fn post(client: &Client, server: &Started, path: &str, body: Value) -> (StatusCode, String) {
    let request = client.post(format!("{}/kapacitor/v1{path}", server.url)).body(body.to_string());
    let answer = request.send().await.unwrap();
    (answer.status(), answer.text().await.unwrap())
}

async fn get(client: &Client, server: &Started, path: &str) -> String {
    let answer = client.get(format!("{}{path}", server.url)).send().await;
    answer.unwrap_or_else(|error| panic!("{path}: {error}")).text().await.unwrap()
}

/// Takes one request and answers it.
fn take_one(listener: TcpListener, answer: &'static str) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut taken = Vec::new();
        let mut part = [0; 4096];
        while !String::from_utf8_lossy(&taken).contains('}') {
            let count = stream.read(&mut part).unwrap();
            taken.extend_from_slice(&part[..count]);
        }
        let length = answer.len();
        let answer = format!(
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{answer}"
        );
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(taken).unwrap()
    })
}

#[test]
fn an_override_takes_effect_at_once_and_stays() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let server = Started::new(data.path(), &[]).await;
        let client = Client::new();
        for run in 0..2 {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let url = format!("http://{}/hook", listener.local_addr().unwrap());
            let taken = take_one(listener, "");
            let set =
                json!({"set": {"enabled": true, "url": url, "author_name": format!("me {run}")}});
            let (status, text) = post(&client, &server, "/config/talk/", set).await;
            assert_eq!(status, StatusCode::NO_CONTENT, "{text}");
            let test = json!({"text": "hello"});
            let (_, text) = post(&client, &server, "/service-tests/talk", test).await;
            assert!(text.contains("\"success\": true"), "{text}");
            let taken = taken.join().unwrap();
            assert!(taken.starts_with("POST /hook HTTP/1.1"), "{taken}");
            assert!(
                taken.contains(&format!("{{\"authorName\":\"me {run}\",\"text\":\"hello\"")),
                "{taken}"
            );
        }
        let shown = get(&client, &server, "/kapacitor/v1/config/talk").await;
        server.stop().await;
        let server = Started::new(data.path(), &[]).await;
        assert_eq!(get(&client, &server, "/kapacitor/v1/config/talk").await, shown);
        assert!(
            shown.contains("\"author_name\":\"me 1\"") && shown.contains("\"url\":true"),
            "{shown}"
        );
        server.stop().await;
    });
}

/// Sets every secret there is, then asks for everything that can be asked for.
#[test]
fn secrets_never_leave() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let server = Started::new(data.path(), &[]).await;
        let patience = std::time::Duration::from_secs(20);
        let client = Client::builder().timeout(patience).build().unwrap();
        let all = get(&client, &server, "/kapacitor/v1/config").await;
        let all: Value = serde_json::from_str(&all).unwrap();
        let mut secrets = 0;
        // Services that are tried must be nowhere but on this machine.
        let mut local = Vec::new();
        for (section, shown) in all["sections"].as_object().unwrap() {
            for element in shown["elements"].as_array().unwrap() {
                let path = element["link"]["href"]
                    .as_str()
                    .unwrap()
                    .strip_prefix("/kapacitor/v1")
                    .unwrap();
                for name in element["redacted"].as_array().unwrap() {
                    let name = name.as_str().unwrap();
                    assert!(element["options"][name].is_boolean(), "{section} {name}");
                    let value = match name {
                        "basic-auth" => json!({"username": SECRET, "password": SECRET}),
                        "url" => json!(format!("http://127.0.0.1:1/{SECRET}")),
                        "sasl_extensions" => json!({"a": SECRET}),
                        _ => json!(SECRET),
                    };
                    let mut set = serde_json::Map::from_iter([(name.to_owned(), value)]);
                    if element["options"].get("enabled").is_some() {
                        set.insert("enabled".to_owned(), true.into());
                        if element["options"]["url"].is_string() && section != "mqtt" {
                            set.insert("url".to_owned(), "http://127.0.0.1:1/".into());
                            local.push(section.clone());
                        }
                    }
                    let (status, text) = post(&client, &server, path, json!({"set": set})).await;
                    assert_eq!(status, StatusCode::NO_CONTENT, "{section} {name}: {text}");
                    secrets += 1;
                    let wrong = json!({"set": {name: [SECRET, {"x": SECRET}], "enabled": SECRET}});
                    let (status, text) = post(&client, &server, path, wrong).await;
                    assert_eq!(status, StatusCode::BAD_REQUEST, "{section} {name}");
                    assert!(!text.contains(SECRET), "{text}");
                }
            }
        }
        assert!(secrets > 15, "{secrets}");
        let routes: Value =
            serde_json::from_str(&get(&client, &server, "/kapacitor/v1/:routes").await).unwrap();
        let mut answers = Vec::new();
        for (path, methods) in routes.as_object().unwrap() {
            // The log does not end; the backup is everything by intent.
            let is_endless = path.ends_with("/logs") || path.ends_with("/backup");
            if !path.contains('{')
                && !is_endless
                && methods.as_array().unwrap().contains(&json!("GET"))
            {
                answers.push((path.clone(), get(&client, &server, path).await));
            }
        }
        for (section, _) in all["sections"].as_object().unwrap() {
            for path in [format!("/config/{section}"), format!("/service-tests/{section}")] {
                let path = format!("/kapacitor/v1{path}");
                answers.push((path.clone(), get(&client, &server, &path).await));
                if path.contains("service-tests") && local.contains(section) {
                    let request = client.post(format!("{}{path}", server.url));
                    answers.push((path, request.send().await.unwrap().text().await.unwrap()));
                }
            }
        }
        assert!(answers.len() > 40, "{}", answers.len());
        for (path, text) in answers {
            assert!(!text.contains(SECRET), "{path}: {text}");
        }
        server.stop().await;
    });
}

#[test]
fn the_file_of_a_kapacitor_is_taken_over() {
    run(async {
        let data = tempfile::tempdir().unwrap();
        let file = data.path().join("kapacitor.conf");
        fs::write(&file, "[telegram]\nchat-id = \"7\"\n[config-override]\nenabled = false\n")
            .unwrap();
        let setting = format!("kapacitor.config={}", file.display());
        let server = Started::new(data.path(), &[&setting]).await;
        let client = Client::new();
        for path in ["/config", "/config/", "/config/telegram", "/config/telegram/"] {
            let answer =
                client.get(format!("{}/kapacitor/v1{path}", server.url)).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{path}");
            let text = answer.text().await.unwrap();
            assert!(
                text.contains("\"error\": \"config override service is not enabled\""),
                "{text}"
            );
        }
        let set = json!({"set": {"chat-id": "8"}});
        assert_eq!(post(&client, &server, "/config/telegram/", set).await.0, StatusCode::FORBIDDEN);
        server.stop().await;
        fs::write(&file, "[telegram]\nchat-id = \"7\"\n").unwrap();
        let server = Started::new(data.path(), &[&setting]).await;
        let shown = get(&client, &server, "/kapacitor/v1/config/telegram/").await;
        assert!(shown.contains("\"chat-id\":\"7\""), "{shown}");
        server.stop().await;
    });
}

#[test]
fn a_backup_is_a_store_that_can_be_opened() {
    run(async {
        let (data, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let server = Started::new(data.path(), &[]).await;
        let client = Client::new();
        let set = json!({"set": {"chat-id": "kept"}});
        assert_eq!(
            post(&client, &server, "/config/telegram/", set).await.0,
            StatusCode::NO_CONTENT
        );
        let request = client.get(format!("{}/kapacitor/v1/storage/backup", server.url));
        let answer = request.header("accept-encoding", "gzip").send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("content-type"), "application/octet-stream");
        assert_eq!(header("content-disposition"), "attachment; filename=\"kapacitor.db\"");
        assert!(answer.headers().get("content-encoding").is_none());
        let length: usize = header("content-length").parse().unwrap();
        let copy = answer.bytes().await.unwrap();
        assert_eq!(copy.len(), length);
        server.stop().await;
        let left = fs::read_dir(data.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(left.filter(|name| name.to_string_lossy().contains("backup")).count(), 0);
        fs::write(other.path().join("levada.db"), copy).unwrap();
        let server = Started::new(other.path(), &[]).await;
        let shown = get(&client, &server, "/kapacitor/v1/config/telegram/").await;
        assert!(shown.contains("\"chat-id\":\"kept\""), "{shown}");
        server.stop().await;
        let server = Started::new(other.path(), &["store.url=memory:"]).await;
        let answer =
            client.get(format!("{}/kapacitor/v1/storage/backup", server.url)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        server.stop().await;
    });
}
