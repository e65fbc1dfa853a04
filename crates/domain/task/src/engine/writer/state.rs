//! What a node holds.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use levada_clients::influxdb::WriteTarget;
use levada_codec::line_protocol::{LineError, Precision, write_point};
use levada_model::Str;
use tokio::sync::Notify;

use super::{REPORT_INTERVAL, WriterLimits};
use crate::effect::Write;
use crate::runtime::services::InfluxdbOut;

/// What a node did, and what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriterStatistics {
    /// Points that the server took.
    pub points_written: u64,
    /// Points that were lost: refused by the server, or without room.
    pub points_lost: u64,
    /// Requests that failed for good.
    pub write_errors: u64,
    /// Requests that were tried again.
    pub retries: u64,
    /// Points that wait.
    pub points_held: u64,
    /// Bytes that wait.
    pub bytes_held: u64,
}

pub(super) struct NodeState {
    buffer: usize,
    flush_interval: Duration,
    /// Wakes the sender: there is a chunk, or the first point of a buffer.
    pub(super) wake: Arc<Notify>,
    targets: Vec<Target>,
    /// The place of the target of the last point.
    last: usize,
    ready: VecDeque<Chunk>,
    statistics: WriterStatistics,
}

struct Target {
    to: Arc<WriteTarget>,
    precision: Precision,
    lines: Vec<u8>,
    /// Points in `lines`.
    points: usize,
    /// Points in `lines` and in chunks, the one under way included.
    held: usize,
    /// When the first point of `lines` came.
    since: Duration,
    lost: Lost,
}

/// Points that were lost and not reported yet.
#[derive(Default)]
struct Lost {
    points: u64,
    cause: Option<Str>,
    /// No report before this.
    not_before: Duration,
}

/// Lines that go in one request.
#[derive(Clone)]
pub(super) struct Chunk {
    pub(super) to: Arc<WriteTarget>,
    pub(super) lines: Bytes,
    pub(super) points: usize,
}

/// What the sender is to do.
pub(super) enum Due {
    Send(Chunk),
    /// Nothing, until then if not woken before.
    Wait(Option<Duration>),
    Done,
}

/// Points that were lost, for the node.
pub(super) struct Report {
    pub(super) points: u64,
    pub(super) cause: Str,
}

// === impl NodeState ===

impl NodeState {
    pub(super) fn new(out: &InfluxdbOut) -> Self {
        NodeState {
            buffer: out.buffer.max(1),
            flush_interval: out.flush_interval,
            wake: Arc::new(Notify::new()),
            targets: Vec::new(),
            last: 0,
            ready: VecDeque::new(),
            statistics: WriterStatistics::default(),
        }
    }

    pub(super) fn statistics(&self) -> WriterStatistics {
        self.statistics
    }

