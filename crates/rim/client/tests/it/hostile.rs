//! Servers that answer wrongly, late or not at all.

use std::net::TcpListener;
use std::time::Duration;

use crate::fake::{Answer, Fake};
use crate::run::{kapacitor, kapacitor_within};

#[test]
fn a_server_that_is_not_there_is_named_without_its_password() {
    let ran = kapacitor("http://bob:secret@127.0.0.1:1", &["list", "tasks"]);
    assert_eq!(ran.code, 3);
    assert!(ran.err.starts_with("Error: cannot reach http://127.0.0.1:1: "), "{}", ran.err);
    assert!(!ran.err.contains("secret"), "{}", ran.err);
    assert_eq!(ran.out, "");
}

#[test]
fn a_connection_that_closes_without_an_answer_is_an_error() {
    let fake = Fake::scripted(vec![Answer::default()]);
    let ran = kapacitor(fake.url(), &["level", "info"]);
    assert_eq!(ran.code, 3);
    assert!(ran.err.starts_with(&format!("Error: cannot reach {}: ", fake.url())), "{}", ran.err);
}

#[test]
fn credentials_of_the_url_are_sent() {
    let fake = Fake::scripted(vec![Answer::new(204, "")]);
    let url = fake.url().replace("http://", "http://bob:p%40ss@");
    let ran = kapacitor("http://127.0.0.1:1", &["-url", &url, "level", "info"]);
    assert_eq!((ran.code, &*ran.err), (0, ""));
    // bob:p@ss
    assert_eq!(fake.asked()[0].header("authorization"), Some("Basic Ym9iOnBAc3M="));
}

#[test]
fn an_answer_of_any_size_ends() {
    let body = vec![b' '; (64 << 20) + 1];
    let fake = Fake::scripted(vec![Answer::new(200, body)]);
    let ran = kapacitor(fake.url(), &["vars"]);
    assert_eq!(ran.code, 3);
    assert_eq!(ran.err, format!("Error: {} answered with more than 67108864 bytes\n", fake.url()));
}

#[test]
fn pages_are_read_until_one_is_not_full() {
    let page = |count: usize| format!("{{\"tasks\":[{}]}}", vec!["{}"; count].join(","));
    let fake = Fake::start(move |asked| match asked.target.contains("offset=300") {
        true => Answer::new(200, page(99)),
        false => Answer::new(200, page(100)),
    });
    let ran = kapacitor(fake.url(), &["list", "tasks"]);
    assert_eq!((ran.code, &*ran.err), (0, ""));
    assert_eq!(ran.out.lines().count(), 1 + 399);
    assert_eq!(fake.asked().len(), 4);
}

#[test]
fn pages_that_never_end_end() {
    let page = format!("{{\"tasks\":[{}]}}", vec!["{}"; 100].join(","));
    let fake = Fake::start(move |_| Answer::new(200, page.clone()));
    let ran = kapacitor(fake.url(), &["list", "tasks"]);
    assert_eq!((ran.code, &*ran.err), (3, "Error: there are more than 100000 tasks\n"));
    assert_eq!(fake.asked().len(), 1_000);
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kapacitor.db");
    for words in [&["list", "tasks"][..], &["logs"], &["backup", file.to_str().unwrap()]] {
        let ran = kapacitor_within(&url, Duration::from_millis(50), words);
        let text = format!("Error: {url} did not answer within 50ms\n");
        assert_eq!((ran.code, &*ran.err), (3, &*text), "{words:?}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_backup_is_there_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kapacitor.db");
    let path = path.to_str().unwrap();
    let fake = Fake::scripted(vec![Answer::new(200, "database")]);
    assert_eq!(kapacitor(fake.url(), &["backup", path]).code, 0);
    assert_eq!(fake.asked()[0].target, "/kapacitor/v1/storage/backup");
    assert_eq!(std::fs::read(path).unwrap(), b"database");

    let cut = Answer { status: 200, body: b"data".to_vec(), announced: Some(8) };
    let ran = kapacitor(Fake::scripted(vec![cut]).url(), &["backup", path]);
    let text =
        "Error: failed to download entire backup, only wrote 4 bytes out of a total 8 bytes.\n";
    assert_eq!((ran.code, &*ran.err), (3, text));
    assert_eq!(std::fs::read(path).unwrap(), b"database");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn log_lines_are_handed_on_as_they_come() {
    let cut = Answer { status: 200, body: b"ts=1\nts=2\n".to_vec(), announced: Some(1000) };
    let fake = Fake::scripted(vec![cut]);
    let ran = kapacitor(fake.url(), &["watch", "cpu", "lvl=info+"]);
    assert_eq!(fake.asked()[0].target, "/kapacitor/v1preview/logs?task=cpu&lvl=info%2B");
    assert_eq!(ran.out, "ts=1\nts=2\n");
    assert_eq!(ran.code, 3, "a log that breaks off is told");
}
