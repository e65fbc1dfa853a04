//! Runs the case files: a template, and what Go's packages print or say for it.
//!
//! One case per line: `{"kind": "text" | "html", "template": …, "out": …, "err": …}`.

use levada_template::{JSON_FUNCTIONS, Options, Template, Value, Zone};
use serde_json::Value as Json;

use crate::data::Event;

/// Renders a template as the case files mean it: the output so far, and the error.
pub(crate) fn render(kind: &str, template: &str) -> (String, String) {
    let event = Event::new();
    let options = Options { functions: JSON_FUNCTIONS, html: kind == "html", local: Zone::Utc };
    let mut out = String::new();
    let error = match Template::parse("id", template, &options) {
        Err(error) => error.to_string(),
        Ok(template) => match template.execute(&Value::Struct(&event), &mut out) {
            Err(error) => error.to_string(),
            Ok(()) => String::new(),
        },
    };
    (out, error)
}

fn check(file: &str, least: usize) {
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in file.lines() {
        let case: Json = serde_json::from_str(line).expect("case files hold JSON lines");
        let text = |key: &str| case[key].as_str().unwrap_or_default().to_owned();
        let (out, error) = render(&text("kind"), &text("template"));
        count += 1;
        if out != text("out") || error != text("err") {
            wrong.push(format!(
                "{}\n  want {:?} {:?}\n  got  {out:?} {error:?}",
                text("template"),
                text("out"),
                text("err"),
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {count} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count >= least, "{count} cases are left of {least}");
}

#[test]
fn text_templates() {
    check(include_str!("cases/text.jsonl"), 3_000);
}

#[test]
fn html_templates() {
    check(include_str!("cases/html.jsonl"), 1_000);
}

/// Pieces put together at random: most of them are mistakes.
#[test]
fn mixed_templates() {
    check(include_str!("cases/mixed.jsonl"), 1_000);
}
