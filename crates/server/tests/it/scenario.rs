//! Scenarios: files of requests and the answers they must get.
//!
//! ```text
//! ### what this step shows
//! POST /kapacitor/v1/tasks
//! content-type: text/plain
//!
//! the body
//! => 200
//! < header-of-the-answer: its value
//! the body of the answer, exactly; <<*>> stands for anything
//! ```
//!
//! The steps of a file share one server and run in their order. `\` at the end of a body line joins it with the next one, `<<empty>>`
//! as the expected body is an empty one; without any expected body the body is not looked at. A body whose first line is `<<gzip>>` is
//! sent packed.

use std::io::Write as _;

use reqwest::{Client, Method};

/// A request and what it must get.
#[derive(Debug, Default)]
pub(crate) struct Step {
    title: String,
    request: String,
    headers: Vec<(String, String)>,
    body: String,
    status: u16,
    answer_headers: Vec<(String, String)>,
    answer: String,
}

/// Reads the steps of a file.
pub(crate) fn parse(text: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for block in text.split("\n### ").skip(1) {
        let mut lines = block.lines();
        let mut step = Step { title: lines.next().unwrap().to_owned(), ..Step::default() };
        step.request = lines.next().unwrap().to_owned();
        let mut part = 0;
        let (mut body, mut answer) = (Vec::new(), Vec::new());
        for line in lines {
            match part {
                _ if part < 2 && line.starts_with("=> ") => {
                    step.status = line[3..].trim().parse().unwrap();
                    part = 2;
                }
                0 if line.is_empty() => part = 1,
                0 => step.headers.push(header(line)),
                1 => body.push(line),
                _ => match line.strip_prefix("< ") {
                    Some(line) => step.answer_headers.push(header(line)),
                    None => answer.push(line),
                },
            }
        }
        assert_eq!(part, 2, "step `{}` has no `=> status`", step.title);
        step.body = body.join("\n").replace("\\\n", "");
        step.answer = answer.join("\n").trim_end().to_owned();
        steps.push(step);
    }
    assert!(!steps.is_empty(), "no step begins with `### `");
    steps
}

fn header(line: &str) -> (String, String) {
    let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("no header: {line}"));
    (name.to_owned(), value.to_owned())
}

/// Runs the steps; gives what was not as it must be.
pub(crate) async fn run(steps: &[Step], url: &str) -> Vec<String> {
    let client = Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let mut problems = Vec::new();
    for step in steps {
        let (method, path) = step.request.split_once(' ').unwrap();
        let method: Method = method.parse().unwrap();
        let body = match step.body.strip_prefix("<<gzip>>\n") {
            Some(body) => gzip(body),
            None => step.body.clone().into_bytes(),
        };
        let mut request = client.request(method, format!("{url}{path}")).body(body);
        for (name, value) in &step.headers {
            request = request.header(name, value);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let headers = answer.headers().clone();
        let body = answer.text().await.unwrap();
        let mut complain = |what: &str, expected: &str, found: &str| {
            problems.push(format!(
                "`{}` ({}): {what}\nexpected: {expected}\nfound:    {found}\n",
                step.title, step.request
            ));
        };
        if status != step.status {
            complain("status", &step.status.to_string(), &format!("{status} {body}"));
            continue;
        }
        for (name, value) in &step.answer_headers {
            let found = headers.get(name).map_or("nothing", |value| value.to_str().unwrap());
            if !is_like(value, found) {
                complain(name, value, found);
            }
        }
        let expected = if step.answer == "<<empty>>" { "" } else { &step.answer };
        if !step.answer.is_empty() && !is_like(expected, body.trim_end()) {
            complain("body", expected, &body);
        }
    }
    problems
}

fn gzip(body: &str) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(body.as_bytes()).unwrap();
    packed.finish().unwrap()
}

/// Compares with a text in which `<<*>>` stands for anything.
fn is_like(pattern: &str, found: &str) -> bool {
    let mut parts = pattern.split("<<*>>");
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = found.strip_prefix(first) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    true
}

#[test]
fn patterns_match_as_said() {
    for (pattern, found, expected) in [
        ("a", "a", true),
        ("a", "ab", false),
        ("a<<*>>c<<*>>", "abcd", true),
        ("a<<*>>c", "abcd", false),
        ("<<*>>", "", true),
    ] {
        assert_eq!(is_like(pattern, found), expected, "{pattern} {found}");
    }
}
