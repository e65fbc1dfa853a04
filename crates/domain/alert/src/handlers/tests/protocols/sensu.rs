use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::mpsc;

use super::*;

/// A socket as Sensu's client has it: each connection sends a line and is answered; it is closed when `closes` says so.
fn socket(answers: Vec<(&'static str, bool)>) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (send, lines) = mpsc::sync_channel(100);
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for (answer, closes) in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            if !closes {
                kept.push(stream);
            }
            if send.send(line).is_err() {
                return;
            }
        }
        // Open connections stay so until the test is over.
        while send.send(String::new()).is_ok() {
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    (address, lines)
}

#[tokio::test]
async fn a_result_byte_for_byte() {
    let levels = [Level::Ok, Level::Info, Level::Warning, Level::Critical];
    let (address, lines) = socket(vec![("ok", true), ("ok\n", true), ("ok", false), ("ok", true)]);
    let section = json!({"enabled": true, "addr": address, "handlers": ["of section"]});
    let services = MemoryServices::with("sensu", section);
    let value = json!({
        "source": "{{ .Name }}<{{ index .Tags \"host\" }}>", "handlers": ["h", "i"],
        "metadata": {"zone": "z", "name": "clashes", "age": 5, "k": true},
    });
    let full = handler("sensu", value, &deps(&services));
    for (level, status) in levels.into_iter().zip([0, 0, 1, 2]) {
        full.handle(&event("cpu.a_b-1", level)).await.unwrap();
        let expected = format!(
            r#"{{"age":5,"handlers":["h","i"],"k":true,"name":"cpu.a_b-1","output":"cpu.a_b-1 is {level}","source":"cpu\u003ca\u003e","status":{status},"zone":"z"}}"#
        );
        assert_eq!(lines.recv().unwrap(), expected + "\n");
    }
}

#[tokio::test]
async fn settings_fill_what_the_handler_leaves_out() {
    let (address, lines) = socket(vec![("ok", true), ("ok", true), ("ok", true)]);
    let services = MemoryServices::with("sensu", json!({"enabled": true, "addr": address}));
    let plain = handler("sensu", json!({}), &deps(&services));
    plain.handle(&event("n", Level::Ok)).await.unwrap();
    assert_eq!(
        lines.recv().unwrap(),
        "{\"handlers\":[],\"name\":\"n\",\"output\":\"n is OK\",\"source\":\"Kapacitor\",\"status\":0}\n"
    );
    let section = json!({"enabled": true, "addr": address, "handlers": ["s"], "source": "S"});
    services.set("sensu", section);
    plain.handle(&event("n", Level::Ok)).await.unwrap();
    let line = lines.recv().unwrap();
    assert!(line.contains("\"handlers\":[\"s\"]") && line.contains("\"source\":\"S\""), "{line}");
    tried("sensu", json!({"metadata": {"a": "b"}, "level": "warning"}), &deps(&services))
        .await
        .unwrap();
    assert_eq!(
        lines.recv().unwrap(),
        "{\"a\":\"b\",\"handlers\":[\"s\"],\"name\":\"testName\",\"output\":\"testOutput\",\"source\":\"S\",\"status\":1}\n"
    );
}

#[tokio::test]
async fn what_sensu_does_not_take_is_an_error() {
    let long = "x".repeat(100_000).leak();
    let (address, _lines) = socket(vec![("invalid", true), ("", true), (long, true), ("", false)]);
    let services = MemoryServices::with("sensu", json!({"enabled": true, "addr": address}));
    let quick = HandlerDeps { request_timeout: Duration::from_millis(200), ..deps(&services) };
    let handler = handler("sensu", json!({}), &quick);
    for id in ["cpu:host=a", "", "ü", "a b"] {
        let expected = format!("invalid name {id:?} for sensu alert. Must match ^[\\w\\.-]+$");
        assert_eq!(failure(&handler, &event(id, Level::Ok)).await, (expected, false));
    }
    let named = event("n", Level::Ok);
    assert_eq!(failure(&handler, &named).await, ("sensu answered \"invalid\"".to_owned(), false));
    assert_eq!(failure(&handler, &named).await, ("sensu answered \"\"".to_owned(), false));
    let (text, _) = failure(&handler, &named).await;
    assert!(text.len() < 1_100, "no more is read than shown");
    let (text, may_help) = failure(&handler, &named).await;
    assert!(text.contains("did not answer within 200ms") && may_help, "{text}");
    services.set("sensu", json!({"enabled": true, "addr": "127.0.0.1:1"}));
    let (text, may_help) = failure(&handler, &named).await;
    assert!(text.starts_with("127.0.0.1:1: ") && may_help, "{text}");
    services.set("sensu", json!({"enabled": true}));
    assert_eq!(failure(&handler, &named).await.0, "no address: `addr` is not set");
}
