//! `levada gateway` against prepared answers.

use std::collections::BTreeMap;
use std::time::Duration;

use levada_client::Format;
use levada_client::gateway::{self, Command, Ended, Options, Which};
use serde_json::{Value, json};

use crate::fake::{Answer, Fake};
use crate::run::{Ran, in_world};

fn run(server: &Fake, format: Format, command: Command) -> Ran {
    let options = Options {
        server: server.url().to_owned(),
        skip_verify: false,
        format,
        is_quiet: false,
        command,
    };
    in_world(&BTreeMap::new(), "UTC", |world| match gateway::run(&options, world) {
        Ended::Done => 0,
        Ended::Refused => 1,
        Ended::Failed => 3,
    })
}

fn queue(queued: u64) -> Value {
    json!({
        "name": "default", "accepted": 10, "delivered": 10 - queued, "dropped_total": 0, "dead_lettered": 0,
        "queued": queued, "queued_bytes": queued * 100, "balanced": true,
        "endpoints": [{"endpoint": "http://a:9528", "state": "up"}],
    })
}

fn of(value: &Value) -> Answer {
    Answer::new(200, value.to_string())
}

fn letter(number: u64) -> Value {
    json!({
        "queue": "default", "number": number, "at": "2026-03-01T12:00:00Z", "category": "logging", "points": 2,
        "bytes": 90, "attempts": 1, "reason": "status 400: bad\nbody",
    })
}

#[test]
fn a_wait_shows_progress_until_nothing_waits() {
    let answers = [6, 6, 3, 0].map(|queued| of(&json!({"queues": [queue(queued)]})));
    let server = Fake::scripted(answers.to_vec());
    let wait = Command::Wait { queue: None, timeout: None };
    let ran = run(&server, Format::Text, wait);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.err, "6 points wait (600 B)\n3 points wait (300 B)\n");
    assert!(ran.out.starts_with("DESTINATION STATE ACCEPTED"), "{}", ran.out);
    assert_eq!(server.asked().len(), 4);

    let server = Fake::scripted(vec![of(&queue(6))]);
    let wait = Command::Wait { queue: Some("default".into()), timeout: Some(Duration::ZERO) };
    let ran = run(&server, Format::Text, wait);
    assert_eq!((ran.code, &*ran.err), (3, "6 points wait (600 B)\nerror: 6 points still wait\n"));
    assert_eq!(server.asked()[0].target, "/api/v1/gateway/queues/default");
}

#[test]
fn a_status_whose_sums_do_not_agree_fails() {
    let status = json!({"received": {"points": 1}, "balanced": false, "destinations": [queue(0)]});
    let server = Fake::scripted(vec![of(&status)]);
    let ran = run(&server, Format::Json, Command::Status);
    assert_eq!(ran.code, 1);
    assert_eq!(ran.out, format!("{status}\n"));
    assert_eq!(ran.err, "error: the points of a destination do not add up\n");
}

#[test]
fn letters_are_listed_by_page_replayed_and_dropped() {
    let queues = of(&json!({"queues": [queue(0)]}));
    let pages = [
        json!({"dead_letters": [letter(4), letter(5)], "more": true}),
        json!({"dead_letters": [letter(9)], "more": false}),
    ];
    let server = Fake::scripted(vec![queues, of(&pages[0]), of(&pages[1])]);
    let ran = run(&server, Format::Text, Command::Letters { queue: None });
    assert_eq!((ran.code, &*ran.err), (0, "3 dead letters\n"));
    let expected = "QUEUE   NUMBER AT                   CATEGORY POINTS BYTES REASON\n\
        default 4      2026-03-01T12:00:00Z logging  2      90 B  status 400: bad body\n";
    assert!(ran.out.starts_with(expected), "{}", ran.out);
    assert_eq!(server.asked()[2].target, "/api/v1/gateway/dead-letters?queue=default&after=5");

    let missing = Answer::new(404, json!({"error": "there is no dead letter 5"}).to_string());
    let server = Fake::scripted(vec![of(&json!({"replayed": 4})), missing]);
    let which = Which { queue: "default".into(), numbers: vec![4, 5] };
    let ran = run(&server, Format::Text, Command::Replay(which));
    assert_eq!((ran.code, &*ran.err), (1, "error: there is no dead letter 5\n"));
    assert_eq!(ran.out, "replayed 1 of 2 dead letters of default\n");
    let asked = &server.asked()[0];
    assert_eq!(
        (&*asked.method, &*asked.target),
        ("POST", "/api/v1/gateway/dead-letters/default/4/replay")
    );

    let all = of(&json!({"dead_letters": [letter(7)], "more": false}));
    let server = Fake::scripted(vec![all, Answer::new(204, "")]);
    let which = Which { queue: "default".into(), numbers: Vec::new() };
    let ran = run(&server, Format::Json, Command::Drop(which));
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.out, "{\"queue\":\"default\",\"number\":7,\"action\":\"dropped\"}\n");
    assert_eq!(server.asked()[1].method, "DELETE");
}

#[test]
fn a_server_without_a_gateway_says_so() {
    let text = json!({"error": "there is no gateway: set `gateway.urls` or `gateway.destination`"});
    let server = Fake::scripted(vec![Answer::new(404, text.to_string())]);
    let ran = run(&server, Format::Text, Command::Status);
    let expected = "error: there is no gateway: set `gateway.urls` or `gateway.destination`\n";
    assert_eq!((ran.code, &*ran.err, &*ran.out), (1, expected, ""));
    let server = Fake::scripted(vec![Answer::new(0, "")]);
    assert_eq!(run(&server, Format::Text, Command::Queues).code, 3);
}
