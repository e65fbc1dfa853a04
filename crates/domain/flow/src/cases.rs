//! Cases written next to a flow: inputs and what must come out.
//!
//! ```yaml
//! apiVersion: levada.dev/v1
//! kind: FlowTest
//! metadata: { name: orders }
//! spec:
//!   flow: orders                       # not needed when there is one flow
//!   cases:
//!     - name: masks the e-mail
//!       input:
//!         - payload: { id: 1, email: a@b.c }
//!       expect:
//!         - payload: { id: 1, email: "***" }
//!           route: slow                # optional
//!           metadata: { topic: in }    # optional: at least these
//!     - name: refuses text
//!       steps: 1                       # only the first step
//!       input: [ { text: not json } ]
//!       errors: [ { stage: "transform[0]:cast", class: transformation_error } ]
//! ```
//! Payloads are compared as JSON values: key order and the form of numbers do not count.

use levada_model::{Meta, Value};
use levada_registry::{Document, FieldPath, Node, Report, Unknown};
use levada_runtime::Clock;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::dry_run::{DryRun, Failure, Message, Output};
use crate::spec::Flow;

/// The kind of a document with cases.
pub const KIND: &str = "FlowTest";

/// The cases of one flow.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Cases {
    /// The name of the flow; not needed when there is one.
    pub flow: Option<String>,
    /// The cases.
    pub cases: Vec<Case>,
}

/// One case.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// Runs only the first steps; absent: all.
    pub steps: Option<usize>,
    /// What goes in.
    pub input: Vec<Input>,
    /// What must come out, of all inputs in order.
    pub expect: Vec<Expected>,
    /// What must fail, of all inputs in order.
    pub errors: Vec<ExpectedError>,
}

/// One message that goes in: `payload` or `text`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Input {
    /// A JSON value.
    pub payload: Option<serde_json::Value>,
    /// The payload as text, JSON or not.
    pub text: Option<String>,
    /// Metadata.
    pub metadata: serde_json::Map<String, serde_json::Value>,
}

/// One message that must come out.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Expected {
    /// The payload as a JSON value.
    pub payload: Option<serde_json::Value>,
    /// The payload as text.
    pub text: Option<String>,
    /// The label of the route; absent: not compared; `main`: the main sink.
    pub route: Option<String>,
    /// Metadata that must be there.
    pub metadata: serde_json::Map<String, serde_json::Value>,
}

/// One failure that must happen.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ExpectedError {
    /// The stage, such as `transform[0]:cast`; absent: any.
    pub stage: Option<String>,
    /// The class; absent: any.
    pub class: Option<String>,
    /// A part of the message; absent: any.
    pub message: Option<String>,
}

/// The result of one case: what differs; nothing when it passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseResult {
    /// The name of the case.
    pub name: String,
    /// Each difference in one line.
    pub differences: Vec<String>,
}

/// Tells whether a document holds cases.
pub fn is_cases(document: &Document) -> bool {
    document.root.get("kind").and_then(Node::text) == Some(KIND)
}

/// Decodes a document with cases.
pub fn decode(document: &Document, report: &mut Report) -> Option<Cases> {
    let at = FieldPath::field("spec");
    let Some(spec) = document.root.get("spec") else {
        report.required(&at, "spec with cases is required");
        return None;
    };
    let mut cases: Cases = levada_registry::decode(spec, &at, Unknown::Error, report)?;
    if report.is_ok() {
        restore_payloads(spec, &mut cases);
    }
    for (index, case) in cases.cases.iter().enumerate() {
        let at = at.child("cases").index(index);
        if case.expect.is_empty() && case.errors.is_empty() && case.name.is_empty() {
            report.required(
                &at.child("name"),
                "a case that expects nothing needs a name that says so",
            );
        }
        for (number, input) in case.input.iter().enumerate() {
            if input.payload.is_some() == input.text.is_some() {
                let at = at.child("input").index(number);
                report.error(&at, "needs either `payload` or `text`".into());
            }
        }
        if case.input.is_empty() {
            report.required(&at.child("input"), "at least one message is required");
        }
    }
    Some(cases)
}

/// Takes payloads from the manifest as they stand there: decoding rounds large numbers and drops `null`.
fn restore_payloads(spec: &Node, cases: &mut Cases) {
    fn items<'n>(node: &'n Node, key: &str) -> &'n [Node] {
        node.get(key).and_then(Node::list).unwrap_or_default()
    }
    fn payload(node: &Node) -> Option<serde_json::Value> {
        node.entry("payload").map(|entry| entry.value.to_json())
    }
    for (case, node) in cases.cases.iter_mut().zip(items(spec, "cases")) {
        for (input, node) in case.input.iter_mut().zip(items(node, "input")) {
            input.payload = payload(node);
        }
        for (expected, node) in case.expect.iter_mut().zip(items(node, "expect")) {
            expected.payload = payload(node);
        }
    }
}

impl Case {
    /// Runs the case.
    ///
    /// Errors: the flow cannot be compiled.
    pub fn run(&self, flow: &Flow, clock: &dyn Clock) -> Result<CaseResult, String> {
        let mut dry_run = DryRun::new(flow)?;
        if let Some(steps) = self.steps {
            dry_run = dry_run.up_to(steps);
        }
        let mut outputs = Vec::new();
        let mut failures = Vec::new();
        for input in &self.input {
            let outcome = dry_run.run(&input.message(), clock);
            outputs.extend(outcome.outputs);
            failures.extend(outcome.error);
        }
        let mut differences = Vec::new();
        self.compare_outputs(&outputs, &mut differences);
        self.compare_errors(&failures, &mut differences);
        Ok(CaseResult { name: self.name.clone(), differences })
    }

