//! Lambda expressions: what a node computes per point.
//!
//! ```text
//! Node ── Program::compile ──▶ Program (typed tree, immutable, shared) ──▶ Evaluator (one per node: bindings per shape)
//!                                                                              │ point, Env, State (one per group)
//!                                                                              ▼
//!                                                                   bool, Value, i64 or EvalError
//! ```
//!
//! Evaluation is a walk over a compact tree. References are numbers; what a number means for a point is looked up by the
//! numbers of its shape and of its tag keys, so that no name is compared per point.
//!
//! Two walks give the same answer. The *exact* walk finds the types of operands before it evaluates them, in the order that
//! decides which error is reported. The *quick* walk evaluates at once and gives up at the first trouble; a program
//! without state then runs the exact walk for the text. Programs with state always take the exact one, since evaluating
//! twice would count twice.
//!
//! Start reading at [`program`], then `evaluate`. A function is one line in one of the tables below `functions`.
//!
//! Not here: script statements (the script module), reading points, time, storage of state.

mod compile;
mod error;
mod evaluate;
pub mod evaluator;
mod expression;
mod functions;
mod number;
mod operators;
mod print;
pub mod program;
mod quick;
pub mod state;
#[cfg(test)]
mod tests;
pub mod value;

pub use error::{CompileError, EvalError};
pub use evaluator::{Env, Evaluator};
pub use number::quote;
pub use program::{Program, fold};
pub use state::{State, StateError};
pub use value::{Type, Value, format_value};
