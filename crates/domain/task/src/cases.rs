//! Cases written beside a script: points and the effects that must follow.
//!
//! ```yaml
//! apiVersion: levada.dev/v1
//! kind: TaskTest
//! metadata: { name: cpu }
//! spec:
//!   task: cpu.tick                     # not needed in cpu.test.yaml beside cpu.tick
//!   cases:
//!     - name: a busy host is critical
//!       precision: s
//!       points: |
//!         cpu,host=a usage_idle=5 10
//!       expect:
//!         - { kind: alert, data: { level: CRITICAL } }
//!     - name: text is no number
//!       points: |
//!         cpu,host=a usage_idle="x" 10
//!       expectErrors: [ { node: alert2 } ]
//! ```
//! Effects are those that `levada dry-run` prints. Numbers are compared by value, `exact: true` compares everything.

mod compare;

use std::io::{BufRead, Cursor};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use levada_codec::line_protocol::Precision;
use levada_registry::{Document, FieldPath, Node, Report, Unknown};
use levada_tick::vars::{self, Vars};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value as Json};

use crate::capture::Lines;
use crate::definition::Definition;
use crate::dry_run::{DryRun, DryRunError, DryRunOptions, StreamFormat};
use crate::pipeline::TaskType;
use crate::runtime::context::{Compat, Limits};

/// The kind of a document with cases.
pub const KIND: &str = "TaskTest";

/// The cases of one task.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Cases {
    /// The script, relative to this file; not needed in `T.test.yaml` beside `T.tick`.
    pub task: Option<String>,
    /// `stream` or `batch`; absent: what the script says.
    #[serde(rename = "type")]
    pub task_type: Option<String>,
    /// The database of the points; absent: that of the script.
    pub db: Option<String>,
    /// The retention policy of the points; absent: that of the script.
    pub rp: Option<String>,
    /// Values of variables: `{NAME: {type: int, value: 1}}`.
    pub vars: Map<String, Json>,
    /// `1.8`: what that version of the original does.
    pub compat: Option<String>,
    /// The cases.
    pub cases: Vec<Case>,
}

/// One case.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// Points as line protocol, one per line, for a stream task.
    pub points: String,
    /// The unit of their times: `n`, `u`, `ms`, `s`, `m` or `h`; absent: nanoseconds.
    pub precision: Option<String>,
    /// For a batch task, one list per query node, the last query of the script first: batches as recordings hold them.
    pub batches: Vec<Vec<Json>>,
    /// Only effects of these kinds or nodes are compared, such as `alert` or `http_post2`; absent: all.
    pub only: Vec<String>,
    /// The effects that must come, in their order; of an object at least these members.
    pub expect: Vec<Json>,
    /// Effects have no other members than the expected ones.
    pub exact: bool,
    /// The problems that must come, in their order.
    pub expect_errors: Vec<ExpectedError>,
}

/// A problem that must come.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ExpectedError {
    /// The node, such as `eval2`; absent: any.
    pub node: Option<String>,
    /// A part of the message; absent: any.
    pub message: Option<String>,
}

/// Tells whether a document holds cases of a task.
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
        restore_values(spec, &mut cases);
    }
    if let Some(word) = cases.task_type.as_deref()
        && !["stream", "batch"].contains(&word)
    {
        report.unsupported(&at.child("type"), word, ["stream", "batch"]);
    }
    if let Some(word) = cases.compat.as_deref()
        && word != "1.8"
    {
        report.unsupported(&at.child("compat"), word, ["1.8"]);
    }
    if let Err(problem) = cases.vars() {
        report.error(&at.child("vars"), problem);
    }
    for (index, case) in cases.cases.iter().enumerate() {
        case.check(&at.child("cases").index(index), report);
    }
    Some(cases)
}

/// Takes values from the manifest as they stand there: decoding rounds large numbers and drops `null`.
fn restore_values(spec: &Node, cases: &mut Cases) {
    fn items<'n>(node: &'n Node, key: &str) -> &'n [Node] {
        node.get(key).and_then(Node::list).unwrap_or_default()
    }
    for (case, node) in cases.cases.iter_mut().zip(items(spec, "cases")) {
        for (expected, node) in case.expect.iter_mut().zip(items(node, "expect")) {
            *expected = node.to_json();
        }
        for (batches, node) in case.batches.iter_mut().zip(items(node, "batches")) {
            for (batch, node) in batches.iter_mut().zip(node.list().unwrap_or_default()) {
                *batch = node.to_json();
            }
        }
    }
}

// === impl Cases ===

impl Cases {
    /// Gives what feeds the task, when the document says so.
    pub fn task_type(&self) -> Option<TaskType> {
        match self.task_type.as_deref()? {
            "batch" => Some(TaskType::Batch),
            _ => Some(TaskType::Stream),
        }
    }

    /// Gives the values of variables.
    pub fn vars(&self) -> Result<Vars, String> {
        vars::from_json(&Json::Object(self.vars.clone()))
    }
}

// === impl Case ===

