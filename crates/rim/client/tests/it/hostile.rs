//! Servers that answer wrongly, late or not at all.

use crate::fake::{Answer, Fake};
use crate::run::kapacitor;

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
fn a_list_that_never_ends_ends() {
    let page: Vec<String> = (0..100).map(|at| format!("{{\"id\":\"t{at}\"}}")).collect();
    let page = format!("{{\"tasks\":[{}]}}", page.join(","));
    let fake = Fake::start(move |asked| match asked.target.contains("offset=300") {
        true => Answer::new(500, "{\"error\":\"enough\"}"),
        false => Answer::new(200, page.clone()),
    });
    let ran = kapacitor(fake.url(), &["list", "tasks"]);
    assert_eq!((ran.code, &*ran.err, &*ran.out), (3, "Error: enough\n", ""));
    assert_eq!(fake.asked().len(), 4);
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
