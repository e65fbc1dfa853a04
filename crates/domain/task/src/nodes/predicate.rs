//! An expression that a node asks about each point, with its state per group.

use std::sync::Arc;

use levada_model::Point;
use levada_tick::lambda::{Env, EvalError, Evaluator, Program, State};
use levada_tick::syntax::{Kind as Syntax, Node as Expression};

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
    /// All groups have one state, as upstream has it in some places (U-3, U-6).
    is_shared: bool,
    seed: u64,
}

/// The slot of what all groups share: the one of the group without dimensions, which is there from the start.
pub const SHARED: u32 = 0;

/// Says whether an expression holds a lambda that a variable held (U-3).
pub fn has_inner_lambda(expression: &Expression) -> bool {
    match &expression.kind {
        Syntax::Lambda(_) => true,
        Syntax::Unary { operand, .. } => has_inner_lambda(operand),
        Syntax::Binary { left, right, .. } => has_inner_lambda(left) || has_inner_lambda(right),
        Syntax::Call(call) => call.args.iter().any(has_inner_lambda),
        _ => false,
    }
}

// === impl Predicate ===

impl Predicate {
    /// Makes one; `seed` is for functions that draw random numbers.
    pub fn new(program: Program, seed: u64) -> Self {
        let is_stateful = program.is_stateful();
        let none = program.state(seed);
        let evaluator = Evaluator::new(Arc::new(program));
        let states = PerGroup::default();
        Predicate { evaluator, states, none, is_stateful, is_shared: false, seed }
    }

    /// With one state for all groups when `is_shared`.
    pub fn shared(self, is_shared: bool) -> Self {
        Predicate { is_shared, ..self }
    }

    /// Says whether it holds for a point of a group.
    #[inline]
    pub fn holds(&mut self, point: &Point, slot: u32, env: &Env) -> Result<bool, EvalError> {
        if !self.is_stateful {
            return self.evaluator.predicate(point, env, &mut self.none);
        }
        let slot = if self.is_shared { SHARED } else { slot };
        let (program, seed) = (self.evaluator.program(), self.seed ^ u64::from(slot));
        let state = self.states.entry(slot, || program.state(seed));
        self.evaluator.predicate(point, env, state)
    }

    /// Drops the state of a group.
    pub fn forget(&mut self, slot: u32) {
        if !self.is_shared {
            self.states.remove(slot);
        }
    }

    /// Appends the state.
    pub fn save(&self, writer: &mut Writer<'_>) {
        writer.states(&self.states);
    }

    /// Takes over saved state.
    pub fn load(&mut self, reader: &mut Reader<'_>) -> Result<(), StateError> {
        let program = Arc::clone(self.evaluator.program());
        self.states = reader.states_of(&program)?;
        Ok(())
    }
}
