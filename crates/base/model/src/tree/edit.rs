//! Changing a tree: replace, remove, insert, rename, build anew.
//!
//! None of these marks ancestors: a caller walks from the root anyway and marks what it passes
//! with [`Tree::touch`].

use super::{
    DIRTY, ESCAPED, INSERTED, KEY_ESCAPED, NONE, Node, NodeId, NodeKind, REMOVED, SYNTHETIC, Tree,
    key_head, may_be_called,
};
use crate::text::{encode_string, needs_escape};

/// A member name that is written once per batch text and then used by span.
///
/// Steps keep the encoded form, so that adding a member to a record formats nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedKey {
    /// The name with quotes and escapes.
    pub bytes: Box<[u8]>,
    escaped: bool,
    head: u64,
}

impl EncodedKey {
    /// Encodes a member name.
    pub fn new(name: &str) -> Self {
        let mut bytes = Vec::with_capacity(name.len() + 2);
        encode_string(name, &mut bytes);
        let head = key_head(&bytes[1..bytes.len() - 1]);
        EncodedKey { bytes: bytes.into(), escaped: needs_escape(name.as_bytes()), head }
    }
}

/// Member names that stand in the text of a batch once, for all the records that get them.
///
/// Where they stand is only remembered, never trusted: they are looked for there, and written when the
/// place holds something else, as in the next batch.
#[derive(Clone, Debug, Default)]
pub struct KeyBlock {
    bytes: Vec<u8>,
    keys: Vec<PlacedKey>,
    at: usize,
}

/// A name of a [`KeyBlock`] that stands in the text.
#[derive(Clone, Copy, Debug)]
pub struct PlacedKey {
    start: u32,
    end: u32,
    head: u64,
    flags: u8,
}

// === impl KeyBlock ===

impl KeyBlock {
    /// Adds a name and gives its number.
    pub fn push(&mut self, name: &str) -> usize {
        let key = EncodedKey::new(name);
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(&key.bytes);
        let flags = if key.escaped { KEY_ESCAPED } else { 0 };
        let end = self.bytes.len() as u32;
        self.keys.push(PlacedKey { start, end, head: key.head, flags });
        self.keys.len() - 1
    }

    /// Makes sure that the names stand in the text; gives where they begin.
    #[inline]
    pub fn place(&mut self, text: &mut Vec<u8>) -> u32 {
        let end = self.at + self.bytes.len();
        if text.get(self.at..end) != Some(&self.bytes[..]) {
            self.at = text.len();
            text.extend_from_slice(&self.bytes);
        }
        self.at as u32
    }

    /// Gives the name with this number in a text where they begin at `place`.
    #[inline]
    pub fn key(&self, number: usize, place: u32) -> PlacedKey {
        let key = self.keys[number];
        PlacedKey { start: place + key.start, end: place + key.end, ..key }
    }
}

/// Builds an object out of members of another one, in the order in which they are given.
///
/// The members move: whoever keeps using the other object must copy them first.
#[derive(Clone, Copy, Debug)]
pub struct ObjectBuilder {
    object: NodeId,
    last: u32,
}

impl ObjectBuilder {
    /// Starts an empty object.
    pub fn new(tree: &mut Tree) -> Self {
        ObjectBuilder { object: tree.new_container(NodeKind::Object), last: NONE }
    }

    /// Adds a member under its own name.
    pub fn keep(&mut self, tree: &mut Tree, member: NodeId) -> NodeId {
        let node = tree.nodes[member.0 as usize];
        self.link(tree, node)
    }

    /// Adds a value under another name, whose text begins at `start`; see [`KeyBlock`].
    #[inline]
    pub fn add(&mut self, tree: &mut Tree, key: PlacedKey, value: NodeId) -> NodeId {
        let mut node = tree.nodes[value.0 as usize];
        node.flags = (node.flags & !KEY_ESCAPED) | key.flags;
        node.head = key.head;
        node.key = key.start;
        node.key_end = key.end;
        self.link(tree, node)
    }

    /// Tells whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.last == NONE
    }

    /// Gives the object.
    pub fn finish(self) -> NodeId {
        self.object
    }

    #[inline(always)]
    fn link(&mut self, tree: &mut Tree, mut node: Node) -> NodeId {
        node.flags = (node.flags | INSERTED) & !REMOVED;
        node.next = NONE;
        let id = tree.push(node);
        match self.last {
            NONE => tree.nodes[self.object.0 as usize].child = id.0,
            last => tree.nodes[last as usize].next = id.0,
        }
        self.last = id.0;
        id
    }
}

