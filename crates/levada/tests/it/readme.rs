//! The first screen of the README is true: its file, its commands, their output.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Gives the text of the first fenced block of a language.
fn block(readme: &str, language: &str) -> String {
    let fence = format!("```{language}\n");
    let start = readme.find(&fence).unwrap() + fence.len();
    let end = start + readme[start..].find("\n```").unwrap();
    format!("{}\n", &readme[start..end])
}

#[test]
fn the_example_is_the_file_in_examples() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let example = std::fs::read_to_string(root().join("examples/orders.yaml")).unwrap();
    assert_eq!(block(&readme, "yaml"), example);
}

#[test]
fn the_commands_print_what_the_readme_shows() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for name in ["orders.yaml", "orders.ndjson"] {
        std::fs::copy(root().join("examples").join(name), folder.path().join(name)).unwrap();
    }
    let binary = Path::new(env!("CARGO_BIN_EXE_levada"));
    let path = format!("{}:{}", binary.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let session = block(&readme, "console");
    let mut commands = Vec::new();
    for line in session.lines() {
        match line.strip_prefix("$ ") {
            Some(command) => commands.push((command.to_owned(), String::new())),
            None => {
                let (_, output) = commands.last_mut().unwrap();
                output.push_str(line);
                output.push('\n');
            }
        }
    }
    assert_eq!(commands.len(), 4);
    for (command, expected) in commands {
        let output = Command::new("sh")
            .args(["-c", &command])
            .current_dir(folder.path())
            .env("PATH", &path)
            .output()
            .unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(printed, expected, "{command}\n{errors}");
        assert!(output.status.success(), "{command}\n{errors}");
    }
}

#[test]
fn every_link_leads_somewhere() {
    for page in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "docs/decisions/README.md"] {
        let text = std::fs::read_to_string(root().join(page)).unwrap();
        let folder = root().join(page).parent().unwrap().to_owned();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let is_outside = link.starts_with("http") || link.starts_with('#');
            let target = folder.join(link.split('#').next().unwrap());
            assert!(is_outside || target.exists(), "{page}: {link}");
        }
    }
}

#[test]
fn the_main_command_runs_on_this_machine() {
    let folder = tempfile::tempdir().unwrap();
    let example = root().join("examples/host-metrics.yaml");
    std::fs::copy(example, folder.path().join("host-metrics.yaml")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_levada"))
        .args(["run", "host-metrics.yaml", "--for", "2s"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.starts_with("TIME"), "{table}");
    assert!(table.lines().count() >= 2, "{table}");
    let others = std::fs::read_to_string(folder.path().join("out/others.ndjson")).unwrap();
    assert!(others.contains("\"metric\":\"memory\""), "{others}");
    assert!(!others.contains("\"host\""), "{others}");
}

/// What `cpu.tick` and `flow.yaml` of the README name outside their folder: replaced, so that tests do not meet.
fn alert_example(folder: &Path, port: u16) {
    let log = folder.join("alerts.ndjson");
    for name in ["cpu.tick", "flow.yaml"] {
        let text = std::fs::read_to_string(root().join("examples/alert").join(name)).unwrap();
        let text = text
            .replace("/tmp/cpu-alerts.ndjson", &log.display().to_string())
            .replace("127.0.0.1:9099", &format!("127.0.0.1:{port}"));
        std::fs::write(folder.join(name), text).unwrap();
    }
}

#[test]
fn the_alert_example_alerts_into_a_file_and_over_http() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    assert!(readme.contains("levada run flow.yaml cpu.tick --for 5s"), "the command of the README");
    let script = std::fs::read_to_string(root().join("examples/alert/cpu.tick")).unwrap();
    assert_eq!(block(&readme, "js"), script);

    let folder = tempfile::tempdir().unwrap();
    let port = levada_testkit::http::free_port();
    alert_example(folder.path(), port);
    let output = Command::new(env!("CARGO_BIN_EXE_levada"))
        .args(["run", "flow.yaml", "cpu.tick", "--for", "5s"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.starts_with("TIME"), "{table}\n{errors}");
    assert!(table.contains("INFO") || table.contains("WARNING"), "{table}\n{errors}");
    let log = std::fs::read_to_string(folder.path().join("alerts.ndjson")).unwrap();
    let event: serde_json::Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
    assert_eq!(event["previousLevel"], "OK");
    assert!(event["message"].as_str().unwrap().starts_with("cpu of "), "{event}");
    assert!(event["data"]["series"][0]["columns"].as_array().unwrap().len() >= 3, "{event}");
    // What was known when it stopped is known when it starts again: the same level is no news.
    let state = std::fs::read_dir(folder.path().join("levada-data/tasks")).unwrap().count();
    assert_eq!(state, 1, "the state of the task is kept");
}

#[test]
fn the_dry_run_of_the_alert_example_prints_what_the_readme_shows() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_levada"))
        .args(["dry-run", "cpu.tick", "--input", "sample.lp"])
        .current_dir(root().join("examples/alert"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let messages: Vec<String> = lines
        .lines()
        .map(|line| {
            let effect: serde_json::Value = serde_json::from_str(line).unwrap();
            effect["data"]["message"].as_str().unwrap().to_owned()
        })
        .collect();
    let command = "$ levada dry-run cpu.tick --input sample.lp | jq -r .data.message\n";
    let shown = &readme[readme.find(command).unwrap() + command.len()..];
    let shown = &shown[..shown.find("\n```").unwrap()];
    assert_eq!(messages.join("\n"), shown);
}
