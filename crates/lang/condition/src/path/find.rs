//! Reading: from steps to what they address.

use std::borrow::Cow;

use levada_model::text::encode_string;
use levada_model::tree::{Children, NodeId, NodeKind, Tree};

use super::{Modifier, Step, child};
use crate::literal::Subject;

/// What a path addresses.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// Nothing.
    Missing,
    /// A value of the document.
    Node(NodeId),
    /// The length of an array.
    Count(u64),
    /// An array of what was found, in order; parts are never missing.
    Many(Vec<Found>),
    /// An object made of these members of another.
    Members(Vec<NodeId>),
    /// A text that is not in the document.
    Text(String),
}

/// Walks steps from a value on.
///
/// The recursion is bounded: it goes one level deeper per `#`, and each `#` needs another array inside.
pub(super) fn walk(steps: &[Step], text: &[u8], tree: &Tree, from: Found) -> Found {
    let mut found = from;
    let mut at = 0;
    while let Some(step) = steps.get(at) {
        at += 1;
        found = match step {
            Step::Pipe => continue,
            Step::Key { name, index } => match found {
                Found::Node(node) => child(text, tree, node, name, *index).into(),
                Found::Many(items) => match index {
                    super::Index::At(index) => nth(items, *index as usize),
                    _ => Found::Missing,
                },
                Found::Members(members) => {
                    let mut members = members.into_iter();
                    members.find(|&node| tree.has_key(text, node, name.as_bytes())).into()
                }
                _ => Found::Missing,
            },
            Step::Glob(glob) => match found {
                Found::Node(node) if tree.kind(node) == NodeKind::Object => {
                    let mut keys = tree.children(node).filter_map(|member| tree.key(text, member));
                    let key = keys.find(|key| glob.matches(key.as_bytes()));
                    key.and_then(|key| tree.member(text, node, key.as_bytes())).into()
                }
                _ => Found::Missing,
            },
            Step::Length | Step::Each if is_object(tree, &found) => hash_member(text, tree, &found),
            Step::Length => match count(tree, &found) {
                Some(count) => Found::Count(count),
                None => Found::Missing,
            },
            Step::First(query) => match elements(tree, found) {
                Some(mut items) => {
                    items.find(|item| query.fits(text, tree, item)).unwrap_or(Found::Missing)
                }
                None => Found::Missing,
            },
            Step::Each | Step::All(_) => {
                let rest = &steps[at..];
                let end = rest.iter().position(|step| *step == Step::Pipe).unwrap_or(rest.len());
                at += end;
                let Some(items) = elements(tree, found) else {
                    return Found::Missing;
                };
                let results = items
                    .filter(|item| match step {
                        Step::All(query) => query.fits(text, tree, item),
                        _ => true,
                    })
                    .map(|item| walk(&rest[..end], text, tree, item))
                    .filter(Found::exists);
                Found::Many(results.collect())
            }
            Step::Modifier(modifier) => modifier.apply(text, tree, found),
        };
        if found == Found::Missing {
            break;
        }
    }
    found
}

enum Elements<'t> {
    Nodes(Children<'t>),
    Items(std::vec::IntoIter<Found>),
}

impl Iterator for Elements<'_> {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        match self {
            Elements::Nodes(nodes) => nodes.next().map(Found::Node),
            Elements::Items(items) => items.next(),
        }
    }
}

/// Gives the elements of an array; of anything else nothing.
fn elements(tree: &Tree, found: Found) -> Option<Elements<'_>> {
    match found {
        Found::Node(node) if tree.kind(node) == NodeKind::Array => {
            Some(Elements::Nodes(tree.children(node)))
        }
        Found::Many(items) => Some(Elements::Items(items.into_iter())),
        _ => None,
    }
}

fn nth(items: Vec<Found>, index: usize) -> Found {
    items.into_iter().nth(index).unwrap_or(Found::Missing)
}

fn count(tree: &Tree, found: &Found) -> Option<u64> {
    match found {
        Found::Node(node) if tree.kind(*node) == NodeKind::Array => {
            Some(tree.children(*node).count() as u64)
        }
        Found::Many(items) => Some(items.len() as u64),
        _ => None,
    }
}

fn is_object(tree: &Tree, found: &Found) -> bool {
    matches!(found, Found::Node(node) if tree.kind(*node) == NodeKind::Object)
}

/// On an object `#` is a key like any other.
fn hash_member(text: &[u8], tree: &Tree, found: &Found) -> Found {
    match found {
        Found::Node(node) => tree.member(text, *node, b"#").into(),
        _ => Found::Missing,
    }
}

// === impl Modifier ===

impl Modifier {
    fn apply(self, text: &[u8], tree: &Tree, found: Found) -> Found {
        match self {
            Modifier::This => found,
            Modifier::ToStr => Found::Text(found.json(text, tree)),
            Modifier::Values => match found {
                Found::Node(node) if tree.kind(node) == NodeKind::Object => {
                    Found::Many(tree.children(node).map(Found::Node).collect())
                }
                Found::Members(members) => {
                    Found::Many(members.into_iter().map(Found::Node).collect())
                }
                found if count(tree, &found).is_some() => found,
                _ => Found::Missing,
            },
            Modifier::Keys => {
                let key = |node| tree.key(text, node).map(|key| Found::Text(key.into_owned()));
                match found {
                    Found::Node(node) if tree.kind(node) == NodeKind::Object => {
                        Found::Many(tree.children(node).filter_map(key).collect())
                    }
                    Found::Members(members) => {
                        Found::Many(members.into_iter().filter_map(key).collect())
                    }
                    _ => Found::Missing,
                }
            }
            Modifier::Reverse => match found {
                Found::Node(node) if tree.kind(node) == NodeKind::Object => {
                    let mut members: Vec<_> = tree.children(node).collect();
                    members.reverse();
                    Found::Members(members)
                }
                Found::Members(mut members) => {
                    members.reverse();
                    Found::Members(members)
                }
                found if count(tree, &found).is_some() => {
                    let mut items: Vec<_> = elements(tree, found).into_iter().flatten().collect();
                    items.reverse();
                    Found::Many(items)
                }
                found => found,
            },
            Modifier::Flatten { deep } => {
                if count(tree, &found).is_none() {
                    return found;
                }
                let mut out = Vec::new();
                flatten(tree, found, deep, &mut out);
                Found::Many(out)
            }
        }
    }
}