impl Case {
    fn check(&self, at: &FieldPath, report: &mut Report) {
        if self.name.is_empty() && self.expect.is_empty() && self.expect_errors.is_empty() {
            report.required(
                &at.child("name"),
                "a case that expects nothing needs a name that says so",
            );
        }
        match (self.points.trim().is_empty(), self.batches.is_empty()) {
            (true, true) => report.required(&at.child("points"), "points or batches are required"),
            (false, false) => report.error(at, "needs either `points` or `batches`".into()),
            _ => {}
        }
        if let Err(problem) = self.precision() {
            report.error(&at.child("precision"), problem);
        }
        for (index, expected) in self.expect.iter().enumerate() {
            if !expected.is_object() {
                let text = "an effect is an object, such as `{kind: alert}`".to_owned();
                report.error(&at.child("expect").index(index), text);
            }
        }
    }

    fn precision(&self) -> Result<Precision, String> {
        self.precision.as_deref().map_or(Ok(Precision::default()), Precision::from_str)
    }

    /// Runs the case and gives what differs, each difference in one line.
    ///
    /// - Errors: the task cannot be started, or the input cannot be read.
    pub fn run(
        &self,
        task: &str,
        definition: &Definition,
        cases: &Cases,
    ) -> Result<Vec<String>, String> {
        let lines = Arc::new(Mutex::new(Collected::default()));
        let options = DryRunOptions {
            task: task.to_owned(),
            database: cases.db.clone(),
            retention: cases.rp.clone(),
            compat: Compat { is_1_8: cases.compat.is_some() },
            limits: Limits::default(),
            watermark: None,
            // What a case expects is the same everywhere.
            is_local: false,
            udfs: None,
        };
        let run = DryRun::start(definition, &options, Arc::clone(&lines))?;
        let ended = self.feed(run, definition.pipeline.task_type());
        let mut collected =
            std::mem::take(&mut *lines.lock().unwrap_or_else(PoisonError::into_inner));
        match ended {
            Ok(()) => {}
            // The end of the task is the last of its problems.
            Err(DryRunError::Failed(failure)) => collected.problem(&failure.node, &failure.text),
            Err(DryRunError::Input(error)) => return Err(error.to_string()),
        }
        let mut differences = Vec::new();
        self.compare_effects(&collected.effects, &mut differences);
        self.compare_errors(&collected.problems, &mut differences);
        Ok(differences)
    }

    fn feed(&self, mut run: DryRun<Collected>, task_type: TaskType) -> Result<(), DryRunError> {
        match task_type {
            TaskType::Stream => {
                let precision = self.precision().unwrap_or_default();
                run.stream(self.points.as_bytes(), StreamFormat::Lines, precision)?;
            }
            TaskType::Batch => {
                let lines = |batches: &Vec<Json>| {
                    let lines: Vec<String> = batches.iter().map(Json::to_string).collect();
                    Box::new(Cursor::new(lines.join("\n"))) as Box<dyn BufRead + Send>
                };
                run.batches(self.batches.iter().map(lines).collect())?;
            }
        }
        run.finish(false)
    }

    fn compare_effects(&self, effects: &[Json], differences: &mut Vec<String>) {
        let text = |effect: &Json, name: &str| {
            effect.get(name).and_then(Json::as_str).unwrap_or_default().to_owned()
        };
        let counts = |effect: &&Json| {
            let (node, kind) = (text(effect, "node"), text(effect, "kind"));
            self.only.is_empty() || self.only.iter().any(|name| *name == node || *name == kind)
        };
        let effects: Vec<&Json> = effects.iter().filter(counts).collect();
        for (index, expected) in self.expect.iter().enumerate() {
            match effects.get(index) {
                Some(effect) => {
                    let at = format!("effect {index}");
                    compare::values(&at, expected, effect, self.exact, differences);
                }
                None => {
                    differences.push(format!("effect {index}: expected {expected}, got nothing"))
                }
            }
        }
        for (index, effect) in effects.iter().enumerate().skip(self.expect.len()) {
            differences.push(format!("effect {index}: expected nothing, got {effect}"));
        }
    }

    fn compare_errors(&self, problems: &[(String, String)], differences: &mut Vec<String>) {
        for (index, expected) in self.expect_errors.iter().enumerate() {
            let Some((node, message)) = problems.get(index) else {
                differences.push(format!("error {index}: expected one, got none"));
                continue;
            };
            if let Some(expected) = &expected.node
                && expected != node
            {
                differences
                    .push(format!("error {index}: expected node `{expected}`, got `{node}`"));
            }
            if let Some(part) = &expected.message
                && !message.contains(part.as_str())
            {
                differences.push(format!(
                    "error {index}: expected a message with `{part}`, got `{message}`"
                ));
            }
        }
        for (node, message) in problems.iter().skip(self.expect_errors.len()) {
            differences.push(format!("unexpected error in {node}: {message}"));
        }
    }
}

/// What a case captured.
#[derive(Default)]
struct Collected {
    effects: Vec<Json>,
    problems: Vec<(String, String)>,
}

impl Lines for Collected {
    fn line(&mut self, line: &[u8]) {
        let effect = serde_json::from_slice(line)
            .unwrap_or_else(|_| Json::String(String::from_utf8_lossy(line).into_owned()));
        self.effects.push(effect);
    }

    fn problem(&mut self, node: &str, text: &str) {
        self.problems.push((node.to_owned(), text.to_owned()));
    }
}
