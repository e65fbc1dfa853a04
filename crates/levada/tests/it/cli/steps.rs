//! The worked examples of every step, end to end through `dry-run`, from `data/steps.txt`.

use super::binary::Folder;
use super::cases::{Block, Generation, blocks};

const STEPS: &str = include_str!("data/steps.txt");

/// One example.
#[derive(Default)]
struct Case {
    steps: Vec<String>,
    spec: Vec<String>,
    is_message: bool,
    ignores_digits: bool,
    input: Vec<String>,
    /// The result lines as they are printed.
    expected: Vec<String>,
}

/// A result line under construction.
#[derive(Default)]
struct Expected {
    outputs: Vec<String>,
    error: Option<String>,
}

impl Expected {
    fn line(&self, number: usize) -> String {
        let outputs = self.outputs.join(",");
        let error = self.error.as_deref().unwrap_or("null");
        format!("{{\"input\":{number},\"outputs\":[{outputs}],\"error\":{error}}}")
    }
}

fn case(block: &Block<'_>) -> Case {
    let mut case = Case::default();
    let mut expected: Vec<Expected> = Vec::new();
    for &line in &block.lines {
        let (mark, rest) = line.split_at(line.len().min(2));
        let last = expected.last_mut();
        match (mark, last) {
            ("| ", _) => case.spec.push(rest.to_owned()),
            ("< " | "<", _) => {
                case.input.push(rest.to_owned());
                expected.push(Expected::default());
            }
            ("> ", Some(last)) => {
                // `payload`, or `payload => route {metadata}`.
                let (payload, route, metadata) = match rest.rsplit_once(" => ") {
                    None => (rest, "null".to_owned(), "{}"),
                    Some((payload, to)) => {
                        let (route, metadata) = to.split_once(' ').unwrap_or((to, "{}"));
                        let route = match route {
                            "main" => "null".to_owned(),
                            name => format!("\"{name}\""),
                        };
                        (payload, route, metadata)
                    }
                };
                let encoded = match payload {
                    "empty" => Some(""),
                    _ => payload.strip_prefix("base64 "),
                };
                let payload = match encoded {
                    Some(encoded) => format!("\"payloadBase64\":\"{encoded}\""),
                    None => format!("\"payload\":{payload}"),
                };
                last.outputs
                    .push(format!("{{{payload},\"route\":{route},\"metadata\":{metadata}}}"));
            }
            ("! ", Some(last)) => {
                let mut parts = rest.splitn(3, ' ');
                let mut part = || serde_json::Value::from(parts.next().unwrap()).to_string();
                let (class, stage, message) = (part(), part(), part());
                last.error =
                    Some(format!("{{\"class\":{class},\"stage\":{stage},\"message\":{message}}}"));
            }
            _ if line == "messages" => case.is_message = true,
            _ if line == "digits do not count" => case.ignores_digits = true,
            _ => case.steps.push(line.to_owned()),
        }
    }
    let lines = expected.iter().enumerate().map(|(index, expected)| expected.line(index + 1));
    case.expected = lines.collect();
    case
}

fn check(generation: Generation) {
    let folder = Folder::new();
    let mut failures = Vec::new();
    for block in blocks(STEPS) {
        let case = case(&block);
        let steps = case.steps.iter().map(|line| format!("  {line}"));
        let spec: Vec<String> =
            case.spec.iter().cloned().chain(["transformations:".to_owned()]).chain(steps).collect();
        let spec: Vec<&str> = spec.iter().map(String::as_str).collect();
        folder.file("flow.yaml", generation.manifest(&spec, true));
        folder.file("in.ndjson", format!("{}\n", case.input.join("\n")));
        let format = if case.is_message { "message" } else { "payload" };
        let args = ["dry-run", "flow.yaml", "--input", "in.ndjson", "--input-format", format];
        let ran = folder.run(&args);
        let masked = |line: &str| match case.ignores_digits {
            true => line.replace(|c: char| c.is_ascii_digit(), "9"),
            false => line.to_owned(),
        };
        let got: Vec<String> = ran.lines().iter().map(|line| masked(line)).collect();
        let expected: Vec<String> = case.expected.iter().map(|line| masked(line)).collect();
        if ran.code != 0 || got != expected {
            let at = format!("steps.txt:{}: {}", block.line, block.title);
            failures
                .push(format!("{at}\nexpected {expected:#?}\ngot      {got:#?}\n{}", ran.stderr));
        }
    }
    assert!(failures.is_empty(), "{} failures\n{}", failures.len(), failures.join("\n\n"));
}

#[test]
fn every_example_in_the_typed_shape() {
    check(Generation::Typed);
}

#[test]
fn every_example_in_the_config_shape() {
    check(Generation::Config);
}
