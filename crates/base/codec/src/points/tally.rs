//! How much a body may become whose points share what stands in it once, such as the attributes of a resource.

use super::Point;
use super::protobuf::ProtobufError;

/// The most points of one body. Ours: more than any sender puts together.
pub const POINTS_MAX: usize = 1_000_000;

/// The most tags and fields of all points of one body. Ours: sixteen for each of the most points; it is a second's work.
pub const ENTRIES_MAX: usize = 16 * POINTS_MAX;

/// Counts what a body has become so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    points: usize,
    entries: usize,
}

// === impl Tally ===

impl Tally {
    /// Counts a point.
    ///
    /// - Errors: the body becomes too much.
    pub(super) fn add(&mut self, point: &Point<'_>) -> Result<(), ProtobufError> {
        self.points += 1;
        self.entries += point.entries.len();
        if self.points > POINTS_MAX {
            return Err(ProtobufError::Points);
        }
        if self.entries > ENTRIES_MAX {
            return Err(ProtobufError::Entries);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::points::Entry;

    #[test]
    fn a_body_becomes_no_more_than_this() {
        let mut tally = Tally { points: POINTS_MAX - 1, entries: 0 };
        tally.add(&Point::default()).unwrap();
        assert_eq!(tally.add(&Point::default()), Err(ProtobufError::Points));
        let point = Point { entries: vec![Entry::tag("k", "v"); 2], ..Point::default() };
        let mut tally = Tally { points: 0, entries: ENTRIES_MAX - 2 };
        tally.add(&point).unwrap();
        assert_eq!(tally.add(&point), Err(ProtobufError::Entries));
    }
}
