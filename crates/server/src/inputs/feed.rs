//! Reads points out of what listeners received, and hands them to the tasks in batches.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use levada_codec::line_protocol::{Limits, LineProblem, Outcome, Parser};
use levada_model::{Point, Timestamp};
use levada_runtime::Clock;
use levada_task::engine::Ingest;
use tokio::sync::mpsc::Receiver;

use super::metrics::Counts;
use super::{InputDeps, Seen, Target};

/// Chunks that are taken from the queue at once.
const CHUNKS_AT_ONCE: usize = 256;
/// Series that a listener remembers: fewer than the write API does, as there may be many listeners.
const SERIES_MAX: usize = 200_000;
const SERIES_BYTES_MAX: usize = 64 << 20;
/// Problems are told at most this often.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Whole lines that were received together.
pub(super) struct Chunk {
    pub(super) bytes: Bytes,
    /// The time of lines that have none.
    pub(super) received: Timestamp,
}

/// Takes chunks until there will be no more.
pub(super) async fn run(
    mut chunks: Receiver<Chunk>,
    bind: String,
    target: Target,
    deps: InputDeps,
    counts: Counts,
) {
    let mut feed = Feed::new(bind, target, &deps, counts);
    let mut taken = Vec::with_capacity(CHUNKS_AT_ONCE);
    loop {
        let received = match feed.due() {
            None => Some(chunks.recv_many(&mut taken, CHUNKS_AT_ONCE).await),
            Some(wait) => tokio::select! {
                count = chunks.recv_many(&mut taken, CHUNKS_AT_ONCE) => Some(count),
                () = deps.clock.sleep(wait) => None,
            },
        };
        // Tasks that are behind may make the writer wait.
        tokio::task::block_in_place(|| {
            taken.drain(..).for_each(|chunk| feed.take(&chunk));
            if received == Some(0) || feed.due().is_some_and(|wait| wait.is_zero()) {
                feed.flush();
            }
        });
        if received == Some(0) {
            return;
        }
    }
}

struct Feed {
    bind: String,
    target: Target,
    clock: Arc<dyn Clock>,
    counts: Counts,
    parser: Parser,
    ingest: Ingest,
    seen: Seen,
    points: Vec<Point>,
    /// When the points go on though there are few.
    flush_at: Duration,
    tell_at: Duration,
    untold: u64,
}

// === impl Feed ===

impl Feed {
    fn new(bind: String, target: Target, deps: &InputDeps, counts: Counts) -> Self {
        let limits = Limits {
            series_max: SERIES_MAX,
            series_bytes_max: SERIES_BYTES_MAX,
            problems_max: 1,
            ..Limits::default()
        };
        Feed {
            bind,
            target,
            clock: Arc::clone(&deps.clock),
            counts,
            parser: Parser::new(limits),
            ingest: deps.routes.ingest(),
            seen: Arc::clone(&deps.seen),
            points: Vec::new(),
            flush_at: Duration::ZERO,
            tell_at: Duration::ZERO,
            untold: 0,
        }
    }

    /// Gives how long the points may still wait, nothing when there are none.
    fn due(&self) -> Option<Duration> {
        let now = self.clock.monotonic();
        (!self.points.is_empty()).then(|| self.flush_at.saturating_sub(now))
    }

    fn take(&mut self, chunk: &Chunk) {
        if self.points.is_empty() {
            self.flush_at = self.clock.monotonic() + self.target.batch_timeout;
        }
        let Target { database, retention, precision, .. } = &self.target;
        let Outcome { points, refused, problems } = self.parser.parse(
            database,
            retention,
            *precision,
            chunk.received,
            &chunk.bytes,
            &mut self.points,
        );
        self.counts.points.add(points);
        if refused > 0 {
            self.counts.refused.add(refused);
            self.counts.malformed.inc();
            self.untold += refused;
            problems.first().into_iter().for_each(|problem| self.tell(problem));
        }
        if self.points.len() >= self.target.batch_points {
            self.flush();
        }
    }

    fn tell(&mut self, problem: &LineProblem) {
        let now = self.clock.monotonic();
        if now < self.tell_at {
            return;
        }
        let (lines, LineProblem { refusal, excerpt, .. }) = (self.untold, problem);
        tracing::warn!(bind = self.bind, lines, %refusal, excerpt, "received lines that are no points");
        (self.untold, self.tell_at) = (0, now + TELL_EVERY);
    }

    fn flush(&mut self) {
        if self.points.is_empty() {
            return;
        }
        let points = std::mem::replace(&mut self.points, self.ingest.buffer());
        let count = points.len() as u64;
        (self.seen)(&points);
        let written = self.ingest.write(points);
        self.counts.handed_over.add(count);
        self.counts.points_dropped.add(written.dropped);
    }
}
