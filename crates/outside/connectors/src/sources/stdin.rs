//! The `stdin` source: NDJSON, CSV or lines from standard input.
//!
//! Records are handed on as soon as they are there; the source ends where the input ends. What was
//! read cannot be read again: the position says how far the source came and nothing else, and a flow
//! that starts again reads what comes next.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use async_trait::async_trait;
use levada_codec::csv::CsvOptions;
use levada_model::{ErrorClass, Meta, Position, RecordBatch, Str};
use levada_registry::{FieldPath, Report};
use levada_runtime::{Clock, TaskKind};
use levada_settings::ByteSize;
use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::context::StandardInput;
use crate::formats::framer::{Filled, FrameError, Framer, Place};
use crate::formats::pump::{Gone, Pump, PumpThread, pump};
use crate::formats::{CsvBlock, Format, check_format, check_record_bytes, record_bytes};
use crate::{BuildContext, BuildError, Source, SourceError, SourceSpec};

/// How long the thread waits for input before it looks whether anybody still listens.
const WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// Reads records from standard input.
#[derive(Debug, Default, Clone, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(rename = "StdinSource")]
pub struct Spec {
    /// `ndjson` (one JSON value per line), `csv` (each row becomes an object of strings) or `lines`
    /// (each line is a payload as it is). Default `ndjson`.
    pub format: String,
    /// How CSV is written; only for `format: csv`.
    pub csv: Option<CsvBlock>,
    /// Longest record, up to `1GiB`; a longer one fails and only its first KiB is kept. Default `16MiB`.
    pub max_record_bytes: Option<ByteSize>,
}

struct StdinSource {
    format: Format,
    csv: CsvOptions,
    ctx: BuildContext,
    /// Taken by the first opening; tests put another in.
    input: Option<OwnedFd>,
    /// Lives over failures: a thread that was given up would take bytes with it.
    pump: Option<Pump>,
}

// === impl Spec ===

impl SourceSpec for Spec {
    const NAME: &'static str = "stdin";
    const SUMMARY: &'static str = "reads NDJSON, CSV or lines from standard input";

    fn check(&self, at: &FieldPath, report: &mut Report) {
        check_format(&self.format, self.csv.as_ref(), at, report);
        check_record_bytes(self.max_record_bytes, at, report);
    }

    fn build(self, ctx: &BuildContext) -> Result<Box<dyn Source>, BuildError> {
        Ok(Box::new(StdinSource::new(self, ctx, None)))
    }
}

// === impl StdinSource ===

impl StdinSource {
    fn new(spec: Spec, ctx: &BuildContext, input: Option<OwnedFd>) -> Self {
        StdinSource {
            format: Format::parse(&spec.format),
            csv: CsvOptions {
                batch_rows: ctx.batch_records.max(1),
                ..spec.csv.unwrap_or_default().options(record_bytes(spec.max_record_bytes))
            },
            ctx: ctx.clone(),
            input,
            pump: None,
        }
    }
}

#[async_trait]
impl Source for StdinSource {
    async fn open(&mut self, _: &[(Str, Position)]) -> Result<(), SourceError> {
        if self.pump.is_some() {
            return Ok(());
        }
        let other = self.ctx.links.get::<StandardInput>();
        let input = match (self.input.take(), other) {
            (Some(input), _) => Ok(input),
            (None, Some(other)) => other.0.try_clone(),
            (None, None) => io::stdin().as_fd().try_clone_to_owned(),
        };
        let input = input.map_err(|error| SourceError::io("cannot open standard input", error))?;
        let framer =
            Framer::new(self.format, self.csv.clone(), Place::default(), self.ctx.chunk_bytes())
                .map_err(|error| SourceError::new(ErrorClass::InvalidData, error.to_string()))?;
        let (pump, thread) = pump();
        self.pump = Some(pump);
        let clock = self.ctx.clock.clone();
        self.ctx.tasks.spawn_thread(TaskKind::Source, "stdin source", move || {
            if let Err(Gone) = run(&thread, &input, framer, &*clock) {
                tracing::debug!("standard input was closed before its end");
            }
        });
        Ok(())
    }

    async fn next(&mut self, batch: &mut RecordBatch) -> Result<bool, SourceError> {
        match &mut self.pump {
            Some(pump) => pump.next(batch).await,
            None => Err(SourceError::new(ErrorClass::Unknown, "the stdin source is not open")),
        }
    }
}

/// Why no bytes came.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("nobody listens")]
    Gone,
    #[error(transparent)]
    Io(io::Error),
}

