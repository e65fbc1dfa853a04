//! Compiled expressions.

use std::sync::Arc;

use levada_model::{Str, Timestamp};

use super::compile::Compiler;
use super::error::{CompileError, EvalError};
use super::evaluate::{Binding, Frame};
use super::evaluator::Env;
use super::expression::Expression;
use super::state::{Keeper, State, StateError};
use super::value::{Type, Value};
use crate::script;
use crate::syntax::Node;

/// How deep operators and calls may nest; a chain of one of `AND`, `OR` is one level however long it is.
///
/// Own choice: evaluation recurses, and a thread's stack holds several times as much.
pub const DEPTH_MAX: usize = 1_000;

/// How many operands and operators an expression may have.
///
/// Own choice.
pub const NODES_MAX: usize = 65_536;

/// A compiled expression: immutable, shared by all nodes and threads that evaluate it.
#[derive(Debug)]
pub struct Program {
    pub(super) root: Expression,
    /// The whole is arithmetic or a comparison, which words a wrong type in its own way.
    pub(super) is_operator: bool,
    pub(super) references: Box<[Str]>,
    keepers: Box<[Keeper]>,
    uses_now: bool,
    warnings: Box<[String]>,
}

/// Names that an expression may use beside references; handlers' `match` expressions have some.
#[derive(Clone, Copy, Debug, Default)]
pub struct Names<'n> {
    /// Functions without arguments; `level()` is bound like a reference called `level()`.
    pub functions: &'n [&'n str],
    /// What an identifier stands for.
    pub constants: &'n [(&'n str, i64)],
}

/// Computes an expression of constants, as statements of scripts have it.
///
/// - Errors: the text that the script's author sees, without a place.
pub fn fold(expression: &Node) -> Result<script::Value, String> {
    let program = Program::compile(expression).map_err(|error| error.to_string())?;
    if program.uses_now {
        return Err("now() is known in lambda expressions only".to_owned());
    }
    let bindings = vec![Binding::Undefined; program.references.len()];
    let env = Env::at(Timestamp(0));
    let frame = Frame {
        program: &program,
        bindings: &bindings,
        point: None,
        earlier: &[],
        earlier_names: &[],
        env: &env,
    };
    let mut state = program.state(0);
    let value = frame.value(&mut state).map_err(|fault| EvalError(fault).to_string())?;
    Ok(match value {
        Value::Bool(value) => script::Value::Bool(value),
        Value::Int(value) => script::Value::Int(value),
        Value::Float(value) => script::Value::Float(value),
        Value::Str(value) => script::Value::Str(value),
        Value::Duration(value) => script::Value::Duration(value),
        Value::Regex(value) => script::Value::Regex(value),
        Value::Time(_) => {
            return Err(EvalError(super::error::Fault::Unexpected(Type::Time)).to_string());
        }
    })
}

// === impl Program ===

impl Program {
    /// Compiles an expression: the node behind `lambda:`.
    ///
    /// - Errors: what makes a task fail to start; see [`Program::warnings`] for what merely cannot work.
    pub fn compile(expression: &Node) -> Result<Program, CompileError> {
        Program::compile_with(expression, Names::default())
    }

    /// Compiles an expression that may use more names.
    pub fn compile_with(expression: &Node, names: Names<'_>) -> Result<Program, CompileError> {
        let mut compiler = Compiler::new(names);
        let (root, is_operator) = compiler.root(expression)?;
        Ok(Program {
            root,
            is_operator,
            references: compiler.references.into(),
            keepers: compiler.keepers.into(),
            uses_now: compiler.uses_now,
            warnings: compiler.warnings.into(),
        })
    }

    /// Gives the names in quotes, in the order in which they first occur.
    pub fn references(&self) -> &[Str] {
        &self.references
    }

    /// Says whether a function remembers something from point to point.
    pub fn is_stateful(&self) -> bool {
        !self.keepers.is_empty()
    }

    /// Says whether [`Env::now`] matters.
    pub fn uses_now(&self) -> bool {
        self.uses_now
    }

    /// Gives what will fail for every point that gets there: unknown functions, wrong arguments.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Makes the state for one group; `seed` decides what `rand()` gives.
    pub fn state(&self, seed: u64) -> State {
        let start = |(at, keeper): (usize, &Keeper)| keeper.start(seed.wrapping_add(at as u64));
        State { slots: self.keepers.iter().enumerate().map(start).collect() }
    }

    /// Reads stored state of this expression.
    pub fn load_state(&self, bytes: &[u8]) -> Result<State, StateError> {
        let state = State::load(bytes)?;
        if self.fits(&state) { Ok(state) } else { Err(StateError::Foreign) }
    }

    pub(super) fn fits(&self, state: &State) -> bool {
        self.keepers.len() == state.slots.len()
            && self.keepers.iter().zip(&state.slots).all(|(keeper, slot)| *keeper == slot.keeper())
    }

    /// Makes the evaluator of a node.
    pub fn evaluator(self: &Arc<Self>) -> super::Evaluator {
        super::Evaluator::new(Arc::clone(self))
    }
}
