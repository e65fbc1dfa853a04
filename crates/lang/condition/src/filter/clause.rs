//! Compiled filters, and what they say about a point.

use super::Compat;
use super::lookup::{Key, Lookup, Value};
use super::test::Test;

/// A compiled part of a filter.
#[derive(Clone, Debug)]
pub(super) struct Clause {
    pub(super) rule: Rule,
    /// Its [`Note`].
    pub(super) note: u32,
}

/// What a part of a filter says.
#[derive(Clone, Debug)]
pub(super) enum Rule {
    Constant(bool),
    All(Box<[Clause]>),
    Any(Box<[Clause]>),
    Not(Box<Clause>),
    Test {
        /// The place among the keys of the filter.
        key: u32,
        is_negated: bool,
        test: Test,
    },
}

/// What people are told about a part.
#[derive(Clone, Debug)]
pub(super) struct Note {
    /// The part as text.
    pub(super) text: Box<str>,
    /// Why it is what it is, for parts that look at nothing.
    pub(super) reason: Option<&'static str>,
}

/// What a filter and a point have in common while the one is evaluated on the other.
pub(super) struct Look<'a, L: ?Sized> {
    pub(super) compat: Compat,
    pub(super) keys: &'a [Key],
    pub(super) point: &'a L,
}

/// The values that a key has: only DataKit 1.6 sees a tag and a field of the same key.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found<'p> {
    pub(super) value: Option<Value<'p>>,
    pub(super) other: Option<Value<'p>>,
}

// === impl Clause ===

impl Clause {
    /// The recursion is bounded by the depth of the tree.
    #[inline]
    pub(super) fn holds<L: Lookup + ?Sized>(&self, look: &Look<'_, L>) -> bool {
        match &self.rule {
            Rule::Test { key, is_negated, test } => look.passes(*key, test) != *is_negated,
            Rule::All(parts) => parts.iter().all(|part| part.holds(look)),
            Rule::Any(parts) => parts.iter().any(|part| part.holds(look)),
            Rule::Not(part) => !part.holds(look),
            Rule::Constant(value) => *value,
        }
    }
}

// === impl Look ===

impl<'a, L: Lookup + ?Sized> Look<'a, L> {
    #[inline]
    pub(super) fn passes(&self, key: u32, test: &Test) -> bool {
        let found = self.find(&self.keys[key as usize]);
        match found.other {
            Some(_) => test.holds(found.value, self.compat) || test.holds(found.other, self.compat),
            None => test.holds(found.value, self.compat),
        }
    }

    /// Gives the values of a key.
    ///
    /// - DataKit 1.6: an injected key stands in the place of a tag of that name.
    /// - Otherwise there is one value: the tag, the field, or what is injected, in this order.
    #[inline]
    pub(super) fn find(&self, key: &Key) -> Found<'a> {
        if self.compat == Compat::Seed {
            let injected = self.injected(key);
            let tag = injected.or_else(|| self.point.tag(key)).map(Value::Str);
            let field = self.point.field(key);
            return match tag {
                Some(_) => Found { value: tag, other: field },
                None => Found { value: field, other: None },
            };
        }
        let value = match self.point.value(key) {
            None if key.injected.is_some() => self.injected(key).map(Value::Str),
            value => value,
        };
        Found { value, other: None }
    }

    /// Gives what stands in the place of a key that the point does not have.
    pub(super) fn injected(&self, key: &Key) -> Option<&'a str> {
        let injected = key.injected?;
        let category = self.point.category()?;
        if !self.compat.injects(injected, category) {
            return None;
        }
        Some(match injected {
            super::compat::Injected::Category => category.name(),
            _ => self.point.name(),
        })
    }
}
