//! The expressions of the levels.

use levada_alert::decision::Ask;
use levada_alert::level::Level;
use levada_model::Point;
use levada_tick::lambda::{Env, EvalError, Program};

use crate::nodes::predicate::Predicate;
use crate::property::Lambda;
use crate::runtime::{Reader, StateError, Writer};

/// The expressions as a script gives them.
pub(super) struct Words<'a> {
    pub(super) info: &'a Lambda,
    pub(super) warn: &'a Lambda,
    pub(super) crit: &'a Lambda,
    pub(super) info_reset: &'a Lambda,
    pub(super) warn_reset: &'a Lambda,
    pub(super) crit_reset: &'a Lambda,
}

/// The compiled expressions: info, warn, crit.
pub(super) struct Levels {
    levels: [Option<Predicate>; 3],
    resets: [Option<Predicate>; 3],
}

// === impl Levels ===

impl Levels {
    pub(super) fn new(words: &Words<'_>, seed: u64, is_shared: bool) -> Result<Self, String> {
        let compile = |name: &str, lambda: &Lambda| match lambda.0.as_deref() {
            None => Ok(None),
            Some(expression) => match Program::compile(expression) {
                Ok(program) => Ok(Some(Predicate::new(program, seed).shared(is_shared))),
                Err(error) => {
                    Err(format!("Failed to compile stateful expression for {name}: {error}"))
                }
            },
        };
        let levels = [
            compile("info", words.info)?,
            compile("warn", words.warn)?,
            compile("crit", words.crit)?,
        ];
        let mut resets = [
            compile("infoReset", words.info_reset)?,
            compile("warnReset", words.warn_reset)?,
            compile("critReset", words.crit_reset)?,
        ];
        // A reset without its level means nothing.
        for (reset, level) in resets.iter_mut().zip(&levels) {
            if level.is_none() {
                *reset = None;
            }
        }
        Ok(Levels { levels, resets })
    }

    /// Asks one expression; nothing where there is none.
    #[inline]
    pub(super) fn ask(
        &mut self,
        what: Ask,
        point: &Point,
        slot: u32,
        env: &Env,
    ) -> Option<Result<bool, EvalError>> {
        let (table, level) = match what {
            Ask::Level(level) => (&mut self.levels, level),
            Ask::Reset(level) => (&mut self.resets, level),
        };
        let at = match level {
            Level::Ok => return None,
            Level::Info => 0,
            Level::Warning => 1,
            Level::Critical => 2,
        };
        Some(table[at].as_mut()?.holds(point, slot, env))
    }

    pub(super) fn forget(&mut self, slot: u32) {
        self.all_mut().for_each(|predicate| predicate.forget(slot));
    }

    pub(super) fn save(&self, writer: &mut Writer<'_>) {
        // Each has its place, so that a level that is added or taken away does not spoil the others.
        for predicate in self.levels.iter().chain(&self.resets) {
            writer.option(predicate.as_ref(), |writer, predicate| predicate.save(writer));
        }
    }

    pub(super) fn load(&mut self, reader: &mut Reader<'_>) -> Result<(), StateError> {
        for predicate in self.levels.iter_mut().chain(&mut self.resets) {
            reader.option(|reader| match predicate {
                Some(predicate) => predicate.load(reader),
                None => reader.states().map(|_| ()),
            })?;
        }
        Ok(())
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut Predicate> {
        self.levels.iter_mut().chain(&mut self.resets).flatten()
    }
}