    fn compare_outputs(&self, outputs: &[Output], differences: &mut Vec<String>) {
        for (index, expected) in self.expect.iter().enumerate() {
            match outputs.get(index) {
                Some(output) => expected.compare(index, output, differences),
                None => {
                    let text = expected.payload_text();
                    differences.push(format!("output {index}: expected {text}, got nothing"));
                }
            }
        }
        for (index, output) in outputs.iter().enumerate().skip(self.expect.len()) {
            let text = String::from_utf8_lossy(&output.payload);
            differences.push(format!("output {index}: expected nothing, got {text}"));
        }
    }

    fn compare_errors(&self, failures: &[Failure], differences: &mut Vec<String>) {
        for (index, expected) in self.errors.iter().enumerate() {
            let Some(failure) = failures.get(index) else {
                differences.push(format!("error {index}: expected one, got none"));
                continue;
            };
            let checks = [
                ("stage", &expected.stage, failure.stage.as_str()),
                ("class", &expected.class, failure.class.as_str()),
            ];
            for (what, expected, got) in checks {
                if let Some(expected) = expected
                    && expected != got
                {
                    differences
                        .push(format!("error {index}: expected {what} `{expected}`, got `{got}`"));
                }
            }
            if let Some(part) = &expected.message
                && !failure.message.contains(part.as_str())
            {
                let got = &failure.message;
                differences
                    .push(format!("error {index}: expected a message with `{part}`, got `{got}`"));
            }
        }
        for failure in failures.iter().skip(self.errors.len()) {
            differences.push(format!("unexpected error in {}: {}", failure.stage, failure.message));
        }
    }
}

impl Input {
    fn message(&self) -> Message {
        let payload = match (&self.payload, &self.text) {
            (Some(json), _) => json.to_string().into_bytes(),
            (None, Some(text)) => text.clone().into_bytes(),
            (None, None) => Vec::new(),
        };
        let entries = self.metadata.iter();
        let metadata: Meta =
            entries.map(|(key, value)| (key.as_str().into(), Value::from_json(value))).collect();
        Message { payload, metadata }
    }
}

impl Expected {
    fn payload_text(&self) -> String {
        match (&self.payload, &self.text) {
            (Some(json), _) => json.to_string(),
            (None, Some(text)) => text.clone(),
            (None, None) => "a message".into(),
        }
    }

    fn compare(&self, index: usize, output: &Output, differences: &mut Vec<String>) {
        let got = String::from_utf8_lossy(&output.payload);
        if let Some(expected) = &self.payload {
            let is_same = serde_json::from_slice::<serde_json::Value>(&output.payload)
                .is_ok_and(|got| same(&got, expected));
            if !is_same {
                differences.push(format!("output {index}: expected {expected}, got {got}"));
            }
        }
        if let Some(expected) = &self.text
            && *expected != got
        {
            differences
                .push(format!("output {index}: expected the text `{expected}`, got `{got}`"));
        }
        let route = output.route.as_deref().unwrap_or("main");
        if let Some(expected) = &self.route
            && expected != route
        {
            differences.push(format!("output {index}: expected route `{expected}`, got `{route}`"));
        }
        for (key, expected) in &self.metadata {
            let expected = Value::from_json(expected).to_text();
            let got = output.metadata.get(key).map(Value::to_text);
            if got.as_ref() != Some(&expected) {
                differences.push(format!(
                    "output {index}: expected metadata `{key}` {expected:?}, got {got:?}"
                ));
            }
        }
    }
}

/// Compares JSON values; numbers by value to the last digit, so `1.0` equals `1`.
fn same(left: &serde_json::Value, right: &serde_json::Value) -> bool {
    use serde_json::Value as Json;
    match (left, right) {
        (Json::Number(a), Json::Number(b)) => {
            let (a, b) = (a.to_string(), b.to_string());
            a == b || decimal(&a).is_some_and(|a| Some(a) == decimal(&b))
        }
        (Json::Array(a), Json::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => left == right,
    }
}

/// Gives sign, digits without zeros around them, and the power of ten of the last digit.
fn decimal(number: &str) -> Option<(bool, String, i64)> {
    let (mantissa, exponent) = match number.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (number, 0),
    };
    let (is_negative, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, mantissa),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let kept = digits.trim_end_matches('0');
    let power = exponent
        .checked_sub(fraction.len() as i64)?
        .checked_add((digits.len() - kept.len()) as i64)?;
    match kept.trim_start_matches('0') {
        "" => Some((false, String::new(), 0)),
        kept => Some((is_negative, kept.to_owned(), power)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_by_value_to_the_last_digit() {
        let check = |left: &str, right: &str, expected: bool| {
            let number = |text: &str| serde_json::from_str(text).unwrap_or(serde_json::Value::Null);
            assert_eq!(same(&number(left), &number(right)), expected, "{left} and {right}");
        };
        for (left, right) in [
            ("1", "1.0"),
            ("1e3", "1000"),
            ("0.10", "1E-1"),
            ("-0", "0.0"),
            ("12345678901234567890", "12345678901234567890.00"),
            ("1e400", "10e399"),
        ] {
            check(left, right, true);
        }
        for (left, right) in [
            ("1", "-1"),
            ("1", "10"),
            ("12345678901234567890", "12345678901234567891"),
            ("1e400", "1e401"),
            ("1", "\"1\""),
            ("0", "null"),
        ] {
            check(left, right, false);
        }
    }
}
