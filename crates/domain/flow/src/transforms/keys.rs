//! What the steps share: compiled path lists, names of members in other spellings, room in the text.

use std::hash::{BuildHasher, Hasher};

use levada_condition::path::Path;
use levada_model::tree::{NodeId, NodeKind};
use levada_model::{RecordBatch, RecordError};
use levada_registry::{FieldPath, Report};

use super::{Scope, Transform, Verdict};

// --- settings ---

/// Reports what is wrong with a list of paths; `check` says what the step needs of each.
pub(crate) fn check_paths(
    fields: &[String],
    at: &FieldPath,
    report: &mut Report,
    check: impl Fn(&Path) -> Result<(), levada_condition::SyntaxError>,
) {
    let at = at.child("fields");
    if fields.is_empty() {
        report.required(&at, "at least one field is required");
    }
    for (index, field) in fields.iter().enumerate() {
        if let Err(error) = Path::compile(field).and_then(|path| check(&path)) {
            report.invalid(&at.index(index), field.as_str(), &error.to_string());
        }
    }
}

/// Compiles a path; the error is for people.
pub(crate) fn compiled(field: &str) -> Result<Path, String> {
    Path::compile(field).map_err(|error| error.to_string())
}

/// Compiles a list of paths that must be writable.
pub(crate) fn compiled_writable(fields: &[String]) -> Result<Box<[Path]>, String> {
    let paths = fields.iter().map(|field| {
        let path = compiled(field)?;
        path.check_writable().map_err(|error| error.to_string())?;
        Ok(path)
    });
    paths.collect()
}

// --- records ---

/// Makes sure that a step can append this much to the text of a batch.
pub(crate) fn room_for(batch: &RecordBatch, step: &str, bytes: usize) -> Result<(), RecordError> {
    if batch.has_room(bytes) {
        return Ok(());
    }
    Err(no_room(step))
}

#[cold]
fn no_room(step: &str) -> RecordError {
    RecordError::transform(format!(
        "{step}: the batch has no room for the result; read smaller batches"
    ))
}

/// Hashes names of members; the seed differs from process to process.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeyHasher(foldhash::fast::RandomState);

impl KeyHasher {
    /// Gives the hash of a name.
    pub(crate) fn hash(&self, name: &[u8]) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write(name);
        hasher.finish()
    }
}

// --- spelling ---

/// Appends a name in another spelling; see the steps for the rules.
pub(crate) type Spell = fn(&str, &mut String);

/// A step that spells the names of members anew and leaves values alone.
pub(crate) struct Respell {
    step: &'static str,
    spell: Spell,
    is_deep: bool,
    name: String,
    hasher: KeyHasher,
    /// Children of the containers under way, the innermost last.
    pending: Vec<NodeId>,
    /// The members of one object: hash of the name, place, node.
    names: Vec<(u64, u32, NodeId)>,
    /// Members of the record at hand that were dropped for another one.
    collisions: u64,
}

impl Respell {
    /// Makes the step.
    pub(crate) fn new(step: &'static str, spell: Spell, is_deep: bool) -> Self {
        Respell {
            step,
            spell,
            is_deep,
            name: String::new(),
            hasher: KeyHasher::default(),
            pending: Vec::new(),
            names: Vec::new(),
            collisions: 0,
        }
    }

    /// Renames below a container and tells whether anything changed.
    ///
    /// Goes as deep as the document nests, which the parser bounds.
    fn container(&mut self, batch: &mut RecordBatch, container: NodeId) -> bool {
        let mut is_changed = false;
        let first = self.pending.len();
        self.pending.extend(batch.tree.children(container));
        let last = self.pending.len();
        if self.is_deep {
            for at in first..last {
                let child = self.pending[at];
                if matches!(batch.tree.kind(child), NodeKind::Object | NodeKind::Array) {
                    is_changed |= self.container(batch, child);
                }
            }
        }
        if batch.tree.kind(container) == NodeKind::Object {
            is_changed |= self.members(batch, first, last);
        }
        self.pending.truncate(first);
        if is_changed {
            batch.tree.touch(container);
        }
        is_changed
    }

    fn members(&mut self, batch: &mut RecordBatch, first: usize, last: usize) -> bool {
        let mut is_changed = false;
        self.names.clear();
        for at in first..last {
            let member = self.pending[at];
            let Some(key) = batch.tree.key(&batch.text, member) else {
                continue;
            };
            self.name.clear();
            (self.spell)(&key, &mut self.name);
            let hash = self.hasher.hash(self.name.as_bytes());
            let node = if *key == *self.name {
                member
            } else {
                is_changed = true;
                batch.tree.rename(&mut batch.text, member, &self.name)
            };
            self.names.push((hash, at as u32, node));
        }
        if is_changed {
            self.keep_last(batch);
        }
        is_changed
    }

    /// Of members that now have the same name, keeps the last one and counts the others.
    fn keep_last(&mut self, batch: &mut RecordBatch) {
        self.names.sort_unstable_by_key(|&(hash, place, _)| (hash, place));
        for run in self.names.chunk_by(|a, b| a.0 == b.0) {
            // Different names with one hash do not occur in practice, but would be kept.
            let [earlier @ .., (_, _, last)] = run else {
                continue;
            };
            for &(_, _, node) in earlier {
                let (tree, text) = (&mut batch.tree, &batch.text);
                if tree.key(text, node) == tree.key(text, *last) {
                    tree.remove(node);
                    self.collisions += 1;
                }
            }
        }
    }
}

impl Transform for Respell {
    fn record(
        &mut self,
        batch: &mut RecordBatch,
        index: usize,
        scope: &mut Scope,
    ) -> Result<Verdict, RecordError> {
        let Some(root) = batch.document(index) else {
            return Ok(Verdict::Keep);
        };
        if batch.tree.kind(root) != NodeKind::Object && !self.is_deep {
            return Ok(Verdict::Keep);
        }
        // A letter gains at most a `_` or a byte, a name its quotes, which it has already.
        const GROWTH_MAX: usize = 3;
        let bytes = match batch.tree.span(root) {
            Some((start, end)) => (end - start) as usize,
            None => batch.text.len(),
        };
        room_for(batch, self.step, bytes.saturating_mul(GROWTH_MAX))?;
        self.pending.clear();
        self.container(batch, root);
        scope.collisions += std::mem::take(&mut self.collisions);
        Ok(Verdict::Keep)
    }
}
