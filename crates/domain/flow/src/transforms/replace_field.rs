//! `replaceField`: keeps, leaves out and renames fields.
//!
//! First `include` or `exclude`, then `renames`. Nothing is copied: what is not wanted is taken out where
//! it stands, so everything else keeps its bytes, its order and its nesting. Only a record that a
//! rename may refuse half way, and that an earlier step changed, is copied before.

use levada_condition::path::Path;
use levada_model::tree::{NodeId, NodeKind, Tree};
use levada_model::{RecordBatch, RecordError};
use levada_registry::{FieldPath, Report};
use schemars::JsonSchema;
use serde::Deserialize;

use super::fields::{
    Scalar, Undo, is_same, parents, report_path, settable, simple, split_pair, writable,
    write_error,
};
use super::{Scope, Transform, TransformContext, TransformSpec, Verdict};

/// Keeps, leaves out and renames fields of JSON objects, in this order.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Spec {
    /// What gets another name or place: `oldPath:newPath`, one after the other. A colon in a path is
    /// written `\:`. Missing fields are skipped, missing parents are made, and a field that is in the way
    /// is replaced.
    pub renames: Vec<String>,
    /// Paths to keep, with their nesting; everything else is left out. Not together with `exclude`.
    pub include: Vec<String>,
    /// Paths to leave out. Not together with `include`.
    pub exclude: Vec<String>,
}

const BAD_RENAME: &str = "rename must be in oldPath:newPath format";

impl TransformSpec for Spec {
    const NAME: &'static str = "replaceField";
    const SUMMARY: &'static str = "keeps, leaves out and renames fields";
    const EXAMPLE: &'static str = "\
type: replaceField
config:
  include: [id, user.email, ts]
  renames:
    - user.email:email
    - ts:created_at
";

    fn check(&self, at: &FieldPath, report: &mut Report) {
        if self.renames.is_empty() && self.include.is_empty() && self.exclude.is_empty() {
            report.required(at, "at least one of renames, include or exclude is required");
        }
        if !self.include.is_empty() && !self.exclude.is_empty() {
            report.forbidden(&at.child("exclude"), "include and exclude are mutually exclusive");
        }
        for (index, field) in self.include.iter().enumerate() {
            report_path(&simple(field), &at.child("include").index(index), field, report);
        }
        for (index, field) in self.exclude.iter().enumerate() {
            report_path(&writable(field), &at.child("exclude").index(index), field, report);
        }
        for (index, rename) in self.renames.iter().enumerate() {
            let at = at.child("renames").index(index);
            match split_pair(rename) {
                None => report.invalid(&at, rename.as_str(), BAD_RENAME),
                Some((old, new)) => {
                    report_path(&simple(&old), &at, rename, report);
                    report_path(&settable(&new), &at, rename, report);
                }
            }
        }
    }

    fn build(&self, _: &TransformContext) -> Result<Box<dyn Transform>, String> {
        let mut renames = Vec::new();
        for rename in &self.renames {
            let (old, new) = split_pair(rename).ok_or(BAD_RENAME)?;
            let new = settable(&new).map_err(|error| error.to_string())?;
            renames.extend(Rename::new(simple(&old)?, new));
        }
        let exclude = self.exclude.iter().map(|field| {
            let path = writable(field).map_err(|error| error.to_string())?;
            Ok(Removal::new(path))
        });
        if self.exclude.is_empty()
            && let Some(projection) = Projection::new(&self.include, &self.renames)
        {
            return Ok(Box::new(projection));
        }
        Ok(Box::new(ReplaceField {
            include: (!self.include.is_empty())
                .then(|| Selection::new(&self.include))
                .transpose()?,
            exclude: exclude.collect::<Result<_, String>>()?,
            needs_undo: renames.iter().any(Rename::may_fail),
            renames,
            scratch: Scratch::default(),
        }))
    }
}

mod projection;

use projection::Projection;

struct ReplaceField {
    include: Option<Selection>,
    exclude: Vec<Removal>,
    renames: Vec<Rename>,
    /// A rename may be refused after something was changed.
    needs_undo: bool,
    scratch: Scratch,
}

/// Lists of nodes at work, used as stacks; kept to avoid allocation.
#[derive(Default)]
struct Scratch {
    wanted: Vec<Option<NodeId>>,
    children: Vec<NodeId>,
}