impl Tree {
    /// Marks a container as changed, so that it is printed from its children.
    pub fn touch(&mut self, id: NodeId) {
        self.nodes[id.0 as usize].flags |= DIRTY;
    }

    /// Gives the last member called `key` and takes earlier ones of that name out.
    ///
    /// The second value tells whether any was taken out; the object must then be marked with [`Tree::touch`].
    pub fn keep_last(&mut self, text: &[u8], object: NodeId, key: &[u8]) -> (Option<NodeId>, bool) {
        let mut last = None;
        let mut is_changed = false;
        if self.kind(object) != NodeKind::Object {
            return (None, false);
        }
        let head = key_head(key);
        let mut at = self.nodes[object.0 as usize].child;
        while let Some(node) = self.nodes.get(at as usize) {
            let next = node.next;
            if may_be_called(node, head)
                && node.flags & REMOVED == 0
                && self.is_called(text, node, key, head)
                && let Some(earlier) = last.replace(NodeId(at))
            {
                self.remove(earlier);
                is_changed = true;
            }
            at = next;
        }
        (last, is_changed)
    }

    /// Takes a node out of its container. The container must be marked with [`Tree::touch`].
    pub fn remove(&mut self, id: NodeId) {
        self.nodes[id.0 as usize].flags |= REMOVED;
    }

    /// Makes a string the value of a node.
    pub fn set_string(&mut self, text: &mut Vec<u8>, id: NodeId, value: &str) {
        let start = text.len() as u32;
        encode_string(value, text);
        let escaped = needs_escape(value.as_bytes());
        self.set_scalar(id, NodeKind::String, start, text.len() as u32, escaped);
    }

    /// Makes an already encoded scalar, appended to the text as `start..end`, the value of a node.
    ///
    /// `escaped` tells whether an encoded string holds a backslash.
    pub fn set_scalar(&mut self, id: NodeId, kind: NodeKind, start: u32, end: u32, escaped: bool) {
        let node = &mut self.nodes[id.0 as usize];
        node.kind = kind;
        node.start = start;
        node.end = end;
        node.child = NONE;
        node.flags &= !(ESCAPED | DIRTY | SYNTHETIC);
        if escaped {
            node.flags |= ESCAPED;
        }
    }

    /// Makes any JSON text the value of a node.
    ///
    /// Errors: the text is not one JSON value; the node is then as before.
    pub fn set_json(
        &mut self,
        text: &mut Vec<u8>,
        id: NodeId,
        json: &[u8],
    ) -> Result<(), super::ParseError> {
        let start = text.len() as u32;
        text.extend_from_slice(json);
        let end = text.len() as u32;
        self.adopt(text, id, start, end)
    }

    /// Makes the value of `from` the value of `to`; both then show the same children.
    ///
    /// Use [`Tree::copy_deep`] first when both stay part of a document that may be edited.
    pub fn set_node(&mut self, to: NodeId, from: NodeId) {
        let source = self.nodes[from.0 as usize];
        let node = &mut self.nodes[to.0 as usize];
        node.kind = source.kind;
        node.start = source.start;
        node.end = source.end;
        node.child = source.child;
        let value_flags = ESCAPED | DIRTY | SYNTHETIC;
        node.flags = (node.flags & !value_flags) | (source.flags & value_flags);
    }

    /// Makes a new, empty object or array that is part of nothing yet.
    pub fn new_container(&mut self, kind: NodeKind) -> NodeId {
        debug_assert!(matches!(kind, NodeKind::Object | NodeKind::Array));
        self.push(Node { kind, flags: SYNTHETIC, ..BLANK })
    }

    /// Makes an empty object or array the value of a node.
    pub fn set_container(&mut self, id: NodeId, kind: NodeKind) {
        let node = &mut self.nodes[id.0 as usize];
        node.kind = kind;
        node.child = NONE;
        node.flags = (node.flags & !(ESCAPED | DIRTY)) | SYNTHETIC;
    }

    /// Appends a member to an object, `null` until a value is set; does not look for duplicates.
    pub fn insert_member(
        &mut self,
        text: &mut Vec<u8>,
        object: NodeId,
        key: &EncodedKey,
    ) -> NodeId {
        let start = text.len() as u32;
        text.extend_from_slice(&key.bytes);
        self.insert_keyed(text, object, start, key.escaped)
    }

