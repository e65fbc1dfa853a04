//! `match` expressions: which events a topic handler gets.
//!
//! - Source: reference (server) §4.4. References are tags; a missing tag is an error, and the event is not delivered.

use std::sync::{Arc, Mutex, PoisonError};

use levada_model::ErrorKind;
use levada_runtime::Clock;
use levada_tick::lambda::program::Names;
use levada_tick::lambda::{CompileError, Env, Evaluator, Program, State, Value};
use levada_tick::syntax::parse_lambda;
use thiserror::Error;

use crate::event::Event;
use crate::level::Level;
use crate::topics::{HandlerError, Matcher};

/// What an expression may call beside the functions of lambdas.
const FUNCTIONS: &[&str] = &["changed", "level", "name", "taskName", "alertDuration"];

/// What identifiers stand for.
const CONSTANTS: &[(&str, i64)] = &[
    ("OK", Level::Ok as i64),
    ("INFO", Level::Info as i64),
    ("WARNING", Level::Warning as i64),
    ("CRITICAL", Level::Critical as i64),
];

/// A compiled `match` expression.
pub struct Expression {
    program: Arc<Program>,
    clock: Arc<dyn Clock>,
    /// Evaluating remembers where names are found, and some functions count.
    evaluator: Mutex<(Evaluator, State)>,
}

/// A text that is no `match` expression.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ExpressionError {
    /// It cannot be read, or cannot work.
    #[error("invalid match expression: {0}")]
    Invalid(String),
    /// A word stands for nothing.
    #[error("unknown identifier {0:?}")]
    Identifier(String),
}

// === impl ExpressionError ===

impl ExpressionError {
    /// Gives the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

// === impl Expression ===

impl Expression {
    /// Reads an expression; it stands without `lambda:`.
    pub fn parse(text: &str, clock: Arc<dyn Clock>) -> Result<Self, ExpressionError> {
        let invalid = |text: String| ExpressionError::Invalid(text);
        let node = parse_lambda(text).map_err(|error| invalid(error.to_string()))?;
        let names = Names { functions: FUNCTIONS, constants: CONSTANTS };
        let program = Program::compile_with(&node, names).map_err(|error| {
            let identifier = unknown_identifier(&error);
            identifier.map_or_else(|| invalid(error.to_string()), ExpressionError::Identifier)
        })?;
        let program = Arc::new(program);
        let evaluator = Evaluator::with_earlier(Arc::clone(&program), program.references());
        let state = program.state(0);
        Ok(Expression { program, clock, evaluator: Mutex::new((evaluator, state)) })
    }
}

/// Finds the word that stands for nothing, where that is what is wrong.
fn unknown_identifier(error: &CompileError) -> Option<String> {
    match error {
        CompileError::Identifier(name) => Some(name.to_string()),
        CompileError::Left(inner)
        | CompileError::Right(inner)
        | CompileError::Argument(_, inner) => unknown_identifier(inner),
        _ => None,
    }
}

impl Matcher for Expression {
    fn is_match(&self, event: &Event) -> Result<bool, HandlerError> {
        let mut values = Vec::with_capacity(self.program.references().len());
        for name in self.program.references() {
            values.push(match &**name {
                "changed()" => Value::Bool(event.level != event.previous_level),
                "level()" => Value::Int(event.level as i64),
                "name()" => Value::Str(event.name().into()),
                "taskName()" => Value::Str(event.task.clone()),
                "alertDuration()" => Value::Duration(event.duration),
                tag => {
                    let found = event.tag(tag).cloned();
                    let missing = || HandlerError::new(format!("no field or tag exists for {tag}"));
                    Value::Str(found.ok_or_else(missing)?)
                }
            });
        }
        let env = Env::at(self.clock.now());
        let mut evaluator = self.evaluator.lock().unwrap_or_else(PoisonError::into_inner);
        let (evaluator, state) = &mut *evaluator;
        let outcome = evaluator.predicate_of(&values, &env, state);
        outcome.map_err(|error| HandlerError::new(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use levada_runtime::VirtualClock;

    use super::*;
    use crate::event::tests::event;

    fn check(text: &str) -> Result<bool, String> {
        let clock = VirtualClock::new(levada_model::Timestamp(0));
        let expression = Expression::parse(text, clock).map_err(|error| error.to_string())?;
        let mut event = event("cpu:host=a", Level::Warning);
        event.previous_level = Level::Ok;
        event.duration = 90_000_000_000;
        expression.is_match(&event).map_err(|error| error.to_string())
    }

    #[test]
    fn expressions_see_level_change_names_duration_and_tags() {
        let cases = [
            ("TRUE", true),
            ("changed()", true),
            ("changed() == FALSE", false),
            ("level() >= WARNING", true),
            ("level() == CRITICAL", false),
            ("name() == 'cpu' AND taskName() == 'tid'", true),
            ("alertDuration() > 1m", true),
            ("alertDuration() > 2m", false),
            ("\"host\" == 'a'", true),
            ("changed() == TRUE AND level() >= WARNING AND \"host\" =~ /^db/", false),
            ("strLength(\"host\") == 1", true),
        ];
        for (text, expected) in cases {
            assert_eq!(check(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        let starts = [
            ("level() >=", "invalid match expression: "),
            ("level() == FATAL", "unknown identifier \"FATAL\""),
            ("\"dc\" == 'x'", "no field or tag exists for dc"),
            // Upstream looks for all tags first.
            ("TRUE OR \"dc\" == 'x'", "no field or tag exists for dc"),
            ("nope()", ""),
            ("1", ""),
        ];
        for (text, expected) in starts {
            let error = check(text).unwrap_err();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }
}
