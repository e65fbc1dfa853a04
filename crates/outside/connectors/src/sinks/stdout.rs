//! The `stdout` sink: one payload per line on standard output, or one row of a table.

mod table;

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;

use async_trait::async_trait;
use levada_model::{ErrorClass, RecordBatch};
use levada_registry::{FieldPath, Report};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::context::StandardOutput;
use crate::formats::blocking::blocking;
use crate::formats::line_writer::LineWriter;
use crate::{BuildContext, BuildError, Outcomes, Sink, SinkError, SinkSpec};
use table::Table;

/// How long a full pipe is waited for at a time.
const WAIT: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// Writes payloads to standard output, one per line.
#[derive(Debug, Default, Clone, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(rename = "StdoutSink")]
pub struct Spec {
    /// `ndjson`: payloads as they are; `table`: rows for people. Default: `ndjson`.
    pub format: Option<String>,
    /// Paths of the columns of a table. Default: the members of the first record, at most 12.
    pub columns: Vec<String>,
}

const FORMATS: [&str; 2] = ["ndjson", "table"];

struct StdoutSink {
    /// Tests put another in.
    output: Option<File>,
    other: Option<Arc<StandardOutput>>,
    table: Option<Table>,
    /// The rows of a table under construction.
    rows: Vec<u8>,
    lines: LineWriter,
    /// What is left of a line that was written in part; its record counts as written.
    rest: Vec<u8>,
}

// === impl Spec ===

impl SinkSpec for Spec {
    const NAME: &'static str = "stdout";
    const SUMMARY: &'static str = "writes payloads to standard output, one per line";

    fn check(&self, at: &FieldPath, report: &mut Report) {
        if let Some(format) = &self.format
            && !FORMATS.contains(&format.as_str())
        {
            report.unsupported(&at.child("format"), format, FORMATS);
        }
        if !self.columns.is_empty() && !self.is_table() {
            report.forbidden(&at.child("columns"), "columns need `format: table`");
        }
        for (index, column) in self.columns.iter().enumerate() {
            if let Err(error) = levada_condition::path::Path::compile(column) {
                let at = at.child("columns").index(index);
                report.invalid(&at, column.as_str(), &error.to_string());
            }
        }
    }

    fn is_idempotent(&self) -> Option<bool> {
        Some(false)
    }

    fn build(self, ctx: &BuildContext) -> Result<Box<dyn Sink>, BuildError> {
        let table = match self.is_table() {
            true => Some(Table::new(&self.columns).map_err(BuildError::Invalid)?),
            false => None,
        };
        Ok(Box::new(StdoutSink {
            output: None,
            other: ctx.links.get::<StandardOutput>(),
            table,
            rows: Vec::new(),
            lines: LineWriter::default(),
            rest: Vec::new(),
        }))
    }
}

impl Spec {
    fn is_table(&self) -> bool {
        self.format.as_deref() == Some("table")
    }
}

// === impl StdoutSink ===

impl StdoutSink {
    fn output(&mut self) -> Result<&mut File, SinkError> {
        match &mut self.output {
            Some(output) => Ok(output),
            empty => {
                let output = match &self.other {
                    Some(other) => other.0.try_clone(),
                    None => io::stdout().as_fd().try_clone_to_owned(),
                };
                let output =
                    output.map_err(|error| SinkError::io("cannot open standard output", error))?;
                Ok(empty.insert(File::from(output)))
            }
        }
    }

    fn write_rest(&mut self) -> Result<(), SinkError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        let rest = std::mem::take(&mut self.rest);
        let (written, result) = write_all(self.output()?, &rest);
        self.rest.extend_from_slice(&rest[written..]);
        result.map_err(stdout_error)
    }

    fn write_batch(
        &mut self,
        batch: &RecordBatch,
        outcomes: &mut Outcomes,
    ) -> Result<(), SinkError> {
        self.write_rest()?;
        self.output()?;
        let Some(output) = &mut self.output else { return Ok(()) };
        let lines = match &mut self.table {
            None => self.lines.lines(batch, 0..batch.len(), outcomes),
            Some(table) => {
                self.rows.clear();
                if table.header(batch, &mut self.rows) > 0 {
                    // The header belongs to no record; should it be cut, the rows still follow.
                    write_all(output, &self.rows).1.map_err(stdout_error)?;
                    self.rows.clear();
                }
                table.rows(batch, &mut self.rows);
                &self.rows
            }
        };
        let (written, result) = write_all(output, lines);
        let mut left = usize::MAX;
        if result.is_err() {
            // Whole lines went out, and perhaps a part of the next: its record is not written again.
            left = memchr::memchr_iter(b'\n', &lines[..written]).count();
            if written > 0 && lines[written - 1] != b'\n' {
                let end = memchr::memchr(b'\n', &lines[written..]);
                let end = end.map_or(lines.len(), |end| written + end + 1);
                self.rest.extend_from_slice(&lines[written..end]);
                left += 1;
            }
        }
        let mut rejected = outcomes.rejected_records().iter().map(|(index, _)| *index).peekable();
        let mut delivered = Vec::new();
        for index in 0..batch.len() {
            if rejected.next_if_eq(&index).is_some() {
                continue;
            }
            if left == 0 {
                break;
            }
            left -= 1;
            delivered.push(index);
        }
        drop(rejected);
        for index in delivered {
            outcomes.delivered(index..index + 1);
        }
        result.map_err(stdout_error)
    }
}

