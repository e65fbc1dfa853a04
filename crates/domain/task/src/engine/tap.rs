//! A tap of the ingress: sees the points that a task sees, without being one.
//!
//! - What it holds is bounded in points. Who writes waits for room as for a task that is behind, and once per write for all
//!   taps together; what finds no room then is dropped, counted.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use levada_model::Point;

/// Points that wait to be taken.
#[derive(Debug)]
pub struct Tap {
    held: Mutex<Held>,
    /// There is something to take, or the end.
    filled: Condvar,
    /// There is room, or the end.
    emptied: Condvar,
    points_max: usize,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Held {
    chunks: VecDeque<Vec<Point>>,
    points: usize,
    is_closed: bool,
}

// === impl Tap ===

impl Tap {
    /// Makes a tap that holds so many points; a larger write is taken whole when nothing else waits.
    pub fn new(points_max: usize) -> Self {
        Tap {
            held: Mutex::default(),
            filled: Condvar::new(),
            emptied: Condvar::new(),
            points_max,
            dropped: AtomicU64::new(0),
        }
    }

    /// Adds points, after a wait for room; `false` when they were dropped for want of it.
    pub fn give(&self, points: Vec<Point>, patience: Duration) -> bool {
        let is_full = |held: &mut Held| {
            !held.is_closed
                && held.points > 0
                && held.points.saturating_add(points.len()) > self.points_max
        };
        let mut held = self.held();
        if is_full(&mut held) {
            held = self
                .emptied
                .wait_timeout_while(held, patience, is_full)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        if held.is_closed {
            return true;
        }
        let count = points.len();
        if held.points > 0 && held.points.saturating_add(count) > self.points_max {
            self.dropped.fetch_add(count as u64, Ordering::Relaxed);
            return false;
        }
        held.points += count;
        held.chunks.push_back(points);
        drop(held);
        self.filled.notify_one();
        true
    }

    /// Takes the points of one write; nothing when none came for so long, or after the end.
    pub fn take(&self, patience: Duration) -> Option<Vec<Point>> {
        let is_waiting = |held: &mut Held| held.chunks.is_empty() && !held.is_closed;
        let (mut held, _) = self
            .filled
            .wait_timeout_while(self.held(), patience, is_waiting)
            .unwrap_or_else(PoisonError::into_inner);
        let points = held.chunks.pop_front()?;
        held.points -= points.len();
        drop(held);
        self.emptied.notify_all();
        Some(points)
    }

    /// Takes nothing more; what it holds can still be taken.
    pub fn close(&self) {
        self.held().is_closed = true;
        self.filled.notify_all();
        self.emptied.notify_all();
    }

    /// Counts the points that found no room.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::sync::Arc;

    use levada_codec::line_protocol::{Limits, Parser, Precision};
    use levada_model::{Str, Timestamp};

    use super::*;
    use crate::engine::{Routes, Subscription};

    const SHORT: Duration = Duration::from_millis(5);

    fn points(lines: &str) -> Vec<Point> {
        let (database, retention) = (Str::from("db"), Str::from("rp"));
        let (mut parser, mut points) = (Parser::new(Limits::default()), Vec::new());
        let (precision, now) = (Precision::Seconds, Timestamp(0));
        parser.parse(&database, &retention, precision, now, lines.as_bytes(), &mut points);
        points
    }

    #[test]
    fn what_finds_no_room_is_dropped_and_counted() {
        let tap = Tap::new(3);
        assert!(tap.give(points("a v=1 1\na v=1 2"), SHORT));
        assert!(!tap.give(points("a v=1 3\na v=1 4"), SHORT));
        assert!(tap.give(points("a v=1 5"), SHORT));
        assert_eq!(tap.dropped(), 2);
        assert_eq!(tap.take(SHORT).unwrap().len(), 2);
        assert_eq!(tap.take(SHORT).unwrap().len(), 1);
        assert!(tap.take(SHORT).is_none());
        assert!(tap.give(points("a v=1 1\na v=1 1\na v=1 1\na v=1 1"), SHORT), "taken whole");
        tap.close();
        assert!(tap.give(points("a v=1 1"), SHORT));
        assert_eq!(tap.take(SHORT).unwrap().len(), 4, "what was held before the end");
        assert!(tap.take(SHORT).is_none());
        assert_eq!(tap.dropped(), 2);
    }

    #[test]
    fn a_tap_sees_what_it_listens_to_until_it_is_gone() {
        let routes = Routes::default();
        let mut ingest = routes.ingest();
        let tap = Arc::new(Tap::new(10));
        let subscription = Subscription {
            dbrps: vec![("db".into(), "rp".into())],
            measurements: vec!["a".into()],
        };
        routes.tap(subscription, &tap);
        ingest.write(points("a v=1 1\nb v=1 2\na v=1 3"));
        let taken: Vec<i64> =
            tap.take(SHORT).unwrap().iter().map(|point| point.time.0 / 1_000_000_000).collect();
        assert_eq!(taken, [1, 3]);
        ingest.write(points("b v=1 2"));
        assert!(tap.take(SHORT).is_none());
        routes.untap(&tap);
        ingest.write(points("a v=1 1"));
        assert!(tap.take(SHORT).is_none());
    }
}
