//! Writing: the nodes to change, with everything above them marked as changed.

use levada_model::tree::{NodeId, NodeKind, Tree};

use super::find::Found;
use super::{Index, PAD_MAX, Path, Step};
use crate::error::{SyntaxError, WriteError};

// === impl Path (writing) ===

impl Path {
    /// Checks that [`Path::existing`] and [`Path::remove`] can do something with this path.
    ///
    /// Errors: the path ends in `#`, has modifiers or pipes, or is the whole document.
    pub fn check_writable(&self) -> Result<(), SyntaxError> {
        let problem = self.steps.iter().find_map(|step| match step {
            Step::Length => Some("`#` is a length and cannot be written; write `#.key` for a member of every element"),
            Step::Modifier(_) => Some("a modifier gives a new value, which cannot be written"),
            Step::Pipe => Some("what follows `|` is a new value, which cannot be written"),
            _ => None,
        });
        match problem {
            _ if self.is_root() => Err(self.whole("the whole document cannot be written")),
            Some(message) => Err(self.whole(message)),
            None => Ok(()),
        }
    }

    /// Checks that [`Path::ensure`] can make what this path addresses: only keys and indexes.
    pub fn check_settable(&self) -> Result<(), SyntaxError> {
        self.check_writable()?;
        if !self.is_plain {
            return Err(self.whole("only keys and indexes say where a new value goes"));
        }
        Ok(())
    }

    fn whole(&self, message: &str) -> SyntaxError {
        SyntaxError::new(&self.text, 0, format!("path `{self}`: {message}"))
    }

    /// Appends every existing node that the path addresses to `out`, in document order.
    ///
    /// What stands above them is marked as changed. Of duplicate keys on the way the last one stays
    /// and the others are removed, so that no reader sees a value that was not written.
    pub fn existing(&self, text: &[u8], tree: &mut Tree, root: NodeId, out: &mut Vec<NodeId>) {
        if self.is_root() {
            out.push(root);
            return;
        }
        collect(&self.steps, text, tree, root, Purpose::Write, out);
    }

    /// Takes out every existing node that the path addresses; gives how many.
    ///
    /// The whole document cannot be taken out: 0.
    pub fn remove(&self, text: &[u8], tree: &mut Tree, root: NodeId) -> usize {
        if self.is_root() {
            return 0;
        }
        if !self.is_plain {
            let mut nodes = Vec::new();
            collect(&self.steps, text, tree, root, Purpose::Remove, &mut nodes);
            for &node in &nodes {
                tree.remove(node);
            }
            return nodes.len();
        }
        let mut one = None;
        collect(&self.steps, text, tree, root, Purpose::Remove, &mut one);
        match one {
            Some(node) => {
                tree.remove(node);
                1
            }
            None => 0,
        }
    }

    /// Gives the node to set: the existing one, or a new `null` with all the parents it needs.
    ///
    /// A missing parent becomes an object, or an array when an index follows; so does a parent that is
    /// neither. Writing beyond the end of an array fills it with `null`; `-1` appends.
    /// Errors: the path cannot be made in this document, which is then as it was.
    pub fn ensure(
        &self,
        text: &mut Vec<u8>,
        tree: &mut Tree,
        root: NodeId,
    ) -> Result<NodeId, WriteError> {
        if !self.is_plain || self.is_root() {
            return Err(WriteError::Complex { path: self.to_string() });
        }
        self.check_room(text, tree, root)?;
        let mut node = root;
        for step in &self.steps {
            let Step::Key { name, index } = step else {
                continue;
            };
            if !is_container(tree, node) {
                let kind = match index {
                    Index::None => NodeKind::Object,
                    _ => NodeKind::Array,
                };
                tree.set_container(node, kind);
            }
            tree.touch(node);
            node = match (tree.kind(node), index) {
                (NodeKind::Object, _) => match keep_last(text, tree, node, name).0 {
                    Some(member) => member,
                    None => tree.insert_named(text, node, name),
                },
                (_, Index::At(index)) => match tree.element(node, *index as usize) {
                    Some(element) => element,
                    None => {
                        let missing = *index as usize + 1 - tree.children(node).count();
                        match tree.push_nulls(text, node, missing as u32) {
                            Some(element) => element,
                            None => tree.push_element(text, node),
                        }
                    }
                },
                _ => tree.push_element(text, node),
            };
        }
        Ok(node)
    }

