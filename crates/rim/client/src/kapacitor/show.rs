//! `show` and its kin: one object in full.

use serde_json::Value;

use super::objects::{self, text};
use super::value::{dbrps, plain, var, vars};
use super::{Command, Failure, OUTPUT_FLAG, Run, Session};
use crate::flags::{self, Parsed};
use crate::table::{Table, fixed, longest};
use crate::times;

pub(super) const TASK: Command = Command {
    name: "show",
    arguments: "[-replay ID] ID",
    summary: "show a task",
    detail: "",
    leading: "",
    flags: &[
        flags::text("replay", "ID", "show how the task does in this running replay"),
        OUTPUT_FLAG,
    ],
    run: Run::Server(task),
};

pub(super) const TEMPLATE: Command = Command {
    name: "show-template",
    arguments: "ID",
    summary: "show a template",
    detail: "",
    leading: "",
    flags: &[OUTPUT_FLAG],
    run: Run::Server(template),
};

pub(super) const TOPIC_HANDLER: Command = Command {
    name: "show-topic-handler",
    arguments: "TOPIC ID",
    summary: "show a handler of a topic",
    detail: "",
    leading: "",
    flags: &[OUTPUT_FLAG],
    run: Run::Server(topic_handler),
};

pub(super) const TOPIC: Command = Command {
    name: "show-topic",
    arguments: "ID",
    summary: "show a topic and its events",
    detail: "",
    leading: "",
    flags: &[OUTPUT_FLAG],
    run: Run::Server(topic),
};

fn task(session: &mut Session<'_, '_>, parsed: &Parsed) -> Result<(), Failure> {
    let [id] = parsed.rest.as_slice() else {
        return Err(Failure::missing("Must specify one task ID"));
    };
    let query: Vec<(&str, &str)> =
        parsed.get("replay").map(|replay| ("replay-id", replay)).into_iter().collect();
    let task = session.api.get(&["tasks", id], &query)?;
    if session.gives_one(&task)? {
        return Ok(());
    }
    let mut lines = Lines::default();
    lines.line("ID", &plain(&task, "id"));
    lines.line("Error", &plain(&task, "error"));
    lines.line("Template", &plain(&task, "template-id"));
    lines.line("Type", &plain(&task, "type"));
    lines.line("Status", &plain(&task, "status"));
    lines.line("Executing", &plain(&task, "executing"));
    let date = |key: &str| times::as_sent(text(&task, key), &session.world.zone);
    lines.line("Created", &date("created"));
    lines.line("Modified", &date("modified"));
    lines.line("LastEnabled", &date("last-enabled"));
    lines.line("Databases Retention Policies", &dbrps(&task));
    lines.block("TICKscript", text(&task, "script"));
    if !vars(&task).is_empty() {
        let mut table = Table::new([fixed("Name", 30), fixed("Type", 10), fixed("Value", 40)]);
        for (name, value) in vars(&task) {
            table.row([name.to_owned(), plain(value, "type"), var(value).unwrap_or_default()]);
        }
        lines.0.push_str("Vars:\n");
        lines.0.push_str(&table.render());
    }
    lines.block("DOT", text(&task, "dot"));
    session.print(&lines.0)
}

fn template(session: &mut Session<'_, '_>, parsed: &Parsed) -> Result<(), Failure> {
    let [id] = parsed.rest.as_slice() else {
        return Err(Failure::missing("Must specify one template ID"));
    };
    let template = session.api.get(&["templates", id], &[])?;
    if session.gives_one(&template)? {
        return Ok(());
    }
    let mut lines = Lines::default();
    lines.line("ID", &plain(&template, "id"));
    lines.line("Error", &plain(&template, "error"));
    lines.line("Type", &plain(&template, "type"));
    let date = |key: &str| times::as_sent(text(&template, key), &session.world.zone);
    lines.line("Created", &date("created"));
    lines.line("Modified", &date("modified"));
    lines.block("TICKscript", text(&template, "script"));
    let mut table = Table::new([
        fixed("Name", 30),
        fixed("Type", 10),
        fixed("Default Value", 40),
        fixed("Description", 40),
    ]);
    for (name, value) in vars(&template) {
        let default = var(value).unwrap_or_else(|| "<required>".to_owned());
        table.row([name.to_owned(), plain(value, "type"), default, plain(value, "description")]);
    }
    lines.0.push_str("Vars:\n");
    lines.0.push_str(&table.render());
    lines.block("DOT", text(&template, "dot"));
    session.print(&lines.0)
}

