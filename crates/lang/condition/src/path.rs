//! Paths: which value of a document.
//!
//! | written | reads | writes, removes |
//! |---|---|---|
//! | `a.b.c`, `a['b'].c` | nested members | yes; missing parents are made |
//! | `a\.b`, `['a.b']` | a key with a dot in it | yes |
//! | `a.0.b`, `a[0].b` | an array index; on an object the key `0` | yes; `-1` appends on write, removes the last |
//! | `a.#` | the length of an array | no |
//! | `a.#.b` | an array of every `b` | every existing one |
//! | `a.#(x=="1").b` | the first element that fits | that one |
//! | `a.#(x>1)#.b` | every element that fits | every one |
//! | `a.*`, `a.?b` | the first member whose name fits | every member whose name fits |
//! | `@this @values @keys @reverse @flatten @tostr` | a changed value | no |
//! | `a.#.b\|0` | `\|` ends what `#` repeats, so this is the first of the results | no |
//!
//! A leading `$.` is accepted and means nothing, `$` alone is the whole document; a key such as `$ref`
//! is a key. Queries know `== != < <= > >= % !%` (`=` is `==`; `%` is like, with wildcards), a path on
//! the left that may hold queries again, and a bare path, which asks whether it exists. Wildcards fit
//! names of members, never indexes. With duplicate keys the last one counts.
//!
//! Differs: gjson ends at the first of duplicate keys, reads an empty or misspelt path as a key that is
//! not there, and prints numbers anew. It also knows `{…}`, `[…]` and `!…` (documents made of several
//! paths), `~` in queries and more modifiers, which are refused here. `@keys` and `@values` of a value
//! that is no container is missing instead of an array of one.
//!
//! Bounds: [`TEXT_MAX`] bytes, [`STEPS_MAX`] steps, [`QUERY_DEPTH_MAX`] queries inside queries.

mod find;
mod parse;
mod query;
mod write;

use std::fmt;

use levada_model::tree::{NodeId, NodeKind, Tree};

pub use find::Found;
pub(crate) use parse::{closing_quote, unquote};

use crate::error::SyntaxError;
use crate::glob::Glob;
use query::Query;

/// The longest text of a path or condition, in bytes.
pub const TEXT_MAX: usize = 64 * 1024;

/// The most steps of a path. Half of what a document may nest, so that a written value has room too.
pub const STEPS_MAX: usize = 256;

/// How deep queries may stand in queries.
pub const QUERY_DEPTH_MAX: usize = 32;

/// The most `null` elements that one write fills an array with.
pub const PAD_MAX: usize = 10_000;

/// A compiled path.
#[derive(Clone, Debug)]
pub struct Path {
    text: Box<str>,
    steps: Box<[Step]>,
    last_key: Box<str>,
    /// Only keys and indexes.
    is_plain: bool,
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    Key {
        name: Box<str>,
        index: Index,
    },
    Glob(Glob),
    /// `#` at the end.
    Length,
    /// `#` before more: the rest, up to a pipe, is for every element.
    Each,
    First(Box<Query>),
    All(Box<Query>),
    Modifier(Modifier),
    Pipe,
}

/// What a key means on an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Index {
    None,
    At(u32),
    /// `-1`
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Modifier {
    This,
    Values,
    Keys,
    Reverse,
    Flatten { deep: bool },
    ToStr,
}

// === impl Path ===

impl Path {
    /// Compiles a path.
    ///
    /// Errors: the text is not a path of this language; the error says where and what to write.
    pub fn compile(text: &str) -> Result<Path, SyntaxError> {
        parse::compile(text)
    }

    /// Gives what the path addresses in the document below `root`.
    #[inline]
    pub fn find(&self, text: &[u8], tree: &Tree, root: NodeId) -> Found {
        if self.is_plain {
            return match self.find_node(text, tree, root) {
                Some(node) => Found::Node(node),
                None => Found::Missing,
            };
        }
        find::walk(&self.steps, text, tree, Found::Node(root))
    }

    /// Gives the node that a path of keys and indexes addresses; allocates nothing.
    ///
    /// `None` also for every path that is not [`Path::is_plain`].
    #[inline]
    pub fn find_node(&self, text: &[u8], tree: &Tree, root: NodeId) -> Option<NodeId> {
        let mut node = root;
        for step in &self.steps {
            let Step::Key { name, index } = step else {
                return None;
            };
            node = child(text, tree, node, name, *index)?;
        }
        Some(node)
    }

    /// Tells whether the path is made of keys and indexes, `-1` included.
    pub fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// Tells whether the path is made of keys and indexes that are not `-1`.
    pub fn is_simple(&self) -> bool {
        self.steps.iter().all(|step| match step {
            Step::Key { index, .. } => *index != Index::End,
            _ => false,
        })
    }

    /// Gives the keys of a path that is made of nothing else; none of them can mean an index.
    pub fn keys(&self) -> Option<Vec<&str>> {
        let key = |step| match step {
            &Step::Key { ref name, index: Index::None } => Some(&**name),
            _ => None,
        };
        self.steps.iter().map(key).collect()
    }

    /// Tells whether the path is the whole document: `$`.
    pub fn is_root(&self) -> bool {
        self.steps.is_empty()
    }

    /// Gives the last step without escapes: the name that a selected value gets.
    pub fn last_key(&self) -> &str {
        &self.last_key
    }

    /// Gives the first step if it is a key.
    pub fn top_key(&self) -> Option<&str> {
        match self.steps.first() {
            Some(Step::Key { name, .. }) => Some(name),
            _ => None,
        }
    }

    /// Tells whether the other path points at the same place or below it.
    pub fn is_prefix_of(&self, other: &Path) -> bool {
        other.steps.starts_with(&self.steps)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Gives the member or element that a key means for reading.
#[inline]
fn child(text: &[u8], tree: &Tree, node: NodeId, name: &str, index: Index) -> Option<NodeId> {
    match (tree.kind(node), index) {
        (NodeKind::Object, _) => tree.member(text, node, name.as_bytes()),
        (NodeKind::Array, Index::At(index)) => tree.element(node, index as usize),
        _ => None,
    }
}
