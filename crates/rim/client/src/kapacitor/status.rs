//! `enable`, `disable`, `reload`, `delete`: change all that matches patterns.

use serde_json::{Value, json};

use super::objects::{self, RECORDINGS, REPLAYS, TASKS, TEMPLATES, id};
use super::{Command, Failure, Run, Session};
use crate::flags::Parsed;

const PATTERN: &str = "A pattern is an ID with * and ? in it. That nothing matches is no error.";

pub(super) const ENABLE: Command = Command {
    name: "enable",
    arguments: "PATTERN...",
    summary: "start tasks, now and with the server",
    detail: PATTERN,
    leading: "",
    flags: &[],
    run: Run::Server(|session, parsed| set(session, parsed, &["enabled"])),
};

pub(super) const DISABLE: Command = Command {
    name: "disable",
    arguments: "PATTERN...",
    summary: "stop tasks",
    detail: PATTERN,
    leading: "",
    flags: &[],
    run: Run::Server(|session, parsed| set(session, parsed, &["disabled"])),
};

pub(super) const RELOAD: Command = Command {
    name: "reload",
    arguments: "PATTERN...",
    summary: "stop tasks and start them again",
    detail: PATTERN,
    leading: "",
    flags: &[],
    run: Run::Server(|session, parsed| set(session, parsed, &["disabled", "enabled"])),
};

pub(super) const DELETE: Command = Command {
    name: "delete",
    arguments: "KIND PATTERN... | topic-handlers TOPIC PATTERN...",
    summary: "delete tasks, templates, recordings, replays, topics or handlers of a topic",
    detail: "KIND is tasks, templates, recordings, replays or topics. A pattern is an ID with * and ? in it.\n\
             That nothing matches is no error.\n\n\
             Examples:\n  kapacitor delete tasks cpu 'test_*'\n  kapacitor delete topic-handlers system slack",
    leading: "",
    flags: &[],
    run: Run::Server(delete),
};

fn set(session: &mut Session<'_, '_>, parsed: &Parsed, states: &[&str]) -> Result<(), Failure> {
    if parsed.rest.is_empty() {
        return Err(Failure::missing("Must provide at least one task ID or pattern."));
    }
    // All are read before any is changed: changes move the pages.
    for task in objects::matching(&session.api, TASKS, &parsed.rest, &["id"])? {
        for state in states {
            session.api.patch(&["tasks", id(&task)?], &json!({"status": state}))?;
        }
    }
    Ok(())
}

fn delete(session: &mut Session<'_, '_>, parsed: &Parsed) -> Result<(), Failure> {
    let Some((kind, patterns)) = parsed.rest.split_first() else {
        return Err(Failure::missing("Must provide a kind and at least one ID or pattern."));
    };
    let needs = |patterns: &[String]| match patterns.is_empty() {
        true => Err(Failure::missing("Must provide at least one ID or pattern.")),
        false => Ok(()),
    };
    let api = &session.api;
    let all = |path: &[&str], found: Vec<Value>| {
        found.iter().try_for_each(|object| {
            let path: Vec<&str> = path.iter().copied().chain([id(object)?]).collect();
            Ok(api.delete(&path)?)
        })
    };
    match kind.as_str() {
        "topics" => {
            needs(patterns)?;
            all(&["alerts", "topics"], objects::topics(api, patterns)?)
        }
        "topic-handlers" => {
            let Some((topic, patterns)) = patterns.split_first() else {
                return Err(Failure::missing("Must provide a topic."));
            };
            needs(patterns)?;
            let path = ["alerts", "topics", topic, "handlers"];
            all(&path, objects::handlers(api, topic, patterns)?)
        }
        kind => {
            let known = [TASKS, TEMPLATES, RECORDINGS, REPLAYS];
            let Some(collection) = known.into_iter().find(|known| known.name == kind) else {
                let message = format!(
                    "cannot delete '{kind}'; known: tasks, templates, recordings, replays, topics, topic-handlers"
                );
                return Err(Failure::error(message));
            };
            needs(patterns)?;
            all(&[kind], objects::matching(api, collection, patterns, &["id"])?)
        }
    }
}
