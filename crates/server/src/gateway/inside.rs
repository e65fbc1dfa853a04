//! Destinations of the gateway in this process: flows, and the task engine.
//!
//! A record stays in its queue until the flow has finished every point, or the task engine has taken all of them.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use levada_codec::compression::{Compression, decompress_all};
use levada_codec::line_protocol::{Limits, Parser, Precision};
use levada_codec::points::{LeftOut, influx};
use levada_gateway::deliver::{Answer, Receiver};
use levada_gateway::egress::{Inside, Insiders};
use levada_gateway::ingest::HOPS;
use levada_gateway::wal::{Encoding, Record};
use levada_model::{Point, Str, Timestamp};

use crate::joins::Joins;

/// The status of what was taken, for counts: there is no HTTP here.
const TAKEN: u16 = 200;
/// The status of lines that no task can read.
const BAD: u16 = 400;

/// Knows the flows and tasks of this process.
pub(super) struct InThisProcess(pub(super) Joins);

/// A flow.
struct ToFlow {
    label: String,
    name: String,
    joins: Joins,
}

/// A task, or all that listen.
struct ToTasks {
    label: String,
    name: String,
    database: Str,
    retention: Str,
    joins: Joins,
    /// Knows the series that came before.
    parser: Mutex<Parser>,
}

/// The most that a record may be, unpacked; the usual bound of bodies.
const PLAIN_BYTES_MAX: usize = 256 << 20;

/// Gives the lines of a record. One that was queued while the destination was another kind may not be as this kind wants it.
fn lines(record: &Record) -> Result<Bytes, String> {
    if record.encoding != Encoding::LineProtocol {
        return Err(format!("it waited as {:?}, not as lines", record.encoding));
    }
    match record.compression {
        Compression::None => Ok(record.body.clone()),
        format => decompress_all(format, &record.body, PLAIN_BYTES_MAX)
            .map(Bytes::from)
            .map_err(|error| format!("it cannot be unpacked: {error}")),
    }
}

fn later(reason: impl Into<String>) -> Answer {
    Answer::Later { status: None, after: None, is_overload: false, reason: reason.into() }
}

// === impl InThisProcess ===

impl Insiders for InThisProcess {
    fn receiver(&self, inside: &Inside) -> Arc<dyn Receiver> {
        let joins = self.0.clone();
        match inside {
            Inside::Flow { name } => {
                Arc::new(ToFlow { label: format!("flow:{name}"), name: name.clone(), joins })
            }
            Inside::Task { name, database, retention } => Arc::new(ToTasks {
                label: match &**name {
                    "" => format!("task:{database}.{retention}"),
                    name => format!("task:{name}"),
                },
                name: name.clone(),
                database: database.as_str().into(),
                retention: retention.as_str().into(),
                joins,
                parser: Mutex::new(Parser::new(Limits::default())),
            }),
        }
    }
}

// === impl ToFlow ===

#[async_trait]
impl Receiver for ToFlow {
    fn label(&self) -> &str {
        &self.label
    }

    /// Waits for as long as the flow works on it: a flow that is slow is no reason to hand it the same points again.
    async fn send(&self, record: &Record, _is_retry: bool, _now: Timestamp) -> Answer {
        let lines = match lines(record) {
            Ok(lines) => lines,
            Err(reason) => return Answer::Refused { status: BAD, reason },
        };
        let hops = record.attributes.get(HOPS).and_then(|text| text.parse::<u8>().ok());
        let hops = hops.unwrap_or(0).saturating_add(1);
        match self.joins.feeds().hand(&self.name, record.category, lines, hops).await {
            Ok(()) => Answer::Delivered { status: TAKEN, left_out: LeftOut::default() },
            Err(error) => later(error.to_string()),
        }
    }
}

// === impl ToTasks ===

impl ToTasks {
    /// Reads the points of a record, as far as tasks know what is in them.
    fn points(&self, record: &Record, now: Timestamp) -> Result<(Vec<Point>, LeftOut), String> {
        let lines = lines(record)?;
        let text = std::str::from_utf8(&lines).map_err(|error| error.to_string())?;
        // The end of bytes: without it, what tasks do not know is seen when it is read.
        if !text.contains("\"b ")
            && let Ok(points) = self.parse(text, record, now)
        {
            return Ok((points, LeftOut::default()));
        }
        let mut plain = Vec::new();
        let left_out = influx::append_lines(text, false, now, &mut plain);
        let left_out = left_out.map_err(|error| error.to_string())?;
        let plain = String::from_utf8_lossy(&plain);
        Ok((self.parse(&plain, record, now)?, left_out))
    }

    /// Reads lines as InfluxDB has them; each says for itself when it was.
    fn parse(&self, text: &str, record: &Record, now: Timestamp) -> Result<Vec<Point>, String> {
        let mut parser = self.parser.lock().unwrap_or_else(PoisonError::into_inner);
        let mut points = Vec::with_capacity(record.points as usize);
        let (database, retention) = (&self.database, &self.retention);
        let unit = Precision::Nanoseconds;
        let outcome = parser.parse(database, retention, unit, now, text.as_bytes(), &mut points);
        match outcome.problems.first() {
            Some(problem) => Err(problem.server_text()),
            None => Ok(points),
        }
    }
}

#[async_trait]
impl Receiver for ToTasks {
    fn label(&self) -> &str {
        &self.label
    }

    async fn send(&self, record: &Record, _is_retry: bool, now: Timestamp) -> Answer {
        let Some(tasks) = self.joins.tasks() else {
            return later("the tasks of this process have not been started yet");
        };
        let (points, left_out) = match self.points(record, now) {
            Ok(read) => read,
            // Only the lines that tasks cannot read are given up: halves are tried until those stand alone.
            Err(_) if record.points > 1 => return Answer::TooLarge,
            Err(reason) => return Answer::Refused { status: BAD, reason },
        };
        match tasks.0.write(&self.name, points).await {
            Ok(()) => Answer::Delivered { status: TAKEN, left_out },
            // It has no room, or may be defined, enabled or mended some time.
            Err(error) => later(error.to_string()),
        }
    }
}
