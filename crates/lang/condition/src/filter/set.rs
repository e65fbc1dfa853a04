//! Lists of values.

use std::cmp::Ordering;
use std::collections::HashSet;

use foldhash::fast::RandomState;

use super::ast::Literal;
use super::lookup::Value;
use super::number::{self, Number};

/// A list with more texts is looked up by hash.
const SMALL_MAX: usize = 8;

/// Values of which one has to be equal.
#[derive(Clone, Debug, Default)]
pub(super) struct Set {
    texts: Texts,
    /// Sorted.
    integers: Box<[i128]>,
    /// Sorted, without NaN.
    floats: Box<[f64]>,
    has_true: bool,
    has_false: bool,
    has_nil: bool,
}

#[derive(Clone, Debug)]
enum Texts {
    Few(Box<[Box<str>]>),
    Many(HashSet<Box<str>, RandomState>),
}

// === impl Set ===

impl Set {
    /// Makes a list; what a literal that is nil means is for the caller to say.
    pub(super) fn new(literals: &[Literal], has_nil: bool) -> Self {
        let (mut texts, mut integers, mut floats) = (Vec::new(), Vec::new(), Vec::new());
        let mut set = Set { has_nil, ..Set::default() };
        for literal in literals {
            match literal {
                Literal::Str(text) => texts.push(text.clone()),
                Literal::Int(number) => integers.push((*number).into()),
                Literal::UInt(number) => integers.push((*number).into()),
                Literal::Float(number) if number.is_nan() => {}
                Literal::Float(number) => floats.push(*number),
                Literal::Bool(true) => set.has_true = true,
                Literal::Bool(false) => set.has_false = true,
                Literal::Nil => {}
            }
        }
        integers.sort_unstable();
        floats.sort_unstable_by(f64::total_cmp);
        set.texts = match texts.len() {
            0..=SMALL_MAX => Texts::Few(texts.into()),
            _ => Texts::Many(texts.into_iter().collect()),
        };
        set.integers = integers.into();
        set.floats = floats.into();
        set
    }

    /// Says whether a value is equal to one of the list, types counting as DataKit counts them.
    #[inline]
    pub(super) fn contains_typed(&self, value: Option<Value<'_>>) -> bool {
        match value {
            None => self.has_nil,
            Some(Value::Str(text)) => self.texts.contains(text),
            Some(Value::Int(number)) => self.integers.binary_search(&number.into()).is_ok(),
            Some(Value::Float(number)) => {
                let near = self.near(Number::Float(number));
                near.iter().any(|item| number::floats_equal(number, *item))
            }
            Some(Value::Bool(value)) => {
                if value {
                    self.has_true
                } else {
                    self.has_false
                }
            }
            Some(Value::UInt(_) | Value::Bytes(_) | Value::Other) => false,
        }
    }

    /// Says whether a value is equal to one of the list, numbers compared by value and bytes as text.
    #[inline]
    pub(super) fn contains(&self, value: Option<Value<'_>>) -> bool {
        match value {
            Some(Value::Int(number)) => self.has_number(Number::Int(number)),
            Some(Value::UInt(number)) => self.has_number(Number::UInt(number)),
            Some(Value::Float(number)) => self.has_number(Number::Float(number)),
            Some(Value::Bytes(bytes)) => {
                std::str::from_utf8(bytes).is_ok_and(|text| self.texts.contains(text))
            }
            other => self.contains_typed(other),
        }
    }

    /// Gives the texts, when there is nothing else; each once.
    pub(super) fn only_texts(&self) -> Option<Vec<&str>> {
        let has_others = self.has_true || self.has_false || self.has_nil;
        if has_others || !self.integers.is_empty() || !self.floats.is_empty() {
            return None;
        }
        let mut texts: Vec<&str> = match &self.texts {
            Texts::Few(texts) => texts.iter().map(|text| &**text).collect(),
            Texts::Many(texts) => texts.iter().map(|text| &**text).collect(),
        };
        texts.sort_unstable();
        texts.dedup();
        Some(texts)
    }

    fn has_number(&self, number: Number) -> bool {
        let whole = match number {
            Number::Int(number) => Some(number.into()),
            Number::UInt(number) => Some(number.into()),
            Number::Float(float) => {
                let whole = number::nearest(float);
                number::is_whole(float, whole).then_some(whole)
            }
        };
        whole.is_some_and(|whole| self.integers.binary_search(&whole).is_ok())
            || self.near(number).iter().any(|item| number::equal(number, Number::Float(*item)))
    }

    /// Gives the floats on both sides of a number: when none of them is equal to it, none of all is.
    fn near(&self, number: Number) -> &[f64] {
        if self.floats.is_empty() {
            return &[];
        }
        let is_below =
            |item: &f64| number::compare(Number::Float(*item), number) == Some(Ordering::Less);
        let at = self.floats.partition_point(is_below);
        &self.floats[at.saturating_sub(1)..(at + 1).min(self.floats.len())]
    }
}

// === impl Texts ===

impl Texts {
    #[inline]
    fn contains(&self, text: &str) -> bool {
        match self {
            Texts::Few(texts) => texts.iter().any(|item| **item == *text),
            Texts::Many(texts) => texts.contains(text),
        }
    }
}

impl Default for Texts {
    fn default() -> Self {
        Texts::Few(Box::default())
    }
}