    /// Adds a point as a line to the buffer of its target.
    pub(super) fn write(
        &mut self,
        write: &Write<'_>,
        limits: &WriterLimits,
        now: impl Fn() -> Duration,
    ) -> Result<(), WriteRefusal> {
        let place = self.place(write, limits).ok_or(WriteRefusal::Targets(limits.targets))?;
        self.last = place;
        let target = &mut self.targets[place];
        let before = target.lines.len();
        if target.held >= limits.target_points {
            self.lose_at(place, 1, &format!("{} points wait already", limits.target_points), &now);
            return Ok(());
        }
        write_point(write.point, target.precision, &mut target.lines)?;
        let bytes = (target.lines.len() - before) as u64;
        if self.statistics.bytes_held + bytes > limits.node_bytes as u64 {
            target.lines.truncate(before);
            self.lose_at(place, 1, &format!("{} bytes wait already", limits.node_bytes), &now);
            return Ok(());
        }
        self.statistics.bytes_held += bytes;
        self.statistics.points_held += 1;
        target.held += 1;
        // The line that makes a chunk too long begins the next one.
        if before > 0 && target.lines.len() > limits.chunk_bytes {
            let line = target.lines.split_off(before);
            self.flush(place);
            let target = &mut self.targets[place];
            target.lines = line;
        }
        let target = &mut self.targets[place];
        target.points += 1;
        if target.points >= self.buffer {
            self.flush(place);
        } else if target.points == 1 {
            target.since = now();
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Gives the place of the target of a point; `None` when there are too many.
    fn place(&mut self, write: &Write<'_>, limits: &WriterLimits) -> Option<usize> {
        let is_same = |target: &Target| {
            target.to.database == write.database
                && target.to.retention == write.retention
                && target.to.precision == write.precision
                && target.to.consistency == write.consistency
        };
        if self.targets.get(self.last).is_some_and(is_same) {
            return Some(self.last);
        }
        if let Some(place) = self.targets.iter().position(is_same) {
            return Some(place);
        }
        if self.targets.len() >= limits.targets {
            self.targets.retain(|target| target.held > 0 || target.lost.points > 0);
        }
        if self.targets.len() >= limits.targets {
            return None;
        }
        self.targets.push(Target {
            to: Arc::new(WriteTarget {
                database: write.database.to_owned(),
                retention: write.retention.to_owned(),
                precision: write.precision.to_owned(),
                consistency: write.consistency.to_owned(),
            }),
            precision: Precision::of(write.precision),
            lines: Vec::new(),
            points: 0,
            held: 0,
            since: Duration::ZERO,
            lost: Lost::default(),
        });
        Some(self.targets.len() - 1)
    }

    /// Makes a chunk of a buffer.
    fn flush(&mut self, place: usize) {
        let target = &mut self.targets[place];
        if target.points == 0 {
            return;
        }
        // The next buffer will be about as long.
        let next = Vec::with_capacity(target.lines.len().min(64 << 10));
        let lines = Bytes::from(std::mem::replace(&mut target.lines, next));
        let points = std::mem::take(&mut target.points);
        self.ready.push_back(Chunk { to: Arc::clone(&target.to), lines, points });
        self.wake.notify_one();
    }

    /// Says what is due; `closing` makes everything due.
    pub(super) fn due(&mut self, now: Duration, closing: bool) -> Due {
        let mut next = None;
        for place in 0..self.targets.len() {
            let target = &self.targets[place];
            if target.points == 0 {
                continue;
            }
            let at = target.since.saturating_add(self.flush_interval);
            if closing || at <= now {
                self.flush(place);
            } else {
                next = Some(next.map_or(at, |next: Duration| next.min(at)));
            }
        }
        match self.ready.pop_front() {
            Some(chunk) => Due::Send(chunk),
            None if closing => Due::Done,
            None => Due::Wait(next),
        }
    }

    /// Takes the reports that are due, all of them when `everything`; gives when the next one is.
    pub(super) fn reports(
        &mut self,
        now: Duration,
        everything: bool,
    ) -> (Vec<Report>, Option<Duration>) {
        let (mut reports, mut next) = (Vec::new(), None);
        for target in &mut self.targets {
            let lost = &mut target.lost;
            if lost.points == 0 {
                continue;
            }
            if !everything && now < lost.not_before {
                let at = lost.not_before;
                next = Some(next.map_or(at, |next: Duration| next.min(at)));
                continue;
            }
            let cause = lost.cause.take().unwrap_or_default();
            reports.push(Report { points: std::mem::take(&mut lost.points), cause });
            lost.not_before = now.saturating_add(REPORT_INTERVAL);
        }
        (reports, next)
    }

    /// A chunk was written.
    pub(super) fn written(&mut self, chunk: &Chunk) {
        self.release(chunk);
        self.statistics.points_written += chunk.points as u64;
    }

    /// A chunk failed for good; of its points so many were lost, the others were written.
    pub(super) fn failed(&mut self, chunk: &Chunk, points: u64, cause: &str) {
        self.release(chunk);
        let lost = points.min(chunk.points as u64);
        self.statistics.write_errors += 1;
        self.statistics.points_written += chunk.points as u64 - lost;
        self.lose(chunk, lost, cause);
    }

    /// A request is tried again.
    pub(super) fn retried(&mut self) {
        self.statistics.retries += 1;
    }

    /// Gives up what is held.
    pub(super) fn give_up(&mut self, cause: &str) {
        for place in 0..self.targets.len() {
            self.flush(place);
        }
        while let Some(chunk) = self.ready.pop_front() {
            self.failed(&chunk, chunk.points as u64, cause);
        }
    }

    fn release(&mut self, chunk: &Chunk) {
        self.statistics.points_held -= chunk.points as u64;
        self.statistics.bytes_held -= chunk.lines.len() as u64;
        if let Some(target) = self.target(chunk) {
            target.held -= chunk.points;
        }
    }

    fn target(&mut self, chunk: &Chunk) -> Option<&mut Target> {
        // A target with points in a chunk is not forgotten.
        self.targets.iter_mut().find(|target| Arc::ptr_eq(&target.to, &chunk.to))
    }

    fn lose(&mut self, chunk: &Chunk, points: u64, cause: &str) {
        self.statistics.points_lost += points;
        if let Some(target) = self.target(chunk) {
            target.lost.points += points;
            target.lost.cause.get_or_insert_with(|| cause.into());
        }
    }

    fn lose_at(&mut self, place: usize, points: u64, cause: &str, now: &impl Fn() -> Duration) {
        self.statistics.points_lost += points;
        let lost = &mut self.targets[place].lost;
        lost.points += points;
        if lost.cause.is_none() {
            let to = &self.targets[place].to;
            let cause =
                format!("no room for points to {:?}.{:?}: {cause}", to.database, to.retention);
            let lost = &mut self.targets[place].lost;
            lost.cause = Some(cause.into());
            // The sender may be waiting for the server; it looks after the reports when it is woken.
            if now() >= lost.not_before {
                self.wake.notify_one();
            }
        }
    }
}

/// Why a point was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteRefusal {
    /// It cannot be a line.
    #[error("{0}")]
    Line(#[from] LineError),
    /// There are too many targets.
    #[error("points go to more than {0} databases and retention policies")]
    Targets(usize),
}
