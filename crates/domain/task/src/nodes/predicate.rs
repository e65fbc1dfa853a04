//! An expression that a node asks about each point, with its state per group.

use std::sync::Arc;

use levada_model::Point;
use levada_tick::lambda::{Env, EvalError, Evaluator, Program, State};

use crate::runtime::{PerGroup, Reader, StateError, Writer};

/// A compiled predicate and the state it keeps per group.
#[derive(Debug)]
pub struct Predicate {
    evaluator: Evaluator,
    /// Entries only for groups of stateful expressions.
    states: PerGroup<State>,
    /// What expressions without state are given.
    none: State,
    is_stateful: bool,
    seed: u64,
}

// === impl Predicate ===

impl Predicate {
    /// Makes one; `seed` is for functions that draw random numbers.
    pub fn new(program: Program, seed: u64) -> Self {
        let is_stateful = program.is_stateful();
        let none = program.state(seed);
        let evaluator = Evaluator::new(Arc::new(program));
        Predicate { evaluator, states: PerGroup::default(), none, is_stateful, seed }
    }

    /// Says whether it holds for a point of a group.
    #[inline]
    pub fn holds(&mut self, point: &Point, slot: u32, env: &Env) -> Result<bool, EvalError> {
        if !self.is_stateful {
            return self.evaluator.predicate(point, env, &mut self.none);
        }
        let (program, seed) = (self.evaluator.program(), self.seed ^ u64::from(slot));
        let state = self.states.entry(slot, || program.state(seed));
        self.evaluator.predicate(point, env, state)
    }

    /// Drops the state of a group.
    pub fn forget(&mut self, slot: u32) {
        self.states.remove(slot);
    }

    /// Counts the groups with state.
    pub fn cardinality(&self) -> usize {
        self.states.len()
    }

    /// Appends the state.
    pub fn save(&self, writer: &mut Writer<'_>) {
        writer.states(&self.states);
    }

    /// Takes over saved state.
    pub fn load(&mut self, reader: &mut Reader<'_>) -> Result<(), StateError> {
        self.states = reader.states()?;
        Ok(())
    }
}
