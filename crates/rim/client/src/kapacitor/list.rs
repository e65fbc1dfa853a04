//! `list`: tables of what the server has.

use serde_json::Value;

use super::objects::{self, Collection, RECORDINGS, REPLAYS, TASKS, TEMPLATES, text};
use super::value::{dbrps, plain, vars};
use super::{Command, Failure, OUTPUT_FLAG, Run, Session};
use crate::flags::Parsed;
use crate::format::Format;
use crate::table::{Table, at_least, fixed, longest, right, size};
use crate::times;

pub(super) const LIST: Command = Command {
    name: "list",
    arguments: "KIND [PATTERN...]",
    summary: "list tasks, templates, recordings, replays, topics, topic-handlers or service-tests",
    detail: "A pattern is an ID with * and ? in it; topic-handlers take [TOPIC-PATTERN [PATTERN...]].\n\n\
             Examples:\n  kapacitor list tasks\n  kapacitor list tasks 'cpu_*' mem\n  \
             kapacitor list topic-handlers 'sys*' slack",
    leading: "",
    flags: &[OUTPUT_FLAG],
    run: Run::Server(list),
};

/// What can be listed.
const KINDS: &[(&str, List)] = &[
    ("tasks", tasks),
    ("templates", templates),
    ("recordings", recordings),
    ("replays", replays),
    ("topics", topics),
    ("topic-handlers", topic_handlers),
    ("service-tests", service_tests),
];

type List = fn(&mut Session<'_, '_>, &[String]) -> Result<(), Failure>;

fn list(session: &mut Session<'_, '_>, parsed: &Parsed) -> Result<(), Failure> {
    let Some((kind, patterns)) = parsed.rest.split_first() else {
        return Err(Failure::missing("Must specify what to list."));
    };
    let Some((_, list)) = KINDS.iter().find(|(name, _)| name == kind) else {
        let known: Vec<&str> = KINDS.iter().map(|(name, _)| *name).collect();
        let message = format!("cannot list '{kind}'; known: {}", known.join(", "));
        return Err(Failure::error(message));
    };
    list(session, patterns)
}

fn tasks(session: &mut Session<'_, '_>, patterns: &[String]) -> Result<(), Failure> {
    let mut found = read(session, TASKS, patterns)?;
    found.sort_by(|one, other| text(one, "id").cmp(text(other, "id")));
    let mut table = Table::new([
        longest("ID"),
        fixed("Type", 10),
        fixed("Status", 10),
        fixed("Executing", 10),
        fixed("Databases and Retention Policies", 0),
    ]);
    for task in &found {
        let [id, kind, status, executing] =
            ["id", "type", "status", "executing"].map(|key| plain(task, key));
        table.row([id, kind, status, executing, dbrps(task)]);
    }
    give(session, &found, &table)
}

fn templates(session: &mut Session<'_, '_>, patterns: &[String]) -> Result<(), Failure> {
    let mut found = read(session, TEMPLATES, patterns)?;
    found.sort_by(|one, other| text(one, "id").cmp(text(other, "id")));
    let mut table = Table::new([longest("ID"), fixed("Type", 10), fixed("Vars", 40)]);
    for template in &found {
        let names: Vec<&str> = vars(template).into_iter().map(|(name, _)| name).collect();
        table.row([plain(template, "id"), plain(template, "type"), names.join(",")]);
    }
    give(session, &found, &table)
}

fn recordings(session: &mut Session<'_, '_>, patterns: &[String]) -> Result<(), Failure> {
    let found = read(session, RECORDINGS, patterns)?;
    let mut table = Table::new([
        longest("ID"),
        fixed("Type", 8),
        fixed("Status", 10),
        fixed("Size", 10),
        fixed("Date", 23),
    ]);
    for recording in &found {
        let [id, kind, status] = ["id", "type", "status"].map(|key| plain(recording, key));
        let bytes = recording.get("size").and_then(Value::as_u64).unwrap_or(0);
        table.row([id, kind, status, size(bytes), date(session, recording)]);
    }
    give(session, &found, &table)
}

fn replays(session: &mut Session<'_, '_>, patterns: &[String]) -> Result<(), Failure> {
    let found = read(session, REPLAYS, patterns)?;
    let mut table = Table::new([
        longest("ID"),
        longest("Task"),
        longest("Recording"),
        fixed("Status", 9),
        fixed("Clock", 8),
        fixed("Date", 23),
    ]);
    for replay in &found {
        let [id, task, recording, status, clock] =
            ["id", "task", "recording", "status", "clock"].map(|key| plain(replay, key));
        table.row([id, task, recording, status, clock, date(session, replay)]);
    }
    give(session, &found, &table)
}

fn topics(session: &mut Session<'_, '_>, patterns: &[String]) -> Result<(), Failure> {
    let found = objects::topics(&session.api, patterns)?;
    let mut table = Table::new([longest("ID"), at_least("Level", 9), right("Collected", 10)]);
    for topic in &found {
        table.row(["id", "level", "collected"].map(|key| plain(topic, key)));
    }
    give(session, &found, &table)
}

fn topic_handlers(session: &mut Session<'_, '_>, patterns: &[String]) -> Result<(), Failure> {
    let (topics, patterns) = patterns.split_at(patterns.len().min(1));
    let mut found = Vec::new();
    let mut table = Table::new([at_least("Topic", 11), at_least("ID", 11), at_least("Kind", 11)]);
    for topic in objects::topics(&session.api, topics)? {
        let topic = objects::id(&topic)?;
        for mut handler in objects::handlers(&session.api, topic, patterns)? {
            table.row([topic.to_owned(), plain(&handler, "id"), plain(&handler, "kind")]);
            if let Some(handler) = handler.as_object_mut() {
                handler.insert("topic".to_owned(), topic.into());
            }
            found.push(handler);
        }
    }
    give(session, &found, &table)
}

fn service_tests(session: &mut Session<'_, '_>, patterns: &[String]) -> Result<(), Failure> {
    let found = super::server::services(&session.api, patterns)?;
    let mut table = Table::new([fixed("Service Name", 0)]);
    found.iter().for_each(|service| table.row([plain(service, "name")]));
    give(session, &found, &table)
}

/// Reads what a table shows, or everything for programs.
fn read(
    session: &Session<'_, '_>,
    collection: Collection,
    patterns: &[String],
) -> Result<Vec<Value>, Failure> {
    let fields = if session.format == Format::Text { collection.fields } else { &[] };
    Ok(objects::matching(&session.api, collection, patterns, fields)?)
}

fn date(session: &Session<'_, '_>, object: &Value) -> String {
    times::in_zone(text(object, "date"), &session.world.zone)
}

fn give(session: &mut Session<'_, '_>, found: &[Value], table: &Table) -> Result<(), Failure> {
    if session.gives(found)? {
        return Ok(());
    }
    session.print(&table.render())
}
