//! The README's walk through `levada serve` is true: its commands, run one after the other, print what it shows.
//!
//! Times, sizes of packed files and measured speeds are compared as `<time>`, `<size>` and `<speed>`.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests: a deadline on the real clock"
)]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use levada_testkit::process::Folder;

use crate::readme::root;
use crate::serving::{LONG, Serving};

const SECTION: &str = "## In place of kapacitord\n";

/// What begins a command that changes nothing: what it shows may take a moment to be there.
const LOOKS: &[&str] = &[
    "levada kapacitor list ",
    "levada kapacitor show",
    "grep ",
    "curl -s http://localhost:9092/kapacitor/v1/replays/",
];

#[test]
fn the_walk_prints_what_the_readme_shows() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let section = &readme[readme.find(SECTION).unwrap()..];
    let begin = section.find("```console\n").unwrap() + "```console\n".len();
    let session = &section[begin..];
    let session = &session[..session.find("```").unwrap()];
    let mut commands: Vec<(&str, String)> = Vec::new();
    for line in session.lines() {
        match line.strip_prefix("$ ") {
            Some(command) => commands.push((command, String::new())),
            None => commands.last_mut().unwrap().1.push_str(&format!("{line}\n")),
        }
    }
    assert!(commands.len() > 10, "{commands:?}");
    let (first, ready) = commands.remove(0);
    assert_eq!(
        (first, &*ready),
        ("levada serve &", "{\"ready\":true,\"listen\":[\"127.0.0.1:9092\"]}\n")
    );

    let folder = Folder::new();
    let log = folder.path("topic.ndjson").display().to_string();
    for file in std::fs::read_dir(root().join("examples/kapacitor")).unwrap() {
        let file = file.unwrap();
        let text = std::fs::read_to_string(file.path()).unwrap();
        folder
            .write(file.file_name().to_str().unwrap(), text.replace("/tmp/cpu-topic.ndjson", &log));
    }
    let server = Serving::on(folder);
    let address = format!("localhost:{}", server.port);
    for (command, expected) in commands {
        let expected = comparable(&expected);
        let run =
            command.replace("localhost:9092", &address).replace("/tmp/cpu-topic.ndjson", &log);
        let started = Instant::now();
        loop {
            let (printed, errors) = shell(&run, &server);
            let printed = comparable(&printed);
            if printed == expected {
                break;
            }
            let may_come = LOOKS.iter().any(|begin| command.starts_with(begin));
            let is_over = !may_come || started.elapsed() > LONG;
            assert!(!is_over, "{command}\nexpected:\n{expected}\nprinted:\n{printed}\n{errors}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    assert_eq!(server.stop().code, Some(0));
}

fn shell(command: &str, server: &Serving) -> (String, String) {
    let binary = Path::new(env!("CARGO_BIN_EXE_levada"));
    let path = format!("{}:{}", binary.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let output = Command::new("sh")
        .args(["-c", command])
        .current_dir(server.folder.path("."))
        .env("PATH", &path)
        .env("KAPACITOR_URL", server.url())
        .env("TZ", "UTC")
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command}\n{errors}");
    (String::from_utf8(output.stdout).unwrap(), errors)
}

/// Gives a text without what differs from run to run, and without blanks at the ends of lines.
fn comparable(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let line = between(line, "avg_exec_time_ns=\"", "\"", "<speed>");
        let line = between(&line, "throughput=\"", " points", "<speed>");
        let mut shown = String::new();
        let mut rest = line.as_str();
        while let Some(letter) = rest.chars().next() {
            let found = [("00 aaa 00 00:00 AAA", "<time>"), ("00 B", "<size>")]
                .into_iter()
                .find(|(shape, _)| rest.len() >= shape.len() && has_shape(rest, shape));
            match found {
                Some((shape, name)) => {
                    shown.push_str(name);
                    rest = &rest[shape.len()..];
                }
                None => {
                    shown.push(letter);
                    rest = &rest[letter.len_utf8()..];
                }
            }
        }
        format!("{}\n", shown.trim_end())
    });
    lines.collect()
}

/// Says whether a text begins with digits where the shape has `0`, capitals where it has `A`, and so on.
fn has_shape(text: &str, shape: &str) -> bool {
    text.bytes().zip(shape.bytes()).all(|(found, wanted)| match wanted {
        b'0' => found.is_ascii_digit(),
        b'A' => found.is_ascii_uppercase(),
        b'a' => found.is_ascii_alphabetic(),
        other => found == other,
    })
}

/// Replaces what is between two texts.
fn between(line: &str, begin: &str, end: &str, name: &str) -> String {
    let Some((before, rest)) = line.split_once(begin) else { return line.to_owned() };
    let Some(at) = rest.find(end) else { return line.to_owned() };
    format!("{before}{begin}{name}{}", &rest[at..])
}

#[test]
fn what_differs_from_run_to_run_is_left_out() {
    let cases = [
        ("busy  finished  95 B   29 Nov 26 09:31 UTC    ", "busy  finished  <size>   <time>"),
        (
            "alert2 [errors=\"0\" avg_exec_time_ns=\"1.5ms\" x",
            "alert2 [errors=\"0\" avg_exec_time_ns=\"<speed>\" x",
        ),
        ("graph [throughput=\"0.00 points/s\"];", "graph [throughput=\"<speed> points/s\"];"),
        ("cpu of web-1 is CRITICAL: 97.3%", "cpu of web-1 is CRITICAL: 97.3%"),
    ];
    for (text, expected) in cases {
        assert_eq!(comparable(text), format!("{expected}\n"));
    }
}