fn topic_handler(session: &mut Session<'_, '_>, parsed: &Parsed) -> Result<(), Failure> {
    let [topic, id] = parsed.rest.as_slice() else {
        return Err(Failure::missing("Must specify topic and handler ID"));
    };
    let handler = session.api.get(&["alerts", "topics", topic, "handlers", id], &[])?;
    if session.gives_one(&handler)? {
        return Ok(());
    }
    let mut lines = Lines::default();
    lines.line("ID", &plain(&handler, "id"));
    lines.line("Topic", topic);
    lines.line("Kind", &plain(&handler, "kind"));
    lines.line("Match", &plain(&handler, "match"));
    lines.line("Options", &handler.get("options").unwrap_or(&Value::Null).to_string());
    session.print(&lines.0)
}

fn topic(session: &mut Session<'_, '_>, parsed: &Parsed) -> Result<(), Failure> {
    let [id] = parsed.rest.as_slice() else {
        return Err(Failure::missing("Must specify one topic ID"));
    };
    let path = ["alerts", "topics", id.as_str()];
    let mut topic = session.api.get(&path, &[])?;
    let handlers = objects::handlers(&session.api, id, &[])?;
    let answer = session.api.get(&[&path[..], &["events"]].concat(), &[])?;
    let mut events = objects::list_of(answer, "events");
    events.sort_by_key(|event| (moment(event), text(event, "id").to_owned()));
    if session.format != crate::format::Format::Text {
        if let Some(topic) = topic.as_object_mut() {
            topic.insert("handlers".to_owned(), handlers.into());
            topic.insert("events".to_owned(), events.into());
        }
        return session.gives_one(&topic).map(drop);
    }
    let names: Vec<&str> = handlers.iter().map(|handler| text(handler, "id")).collect();
    let mut lines = Lines::default();
    lines.line("ID", &plain(&topic, "id"));
    lines.line("Level", &plain(&topic, "level"));
    lines.line("Collected", &plain(&topic, "collected"));
    lines.line("Handlers", &format!("[{}]", names.join(", ")));
    let mut table =
        Table::new([longest("Event"), fixed("Level", 9), longest("Message"), fixed("Date", 23)]);
    for event in &events {
        let state = event.get("state").unwrap_or(&Value::Null);
        let date = times::in_zone(text(state, "time"), &session.world.zone);
        table.row([plain(event, "id"), plain(state, "level"), plain(state, "message"), date]);
    }
    lines.0.push_str("Events:\n");
    lines.0.push_str(&table.render());
    session.print(&lines.0)
}

/// Gives when an event happened; those without a time come first.
fn moment(event: &Value) -> Option<jiff::Timestamp> {
    let state = event.get("state")?;
    text(state, "time").parse().ok()
}

/// Lines with a name and a value.
#[derive(Default)]
struct Lines(String);

// === impl Lines ===

impl Lines {
    /// Adds `Name: value`; an empty value leaves the blank behind the colon, as in the original.
    fn line(&mut self, name: &str, value: &str) {
        self.0.push_str(&format!("{name}: {value}\n"));
    }

    /// Adds `Name:` and a text below it.
    fn block(&mut self, name: &str, text: &str) {
        self.0.push_str(&format!("{name}:\n{text}\n"));
    }
}