    /// Walks as [`Path::ensure`] will, and finds what would stop it.
    fn check_room(&self, text: &[u8], tree: &Tree, root: NodeId) -> Result<(), WriteError> {
        let mut node = Some(root);
        for step in &self.steps {
            let Step::Key { name, index } = step else {
                continue;
            };
            let existing = node.filter(|&node| is_container(tree, node));
            let is_object = existing.is_some_and(|node| tree.kind(node) == NodeKind::Object);
            match index {
                _ if is_object => {}
                Index::None if existing.is_some() => {
                    let (key, path) = (name.to_string(), self.to_string());
                    return Err(WriteError::NotAnIndex { key, path });
                }
                Index::At(index) => {
                    let len = existing.map_or(0, |array| tree.children(array).count());
                    if *index as usize > len + PAD_MAX {
                        let (index, path) = (*index, self.to_string());
                        return Err(WriteError::TooFar { index, len, path });
                    }
                }
                _ => {}
            }
            node = existing.and_then(|node| super::child(text, tree, node, name, *index));
        }
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Write,
    Remove,
}

/// Where found nodes go: a list, or room for the only one.
trait Nodes {
    fn add(&mut self, node: NodeId);
}

impl Nodes for Vec<NodeId> {
    fn add(&mut self, node: NodeId) {
        self.push(node);
    }
}

impl Nodes for Option<NodeId> {
    fn add(&mut self, node: NodeId) {
        *self = Some(node);
    }
}

/// Collects what the steps address below a node; tells whether the node has to be printed anew.
///
/// Goes one level deeper per step, so at most `STEPS_MAX` levels.
fn collect(
    steps: &[Step],
    text: &[u8],
    tree: &mut Tree,
    node: NodeId,
    purpose: Purpose,
    out: &mut impl Nodes,
) -> bool {
    let Some((step, rest)) = steps.split_first() else {
        out.add(node);
        return true;
    };
    let is_changed = match (step, tree.kind(node)) {
        (Step::Key { name, .. }, NodeKind::Object) => {
            let (member, is_cleaned) = keep_last(text, tree, node, name);
            let is_found =
                member.is_some_and(|member| collect(rest, text, tree, member, purpose, out));
            is_found || is_cleaned
        }
        (Step::Each, NodeKind::Object) => {
            let (member, is_cleaned) = keep_last(text, tree, node, "#");
            let is_found =
                member.is_some_and(|member| collect(rest, text, tree, member, purpose, out));
            is_found || is_cleaned
        }
        (Step::Key { index: Index::At(index), .. }, NodeKind::Array) => {
            let element = tree.element(node, *index as usize);
            element.is_some_and(|element| collect(rest, text, tree, element, purpose, out))
        }
        (Step::Key { index: Index::End, .. }, NodeKind::Array)
            if purpose == Purpose::Remove && rest.is_empty() =>
        {
            let last = tree.children(node).last();
            last.is_some_and(|last| collect(rest, text, tree, last, purpose, out))
        }
        (Step::Glob(_), NodeKind::Object)
        | (Step::Each | Step::First(_) | Step::All(_), NodeKind::Array) => {
            let mut is_found = false;
            for child in matching(step, text, tree, node) {
                is_found |= collect(rest, text, tree, child, purpose, out);
            }
            is_found
        }
        _ => false,
    };
    if is_changed {
        tree.touch(node);
    }
    is_changed
}

/// Gives the children that a step of many means. Duplicate keys are all among them, so none is left over.
fn matching(step: &Step, text: &[u8], tree: &Tree, node: NodeId) -> Vec<NodeId> {
    let children = tree.children(node);
    match step {
        Step::Glob(glob) => children
            .filter(|&member| {
                let key = tree.key(text, member);
                key.is_some_and(|key| glob.matches(key.as_bytes()))
            })
            .collect(),
        Step::First(query) | Step::All(query) => {
            let limit = if matches!(step, Step::First(_)) { 1 } else { usize::MAX };
            children
                .filter(|&element| query.fits(text, tree, &Found::Node(element)))
                .take(limit)
                .collect()
        }
        _ => children.collect(),
    }
}

/// Gives the last member of that name and removes the earlier ones; tells whether there were any.
fn keep_last(text: &[u8], tree: &mut Tree, object: NodeId, name: &str) -> (Option<NodeId>, bool) {
    tree.keep_last(text, object, name.as_bytes())
}

fn is_container(tree: &Tree, node: NodeId) -> bool {
    matches!(tree.kind(node), NodeKind::Array | NodeKind::Object)
}
