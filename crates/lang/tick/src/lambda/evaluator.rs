//! Evaluation for one node: bindings of names, and the ways to evaluate.

use std::sync::Arc;

use jiff::tz::TimeZone;
use levada_model::{Point, Str, Timestamp};

use super::error::{EvalError, Fault};
use super::evaluate::{Binding, Frame};
use super::program::Program;
use super::state::State;
use super::value::Value;

/// How many shapes of points an evaluator remembers the bindings of.
///
/// Own choice: a node rarely sees more, and one that does pays a search of a few names per point.
pub const BINDINGS_MAX: usize = 64;

/// What an expression may see beside the point.
#[derive(Clone, Debug)]
pub struct Env {
    /// What `now()` gives.
    pub now: Timestamp,
    /// Where `hour()`, `day()` and the like are.
    pub zone: TimeZone,
}

/// Evaluates one expression of one node.
#[derive(Clone, Debug)]
pub struct Evaluator {
    program: Arc<Program>,
    earlier: Box<[Str]>,
    /// The last one used is the first.
    cache: Vec<Bindings>,
    /// Which one goes when there are too many.
    victim: usize,
}

/// Where the names are found in points of one shape and one set of tag keys.
#[derive(Clone, Debug)]
struct Bindings {
    shape: u64,
    keys: u64,
    has_collision: bool,
    bindings: Box<[Binding]>,
}

// === impl Env ===

impl Env {
    /// Gives the environment in UTC.
    pub fn at(now: Timestamp) -> Self {
        Env { now, zone: TimeZone::UTC }
    }
}

// === impl Evaluator ===

impl Evaluator {
    /// Makes an evaluator.
    pub fn new(program: Arc<Program>) -> Self {
        Evaluator::with_earlier(program, &[])
    }

    /// Makes an evaluator for an expression that sees results of earlier ones under these names.
    ///
    /// Results shadow fields and tags (U-2); of two with one name the later one counts. `time` is always the point's time.
    pub fn with_earlier(program: Arc<Program>, names: &[Str]) -> Self {
        Evaluator { program, earlier: names.into(), cache: Vec::new(), victim: 0 }
    }

    /// Gives the expression.
    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    /// Evaluates a condition.
    ///
    /// `state` is the one of the point's group, from [`Program::state`]; any will do when the program keeps none.
    #[inline]
    pub fn predicate(
        &mut self,
        point: &Point,
        env: &Env,
        state: &mut State,
    ) -> Result<bool, EvalError> {
        self.prepare(state);
        Ok(self.frame(Some(point), &[], env)?.predicate(state)?)
    }

    /// Evaluates a condition on named values instead of a point; the names are those of [`Evaluator::with_earlier`].
    pub fn predicate_of(
        &mut self,
        values: &[Value],
        env: &Env,
        state: &mut State,
    ) -> Result<bool, EvalError> {
        self.prepare(state);
        Ok(self.frame(None, values, env)?.predicate(state)?)
    }

    /// Evaluates to a value that a field may hold: boolean, integer, float, text or duration.
    ///
    /// `earlier` holds the results under the names of [`Evaluator::with_earlier`], in that order.
    pub fn value(
        &mut self,
        point: &Point,
        earlier: &[Value],
        env: &Env,
        state: &mut State,
    ) -> Result<Value, EvalError> {
        self.prepare(state);
        Ok(self.frame(Some(point), earlier, env)?.value(state)?)
    }

    /// Evaluates to an integer.
    pub fn integer(
        &mut self,
        point: &Point,
        earlier: &[Value],
        env: &Env,
        state: &mut State,
    ) -> Result<i64, EvalError> {
        self.prepare(state);
        Ok(self.frame(Some(point), earlier, env)?.integer(state)?)
    }

    /// Starts state that is not there, or is another program's.
    #[inline]
    fn prepare(&self, state: &mut State) {
        if self.program.is_stateful() && !self.program.fits(state) {
            *state = self.program.state(0);
        }
    }

    #[inline]
    fn frame<'a>(
        &'a mut self,
        point: Option<&'a Point>,
        earlier: &'a [Value],
        env: &'a Env,
    ) -> Result<Frame<'a>, Fault> {
        let (shape, keys) = match point {
            Some(point) => (point.shape.id, point.series.keys.id),
            None => (0, 0),
        };
        let is_hit =
            self.cache.first().is_some_and(|first| first.shape == shape && first.keys == keys);
        if !is_hit && !self.program.references.is_empty() {
            self.bind(point, shape, keys);
        }
        let bindings: &[Binding] = match self.cache.first() {
            Some(first) => {
                if first.has_collision
                    && let Some(point) = point
                {
                    self.check_collisions(&first.bindings, point)?;
                }
                &first.bindings
            }
            None => &[],
        };
        Ok(Frame {
            program: &self.program,
            bindings,
            point,
            earlier,
            earlier_names: &self.earlier,
            env,
        })
    }

    /// Brings the bindings to the front.
    #[cold]
    fn bind(&mut self, point: Option<&Point>, shape: u64, keys: u64) {
        let known = self.cache.iter().position(|known| known.shape == shape && known.keys == keys);
        let at = match known {
            Some(at) => at,
            None => {
                let bindings = self.resolve(point, shape, keys);
                if self.cache.len() < BINDINGS_MAX {
                    self.cache.push(bindings);
                    self.cache.len() - 1
                } else {
                    // Never the first one, which is in use most likely.
                    self.victim = self.victim % (BINDINGS_MAX - 1) + 1;
                    self.cache[self.victim] = bindings;
                    self.victim
                }
            }
        };
        self.cache.swap(0, at);
    }

    fn resolve(&self, point: Option<&Point>, shape: u64, keys: u64) -> Bindings {
        let find = |name: &Str| {
            if &**name == "time" && point.is_some() {
                return Binding::Time;
            }
            if let Some(at) = self.earlier.iter().rposition(|known| known == name) {
                return Binding::Earlier(at as u32);
            }
            let Some(point) = point else { return Binding::Missing };
            match (point.shape.position(name), point.series.keys.position(name)) {
                (Some(field), None) => Binding::Field(field as u32),
                (None, Some(tag)) => Binding::Tag(tag as u32),
                (Some(field), Some(tag)) => {
                    Binding::FieldAndTag { field: field as u32, tag: tag as u32 }
                }
                (None, None) => Binding::Missing,
            }
        };
        let bindings: Box<[Binding]> = self.program.references.iter().map(find).collect();
        let has_collision =
            bindings.iter().any(|binding| matches!(binding, Binding::FieldAndTag { .. }));
        Bindings { shape, keys, has_collision, bindings }
    }

    /// Refuses a point that has a field and a tag of one name; a field without a value is not there.
    #[cold]
    fn check_collisions(&self, bindings: &[Binding], point: &Point) -> Result<(), Fault> {
        let collides = |binding: &Binding| match binding {
            Binding::FieldAndTag { field, .. } => {
                point.values.get(*field as usize).is_some_and(|value| !value.is_null())
            }
            _ => false,
        };
        let names = self.program.references.iter().zip(bindings);
        match names.filter(|(_, binding)| collides(binding)).map(|(name, _)| name).min() {
            Some(name) => Err(Fault::FieldAndTag(Arc::clone(name))),
            None => Ok(()),
        }
    }
}
