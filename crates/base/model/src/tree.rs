//! A JSON document as a tree of spans over the text it came from.
//!
//! One parse makes a node per value; a node holds where its key and its value stand in the text, so
//! nothing is copied. Edits change nodes: a replaced value points at new bytes appended to the text,
//! a removed one is only marked. Printing copies the spans that nobody touched, white space, number
//! forms and key order included, and prints the edits between them.
//!
//! Invariants
//! - A node that is not `DIRTY` prints as `text[start..end]`, byte for byte.
//! - Whoever changes a node marks every ancestor `DIRTY`, so all changes go through the root.
//! - Siblings are a list in document order; a removed node stays in the list, because the gap to the
//!   next one is measured from its end.
//! - Depth is at most [`MAX_DEPTH`], so recursion over a tree is safe on any stack.
//! - With duplicate keys the last one counts, for reading and for writing.
//!
//! Not here: paths (`levada-condition`), batches ([`crate::batch`]).

mod edit;
mod keys;
mod parse;
mod print;

pub use edit::{EncodedKey, KeyBlock, ObjectBuilder, PlacedKey};
pub use keys::KeySet;
pub use parse::ParseError;

/// The deepest nesting of arrays and objects that is accepted.
///
/// serde_json stops at 128; real documents stay below 30. Recursive helpers rely on this bound.
pub const MAX_DEPTH: usize = 512;

/// The index of a node in a [`Tree`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeId(pub(crate) u32);

pub(crate) const NONE: u32 = u32::MAX;

/// What a JSON value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum NodeKind {
    /// `null`
    Null,
    /// `true`
    True,
    /// `false`
    False,
    /// A number, as it was written.
    Number,
    /// A string; the span includes the quotes.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

impl NodeKind {
    /// Gives the word for the kind that messages use.
    pub fn name(self) -> &'static str {
        match self {
            NodeKind::Null => "null",
            NodeKind::True | NodeKind::False => "boolean",
            NodeKind::Number => "number",
            NodeKind::String => "string",
            NodeKind::Array => "array",
            NodeKind::Object => "object",
        }
    }
}

/// The string holds a backslash, so its text differs from its bytes.
pub(crate) const ESCAPED: u8 = 1;
/// The same for the key.
pub(crate) const KEY_ESCAPED: u8 = 2;
/// The container or something below it changed; print it from its children.
pub(crate) const DIRTY: u8 = 4;
/// The node is gone; only its end still counts, for the gap to its successor.
pub(crate) const REMOVED: u8 = 8;
/// The node was not in the text: no gap precedes it.
pub(crate) const INSERTED: u8 = 16;
/// The container has no text of its own: its brackets are printed, and its children are `INSERTED`.
pub(crate) const SYNTHETIC: u8 = 32;

/// The first eight bytes of a key, as many as there are; with the length they tell most keys apart.
#[inline(always)]
pub(crate) fn key_head(key: &[u8]) -> u64 {
    let half = |bytes: &[u8; 4]| u64::from(u32::from_le_bytes(*bytes));
    let len = key.len();
    if let Some(first) = key.first_chunk::<8>() {
        u64::from_le_bytes(*first)
    } else if let (Some(first), Some(last)) = (key.first_chunk(), key.last_chunk()) {
        // Where the halves overlap they agree.
        half(first) | half(last) << (8 * (len - 4))
    } else if len > 0 {
        let byte = |at: usize| u64::from(key[at]) << (8 * at);
        byte(0) | byte(len / 2) | byte(len - 1)
    } else {
        0
    }
}

/// Gives [`key_head`] of `text[start..end]`: what stands behind a short key is read with it and masked out.
#[inline(always)]
pub(crate) fn key_head_in(text: &[u8], start: usize, end: usize) -> u64 {
    let Some(first) = text.get(start..).and_then(|rest| rest.first_chunk::<8>()) else {
        return key_head(&text[start..end]);
    };
    let first = u64::from_le_bytes(*first);
    match end - start {
        0 => 0,
        len @ 1..8 => first & (u64::MAX >> (64 - 8 * len)),
        _ => first,
    }
}

/// Tells whether the key of a node may be the one that begins so; only its text can tell for sure.
#[inline(always)]
pub(crate) fn may_be_called(node: &Node, head: u64) -> bool {
    node.head == head || node.flags & KEY_ESCAPED != 0
}

