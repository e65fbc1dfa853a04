//! The case files in `data`: a command line, the requests it makes, the answers it gets, what it prints.
//!
//! ```text
//! === title
//! var NAME=VALUE           an environment variable; KAPACITOR_URL is that of the server unless it is set
//! zone Europe/Berlin       the local zone; UTC when absent
//! file NAME                a file, its lines behind `| `
//! $ words                  the command line; blanks inside of single quotes belong to a word
//! > METHOD TARGET BODY     a request, its body as it is sent
//! < STATUS BODY            its answer
//! out |text|               a line of standard output; the bar at its end keeps blanks, `|!` is a line that does not end
//! err |text|               a line of standard error; `...` alone stands for any further lines
//! exit CODE
//! ```
//! `{dir}` is the folder of the files, `{url}` the address of the server.

use std::collections::BTreeMap;
use std::path::Path;

use levada_client::{Format, kapacitor};

use crate::fake::{Answer, Fake};
use crate::run::{Ran, in_world};

#[derive(Debug, Default)]
struct Case {
    title: String,
    variables: BTreeMap<String, String>,
    zone: String,
    files: Vec<(String, String)>,
    line: String,
    requests: Vec<String>,
    answers: Vec<Answer>,
    out: Vec<String>,
    err: Vec<String>,
    code: u8,
}

#[test]
fn commands_ask_print_and_end_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/data");
    let mut count = 0;
    let mut failures = Vec::new();
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        for case in parse(&text) {
            count += 1;
            if let Err(got) = check(&case) {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                failures.push(format!("{name}: {}\n{got}", case.title));
            }
        }
    }
    assert!(count >= 60, "only {count} cases were found");
    assert!(
        failures.is_empty(),
        "{} cases fail; what came:\n\n{}",
        failures.len(),
        failures.join("\n")
    );
}

fn parse(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("=== ") {
            cases.push(Case { title: title.into(), zone: "UTC".into(), ..Case::default() });
            continue;
        }
        let Some(case) = cases.last_mut() else { continue };
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "var" => {
                let (name, value) = rest.split_once('=').unwrap();
                case.variables.insert(name.into(), value.into());
            }
            "zone" => case.zone = rest.into(),
            "file" => case.files.push((rest.into(), String::new())),
            "|" => {
                let (_, content) = case.files.last_mut().expect("a file stands before its lines");
                content.push_str(rest);
                content.push('\n');
            }
            "$" => case.line = rest.into(),
            ">" => case.requests.push(rest.into()),
            "<" => {
                let (status, body) = rest.split_once(' ').unwrap_or((rest, ""));
                case.answers.push(Answer::new(status.parse().unwrap(), body));
            }
            "out" => case.out.push(barred(rest)),
            "err" => case.err.push(barred(rest)),
            "exit" => case.code = rest.parse().unwrap(),
            "" | "#" => {}
            _ => panic!("{}: what is `{line}`?", case.title),
        }
    }
    cases
}

/// Gives a line with its end.
fn barred(text: &str) -> String {
    if let Some(text) = text.strip_prefix('|').and_then(|text| text.strip_suffix("|!")) {
        return text.to_owned();
    }
    match text.strip_prefix('|').and_then(|text| text.strip_suffix('|')) {
        Some(text) => format!("{text}\n"),
        None if text == "..." => "...".to_owned(),
        None => panic!("`{text}` does not stand between bars"),
    }
}

/// Runs a case; gives what came when it is not what should.
fn check(case: &Case) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::scripted(case.answers.clone());
    let dir = folder.path().to_str().unwrap();
    let filled = |text: &str| text.replace("{dir}", dir).replace("{url}", fake.url());
    let hidden = |text: &str| text.replace(dir, "{dir}").replace(fake.url(), "{url}");
    for (name, content) in &case.files {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    let mut variables = BTreeMap::from([("KAPACITOR_URL".to_owned(), fake.url().to_owned())]);
    variables.extend(case.variables.iter().map(|(name, value)| (name.clone(), filled(value))));
    let words: Vec<String> = words(&case.line).iter().map(|word| filled(word)).collect();
    let ran = in_world(&variables, &case.zone, |world| kapacitor::run(&words, Format::Text, world));
    let requests: Vec<String> = fake
        .asked()
        .iter()
        .map(|asked| format!("{} {} {}", asked.method, asked.target, asked.body).trim_end().into())
        .collect();
    let (out, err) = (hidden(&ran.out), hidden(&ran.err));
    let is_right = requests == case.requests
        && matches(&case.out, &out)
        && matches(&case.err, &err)
        && ran.code == case.code;
    if is_right { Ok(()) } else { Err(render(&requests, &Ran { out, err, ..ran })) }
}

fn matches(expected: &[String], got: &str) -> bool {
    let (expected, is_open) = match expected.split_last() {
        Some((last, rest)) if last == "..." => (rest, true),
        _ => (expected, false),
    };
    let all = expected.concat();
    if is_open { got.starts_with(&all) } else { got == all }
}

fn render(requests: &[String], ran: &Ran) -> String {
    let mut text: String = requests.iter().map(|request| format!("> {request}\n")).collect();
    for (name, all) in [("out", &ran.out), ("err", &ran.err)] {
        for line in all.split_inclusive('\n') {
            let end = if line.ends_with('\n') { "" } else { "!" };
            text.push_str(&format!("{name} |{}|{end}\n", line.trim_end_matches('\n')));
        }
    }
    text + &format!("exit {}\n", ran.code)
}

fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut is_quoted = false;
    for character in line.chars() {
        match character {
            '\'' => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            ' ' if !is_quoted => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    words
}