impl Transform for ReplaceField {
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
        let undo = self.needs_undo.then(|| Undo::new(batch, index));
        if let Some(include) = &self.include {
            include.prune(batch, root, &mut self.scratch);
        }
        for removal in &self.exclude {
            if removal.path.remove(&batch.text, &mut batch.tree, root) > 0 {
                removal.prune(batch, root);
            }
        }
        for rename in &self.renames {
            if let Err(error) = rename.apply(batch, root, &mut self.scratch) {
                if let Some(undo) = undo {
                    undo.restore(batch, index);
                }
                return Err(error);
            }
        }
        Ok(Verdict::Keep)
    }
}

// === impl Selection ===

/// The paths to keep, as a tree: one step per node.
#[derive(Default)]
struct Selection {
    /// A path of one step; the root has none.
    step: Option<Path>,
    /// The value is wanted with all that is in it.
    is_whole: bool,
    below: Vec<Selection>,
}

impl Selection {
    fn new(paths: &[String]) -> Result<Selection, String> {
        let mut root = Selection::default();
        for written in paths {
            let path = simple(written)?;
            let mut at = &mut root;
            for step in steps(&path)? {
                at = at.child(step);
            }
            at.is_whole = true;
        }
        Ok(root)
    }

    fn child(&mut self, step: Path) -> &mut Selection {
        let is_step =
            |child: &Selection| child.step.as_ref().is_some_and(|own| is_same(own, &step));
        let at = match self.below.iter().position(is_step) {
            Some(at) => at,
            None => {
                self.below.push(Selection { step: Some(step), ..Selection::default() });
                self.below.len() - 1
            }
        };
        &mut self.below[at]
    }

    /// Takes everything out of a value that is not selected; tells whether something is left.
    ///
    /// Goes as deep as the longest path.
    fn prune(&self, batch: &mut RecordBatch, node: NodeId, scratch: &mut Scratch) -> bool {
        if self.is_whole {
            return true;
        }
        let kind = batch.tree.kind(node);
        if !matches!(kind, NodeKind::Object | NodeKind::Array) {
            return false;
        }
        let (first_wanted, first_child) = (scratch.wanted.len(), scratch.children.len());
        for child in &self.below {
            let find = |step: &Path| step.find_node(&batch.text, &batch.tree, node);
            scratch.wanted.push(child.step.as_ref().and_then(find));
        }
        scratch.children.extend(batch.tree.children(node));
        // An element keeps its index, so those before it cannot go.
        let mut until = first_child;
        let mut is_changed = false;
        for at in first_child..scratch.children.len() {
            let child = scratch.children[at];
            let wanted = scratch.wanted[first_wanted..].iter().position(|one| *one == Some(child));
            let is_kept = wanted.is_some_and(|wanted| {
                let is_kept = self.below[wanted].prune(batch, child, scratch);
                is_changed |= batch.tree.is_dirty(child);
                is_kept
            });
            if is_kept {
                until = at + 1;
            } else if kind == NodeKind::Object {
                batch.tree.remove(child);
                is_changed = true;
            } else {
                // Decided below, once it is known what follows.
                scratch.wanted[first_wanted..].iter_mut().for_each(|one| {
                    if *one == Some(child) {
                        *one = None;
                    }
                });
            }
        }
        if kind == NodeKind::Array {
            for at in first_child..scratch.children.len() {
                let child = scratch.children[at];
                if at >= until {
                    batch.tree.remove(child);
                    is_changed = true;
                } else if !scratch.wanted[first_wanted..].contains(&Some(child)) {
                    set_null(batch, child);
                    is_changed = true;
                }
            }
        }
        scratch.wanted.truncate(first_wanted);
        scratch.children.truncate(first_child);
        if is_changed {
            batch.tree.touch(node);
        }
        until > first_child
    }
}

/// Cuts a path into paths of one step.
fn steps(path: &Path) -> Result<Vec<Path>, String> {
    let text = path.to_string();
    let mut from = match text.as_bytes() {
        [b'$', b'.', ..] => 2,
        [b'$', b'[', ..] => 1,
        _ => 0,
    };
    let ends = parents(path).iter().map(|parent| parent.to_string().len()).collect::<Vec<_>>();
    let mut steps = Vec::new();
    for end in ends.into_iter().chain([text.len()]) {
        let step = text[from..end].strip_prefix('.').unwrap_or(&text[from..end]);
        // Only at the start of a path is a dollar sign more than a letter.
        let step = if step.starts_with('$') { format!("\\{step}") } else { step.to_owned() };
        steps.push(Path::compile(&step).map_err(|error| error.to_string())?);
        from = end;
    }
    Ok(steps)
}

