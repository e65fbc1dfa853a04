//! `levada kapacitor`, the binary called `kapacitor`, and `levada import kapacitor`.

use std::process::Command;

use super::binary::{Folder, run};

#[test]
fn the_client_is_a_command() {
    let help = run(&["kapacitor", "help"], b"", &[]).ends(0);
    assert!(
        help.text().starts_with("Usage: kapacitor [options] COMMAND [arguments]\n"),
        "{}",
        help.text()
    );
    let flag = run(&["kapacitor", "-help"], b"", &[]).ends(0);
    assert_eq!(flag.text(), help.text());
    let version = run(&["kapacitor", "version"], b"", &[]).ends(0);
    assert_eq!(
        version.text(),
        concat!("Kapacitor OSS 1.8.0 (git: levada ", env!("CARGO_PKG_VERSION"), ")\n")
    );
}

#[test]
fn the_client_ends_with_the_codes_of_the_original() {
    run(&["kapacitor"], b"", &[]).ends(1);
    run(&["kapacitor", "nonsense"], b"", &[]).ends(1);
    run(&["kapacitor", "define"], b"", &[]).ends(2);
    let away = run(&["kapacitor", "-url", "http://127.0.0.1:1", "list", "tasks"], b"", &[]).ends(3);
    assert!(away.stderr.starts_with("Error: cannot reach http://127.0.0.1:1: "), "{}", away.stderr);
    run(&["kapacitor", "-url", "nonsense", "list", "tasks"], b"", &[]).ends(4);
}

#[test]
fn a_binary_of_the_name_is_the_client() {
    let folder = Folder::new();
    let link = folder.path().join("kapacitor");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_levada"), &link).unwrap();
    let output = Command::new(&link).args(["help", "record"]).env_clear().output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    assert!(text.starts_with("Usage: kapacitor [options] record stream "), "{text}");
    let output = Command::new(&link).args(["-bad"]).env_clear().output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.starts_with("flag provided but not defined: -bad\n"), "{text}");
}

#[test]
fn the_environment_names_the_server() {
    let mut folder = Folder::new();
    folder.variable("KAPACITOR_URL", "http://127.0.0.1:1/x");
    let ran = folder.run(&["kapacitor", "level", "info"]).ends(3);
    assert!(ran.stderr.starts_with("Error: cannot reach http://127.0.0.1:1/x: "), "{}", ran.stderr);
}

#[test]
fn an_import_without_its_servers_says_so() {
    let folder = Folder::new();
    folder.file("load/tasks/cpu.tick", "stream|from()|log()");
    let ran =
        folder.run(&["import", "kapacitor", "load", "--server", "http://127.0.0.1:1"]).ends(3);
    assert!(ran.stderr.starts_with("error: cannot reach http://127.0.0.1:1: "), "{}", ran.stderr);
    folder.file("levada.toml", "[client]\nserver = \"http://127.0.0.1:2\"\n");
    let ran = folder.run(&["import", "kapacitor", "load", "--dry-run"]).ends(3);
    assert!(ran.stderr.starts_with("error: cannot reach http://127.0.0.1:2: "), "{}", ran.stderr);
    folder.run(&["import", "kapacitor"]).ends(2);
}
