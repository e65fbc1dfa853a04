//! Lambda expressions: compiled once, run per point.
use crate::syntax::Node;
use levada_model::{Point, Str, Timestamp};
use std::sync::Arc;
#[derive(Clone, Debug)]
pub struct Env {
    pub now: Timestamp,
    pub zone: jiff::tz::TimeZone,
}
impl Default for Env {
    fn default() -> Self {
        Env { now: Timestamp(0), zone: jiff::tz::TimeZone::UTC }
    }
}
#[derive(Debug)]
pub struct Program;
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct CompileError;
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct EvalError;
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct StateError;
#[derive(Debug, Default, Clone)]
pub struct State;
impl State {
    pub fn save(&self, _out: &mut Vec<u8>) {}
    pub fn load(_: &[u8]) -> Result<Self, StateError> {
        Ok(State)
    }
}
#[derive(Debug)]
pub enum Value {
    Nil,
    S(Str),
}
impl Program {
    pub fn compile(_: &Node) -> Result<Program, CompileError> {
        Ok(Program)
    }
    pub fn is_stateful(&self) -> bool {
        false
    }
    pub fn state(&self, _seed: u64) -> State {
        State
    }
}
#[derive(Debug)]
pub struct Evaluator(Arc<Program>);
impl Evaluator {
    pub fn new(p: Arc<Program>) -> Self {
        Evaluator(p)
    }
    pub fn program(&self) -> &Arc<Program> {
        &self.0
    }
    pub fn predicate(&mut self, _: &Point, _: &mut State, _: &Env) -> Result<bool, EvalError> {
        Ok(true)
    }
}