    /// Appends a member whose name is any text; see [`Tree::insert_member`].
    pub fn insert_named(&mut self, text: &mut Vec<u8>, object: NodeId, name: &str) -> NodeId {
        let start = text.len() as u32;
        encode_string(name, text);
        self.insert_keyed(text, object, start, needs_escape(name.as_bytes()))
    }

    fn insert_keyed(
        &mut self,
        text: &mut Vec<u8>,
        object: NodeId,
        key: u32,
        key_escaped: bool,
    ) -> NodeId {
        let key_end = text.len() as u32;
        let (start, end) = append_null(text);
        let flags = INSERTED | if key_escaped { KEY_ESCAPED } else { 0 };
        let head = key_head(&text[key as usize + 1..key_end as usize - 1]);
        let id = self.push(Node { flags, head, key, key_end, start, end, ..BLANK });
        self.append_child(object, id);
        id
    }

    /// Appends an element to an array, `null` until a value is set.
    pub fn push_element(&mut self, text: &mut Vec<u8>, array: NodeId) -> NodeId {
        let (start, end) = append_null(text);
        let id = self.push(Node { flags: INSERTED, start, end, ..BLANK });
        self.append_child(array, id);
        id
    }

    /// Appends `count` elements to an array, all `null`; gives the last one, `None` for a count of zero.
    ///
    /// Costs one walk over the array, whatever the count.
    pub fn push_nulls(&mut self, text: &mut Vec<u8>, array: NodeId, count: u32) -> Option<NodeId> {
        let first = (count > 0).then(|| self.push_element(text, array))?;
        let mut last = first;
        for _ in 1..count {
            let next = self.push(self.nodes[first.0 as usize]);
            self.nodes[next.0 as usize].next = NONE;
            self.nodes[last.0 as usize].next = next.0;
            last = next;
        }
        Some(last)
    }

    /// Gives a member another name, in its place; the node that now stands for it is returned.
    pub fn rename(&mut self, text: &mut Vec<u8>, id: NodeId, name: &str) -> NodeId {
        let key = text.len() as u32;
        encode_string(name, text);
        let key_end = text.len() as u32;
        let old = self.nodes[id.0 as usize];
        let kept = old.flags & !(REMOVED | KEY_ESCAPED);
        let escaped = if needs_escape(name.as_bytes()) { KEY_ESCAPED } else { 0 };
        let head = key_head(&text[key as usize + 1..key_end as usize - 1]);
        let new = self.push(Node { flags: kept | INSERTED | escaped, head, key, key_end, ..old });
        let old = &mut self.nodes[id.0 as usize];
        old.flags |= REMOVED;
        old.next = new.0;
        new
    }

    /// Copies a node and all below it; the copy is part of nothing yet and may be edited apart.
    pub fn copy_deep(&mut self, id: NodeId) -> NodeId {
        let node = self.nodes[id.0 as usize];
        let copy = self.push(Node { next: NONE, child: NONE, ..node });
        let mut from = node.child;
        let mut last = NONE;
        while from != NONE {
            let child = self.copy_deep(NodeId(from));
            if last == NONE {
                self.nodes[copy.0 as usize].child = child.0;
            } else {
                self.nodes[last as usize].next = child.0;
            }
            last = child.0;
            from = self.nodes[from as usize].next;
        }
        copy
    }

    fn append_child(&mut self, parent: NodeId, id: NodeId) {
        let mut at = self.nodes[parent.0 as usize].child;
        if at == NONE {
            self.nodes[parent.0 as usize].child = id.0;
            return;
        }
        loop {
            let next = self.nodes[at as usize].next;
            if next == NONE {
                self.nodes[at as usize].next = id.0;
                return;
            }
            at = next;
        }
    }

    #[inline(always)]
    fn push(&mut self, node: Node) -> NodeId {
        let id = self.nodes.len() as u32;
        self.nodes.push(node);
        NodeId(id)
    }
}

const BLANK: Node = Node {
    kind: NodeKind::Null,
    flags: 0,
    head: 0,
    key: NONE,
    key_end: 0,
    start: 0,
    end: 0,
    original: 0,
    gap_end: 0,
    next: NONE,
    child: NONE,
};

fn append_null(text: &mut Vec<u8>) -> (u32, u32) {
    let start = text.len() as u32;
    text.extend_from_slice(b"null");
    (start, text.len() as u32)
}
