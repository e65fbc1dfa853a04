//! TICKscript: its syntax, its formatter, the evaluation of scripts and of lambda expressions.
//!
//! ```text
//! text ─ syntax::parse ─▶ Node (program) ─ script::evaluate ─▶ calls on `Objects` (the pipeline of the task crate)
//!                          │                                        lambda Node ─ lambda::Program ─▶ values per point
//!                          └─ syntax::format ─▶ text
//! ```
//!
//! Pure: no I/O, no clock, no runtime. No input panics, recurses without bound or loops.

pub mod declared;
pub mod lambda;
pub mod script;
pub mod syntax;
pub mod vars;
