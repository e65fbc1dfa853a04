//! Shapes for the points of one body.

use std::sync::Arc;

use levada_model::point::Shape;

/// A smaller body is worked on before the next one is read, and points that are kept must not have a shape each.
const BODY_BYTES_MIN: usize = 8 << 10;
/// Shapes of one body that have twins; a body with more is mixed so well that no shape is in demand.
const TWINS_MAX: usize = 16;

/// The twins of one body: see [`Shape::twin`].
#[derive(Debug, Default)]
pub(super) struct Twins {
    shapes: Vec<Arc<Shape>>,
    /// The place of the one that was asked for last.
    last: usize,
    max: usize,
}

// === impl Twins ===

impl Twins {
    /// Begins a body of so many bytes.
    pub(super) fn begin(&mut self, bytes: usize) {
        self.shapes.clear();
        self.last = 0;
        self.max = if bytes < BODY_BYTES_MIN { 0 } else { TWINS_MAX };
    }

    /// Gives the shape for a point of the body.
    #[inline(always)]
    pub(super) fn of(&mut self, shape: &Arc<Shape>) -> Arc<Shape> {
        match self.shapes.get(self.last) {
            Some(twin) if twin.id == shape.id => Arc::clone(twin),
            _ => self.find(shape),
        }
    }

    #[inline(never)]
    fn find(&mut self, shape: &Arc<Shape>) -> Arc<Shape> {
        let at = match self.shapes.iter().position(|twin| twin.id == shape.id) {
            Some(at) => at,
            None if self.shapes.len() >= self.max => return Arc::clone(shape),
            None => {
                self.shapes.push(shape.twin());
                self.shapes.len() - 1
            }
        };
        self.last = at;
        Arc::clone(&self.shapes[at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_bodies_have_shapes_of_their_own() {
        let shapes: Vec<Arc<Shape>> = (0..=TWINS_MAX).map(|_| Shape::new([].into())).collect();
        let mut twins = Twins::default();
        twins.begin(BODY_BYTES_MIN - 1);
        assert!(Arc::ptr_eq(&twins.of(&shapes[0]), &shapes[0]));
        twins.begin(BODY_BYTES_MIN);
        let first: Vec<Arc<Shape>> = shapes.iter().map(|shape| twins.of(shape)).collect();
        for (at, (shape, twin)) in shapes.iter().zip(&first).enumerate() {
            assert_eq!(shape.id, twin.id);
            assert_eq!(Arc::ptr_eq(shape, twin), at == TWINS_MAX, "{at}");
            assert!(Arc::ptr_eq(&twins.of(shape), twin), "one twin per body");
        }
        twins.begin(BODY_BYTES_MIN);
        assert!(!Arc::ptr_eq(&twins.of(&shapes[0]), &first[0]), "the next body has others");
    }
}