/// One JSON value: where its key and its text stand, and its place among its siblings.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    /// [`key_head`] of the key as it is written; keys are compared only when it is equal.
    pub(crate) head: u64,
    /// Start and end of the key with its quotes; `NONE` for elements and roots.
    pub(crate) key: u32,
    pub(crate) key_end: u32,
    pub(crate) start: u32,
    pub(crate) end: u32,
    /// Start of the value in the original text, also after the value was replaced.
    pub(crate) original: u32,
    /// End of the value in the original text, also after the value was replaced.
    pub(crate) gap_end: u32,
    pub(crate) next: u32,
    pub(crate) child: u32,
    pub(crate) kind: NodeKind,
    pub(crate) flags: u8,
}

impl Node {
    /// Gives what kind of value this is.
    pub fn kind(&self) -> NodeKind {
        self.kind
    }
}

/// Nodes of many documents over one text; the arena of a batch.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    nodes: Vec<Node>,
    /// The containers around the one that is being parsed. Kept to avoid allocation.
    stack: Vec<u32>,
}

/// An iterator over the live children of a node, in document order.
pub struct Children<'a> {
    tree: &'a Tree,
    next: u32,
}

impl Iterator for Children<'_> {
    type Item = NodeId;

    fn next(&mut self) -> Option<NodeId> {
        while self.next != NONE {
            let id = self.next;
            let node = &self.tree.nodes[id as usize];
            self.next = node.next;
            if node.flags & REMOVED == 0 {
                return Some(NodeId(id));
            }
        }
        None
    }
}

// === impl Tree (reading) ===

impl Tree {
    /// Forgets all nodes and keeps the memory, unless one huge document made it large.
    pub fn clear(&mut self) {
        const NODES_KEPT_MAX: usize = 1 << 18;
        self.nodes.clear();
        if self.nodes.capacity() > NODES_KEPT_MAX {
            self.nodes.shrink_to(NODES_KEPT_MAX);
        }
    }

    /// Gives how many nodes there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Tells whether there are no nodes.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Gives the node with this index.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    /// Gives the kind of a node.
    pub fn kind(&self, id: NodeId) -> NodeKind {
        self.node(id).kind
    }

    /// Tells whether the document below this root differs from its text.
    pub fn is_dirty(&self, id: NodeId) -> bool {
        self.node(id).flags & (DIRTY | SYNTHETIC) != 0
    }

