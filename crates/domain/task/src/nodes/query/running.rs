//! What runs: batches are handed on and counted.

use std::sync::Arc;

use levada_model::{BatchRef, Group, Point};

use crate::runtime::{Node, Out, Reader, StateError, Step, Writer};

/// What runs.
#[derive(Debug, Default)]
pub struct Running {
    batches: i64,
    points: i64,
}

// === impl Running ===

impl Node for Running {
    fn point(
        &mut self,
        _input: usize,
        _point: &Point,
        _group: &Arc<Group>,
        _out: &mut Out<'_>,
    ) -> Step {
        Ok(())
    }

    fn batch(&mut self, _input: usize, batch: BatchRef<'_>, out: &mut Out<'_>) -> Step {
        self.batches += 1;
        self.points += batch.points.len() as i64;
        out.batch(batch)
    }

    fn forget(&mut self, _slot: u32) {}

    fn cardinality(&self) -> usize {
        0
    }

    fn statistics(&self) -> Vec<(&'static str, i64)> {
        vec![("batches_queried", self.batches), ("points_queried", self.points)]
    }

    fn save(&self, _writer: &mut Writer<'_>) {}

    fn load(&mut self, _reader: &mut Reader<'_>) -> Result<(), StateError> {
        Ok(())
    }
}
