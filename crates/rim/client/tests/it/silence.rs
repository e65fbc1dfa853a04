//! `silence`: what is asked, what is printed, how it ends.

use std::collections::BTreeMap;

use levada_client::Format;
use levada_client::silence::{Ended, NewSilence, Options, Silence, run};
use serde_json::{Value, json};

use crate::fake::{Answer, Fake};
use crate::run::{Ran, in_world};

fn silence(command: &Silence, url: &str, format: Format) -> Ran {
    let options = Options { server: url.to_owned(), skip_verify: false, format };
    in_world(&BTreeMap::new(), "Europe/Berlin", |world| match run(command, &options, world) {
        Ended::Done => 0,
        Ended::Refused => 1,
        Ended::Failed => 3,
    })
}

fn one(id: &str, state: &str) -> Value {
    json!({
        "id": id, "state": state, "matchers": ["tag.host=db1", "level!=CRITICAL"],
        "start": "2026-03-01T10:00:00Z", "end": "2026-03-01T12:00:00Z",
        "author": "ann", "comment": "new\ndisks", "created": "2026-03-01T10:00:00Z", "silenced": 12,
    })
}

#[test]
fn silences_are_listed_for_people_and_for_programs() {
    let answer = json!({"silences": [one("abc", "active"), one("d", "expired")]}).to_string();
    let fake = Fake::start(move |_| Answer::new(200, answer.clone()));
    let list = Silence::List { state: Some("active".to_owned()) };
    let ran = silence(&list, fake.url(), Format::Text);
    assert_eq!((ran.code, &*ran.err), (0, ""));
    assert_eq!(
        ran.out,
        "ID  STATE   START               END                 SILENCED AUTHOR MATCHERS                         COMMENT\n\
         abc active  01 Mar 26 11:00 CET 01 Mar 26 13:00 CET       12 ann    tag.host=db1 and level!=CRITICAL new disks\n\
         d   expired 01 Mar 26 11:00 CET 01 Mar 26 13:00 CET       12 ann    tag.host=db1 and level!=CRITICAL new disks\n"
    );
    let ran = silence(&Silence::List { state: None }, fake.url(), Format::Json);
    assert_eq!((ran.code, &*ran.err), (0, ""));
    let lines: Vec<Value> = ran.out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines, [one("abc", "active"), one("d", "expired")]);
    let targets: Vec<String> = fake.asked().into_iter().map(|asked| asked.target).collect();
    assert_eq!(targets, ["/api/v1/silences?state=active", "/api/v1/silences"]);
}

#[test]
fn a_new_silence_is_sent_as_it_was_written() {
    let answer = one("abc", "active").to_string();
    let fake = Fake::start(move |_| Answer::new(201, answer.clone()));
    let add = Silence::Add(NewSilence {
        matchers: vec!["tag.host=db1".to_owned()],
        duration: Some("2h".to_owned()),
        comment: Some("new disks".to_owned()),
        ..NewSilence::default()
    });
    let ran = silence(&add, fake.url(), Format::Text);
    assert_eq!((ran.code, &*ran.out, &*ran.err), (0, "abc\n", ""));
    let asked = &fake.asked()[0];
    assert_eq!((&*asked.method, &*asked.target), ("POST", "/api/v1/silences"));
    let body: Value = serde_json::from_str(&asked.body).unwrap();
    let expected = json!({"matchers": ["tag.host=db1"], "duration": "2h", "comment": "new disks"});
    assert_eq!(body, expected);
    let ran = silence(&add, fake.url(), Format::Json);
    assert_eq!(serde_json::from_str::<Value>(&ran.out).unwrap(), one("abc", "active"));
}

#[test]
fn one_id_that_is_wrong_stops_no_other() {
    let fake = Fake::start(|asked| match (&*asked.method, asked.path()) {
        ("DELETE", "/api/v1/silences/a" | "/api/v1/silences/b") => Answer::new(204, ""),
        ("GET", path) => Answer::new(200, one(&path[17..], "expired").to_string()),
        _ => Answer::new(404, r#"{"error": "unknown silence: \"x\""}"#),
    });
    let ids = ["a", "x", "b"].map(str::to_owned).to_vec();
    let ran = silence(&Silence::Expire { ids }, fake.url(), Format::Json);
    assert_eq!((ran.code, &*ran.err), (1, "error: unknown silence: \"x\"\n"));
    let ids: Vec<Value> = ran
        .out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].clone())
        .collect();
    assert_eq!(ids, ["a", "b"]);
    // An ID cannot mean another path.
    let ran = silence(&Silence::Expire { ids: vec!["..".to_owned()] }, fake.url(), Format::Text);
    assert_eq!((ran.code, &*ran.err), (3, "error: nothing can be called \"..\"\n"));
}

#[test]
fn a_server_that_is_away_is_asked_once() {
    let ids = vec!["a".to_owned(), "b".to_owned()];
    let ran = silence(&Silence::Expire { ids }, "http://127.0.0.1:1", Format::Text);
    assert_eq!(ran.code, 3);
    assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
    assert!(ran.err.starts_with("error: cannot reach http://127.0.0.1:1: "), "{}", ran.err);
    let ran = silence(&Silence::List { state: None }, "nonsense", Format::Text);
    assert_eq!(ran.code, 3);
}