fn set_null(batch: &mut RecordBatch, node: NodeId) {
    let start = batch.text.len();
    batch.text.extend_from_slice(b"null");
    Scalar::plain(NodeKind::Null).set(batch, node, start, start + 4);
}

// === impl Removal ===

/// A path to leave out, and the places above it, which may become empty.
struct Removal {
    path: Path,
    /// From the innermost to the outermost.
    above: Vec<Path>,
}

impl Removal {
    fn new(path: Path) -> Self {
        let mut above = if path.is_plain() { parents(&path) } else { Vec::new() };
        above.reverse();
        Removal { path, above }
    }

    /// Takes out the objects above that have become empty. An element of an array stays, so that the others keep their indexes.
    fn prune(&self, batch: &mut RecordBatch, root: NodeId) {
        for (at, parent) in self.above.iter().enumerate() {
            let find = |path: &Path, tree: &Tree| path.find_node(&batch.text, tree, root);
            let Some(node) = find(parent, &batch.tree) else {
                return;
            };
            let is_empty = batch.tree.kind(node) == NodeKind::Object
                && batch.tree.children(node).next().is_none();
            let holder = match self.above.get(at + 1) {
                Some(holder) => find(holder, &batch.tree),
                None => Some(root),
            };
            let is_member =
                holder.is_some_and(|holder| batch.tree.kind(holder) == NodeKind::Object);
            if !is_empty || !is_member {
                return;
            }
            parent.remove(&batch.text, &mut batch.tree, root);
        }
    }
}

// === impl Rename ===

struct Rename {
    old: Removal,
    new: Path,
    /// The place above both, when only the name changes.
    holder: Option<Option<Path>>,
    /// The new path has one step, which on an object is always possible.
    is_top: bool,
}

impl Rename {
    /// `None` when both are the same.
    fn new(old: Path, new: Path) -> Option<Self> {
        if is_same(&old, &new) {
            return None;
        }
        let (mut above_old, mut above_new) = (parents(&old), parents(&new));
        let is_top = above_new.is_empty();
        let holder = match (above_old.pop(), above_new.pop()) {
            (None, None) => Some(None),
            (Some(one), Some(other)) if is_same(&one, &other) => Some(Some(one)),
            _ => None,
        };
        Some(Rename { old: Removal::new(old), new, holder, is_top })
    }

    fn may_fail(&self) -> bool {
        !self.is_top
    }

    fn apply(
        &self,
        batch: &mut RecordBatch,
        root: NodeId,
        scratch: &mut Scratch,
    ) -> Result<(), RecordError> {
        let Some(node) = self.old.path.find_node(&batch.text, &batch.tree, root) else {
            return Ok(());
        };
        if self.rename_in_place(batch, root, node, scratch) {
            return Ok(());
        }
        self.old.path.remove(&batch.text, &mut batch.tree, root);
        self.old.prune(batch, root);
        let target = self
            .new
            .ensure(&mut batch.text, &mut batch.tree, root)
            .map_err(|error| write_error(Spec::NAME, &error))?;
        // Its old place is gone, so the value stands in the document once.
        batch.tree.set_node(target, node);
        Ok(())
    }

    /// Gives a member another name where it stands, when nothing else is called so.
    fn rename_in_place(
        &self,
        batch: &mut RecordBatch,
        root: NodeId,
        node: NodeId,
        scratch: &mut Scratch,
    ) -> bool {
        let Some(holder) = &self.holder else {
            return false;
        };
        let holder = match holder {
            None => Some(root),
            Some(path) => path.find_node(&batch.text, &batch.tree, root),
        };
        let is_object = |holder: &NodeId| batch.tree.kind(*holder) == NodeKind::Object;
        let Some(holder) = holder.filter(is_object) else {
            return false;
        };
        let name = self.new.last_key();
        if batch.tree.member(&batch.text, holder, name.as_bytes()).is_some() {
            return false;
        }
        // Marks what stands above as changed, and removes other members of the old name.
        scratch.children.clear();
        self.old.path.existing(&batch.text, &mut batch.tree, root, &mut scratch.children);
        scratch.children.clear();
        batch.tree.rename(&mut batch.text, node, name);
        true
    }
}

#[cfg(test)]
mod tests;
