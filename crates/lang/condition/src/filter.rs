//! Filters of the gateway: which points a rule is about.
//!
//! ```text
//! { source = 'nginx' and status in ['error', 'warn'] }; { host match ['^web-'], env != 'dev' }
//! ```
//! - Statements in braces are joined by `;`: one of them must be true. Elements inside are joined by `,`: all must be.
//! - Comparisons `= != < <= > >=`, lists `in notin`, lists of patterns `match notmatch`, `= re('…')`, `and`, `or`,
//!   parentheses; `#` begins a comment. A key that is no plain name stands in back quotes.
//! - A key is a tag, a field, or the name of the point under the name that its category has for it: `source`,
//!   `measurement`, `class`.
//!
//! Whose rules a filter follows is [`Compat`]: those of DataKit 1.6, of 1.84, or our own, in which numbers compare by
//! value, `!=` is the opposite of `=`, what can never be true is refused, and there are functions: `not(…)`,
//! `exists(k)`, `contains(k, 'x')`, `startswith(k, 'x')`, `cidr(k, '10.0.0.0/8')`.
//!
//! ```text
//! text ─ lexer ─▶ words ─ parser ─▶ tree ─ compile ─▶ clauses ◀─ lookup ─ point
//!                                     └─ print ─▶ text
//! ```
//! A filter is compiled once; [`Filter::matches`] allocates nothing, [`Filter::explain`] says why a point matches or
//! not. Patterns are in the dialect of RE2.
//!
//! [`FilterIndex`] holds the filters of many rules and finds all that a point matches without asking each.
//!
//! The conditions of flows are another language: they share the way patterns are bounded and nothing of the grammar,
//! of the types or of what a missing value means.
//!
//! Bounds: [`FILTER_BYTES_MAX`] bytes of text, [`DEPTH_MAX`] levels, [`PATTERN_BYTES_MAX`] bytes of compiled patterns,
//! [`PROBLEMS_MAX`] problems that are described.
//!
//! Source: dataway reference §4; the numbers B1 to B50 are those of its §12.

mod ast;
mod clause;
mod compat;
mod compile;
mod error;
mod explain;
mod functions;
mod index;
mod lexer;
mod lookup;
mod number;
mod parser;
mod pattern;
mod print;
mod set;
mod test;
#[cfg(test)]
mod tests;
mod token;

use std::fmt;

pub use self::compat::{Compat, UnsupportedCategory};
pub use self::error::{FilterError, ListError, Position, Problem};
pub use self::explain::Explanation;
pub use self::index::FilterIndex;
pub use self::lookup::{Categorized, Key, Keys, Lookup, Record, Value};
pub use self::pattern::PATTERN_BYTES_MAX;

use self::ast::Statements;
use self::clause::{Clause, Look, Note};
use self::error::EMPTY;

/// The longest filter, in bytes.
pub const FILTER_BYTES_MAX: usize = 1 << 20;

/// How deep parentheses, calls and operators may nest; a long `and` or `or` is one level.
pub const DEPTH_MAX: usize = 64;

/// The most problems of a filter that are described.
pub const PROBLEMS_MAX: usize = 100;

/// A compiled filter.
#[derive(Clone, Debug)]
pub struct Filter {
    compat: Compat,
    statements: Box<[Clause]>,
    keys: Box<[Key]>,
    notes: Box<[Note]>,
    warnings: Vec<Problem>,
    tree: Statements,
}

/// Filters of which one must match.
#[derive(Clone, Debug, Default)]
pub struct FilterList {
    filters: Vec<Filter>,
}

// === impl Filter ===

impl Filter {
    /// Compiles a filter.
    ///
    /// Errors: everything that is wrong with it, each with its place. The empty text is an error in strict mode only;
    /// in the other modes it matches nothing, and [`FilterList::parse`] refuses it.
    pub fn parse(text: &str, compat: Compat) -> Result<Filter, FilterError> {
        Filter::parse_with(text, compat, &mut Keys::default())
    }