fn flatten(tree: &Tree, array: Found, deep: bool, out: &mut Vec<Found>) {
    for item in elements(tree, array).into_iter().flatten() {
        if count(tree, &item).is_none() {
            out.push(item);
        } else if deep {
            flatten(tree, item, true, out);
        } else {
            out.extend(elements(tree, item).into_iter().flatten());
        }
    }
}

// === impl Found ===

impl From<Option<NodeId>> for Found {
    fn from(node: Option<NodeId>) -> Self {
        node.map_or(Found::Missing, Found::Node)
    }
}

impl Found {
    /// Tells whether there is something, be it `null` or an array of nothing.
    pub fn exists(&self) -> bool {
        *self != Found::Missing
    }

    /// Gives the node, when a single value of the document was found.
    pub fn node(&self) -> Option<NodeId> {
        match self {
            Found::Node(node) => Some(*node),
            _ => None,
        }
    }

    /// Appends what was found as JSON; of [`Found::Missing`] nothing. `out` must not be `text` itself.
    pub fn write_json(&self, text: &[u8], tree: &Tree, out: &mut Vec<u8>) {
        match self {
            Found::Missing => {}
            Found::Node(node) => tree.print(text, *node, out),
            Found::Count(count) => {
                out.extend_from_slice(itoa::Buffer::new().format(*count).as_bytes())
            }
            Found::Text(value) => encode_string(value, out),
            Found::Many(items) => {
                out.push(b'[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    item.write_json(text, tree, out);
                }
                out.push(b']');
            }
            Found::Members(members) => {
                out.push(b'{');
                for (index, &member) in members.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    out.push(b'"');
                    out.extend_from_slice(tree.raw_key(text, member));
                    out.extend_from_slice(b"\":");
                    tree.print(text, member, out);
                }
                out.push(b'}');
            }
        }
    }

    /// Gives the text that comparisons use: strings decoded, numbers as written, `null` and
    /// [`Found::Missing`] empty, arrays and objects as JSON.
    pub fn compare_text<'a>(&'a self, text: &'a [u8], tree: &Tree) -> Cow<'a, str> {
        match self {
            Found::Missing => Cow::Borrowed(""),
            Found::Text(value) => Cow::Borrowed(value),
            Found::Node(node) => match Subject::of_scalar(text, tree, *node) {
                Some(subject) => match subject.text() {
                    Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
                    Cow::Owned(bytes) => String::from_utf8_lossy(&bytes).into_owned().into(),
                },
                None => self.json(text, tree).into(),
            },
            _ => self.json(text, tree).into(),
        }
    }

    /// Tells whether what was found counts as true: a boolean by its value, a text unless it is empty
    /// or `false`, a number unless it is zero, arrays and objects always, `null` and nothing never.
    pub fn is_truthy(&self, text: &[u8], tree: &Tree) -> bool {
        match self {
            Found::Many(_) | Found::Members(_) => true,
            Found::Node(node) => {
                Subject::of_scalar(text, tree, *node).is_none_or(Subject::is_truthy)
            }
            _ => self.with_scalar(text, tree, |subject| subject.is_truthy()).unwrap_or(false),
        }
    }

    /// Hands what was found to a comparison; `None` when it is missing, an array or an object.
    pub(crate) fn with_scalar<R>(
        &self,
        text: &[u8],
        tree: &Tree,
        compare: impl FnOnce(Subject<'_>) -> R,
    ) -> Option<R> {
        match self {
            Found::Missing | Found::Many(_) | Found::Members(_) => None,
            Found::Node(node) => Subject::of_scalar(text, tree, *node).map(compare),
            Found::Count(count) => {
                let mut buffer = itoa::Buffer::new();
                Some(compare(Subject::Number(buffer.format(*count).as_bytes())))
            }
            Found::Text(value) => Some(compare(Subject::Text(value.as_bytes()))),
        }
    }

    /// Hands what was found to a comparison, arrays and objects as JSON; `None` when it is missing.
    pub(crate) fn with_subject<R>(
        &self,
        text: &[u8],
        tree: &Tree,
        compare: impl FnOnce(Subject<'_>) -> R,
    ) -> Option<R> {
        let is_container = match self {
            Found::Many(_) | Found::Members(_) => true,
            Found::Node(node) => matches!(tree.kind(*node), NodeKind::Array | NodeKind::Object),
            _ => false,
        };
        if !is_container {
            return self.with_scalar(text, tree, compare);
        }
        Some(compare(Subject::Json(self.json(text, tree).as_bytes())))
    }

    fn json(&self, text: &[u8], tree: &Tree) -> String {
        let mut out = Vec::new();
        self.write_json(text, tree, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }
}
