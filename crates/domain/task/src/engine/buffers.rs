//! Buffers of points that are used again: a write needs some hundred kilobytes, which are dear to get from the system.
//!
//! A buffer is emptied by who takes it and not by the task that gives it back: who writes holds series and shapes as well,
//! and two cores that count holders of the same things up and down wait for each other.

use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use levada_model::{FieldValue, Point};

/// Buffers that are kept: as many as there are writes under way on a machine of some cores.
const BUFFERS_MAX: usize = 8;
/// A larger buffer is given back to the system. With [`BUFFERS_MAX`] at most some 10 MB are kept.
const POINTS_MAX: usize = 8_192;

/// Buffers that nobody needs.
#[derive(Debug, Default)]
pub struct Buffers {
    /// With the points that were in them last, but without long values.
    free: Mutex<Vec<Vec<Point>>>,
}

/// The points of a write; their buffer goes back to where it came from when nobody needs them any more.
#[derive(Debug)]
pub struct Points {
    points: Vec<Point>,
    home: Weak<Buffers>,
}

// === impl Buffers ===

impl Buffers {
    /// Gives an empty buffer.
    pub fn take(&self) -> Vec<Point> {
        let mut buffer = self.free().pop().unwrap_or_default();
        buffer.clear();
        buffer
    }

    /// Takes a buffer back, unless there are enough, or it is too large.
    pub fn give_back(&self, mut buffer: Vec<Point>) {
        if buffer.capacity() == 0 || buffer.capacity() > POINTS_MAX {
            return;
        }
        if buffer.iter().any(is_long) {
            // Nobody knows when it is taken again.
            buffer.clear();
        }
        let mut free = self.free();
        if free.len() < BUFFERS_MAX {
            free.push(buffer);
            return;
        }
        drop(free);
        // Outside the lock: every point lets go of its series.
        drop(buffer);
    }

    fn free(&self) -> MutexGuard<'_, Vec<Vec<Point>>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Points ===

impl Points {
    /// Wraps points whose buffer goes back to `home`.
    pub fn of(home: &Arc<Buffers>, points: Vec<Point>) -> Self {
        Points { points, home: Arc::downgrade(home) }
    }
}

impl From<Vec<Point>> for Points {
    /// Wraps points whose buffer is not used again.
    fn from(points: Vec<Point>) -> Self {
        Points { points, home: Weak::new() }
    }
}

impl Deref for Points {
    type Target = [Point];

    fn deref(&self) -> &[Point] {
        &self.points
    }
}

impl Drop for Points {
    fn drop(&mut self) {
        if let Some(home) = self.home.upgrade() {
            home.give_back(std::mem::take(&mut self.points));
        }
    }
}

/// Says whether a point holds more than itself, its series left out: those are known to who writes in any case.
#[inline]
fn is_long(point: &Point) -> bool {
    let is_long = |value: &FieldValue| matches!(value, FieldValue::Str(_) | FieldValue::Bytes(_));
    point.values.spilled() || point.values.iter().any(is_long)
}

#[cfg(test)]
mod tests {
    use levada_model::{Series, Shape, Timestamp, Values};

    use super::*;

    fn points(count: usize) -> Vec<Point> {
        let series = Series::new("db".into(), "rp".into(), "m".into(), Vec::new());
        let point = Point {
            series,
            shape: Shape::new([].into()),
            values: Values::new(),
            time: Timestamp(0),
        };
        vec![point; count]
    }

    #[test]
    fn buffers_come_back_when_the_last_holder_lets_go() {
        let home = Arc::new(Buffers::default());
        let held = Arc::new(Points::of(&home, points(100)));
        let other = Arc::clone(&held);
        drop(held);
        assert_eq!(home.take().capacity(), 0, "somebody still reads the points");
        assert_eq!(other.len(), 100);
        drop(other);
        let buffer = home.take();
        assert!(buffer.is_empty() && buffer.capacity() >= 100);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let home = Arc::new(Buffers::default());
        drop(Points::of(&home, points(POINTS_MAX + 1)));
        drop(Points::from(points(5)));
        assert_eq!(home.free().len(), 0);
        for _ in 0..BUFFERS_MAX + 3 {
            drop(Points::of(&home, points(POINTS_MAX)));
        }
        assert_eq!(home.free().len(), BUFFERS_MAX);
    }
}