    /// Compiles a filter that shares the numbers of its keys with others.
    ///
    /// Errors: those of [`Filter::parse`].
    pub fn parse_with(text: &str, compat: Compat, keys: &mut Keys) -> Result<Filter, FilterError> {
        if text.len() > FILTER_BYTES_MAX {
            let message = format!("the filter has more than {FILTER_BYTES_MAX} bytes");
            return Err(FilterError::one(Problem::new("", 0, message)));
        }
        let mut problems = Vec::new();
        let compiled = parser::parse(text, compat, &mut problems)
            .map(|tree| (compile::compile(text, &tree, compat, keys, &mut problems), tree));
        match (FilterError::of(problems), compiled) {
            (None, Some((compiled, tree))) => Ok(Filter {
                compat,
                statements: compiled.statements,
                keys: compiled.keys,
                notes: compiled.notes,
                warnings: compiled.warnings,
                tree,
            }),
            (Some(error), _) => Err(error),
            (None, None) => Err(FilterError::one(Problem::new(text, 0, EMPTY))),
        }
    }

    /// Says whether a point matches. Never fails and allocates nothing.
    ///
    /// A point of a category that [`Compat::check`] refuses does not match.
    #[inline]
    pub fn matches<L: Lookup + ?Sized>(&self, point: &L) -> bool {
        if self.is_off(point) {
            return false;
        }
        let look = Look { compat: self.compat, keys: &self.keys, point };
        self.statements.iter().any(|statement| statement.holds(&look))
    }

    /// Says of every part whether it is true for a point, and why; for people.
    pub fn explain<L: Lookup + ?Sized>(&self, point: &L) -> Explanation {
        explain::explain(self, point)
    }

    /// Gives whose rules the filter follows.
    pub fn compat(&self) -> Compat {
        self.compat
    }

    /// Gives what is wrong with the filter without refusing it: patterns that upstream ignores.
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// Gives the keys that the filter asks for.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// Says whether the filter has no statement at all.
    pub fn is_empty(&self) -> bool {
        self.tree.list.is_empty()
    }

    /// Gives the text that upstream's logs show; other than the printed filter it cannot always be read back.
    pub fn upstream_text(&self) -> String {
        print::upstream(&self.tree)
    }

    /// Says whether nothing matches, whatever the statements say.
    fn is_off<L: Lookup + ?Sized>(&self, point: &L) -> bool {
        self.is_late() || self.refused(point).is_some()
    }

    /// Says whether a `;` at the beginning switches the filter off. Source: B27.
    fn is_late(&self) -> bool {
        self.tree.is_late && self.compat != Compat::Strict
    }

    fn refused<L: Lookup + ?Sized>(&self, point: &L) -> Option<UnsupportedCategory> {
        if self.compat != Compat::Seed {
            return None;
        }
        point.category().and_then(|category| self.compat.check(category).err())
    }
}

impl fmt::Display for Filter {
    /// Prints a text that is read back as the same filter.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&print::canonical(&self.tree))
    }
}

impl PartialEq for Filter {
    /// Says whether two filters are written alike, blanks and comments aside.
    fn eq(&self, other: &Filter) -> bool {
        self.compat == other.compat && self.tree == other.tree
    }
}

// === impl FilterList ===

impl FilterList {
    /// Compiles filters of which one must match.
    ///
    /// Errors: everything that is wrong with any of them; then there is no list, so that what was there before stays.
    pub fn parse<T: AsRef<str>>(
        texts: &[T],
        compat: Compat,
        keys: &mut Keys,
    ) -> Result<FilterList, Vec<ListError>> {
        let (mut filters, mut errors) = (Vec::with_capacity(texts.len()), Vec::new());
        for (index, text) in texts.iter().enumerate() {
            let text = text.as_ref();
            let parsed = match Filter::parse_with(text, compat, keys) {
                Ok(filter) if filter.is_empty() => {
                    Err(FilterError::one(Problem::new(text, 0, EMPTY)))
                }
                parsed => parsed,
            };
            match parsed {
                Ok(filter) => filters.push(filter),
                Err(error) => errors.push(ListError { index, filter: text.into(), error }),
            }
        }
        if errors.is_empty() { Ok(FilterList { filters }) } else { Err(errors) }
    }

    /// Says whether a point matches one of the filters; an empty list matches nothing.
    #[inline]
    pub fn matches<L: Lookup + ?Sized>(&self, point: &L) -> bool {
        self.filters.iter().any(|filter| filter.matches(point))
    }

    /// Gives the first filter that a point matches, by its place in the list.
    #[inline]
    pub fn first_match<L: Lookup + ?Sized>(&self, point: &L) -> Option<usize> {
        self.filters.iter().position(|filter| filter.matches(point))
    }

    /// Gives the filters.
    pub fn filters(&self) -> &[Filter] {
        &self.filters
    }

    /// Says whether there are none.
    pub fn is_empty(&self) -> bool {
        self.filters.is_empty()
    }
}
