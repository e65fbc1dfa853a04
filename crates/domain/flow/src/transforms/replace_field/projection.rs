//! The common case of `replaceField`: named fields become a flat object, some under another name.
//!
//! Does what the general way does, in one pass over the members of the root: each included field is a
//! member of the root that stays or gets another name, or a field further down that moves up. Whatever
//! is more (exclusions, nested results, names that meet) goes the general way.

use levada_condition::path::Path;
use levada_model::tree::{KeyBlock, KeySet, NodeId, NodeKind, ObjectBuilder};
use levada_model::{RecordBatch, RecordError};

use super::super::fields::{is_same, settable, simple, split_pair};
use super::super::{Scope, Transform, Verdict};

/// A compiled projection.
pub(super) struct Projection {
    /// Members of the root that are wanted.
    top: KeySet,
    /// Their new names, where they get one; in the order of `top`.
    names: Vec<Option<usize>>,
    /// Fields further down and the names under which they move up, in the order of the renames.
    moved: Vec<(Path, usize)>,
    /// What the names are numbers of.
    block: KeyBlock,
    /// What the record at hand has of `top`; kept to avoid allocation.
    found: Vec<(usize, NodeId)>,
    /// The places in `top` of what the record before had, in its order.
    order: Vec<usize>,
}

impl Projection {
    /// Compiles the settings when they are the common case.
    pub(super) fn new(include: &[String], renames: &[String]) -> Option<Self> {
        let included: Vec<Path> =
            include.iter().map(|field| simple(field).ok()).collect::<Option<_>>()?;
        let mut targets: Vec<Option<String>> = vec![None; included.len()];
        let mut order = Vec::new();
        for rename in renames {
            let (old, new) = split_pair(rename)?;
            let (old, new) = (simple(&old).ok()?, settable(&new).ok()?);
            let at = included.iter().position(|path| is_same(path, &old))?;
            let [name] = new.keys()?[..] else { return None };
            if targets[at].replace(name.to_owned()).is_some() {
                return None;
            }
            order.push(at);
        }
        let keys_of: Vec<Vec<&str>> = included.iter().map(Path::keys).collect::<Option<_>>()?;
        if keys_of.iter().any(Vec::is_empty) {
            return None;
        }
        // One path inside another would show a value twice, and names that meet need an order.
        let overlaps =
            |one: &Path| included.iter().filter(|other| one.is_prefix_of(other)).count() > 1;
        if renames.is_empty() || included.is_empty() || included.iter().any(overlaps) {
            return None;
        }
        let mut outputs: Vec<&str> = Vec::new();
        for (keys, target) in keys_of.iter().zip(&targets) {
            let output = match (keys.as_slice(), target) {
                (_, Some(name)) => name.as_str(),
                ([name], None) => *name,
                _ => return None,
            };
            // A new name that is also the first key of another included path would be in its way.
            let mut others = keys_of.iter().filter(|other| !std::ptr::eq(*other, keys));
            if outputs.contains(&output) || others.any(|other| other[0] == output) {
                return None;
            }
            outputs.push(output);
        }
        let mut top = Vec::new();
        let mut names = Vec::new();
        let mut block = KeyBlock::default();
        for (keys, target) in keys_of.iter().zip(&targets) {
            if let [name] = keys[..] {
                top.push(name);
                names.push(target.as_deref().map(|name| block.push(name)));
            }
        }
        let moved = order
            .into_iter()
            .filter(|&at| keys_of[at].len() > 1)
            .filter_map(|at| Some((included[at].clone(), block.push(targets[at].as_deref()?))))
            .collect();
        Some(Projection {
            top: KeySet::new(top),
            names,
            moved,
            block,
            found: Vec::new(),
            order: Vec::new(),
        })
    }
}

impl Transform for Projection {
    fn record(
        &mut self,
        batch: &mut RecordBatch,
        index: usize,
        _: &mut Scope,
    ) -> Result<Verdict, RecordError> {
        let root = batch.document(index);
        let Some(root) = root.filter(|root| batch.tree.kind(*root) == NodeKind::Object) else {
            return Ok(Verdict::Keep);
        };
        self.found.clear();
        let mut seen = 0u64;
        for member in batch.tree.children(root) {
            let guess = self.order.get(self.found.len()).copied().unwrap_or(usize::MAX);
            if let Some(place) = self.top.find_from(&batch.text, &batch.tree, member, guess) {
                if place != guess {
                    self.order.truncate(self.found.len());
                    self.order.push(place);
                }
                let bit = 1 << (place & 63);
                if seen & bit != 0 {
                    // Of duplicate keys the last one counts, at its own place.
                    self.found.retain(|(known, _)| *known != place);
                }
                seen |= bit;
                self.found.push((place, member));
            }
        }
        let names = self.block.place(&mut batch.text);
        let mut builder = ObjectBuilder::new(&mut batch.tree);
        for &(place, member) in &self.found {
            match self.names[place] {
                Some(name) => {
                    builder.add(&mut batch.tree, self.block.key(name, names), member);
                }
                None => {
                    builder.keep(&mut batch.tree, member);
                }
            }
        }
        for (path, name) in &self.moved {
            if let Some(node) = path.find_node(&batch.text, &batch.tree, root) {
                builder.add(&mut batch.tree, self.block.key(*name, names), node);
            }
        }
        batch.set_root(index, builder.finish());
        Ok(Verdict::Keep)
    }
}
