//! The functions: one table per family, one line per function.
//!
//! A line holds the name and, per signature, the types of the arguments, the type of the result and what computes it.

mod convert;
mod math;
mod misc;
mod stateful;
mod strings;
mod time;

use super::error::Fault;
use super::evaluator::Env;
use super::state::{Keeper, Slot};
use super::value::{Operand, Type};

/// The most arguments that a function can have.
pub(super) const ARGS_MAX: usize = 4;

/// The longest text that an expression makes, in bytes: repeated doubling must not fill memory.
///
/// Own choice.
pub(super) const TEXT_MAX: usize = 16 << 20;

/// A function.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: &'static str,
    pub(super) overloads: &'static [Overload],
}

/// One signature of a function.
#[derive(Debug)]
pub(super) struct Overload {
    pub(super) args: &'static [Type],
    pub(super) result: Type,
    pub(super) body: Body,
}

/// What computes a result; the arguments have the types of the signature.
#[derive(Debug)]
pub(super) enum Body {
    Float(fn(f64) -> f64),
    Floats(fn(f64, f64) -> f64),
    Pure(for<'a> fn(&[Operand<'a>]) -> Answer<'a>),
    Environment(for<'a> fn(&[Operand<'a>], &Env) -> Answer<'a>),
    Stateful(Keeper, for<'a> fn(&mut Slot, &[Operand<'a>]) -> Answer<'a>),
}

pub(super) type Answer<'a> = Result<Operand<'a>, Failure>;

/// Why a function gives nothing.
#[derive(Debug)]
pub(super) enum Failure {
    /// Shown behind the name of the function.
    Text(String),
    /// Shown as it is.
    Whole(Fault),
}

/// Makes a table of functions.
macro_rules! functions {
    ($($name:literal: $(($($arg:ident),*) -> $result:ident = $body:expr),+;)*) => {
        pub(super) static TABLE: &[$crate::lambda::functions::Function] = &[$(
            $crate::lambda::functions::Function {
                name: $name,
                overloads: &[$($crate::lambda::functions::Overload {
                    args: &[$($crate::lambda::value::Type::$arg),*],
                    result: $crate::lambda::value::Type::$result,
                    body: $body,
                }),+],
            },
        )*];
    };
}
use functions;

/// The families in the order of the documentation.
pub(super) static FAMILIES: &[&[Function]] =
    &[math::TABLE, strings::TABLE, convert::TABLE, time::TABLE, misc::TABLE, stateful::TABLE];

/// Finds a function.
pub(super) fn find(name: &str) -> Option<&'static Function> {
    FAMILIES.iter().copied().flatten().find(|function| function.name == name)
}

/// Says that a text would be too long.
pub(super) fn too_long(bytes: usize) -> String {
    format!("text of {bytes} bytes is longer than {TEXT_MAX}")
}

// === impl Function ===

impl Function {
    /// Finds the signature for some arguments.
    #[inline]
    pub(super) fn overload(
        &self,
        types: impl Fn(usize) -> Type,
        count: usize,
    ) -> Option<&Overload> {
        self.overloads.iter().find(|overload| {
            overload.args.len() == count
                && overload.args.iter().enumerate().all(|(at, arg)| types(at) == *arg)
        })
    }

    /// Gives the kind of state that the function keeps.
    pub(super) fn keeper(&self) -> Option<Keeper> {
        self.overloads.iter().find_map(|overload| match overload.body {
            Body::Stateful(keeper, _) => Some(keeper),
            _ => None,
        })
    }

    /// Says whether the result depends on the arguments alone.
    pub(super) fn is_pure(&self) -> bool {
        self.overloads
            .iter()
            .all(|overload| !matches!(overload.body, Body::Environment(_) | Body::Stateful(..)))
    }

    /// Gives the signatures as messages list them, sorted (U-52).
    pub(super) fn signatures(&self) -> String {
        let mut texts: Vec<String> = self
            .overloads
            .iter()
            .map(|overload| {
                let args: Vec<&str> = overload.args.iter().map(|arg| arg.name()).collect();
                format!("({})", args.join(","))
            })
            .collect();
        texts.sort();
        texts.join(", ")
    }
}

// === impl Overload ===

impl Overload {
    #[inline]
    pub(super) fn call<'a>(
        &self,
        args: &[Operand<'a>],
        env: &Env,
        slot: Option<&mut Slot>,
    ) -> Answer<'a> {
        match (&self.body, args) {
            (Body::Float(body), [Operand::Float(value)]) => Ok(Operand::Float(body(*value))),
            (Body::Floats(body), [Operand::Float(one), Operand::Float(other)]) => {
                Ok(Operand::Float(body(*one, *other)))
            }
            (Body::Pure(body), args) => body(args),
            (Body::Environment(body), args) => body(args, env),
            (Body::Stateful(_, body), args) => match slot {
                Some(slot) => body(slot, args),
                None => Err(unfit()),
            },
            (Body::Float(_) | Body::Floats(_), _) => Err(unfit()),
        }
    }
}

// === impl Failure ===

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Failure::Text(text)
    }
}

/// Stands behind patterns that a signature makes impossible.
fn unfit() -> Failure {
    Failure::Text("arguments do not fit the signature".to_owned())
}