    /// Iterates over the live children of an object or array; of another value, over nothing.
    pub fn children(&self, id: NodeId) -> Children<'_> {
        Children { tree: self, next: self.node(id).child }
    }

    /// Gives the last member of an object whose key equals `key` (decoded text).
    pub fn member(&self, text: &[u8], object: NodeId, key: &[u8]) -> Option<NodeId> {
        if self.kind(object) != NodeKind::Object {
            return None;
        }
        let head = key_head(key);
        let mut found = None;
        let mut at = self.node(object).child;
        // Where there is no sibling, there is no node either.
        while let Some(node) = self.nodes.get(at as usize) {
            if may_be_called(node, head)
                && node.flags & REMOVED == 0
                && self.is_called(text, node, key, head)
            {
                found = Some(NodeId(at));
            }
            at = node.next;
        }
        found
    }

    /// Gives the element of an array at `index`, counted from zero.
    pub fn element(&self, array: NodeId, index: usize) -> Option<NodeId> {
        if self.kind(array) != NodeKind::Array {
            return None;
        }
        self.children(array).nth(index)
    }

    /// Gives the first child of a container, removed ones included; for walks that change the tree.
    pub fn first(&self, id: NodeId) -> Option<NodeId> {
        let child = self.node(id).child;
        (child != NONE).then_some(NodeId(child))
    }

    /// Gives the sibling behind a node, removed ones included.
    pub fn following(&self, id: NodeId) -> Option<NodeId> {
        let next = self.node(id).next;
        (next != NONE).then_some(NodeId(next))
    }

    /// Tells whether a node was taken out.
    pub fn is_removed(&self, id: NodeId) -> bool {
        self.node(id).flags & REMOVED != 0
    }

    /// Gives the bytes of a member's key between its quotes, escapes as written.
    ///
    /// Elements and roots have no key: empty.
    pub fn raw_key<'t>(&self, text: &'t [u8], id: NodeId) -> &'t [u8] {
        let node = self.node(id);
        if node.key == NONE {
            return b"";
        }
        &text[node.key as usize + 1..node.key_end as usize - 1]
    }

    /// Gives a member's key as text; `None` for elements and roots.
    pub fn key<'t>(&self, text: &'t [u8], id: NodeId) -> Option<std::borrow::Cow<'t, str>> {
        let node = self.node(id);
        if node.key == NONE {
            return None;
        }
        Some(crate::text::decode(self.raw_key(text, id), node.flags & KEY_ESCAPED != 0))
    }

    /// Gives a member's key as the bytes of its text, decoded; empty for elements and roots.
    #[inline]
    pub fn key_bytes<'t>(&self, text: &'t [u8], id: NodeId) -> std::borrow::Cow<'t, [u8]> {
        use std::borrow::Cow;
        let raw = self.raw_key(text, id);
        match self.node(id).flags & KEY_ESCAPED != 0 {
            false => Cow::Borrowed(raw),
            true => Cow::Owned(crate::text::decode(raw, true).into_owned().into_bytes()),
        }
    }

    /// Tells whether a node is the member of an object called `key` (decoded text).
    pub fn has_key(&self, text: &[u8], id: NodeId, key: &[u8]) -> bool {
        let node = self.node(id);
        node.key != NONE && self.key_equals(text, node, key)
    }

    #[inline]
    fn key_equals(&self, text: &[u8], node: &Node, key: &[u8]) -> bool {
        let raw = &text[node.key as usize + 1..node.key_end as usize - 1];
        match node.flags & KEY_ESCAPED != 0 {
            true => crate::text::decode(raw, true).as_bytes() == key,
            false => raw == key,
        }
    }

    /// [`Tree::key_equals`] for a key whose head is known.
    #[inline(always)]
    fn is_called(&self, text: &[u8], node: &Node, key: &[u8], head: u64) -> bool {
        if node.flags & KEY_ESCAPED != 0 {
            return self.key_equals(text, node, key);
        }
        // A key of up to eight bytes is its head.
        node.head == head
            && (node.key_end - node.key) as usize == key.len() + 2
            && (key.len() <= 8 || self.key_equals(text, node, key))
    }

    /// Gives the text of a string without quotes, escapes decoded; `None` for other kinds.
    pub fn string<'t>(&self, text: &'t [u8], id: NodeId) -> Option<std::borrow::Cow<'t, str>> {
        let node = self.node(id);
        if node.kind != NodeKind::String {
            return None;
        }
        let raw = &text[node.start as usize + 1..node.end as usize - 1];
        Some(crate::text::decode(raw, node.flags & ESCAPED != 0))
    }

    /// Gives [`Tree::string`] as bytes, which are not looked at when they hold no escapes.
    #[inline]
    pub fn string_bytes<'t>(
        &self,
        text: &'t [u8],
        id: NodeId,
    ) -> Option<std::borrow::Cow<'t, [u8]>> {
        let node = self.node(id);
        if node.kind != NodeKind::String {
            return None;
        }
        let raw = &text[node.start as usize + 1..node.end as usize - 1];
        Some(match node.flags & ESCAPED != 0 {
            true => crate::text::decode(raw, true).into_owned().into_bytes().into(),
            false => raw.into(),
        })
    }

    /// Gives the text of a number, boolean or `null` as it was written; `None` for other kinds.
    pub fn literal<'t>(&self, text: &'t [u8], id: NodeId) -> Option<&'t str> {
        let node = self.node(id);
        match node.kind {
            NodeKind::String | NodeKind::Array | NodeKind::Object => None,
            _ => std::str::from_utf8(&text[node.start as usize..node.end as usize]).ok(),
        }
    }

    /// Gives the span of a value that nobody changed, quotes or brackets included.
    pub fn span(&self, id: NodeId) -> Option<(u32, u32)> {
        let node = self.node(id);
        (node.flags & (DIRTY | SYNTHETIC) == 0).then_some((node.start, node.end))
    }
}

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
