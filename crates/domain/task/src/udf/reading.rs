//! What a function says, put together to points and batches.

use std::sync::atomic::AtomicBool;

use levada_clients::udf::Output;
use levada_codec::udf::{Begin, Frames, Outcome, Response, UdfError};
use levada_model::{Point, Str};
use tokio::io::AsyncReadExt as _;

use super::convert::Converter;
use super::link::Link;
use crate::spec::Edge;

/// Bytes that are read at once.
const READ_BYTES: usize = 64 << 10;
/// Bytes of one batch. Ours: a batch is held until it ends.
const BATCH_BYTES_MAX: usize = 1 << 30;

/// Reads what a function says.
pub(super) struct Reading<'l> {
    link: &'l Link,
    frames: Frames,
    converter: Converter,
    provides: Edge,
    batch: Option<Open>,
    is_held: &'l AtomicBool,
}

/// A batch that has begun.
struct Open {
    begin: Begin,
    points: Vec<Point>,
    bytes: usize,
}

// === impl Reading ===

impl<'l> Reading<'l> {
    pub(super) fn new(
        link: &'l Link,
        frame_bytes: usize,
        provides: Edge,
        is_held: &'l AtomicBool,
    ) -> Self {
        Reading {
            link,
            frames: Frames::new(frame_bytes),
            converter: Converter::default(),
            provides,
            batch: None,
            is_held,
        }
    }

    /// Reads to the end; `heard` is told of each message, and how a start or a takeover ended.
    ///
    /// - Errors: what the function complains of, or what is wrong with what it says.
    pub(super) async fn run(
        mut self,
        mut output: Output,
        heard: impl Fn(Option<()>),
    ) -> Result<(), Str> {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let count = output.read(&mut buffer).await;
            let count = count.map_err(|error| Str::from(format!("read error: {error}")))?;
            if count == 0 {
                return match self.frames.is_within() || self.batch.is_some() {
                    true => Err("read error: the function ended within what it was saying".into()),
                    false => Ok(()),
                };
            }
            self.frames.push(&buffer[..count]);
            loop {
                let frame = self.frames.next_frame();
                let read = match frame {
                    Ok(Some(frame)) => (Response::read(frame), frame.len()),
                    Ok(None) => break,
                    Err(error) => return Err(self.refuse(&error)),
                };
                let (response, bytes) = read;
                let response = response.map_err(|error| self.refuse(&error))?;
                let is_answer = matches!(response, Response::Init(_) | Response::Restore(_));
                self.take(response, bytes).await?;
                heard(is_answer.then_some(()));
            }
        }
    }

    fn refuse(&self, error: &UdfError) -> Str {
        if matches!(error, UdfError::TooLarge { .. }) {
            self.link.count_too_large();
        }
        format!("read error: {error}").into()
    }

    async fn take(&mut self, response: Response, bytes: usize) -> Result<(), Str> {
        match response {
            Response::Info(_) | Response::Keepalive { .. } => {}
            Response::Init(outcome) => succeeded(outcome, "init")?,
            Response::Restore(outcome) => succeeded(outcome, "restore")?,
            Response::Snapshot { snapshot } => self.link.answer_snapshot(snapshot),
            Response::Error { text } => return Err(text.into()),
            Response::Begin(begin) => {
                self.wants(Edge::Batch, "a batch")?;
                if self.batch.is_some() {
                    return Err("a batch begins within a batch".into());
                }
                self.batch = Some(Open { begin, points: Vec::new(), bytes });
            }
            Response::Point(point) => match &mut self.batch {
                Some(open) => {
                    open.bytes += bytes;
                    if open.bytes > BATCH_BYTES_MAX {
                        let text = format!("a batch of more than {BATCH_BYTES_MAX} bytes");
                        return Err(text.into());
                    }
                    open.points.push(self.converter.point_of(&open.begin, point));
                }
                None => {
                    self.wants(Edge::Stream, "a point of a stream")?;
                    let given = self.converter.point(point);
                    self.link.give(given, bytes, self.is_held).await;
                }
            },
            Response::End(end) => {
                let open = self.batch.take();
                let Open { begin, points, bytes } =
                    open.ok_or_else(|| Str::from("a batch ends that has not begun"))?;
                let given = self.converter.batch(&begin, points, end);
                self.link.give(given, bytes, self.is_held).await;
            }
        }
        Ok(())
    }

    /// Refuses what the nodes behind do not take.
    fn wants(&self, edge: Edge, what: &str) -> Result<(), Str> {
        match self.provides == edge {
            true => Ok(()),
            false => Err(format!("the function gave {what}, and has announced otherwise").into()),
        }
    }
}

fn succeeded(outcome: Outcome, what: &str) -> Result<(), Str> {
    match outcome {
        Outcome { success: true, .. } => Ok(()),
        Outcome { error, .. } if error.is_empty() => {
            Err(format!("the function refuses to {what}").into())
        }
        Outcome { error, .. } => Err(error.into()),
    }
}
