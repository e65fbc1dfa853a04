//! `replay` and `replay-live`: run a task on what was recorded, or on what queries give now.

use serde_json::Map;

use super::wait::{self, NO_WAIT, put, put_range, required};
use super::{Command, Failure, OUTPUT_FLAG, Run, Session};
use crate::flags::{Flag, Parsed, switch, text};

const TASK: Flag = text("task", "ID", "the task");
const REAL_CLOCK: Flag =
    switch("real-clock", "as fast as it was recorded [default: as fast as possible]");
const REC_TIME: Flag = switch("rec-time", "keep the recorded times [default: moved to now]");
const ID: Flag = text("replay-id", "ID", "the ID of the replay; else one is made up");

pub(super) const RECORDING: Command = Command {
    name: "replay",
    arguments: "-task ID -recording ID [options]",
    summary: "run a task on a recording",
    detail: "Waits until the replay has ended and prints its ID.",
    leading: "",
    flags: &[
        TASK,
        text("recording", "ID", "the recording"),
        REAL_CLOCK,
        REC_TIME,
        NO_WAIT,
        ID,
        OUTPUT_FLAG,
    ],
    run: Run::Server(recording),
};

pub(super) const LIVE_BATCH: Command = Command {
    name: "replay-live batch",
    arguments: "-task ID (-start TIME | -past DURATION) [options]",
    summary: "run a batch task on what its queries give for a range",
    detail: "Nothing is recorded. Times are written as in RFC 3339.",
    leading: "",
    flags: &[
        TASK,
        text("start", "TIME", "the first execution"),
        text("stop", "TIME", "the end [default: now]"),
        text("past", "DURATION", "begin so long before the end"),
        REAL_CLOCK,
        REC_TIME,
        NO_WAIT,
        ID,
        OUTPUT_FLAG,
    ],
    run: Run::Server(live_batch),
};

pub(super) const LIVE_QUERY: Command = Command {
    name: "replay-live query",
    arguments: "-task ID -query QUERY [options]",
    summary: "run a task on the result of a query",
    detail: "Nothing is recorded.",
    leading: "",
    flags: &[
        TASK,
        text("query", "QUERY", "an InfluxQL query whose source is fully qualified"),
        text("cluster", "NAME", "the InfluxDB that is asked [default: the default one]"),
        REAL_CLOCK,
        REC_TIME,
        NO_WAIT,
        ID,
        OUTPUT_FLAG,
    ],
    run: Run::Server(live_query),
};

fn recording(session: &mut Session<'_, '_>, parsed: &Parsed) -> Result<(), Failure> {
    super::no_more(&parsed.rest)?;
    let mut body = begin(parsed)?;
    body.insert("recording".into(), required(parsed, "recording")?.into());
    clock(&mut body, parsed);
    wait::start(session, parsed, "replays", &[], body)
}

fn live_batch(session: &mut Session<'_, '_>, parsed: &Parsed) -> Result<(), Failure> {
    super::no_more(&parsed.rest)?;
    let mut body = begin(parsed)?;
    put_range(&mut body, session, parsed)?;
    clock(&mut body, parsed);
    wait::start(session, parsed, "replays", &["batch"], body)
}

fn live_query(session: &mut Session<'_, '_>, parsed: &Parsed) -> Result<(), Failure> {
    super::no_more(&parsed.rest)?;
    let mut body = begin(parsed)?;
    body.insert("query".into(), required(parsed, "query")?.into());
    put(&mut body, "cluster", parsed, "cluster");
    clock(&mut body, parsed);
    wait::start(session, parsed, "replays", &["query"], body)
}

fn begin(parsed: &Parsed) -> Result<Map<String, serde_json::Value>, Failure> {
    let mut body = Map::new();
    put(&mut body, "id", parsed, "replay-id");
    body.insert("task".into(), required(parsed, "task")?.into());
    Ok(body)
}

fn clock(body: &mut Map<String, serde_json::Value>, parsed: &Parsed) {
    body.insert("recording-time".into(), parsed.is_set("rec-time").into());
    let clock = if parsed.is_set("real-clock") { "real" } else { "fast" };
    body.insert("clock".into(), clock.into());
}
