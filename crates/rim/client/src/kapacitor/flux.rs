//! `flux task`: the tasks of InfluxDB 2, where the server has them.
//!
//! Flags are those of InfluxDB 2's own client. A server without Flux answers 404, which is what is shown then.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::objects::{list_of, text};
use super::value::plain;
use super::wait::{put, required};
use super::{Command, Failure, OUTPUT_FLAG, Run, Session};
use crate::files;
use crate::flags::{self, Flag, Parsed, switch};
use crate::table::{Table, longest};

const TASKS: [&str; 3] = ["api", "v2", "tasks"];

const ID: Flag = flags::text("id", "ID", "the task");
const TASK_ID: Flag = flags::text("task-id", "ID", "the task");
const RUN_ID: Flag = flags::text("run-id", "ID", "the run");
const FILE: Flag = flags::text("file", "FILE", "the script, instead of the argument");
const STATUS: Flag = flags::text("status", "STATUS", "active or inactive");
const LIMIT: Flag = flags::text("limit", "N", "at most so many");
const AFTER: Flag = flags::text("after", "TIME", "only runs scheduled after this time");
const BEFORE: Flag = flags::text("before", "TIME", "only runs scheduled before this time");

const fn command(
    name: &'static str,
    arguments: &'static str,
    summary: &'static str,
    flags: &'static [Flag],
    run: fn(&mut Session<'_, '_>, &Parsed) -> Result<(), Failure>,
) -> Command {
    Command { name, arguments, summary, detail: "", leading: "", flags, run: Run::Server(run) }
}

pub(super) const CREATE: Command = command(
    "flux task create",
    "[-file FILE | FLUX]",
    "create a Flux task",
    &[FILE, STATUS, OUTPUT_FLAG],
    create,
);
pub(super) const LIST: Command =
    command("flux task list", "[-id ID]", "list Flux tasks", &[ID, LIMIT, OUTPUT_FLAG], list);
pub(super) const UPDATE: Command = command(
    "flux task update",
    "-id ID [-status STATUS] [-file FILE | FLUX]",
    "change a Flux task",
    &[ID, FILE, STATUS, OUTPUT_FLAG],
    update,
);
pub(super) const DELETE: Command =
    command("flux task delete", "-id ID", "delete a Flux task", &[ID], delete);
pub(super) const RETRY_FAILED: Command = command(
    "flux task retry-failed",
    "[-id ID] [options]",
    "run again what failed, of one Flux task or of all",
    &[ID, AFTER, BEFORE, switch("dry-run", "only show what would be run again")],
    retry_failed,
);
pub(super) const LOG_LIST: Command = command(
    "flux task log list",
    "-task-id ID [-run-id ID]",
    "show the log of a Flux task or of one run",
    &[TASK_ID, RUN_ID, OUTPUT_FLAG],
    log_list,
);
pub(super) const RUN_LIST: Command = command(
    "flux task run list",
    "-task-id ID [-run-id ID] [options]",
    "list the runs of a Flux task",
    &[TASK_ID, RUN_ID, AFTER, BEFORE, LIMIT, OUTPUT_FLAG],
    run_list,
);
pub(super) const RUN_RETRY: Command = command(
    "flux task run retry",
    "-task-id ID -run-id ID",
    "run again what failed",
    &[TASK_ID, RUN_ID],
    run_retry,
);

fn below<'p>(rest: &[&'p str]) -> Vec<&'p str> {
    TASKS.iter().chain(rest).copied().collect()
}

fn create(session: &mut Session<'_, '_>, parsed: &Parsed) -> Result<(), Failure> {
    let Some(script) = script(parsed)? else {
        return Err(Failure::missing("Must provide a Flux script, or a file that holds it."));
    };
    let mut body = Map::from_iter([("flux".to_owned(), script.into())]);
    put(&mut body, "status", parsed, "status");
    let task = session.api.post(&TASKS, &Value::Object(body))?;
    tasks(session, &[task])
}

fn list(session: &mut Session<'_, '_>, parsed: &Parsed) -> Result<(), Failure> {
    super::no_more(&parsed.rest)?;
    let found = all(session, parsed)?;
    tasks(session, &found)
}

fn update(session: &mut Session<'_, '_>, parsed: &Parsed) -> Result<(), Failure> {
    let id = required(parsed, "id")?;
    let mut body = Map::new();
    body.extend(script(parsed)?.map(|script| ("flux".to_owned(), script.into())));
    put(&mut body, "status", parsed, "status");
    let task = session.api.patch(&below(&[id]), &Value::Object(body))?;
    tasks(session, &[task])
}

fn delete(session: &mut Session<'_, '_>, parsed: &Parsed) -> Result<(), Failure> {
    super::no_more(&parsed.rest)?;
    Ok(session.api.delete(&below(&[required(parsed, "id")?]))?)
}

