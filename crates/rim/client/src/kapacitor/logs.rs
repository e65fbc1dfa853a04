//! `watch` and `logs`: log lines as they come, until interrupted.

use super::{Command, Failure, Run, Session};
use crate::api::PREVIEW;
use crate::flags::Parsed;

pub(super) const WATCH: Command = Command {
    name: "watch",
    arguments: "TASK [KEY=VALUE...]",
    summary: "show the log of a task as it is written",
    detail: "Example:\n  kapacitor watch cpu node=alert2 lvl=error",
    leading: "",
    flags: &[],
    run: Run::Server(watch),
};

pub(super) const LOGS: Command = Command {
    name: "logs",
    arguments: "[KEY=VALUE...]",
    summary: "show the log of the server as it is written",
    detail: "Only lines that have all the values are shown; lvl=info+ is that level and those above it.\n\n\
             Example:\n  kapacitor logs service=http lvl=info+",
    leading: "",
    flags: &[],
    run: Run::Server(|session, parsed| follow(session, None, &parsed.rest)),
};

fn watch(session: &mut Session<'_, '_>, parsed: &Parsed) -> Result<(), Failure> {
    match parsed.rest.split_first() {
        Some((task, pairs)) => follow(session, Some(task), pairs),
        None => Err(Failure::missing("Must provide a task ID.")),
    }
}

fn follow(
    session: &mut Session<'_, '_>,
    task: Option<&str>,
    pairs: &[String],
) -> Result<(), Failure> {
    let mut query: Vec<(&str, &str)> = task.map(|task| ("task", task)).into_iter().collect();
    for pair in pairs {
        // Source: Kapacitor's client.
        let wrong = || Failure::error(format!("bad keyvalue pair: '{pair}'"));
        query.push(pair.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or_else(wrong)?);
    }
    let out = &mut *session.world.out;
    let streamed = session.api.stream((PREVIEW, &["logs"]), &query, true, &mut |bytes| {
        out.write_all(bytes)?;
        out.flush()
    })?;
    match streamed.broken {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}