#[async_trait]
impl Sink for StdoutSink {
    async fn write(
        &mut self,
        batch: &RecordBatch,
        outcomes: &mut Outcomes,
    ) -> Result<(), SinkError> {
        blocking(|| self.write_batch(batch, outcomes))
    }

    async fn sync(&mut self) -> Result<(), SinkError> {
        blocking(|| self.write_rest())
    }
}

/// Writes everything and gives how much of it went out, also when it was not all.
fn write_all(output: &mut File, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < bytes.len() {
        match output.write(&bytes[written..]) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // Somebody who shares the terminal or pipe made it non-blocking.
                let mut ready = [PollFd::new(output, PollFlags::OUT)];
                if let Err(error) = poll(&mut ready, Some(&WAIT)) {
                    return (written, Err(error.into()));
                }
            }
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

/// A reader that went away does not come back, so that a closed pipe is not tried again.
fn stdout_error(error: io::Error) -> SinkError {
    if error.kind() == io::ErrorKind::BrokenPipe {
        let mut closed = SinkError::io("standard output was closed by its reader", error);
        closed.class = ErrorClass::Unknown;
        return closed;
    }
    SinkError::io("cannot write to standard output", error)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::io::Read;
    use std::os::fd::OwnedFd;

    use super::*;

    fn sink(output: File) -> StdoutSink {
        StdoutSink {
            output: Some(output),
            other: None,
            table: None,
            rows: Vec::new(),
            lines: LineWriter::default(),
            rest: Vec::new(),
        }
    }

    fn batch(payloads: &[&str]) -> RecordBatch {
        let mut batch = RecordBatch::new();
        let origin = batch.push_origin("p".into(), 0.into());
        for payload in payloads {
            batch.push(payload.as_bytes(), origin, 0);
        }
        batch
    }

    #[tokio::test]
    async fn payloads_are_lines() {
        let (mut reader, writer) = io::pipe().unwrap();
        let mut sink = sink(File::from(OwnedFd::from(writer)));
        let mut outcomes = Outcomes::default();
        sink.write(&batch(&["1", "a\nb", "{\n}"]), &mut outcomes).await.unwrap();
        assert_eq!(outcomes.delivered_ranges(), [0..1, 2..3]);
        assert_eq!(outcomes.rejected_records().len(), 1);
        sink.close().await.unwrap();
        drop(sink);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "1\n{}\n");
    }

    #[tokio::test]
    async fn a_closed_pipe_is_not_tried_again() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let mut sink = sink(File::from(OwnedFd::from(writer)));
        let mut outcomes = Outcomes::default();
        let error = sink.write(&batch(&["1"]), &mut outcomes).await.unwrap_err();
        assert!(!error.class.is_transient());
        assert!(!error.is_about_records);
        assert_eq!(outcomes.resolved(), 0);
    }

    #[tokio::test]
    async fn a_full_disk_is_tried_again() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let error = sink(full).write(&batch(&["1"]), &mut Outcomes::default()).await.unwrap_err();
        assert!(error.class.is_transient());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_pipe_that_fills_is_waited_for() {
        let (mut reader, writer) = io::pipe().unwrap();
        let writer = File::from(OwnedFd::from(writer));
        rustix::fs::fcntl_setfl(&writer, rustix::fs::OFlags::NONBLOCK).unwrap();
        let mut sink = sink(writer);
        let line = "x".repeat(1000);
        let payloads: Vec<&str> = vec![&line; 1000];
        let reading = levada_runtime::Tasks::new().spawn_thread(
            levada_runtime::TaskKind::Connector,
            "reader",
            move || {
                let mut text = Vec::new();
                reader.read_to_end(&mut text).unwrap();
                text.len()
            },
        );
        let mut outcomes = Outcomes::default();
        sink.write(&batch(&payloads), &mut outcomes).await.unwrap();
        drop(sink);
        assert_eq!(outcomes.resolved(), 1000);
        assert_eq!(reading.await.unwrap(), 1_001_000);
    }
}