fn retry_failed(session: &mut Session<'_, '_>, parsed: &Parsed) -> Result<(), Failure> {
    super::no_more(&parsed.rest)?;
    for task in all(session, parsed)? {
        let id = text(&task, "id");
        for run in runs(session, parsed, id)? {
            if text(&run, "status") != "failed" {
                continue;
            }
            let run = text(&run, "id");
            if parsed.is_set("dry-run") {
                session.print(&format!("Would retry for {id} run with {run}.\n"))?;
                continue;
            }
            retry(session, id, run)?;
        }
    }
    Ok(())
}

fn log_list(session: &mut Session<'_, '_>, parsed: &Parsed) -> Result<(), Failure> {
    super::no_more(&parsed.rest)?;
    let task = required(parsed, "task-id")?;
    let path = match parsed.get("run-id") {
        Some(run) => below(&[task, "runs", run, "logs"]),
        None => below(&[task, "logs"]),
    };
    let found = list_of(session.api.get(&path, &[])?, "events");
    let columns = [("runID", "RunID"), ("time", "Time"), ("message", "Message")];
    give(session, &found, &columns)
}

fn run_list(session: &mut Session<'_, '_>, parsed: &Parsed) -> Result<(), Failure> {
    super::no_more(&parsed.rest)?;
    let task = required(parsed, "task-id")?;
    let found = match parsed.get("run-id") {
        Some(run) => vec![session.api.get(&below(&[task, "runs", run]), &[])?],
        None => runs(session, parsed, task)?,
    };
    let columns = [
        ("id", "ID"),
        ("taskID", "TaskID"),
        ("status", "Status"),
        ("scheduledFor", "ScheduledFor"),
        ("startedAt", "StartedAt"),
        ("finishedAt", "FinishedAt"),
        ("requestedAt", "RequestedAt"),
    ];
    give(session, &found, &columns)
}

fn run_retry(session: &mut Session<'_, '_>, parsed: &Parsed) -> Result<(), Failure> {
    super::no_more(&parsed.rest)?;
    let (task, run) = (required(parsed, "task-id")?, required(parsed, "run-id")?);
    retry(session, task, run)
}

fn retry(session: &mut Session<'_, '_>, task: &str, run: &str) -> Result<(), Failure> {
    let new = session.api.post(&below(&[task, "runs", run, "retry"]), &json!({}))?;
    let new = text(&new, "id").to_owned();
    session.print(&format!("Retry for task {task}'s run {run} queued as run {new}.\n"))
}

/// Reads the task that is named, or all.
fn all(session: &Session<'_, '_>, parsed: &Parsed) -> Result<Vec<Value>, Failure> {
    if let Some(id) = parsed.get("id") {
        return Ok(vec![session.api.get(&below(&[id]), &[])?]);
    }
    let query: Vec<(&str, &str)> = parsed.get("limit").map(|n| ("limit", n)).into_iter().collect();
    Ok(list_of(session.api.get(&TASKS, &query)?, "tasks"))
}

fn runs(session: &Session<'_, '_>, parsed: &Parsed, task: &str) -> Result<Vec<Value>, Failure> {
    let query = [("after", "afterTime"), ("before", "beforeTime"), ("limit", "limit")];
    let query: Vec<(&str, &str)> =
        query.iter().filter_map(|(flag, key)| Some((*key, parsed.get(flag)?))).collect();
    Ok(list_of(session.api.get(&below(&[task, "runs"]), &query)?, "runs"))
}

fn script(parsed: &Parsed) -> Result<Option<String>, Failure> {
    match (parsed.get("file"), parsed.rest.as_slice()) {
        (Some(path), []) => files::text(Path::new(path)).map(Some).map_err(Failure::error),
        (None, [script]) => Ok(Some(script.clone())),
        (None, []) => Ok(None),
        _ => Err(Failure::missing("Must provide one Flux script, as an argument or in a file.")),
    }
}

fn tasks(session: &mut Session<'_, '_>, found: &[Value]) -> Result<(), Failure> {
    let columns = [
        ("id", "ID"),
        ("name", "Name"),
        ("status", "Status"),
        ("every", "Every"),
        ("cron", "Cron"),
    ];
    give(session, found, &columns)
}

fn give(
    session: &mut Session<'_, '_>,
    found: &[Value],
    columns: &[(&'static str, &'static str)],
) -> Result<(), Failure> {
    if session.gives(found)? {
        return Ok(());
    }
    let mut table = Table::new(columns.iter().map(|(_, head)| longest(head)));
    for object in found {
        table.row(columns.iter().map(|(key, _)| plain(object, key)));
    }
    session.print(&table.render())
}
