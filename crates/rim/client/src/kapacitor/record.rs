//! `record`: keeps points, or the results of queries, to replay them later.

use serde_json::Map;

use super::wait::{self, NO_WAIT, put, put_range, required};
use super::{Command, Failure, OUTPUT_FLAG, Run, Session};
use crate::flags::{Flag, Parsed, text};
use crate::times;

const ID: Flag = text("recording-id", "ID", "the ID of the recording; else one is made up");

pub(super) const STREAM: Command = Command {
    name: "record stream",
    arguments: "-task ID -duration DURATION [options]",
    summary: "record the points that a task receives, for a while",
    detail: "Waits until the recording has ended and prints its ID.\n\n\
             Example:\n  kapacitor record stream -task cpu -duration 1m",
    leading: "",
    flags: &[
        text("task", "ID", "the task whose databases and measurements are recorded"),
        text("duration", "DURATION", "for how long, such as 30s or 1h"),
        NO_WAIT,
        ID,
        OUTPUT_FLAG,
    ],
    run: Run::Server(stream),
};

pub(super) const BATCH: Command = Command {
    name: "record batch",
    arguments: "-task ID (-start TIME | -past DURATION) [options]",
    summary: "record the results of a batch task's queries",
    detail: "Times are written as in RFC 3339.\n\n\
             Examples:\n  kapacitor record batch -task cpu_batch -past 10h\n  \
             kapacitor record batch -task cpu_batch -start 2026-03-01T00:00:00Z -stop 2026-03-02T00:00:00Z",
    leading: "",
    flags: &[
        text("task", "ID", "the batch task"),
        text("start", "TIME", "the first execution"),
        text("stop", "TIME", "the end [default: now]"),
        text("past", "DURATION", "begin so long before the end"),
        NO_WAIT,
        ID,
        OUTPUT_FLAG,
    ],
    run: Run::Server(batch),
};

pub(super) const QUERY: Command = Command {
    name: "record query",
    arguments: "-query QUERY -type stream|batch [options]",
    summary: "record the result of a query",
    detail: "Example:\n  \
             kapacitor record query -query 'SELECT value FROM \"telegraf\".\"autogen\".\"cpu\"' -type stream",
    leading: "",
    flags: &[
        text("query", "QUERY", "an InfluxQL query whose source is fully qualified"),
        text("type", "TYPE", "what it becomes: stream or batch"),
        text("cluster", "NAME", "the InfluxDB that is asked [default: the default one]"),
        NO_WAIT,
        ID,
        OUTPUT_FLAG,
    ],
    run: Run::Server(query),
};

fn stream(session: &mut Session<'_, '_>, parsed: &Parsed) -> Result<(), Failure> {
    super::no_more(&parsed.rest)?;
    let mut body = Map::new();
    put(&mut body, "id", parsed, "recording-id");
    body.insert("task".into(), required(parsed, "task")?.into());
    let nanos = times::duration_nanos(required(parsed, "duration")?).map_err(Failure::error)?;
    let stop =
        times::shifted(session.world.clock.now().to_jiff(), nanos).map_err(Failure::error)?;
    body.insert("stop".into(), stop.to_string().into());
    wait::start(session, parsed, "recordings", &["stream"], body)
}

fn batch(session: &mut Session<'_, '_>, parsed: &Parsed) -> Result<(), Failure> {
    super::no_more(&parsed.rest)?;
    let mut body = Map::new();
    put(&mut body, "id", parsed, "recording-id");
    body.insert("task".into(), required(parsed, "task")?.into());
    put_range(&mut body, session, parsed)?;
    wait::start(session, parsed, "recordings", &["batch"], body)
}

fn query(session: &mut Session<'_, '_>, parsed: &Parsed) -> Result<(), Failure> {
    super::no_more(&parsed.rest)?;
    let mut body = Map::new();
    put(&mut body, "id", parsed, "recording-id");
    let kind = required(parsed, "type")?;
    if !matches!(kind, "stream" | "batch") {
        return Err(Failure::error(format!("unknown type {kind:?}; known: stream, batch")));
    }
    body.insert("type".into(), kind.into());
    body.insert("query".into(), required(parsed, "query")?.into());
    put(&mut body, "cluster", parsed, "cluster");
    wait::start(session, parsed, "recordings", &["query"], body)
}
