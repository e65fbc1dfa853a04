//! The points of a window: one after another in memory, so that a batch is a slice of them.

use levada_model::Point;

use crate::runtime::{Reader, StateError, Writer};

/// A queue of points that lie one after another.
///
/// - Points that left the front stay in memory until they are as many as the rest, or the rest is gone.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    points: Vec<Point>,
    start: usize,
}

// === impl Buffer ===

impl Buffer {
    pub(super) fn push(&mut self, point: Point) {
        self.points.push(point);
    }

    pub(super) fn points(&self) -> &[Point] {
        &self.points[self.start..]
    }

    pub(super) fn len(&self) -> usize {
        self.points.len() - self.start
    }

    /// Drops points from the front as long as `is_old` holds; gives how many.
    pub(super) fn drop_while(&mut self, is_old: impl Fn(&Point) -> bool) -> usize {
        let count = self.points().iter().take_while(|point| is_old(point)).count();
        self.drop_front(count);
        count
    }

    /// Drops points from the front.
    pub(super) fn drop_front(&mut self, count: usize) {
        self.start += count;
        if self.start == self.points.len() {
            self.points.clear();
            self.start = 0;
        } else if self.start >= self.len() {
            self.points.drain(..self.start);
            self.start = 0;
        }
    }

    pub(super) fn save(&self, writer: &mut Writer<'_>) {
        writer.list(self.points().iter(), |writer, point| writer.point(point));
    }

    pub(super) fn load(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        Ok(Buffer { points: reader.list(Reader::point)?, start: 0 })
    }
}