fn run(
    thread: &PumpThread,
    input: &OwnedFd,
    mut framer: Framer,
    clock: &dyn Clock,
) -> Result<(), Gone> {
    let partition: Str = "stdin".into();
    let meta: Meta = [("file".into(), "stdin".into())].into_iter().collect();
    let meta = Arc::new(meta);
    let mut read = |text: &mut Vec<u8>, _: usize| read_some(input, text, thread);
    loop {
        let mut batch = thread.empty();
        batch.set_shared_meta(Some(meta.clone()));
        let origin = batch.push_origin(partition.clone(), Position::Null);
        let filled = match framer.fill(&mut read, &mut batch, origin) {
            // The end; what lacks a line end is a record all the same.
            Ok(Filled::Nothing) => match framer.finish(&mut batch, origin) {
                Ok(filled) => (filled, true),
                Err(error) => {
                    return thread
                        .fail(SourceError::new(ErrorClass::InvalidData, error.to_string()));
                }
            },
            Ok(Filled::Records) => (Filled::Records, false),
            Err(FrameError::Read(ReadError::Gone)) => return Err(Gone),
            Err(FrameError::Read(ReadError::Io(error))) => {
                // Not transient, whatever the error: there is nothing to open again.
                let mut failure = SourceError::io("cannot read standard input", error);
                failure.class = ErrorClass::Unknown;
                return thread.fail(failure);
            }
            Err(FrameError::Csv(error)) => {
                return thread.fail(SourceError::new(ErrorClass::InvalidData, error.to_string()));
            }
        };
        if filled.0 == Filled::Records {
            batch.received_at = clock.now();
            batch.origins[origin as usize].position =
                serde_json::json!({ "offset": framer.place().offset });
            thread.send(batch)?;
        }
        if filled.1 {
            return thread.end();
        }
    }
}

/// Appends what is there to `text`, and waits only when nothing is; zero at the end.
fn read_some(input: &OwnedFd, text: &mut Vec<u8>, thread: &PumpThread) -> Result<usize, ReadError> {
    loop {
        let mut ready = [PollFd::new(input, PollFlags::IN)];
        match poll(&mut ready, Some(&WAIT)) {
            Ok(0) if thread.is_gone() => return Err(ReadError::Gone),
            Ok(0) | Err(Errno::INTR) => continue,
            Ok(_) => {}
            Err(error) => return Err(ReadError::Io(error.into())),
        }
        match rustix::io::read(input, spare_capacity(text)) {
            Ok(count) => return Ok(count),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(error) => return Err(ReadError::Io(error.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::io::Write;

    use super::*;
    use crate::formats::testing::{context, payloads};

    fn source(spec: Spec) -> (StdinSource, io::PipeWriter) {
        let (reader, writer) = io::pipe().unwrap();
        (StdinSource::new(spec, &context("."), Some(reader.into())), writer)
    }

    #[tokio::test]
    async fn records_come_as_soon_as_they_are_there() {
        let (mut source, mut writer) = source(Spec::default());
        source.open(&[("stdin".into(), serde_json::json!({"offset": 99}))]).await.unwrap();
        let mut batch = RecordBatch::new();
        writer.write_all(b"{\"a\":1}\n\n{\"b\"").unwrap();
        assert!(source.next(&mut batch).await.unwrap());
        assert_eq!(payloads(&batch), ["{\"a\":1}"]);
        assert!(batch.expects_json);
        assert_eq!(&*batch.origins[0].partition, "stdin");
        assert_eq!(batch.origins[0].position["offset"], 9);
        // A source that is opened again goes on with what it has.
        source.open(&[]).await.unwrap();
        batch.clear();
        writer.write_all(b":2}\n3").unwrap();
        assert!(source.next(&mut batch).await.unwrap());
        assert_eq!(payloads(&batch), ["{\"b\":2}"]);
        drop(writer);
        batch.clear();
        assert!(source.next(&mut batch).await.unwrap());
        assert_eq!(payloads(&batch), ["3"]);
        batch.clear();
        assert!(!source.next(&mut batch).await.unwrap());
        assert!(!source.next(&mut batch).await.unwrap());
        assert!(batch.is_empty());
    }

    #[tokio::test]
    async fn csv_rows_become_objects() {
        let (mut source, mut writer) = source(Spec { format: "csv".into(), ..Spec::default() });
        source.open(&[]).await.unwrap();
        writer.write_all(b"a,b\n1,2\n3\n4,5").unwrap();
        drop(writer);
        let (mut all, mut errors) = (Vec::new(), 0);
        let mut batch = RecordBatch::new();
        while source.next(&mut batch).await.unwrap() {
            all.extend(payloads(&batch));
            errors += (0..batch.len()).filter(|index| batch.broken(*index).is_some()).count();
            batch.clear();
        }
        assert_eq!(all, [r#"{"a":"1","b":"2"}"#, "3", r#"{"a":"4","b":"5"}"#]);
        assert_eq!(errors, 1);
    }

    #[tokio::test]
    async fn a_batch_holds_no_more_records_than_the_flow_wants() {
        let (reader, mut writer) = io::pipe().unwrap();
        let ctx = BuildContext { batch_records: 1, ..context(".") };
        let mut source = StdinSource::new(Spec::default(), &ctx, Some(reader.into()));
        source.open(&[]).await.unwrap();
        writer.write_all(b"1\n2\n3").unwrap();
        drop(writer);
        let mut batch = RecordBatch::new();
        for expected in ["1", "2", "3"] {
            batch.clear();
            assert!(source.next(&mut batch).await.unwrap());
            assert_eq!(payloads(&batch), [expected]);
        }
        batch.clear();
        assert!(!source.next(&mut batch).await.unwrap());
    }

    #[tokio::test]
    async fn a_waiting_thread_ends_with_its_source() {
        let (mut source, _writer) = source(Spec::default());
        let tasks = source.ctx.tasks.clone();
        source.open(&[]).await.unwrap();
        drop(source);
        while !tasks.running().is_empty() {
            tokio::task::yield_now().await;
        }
    }
}
