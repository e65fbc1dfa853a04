//! What steps that change single fields share: compiled paths, and changes that are made whole or not at all.

use levada_condition::error::{SyntaxError, WriteError};
use levada_condition::path::Path;
use levada_model::tree::{NodeId, NodeKind, Tree};
use levada_model::{Record, RecordBatch, RecordError, Root};
use levada_registry::{FieldPath, Report};

use super::Scope;

/// Compiles a path whose existing values are changed or taken out.
pub(super) fn writable(text: &str) -> Result<Path, SyntaxError> {
    let path = Path::compile(text)?;
    path.check_writable()?;
    Ok(path)
}

/// Compiles a path where a value may have to be made.
pub(super) fn settable(text: &str) -> Result<Path, SyntaxError> {
    let path = Path::compile(text)?;
    path.check_settable()?;
    Ok(path)
}

/// Compiles a path that addresses one place: keys and indexes, `-1` not among them.
pub(super) fn simple(text: &str) -> Result<Path, String> {
    let path = settable(text).map_err(|error| error.to_string())?;
    if !path.is_simple() {
        return Err(format!("path `{text}`: `-1` addresses no existing value"));
    }
    Ok(path)
}

/// Reports why a path cannot be used.
pub(super) fn report_path<E: ToString>(
    compiled: &Result<Path, E>,
    at: &FieldPath,
    written: &str,
    report: &mut Report,
) {
    if let Err(error) = compiled {
        report.invalid(at, written, &error.to_string());
    }
}

/// Tells whether two paths address the same place.
pub(super) fn is_same(one: &Path, other: &Path) -> bool {
    one.is_prefix_of(other) && other.is_prefix_of(one)
}

/// Gives the places above a path of keys and indexes, from the top down, without the document itself.
pub(super) fn parents(path: &Path) -> Vec<Path> {
    let text = path.to_string();
    let cuts = text.bytes().enumerate().filter(|(_, byte)| matches!(byte, b'.' | b'['));
    let mut parents: Vec<Path> = Vec::new();
    for (cut, _) in cuts {
        // A dot inside a quoted or escaped key cuts where no path ends, or where another one does.
        let Ok(parent) = Path::compile(&text[..cut]) else {
            continue;
        };
        let is_above = parent.is_prefix_of(path) && !path.is_prefix_of(&parent);
        let is_new = !parents.last().is_some_and(|last| is_same(last, &parent));
        if is_above && is_new && !parent.is_root() {
            parents.push(parent);
        }
    }
    parents
}

/// Splits `left:right` at the first colon that no backslash precedes, and takes the backslash off the others.
///
/// `None` when there is no such colon or a side is blank.
pub(super) fn split_pair(text: &str) -> Option<(String, String)> {
    let mut sides = (String::new(), None::<String>);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character == ':' && sides.1.is_none() {
            sides.1 = Some(String::new());
            continue;
        }
        let side = sides.1.as_mut().unwrap_or(&mut sides.0);
        if character != '\\' {
            side.push(character);
            continue;
        }
        match characters.next() {
            Some(':') => side.push(':'),
            // An escape of the path language: both characters are the path's.
            Some(other) => side.extend(['\\', other]),
            None => side.push('\\'),
        }
    }
    let (left, right) = (sides.0.trim().to_owned(), sides.1?.trim().to_owned());
    (!left.is_empty() && !right.is_empty()).then_some((left, right))
}

/// Makes the error of a value that has no place where a path points.
pub(super) fn write_error(step: &str, error: &WriteError) -> RecordError {
    RecordError::transform(format!("{step}: {error}"))
}

/// Checks that a batch can take this many bytes more.
///
/// Offsets in a batch have 32 bits; a step that adds much to every record of a large batch may reach them.
pub(super) fn check_room(batch: &RecordBatch, bytes: usize, step: &str) -> Result<(), RecordError> {
    if batch.has_room(bytes) {
        return Ok(());
    }
    Err(RecordError::transform(format!("{step}: the batch has no room for {bytes} bytes more")))
}

/// What a record was before a step that may fail when it is half done.
pub(super) struct Undo(Record);

// === impl Undo ===

impl Undo {
    /// Keeps a record. Only one that earlier steps changed is copied; another is still in its text.
    pub(super) fn new(batch: &mut RecordBatch, index: usize) -> Self {
        let mut record = batch.records[index];
        if let Root::Node(root) = record.root {
            record.root = match batch.tree.is_dirty(root) {
                true => Root::Node(batch.tree.copy_deep(root)),
                false => Root::Unparsed,
            };
        }
        Undo(record)
    }

    /// Makes the record what it was.
    pub(super) fn restore(self, batch: &mut RecordBatch, index: usize) {
        batch.records[index] = self.0;
    }
}

/// A scalar that takes the place of a value: its kind, and whether its text holds a backslash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scalar {
    pub(super) kind: NodeKind,
    pub(super) escaped: bool,
}

impl Scalar {
    /// Makes a scalar without escapes.
    pub(super) fn plain(kind: NodeKind) -> Self {
        Scalar { kind, escaped: false }
    }

    /// Makes `text[start..end]` the value of a node.
    pub(super) fn set(self, batch: &mut RecordBatch, node: NodeId, start: usize, end: usize) {
        batch.tree.set_scalar(node, self.kind, start as u32, end as u32, self.escaped);
    }
}

/// What becomes of the value of a field.
pub(super) trait ScalarRule {
    /// Appends the new scalar to `out`, which may hold other things before; `None` leaves the value alone.
    ///
    /// Errors: why there is none.
    fn convert(
        &self,
        path: &Path,
        text: &[u8],
        tree: &Tree,
        node: NodeId,
        out: &mut Vec<u8>,
    ) -> Result<Option<Scalar>, RecordError>;
}

/// Replaces the values of fields by scalars: all of a record, or none when one fails.
pub(super) struct ScalarEditor<T> {
    fields: Vec<(Path, T)>,
    /// Some fields may lie inside others, so one change must be seen by the next.
    is_sequential: bool,
    pending: Vec<Pending>,
    nodes: Vec<NodeId>,
}

/// A change that is known but not made: the field's index and where its new text stands.
struct Pending {
    field: usize,
    scalar: Scalar,
    start: usize,
    end: usize,
}

// === impl ScalarEditor ===

impl<T: ScalarRule> ScalarEditor<T> {
    /// Makes an editor of these fields; they are handled in this order.
    pub(super) fn new(fields: Vec<(Path, T)>) -> Self {
        let overlaps = fields.iter().enumerate().any(|(at, (path, _))| {
            let others = fields.iter().enumerate().filter(|(other, _)| *other != at);
            others.map(|(_, (other, _))| other).any(|other| path.is_prefix_of(other))
        });
        let is_sequential = overlaps || fields.iter().any(|(path, _)| !path.is_plain());
        ScalarEditor { fields, is_sequential, pending: Vec::new(), nodes: Vec::new() }
    }

    /// Applies the rules to every field that exists; a payload that is not JSON stays as it is.
    ///
    /// Errors: the first that a rule gives; the record is then as before.
    pub(super) fn run(
        &mut self,
        batch: &mut RecordBatch,
        index: usize,
        scope: &mut Scope,
    ) -> Result<(), RecordError> {
        let Some(root) = batch.document(index) else {
            return Ok(());
        };
        if !self.is_sequential {
            return self.run_at_once(batch, root, scope);
        }
        let undo = Undo::new(batch, index);
        let outcome = self.run_in_turn(batch, root, scope);
        if outcome.is_err() {
            undo.restore(batch, index);
        }
        outcome
    }

    /// Converts everything first and changes the record once nothing can fail any more.
    fn run_at_once(
        &mut self,
        batch: &mut RecordBatch,
        root: NodeId,
        scope: &mut Scope,
    ) -> Result<(), RecordError> {
        let out = &mut scope.scratch;
        out.clear();
        self.pending.clear();
        for (field, (path, rule)) in self.fields.iter().enumerate() {
            let Some(node) = path.find_node(&batch.text, &batch.tree, root) else {
                continue;
            };
            let start = out.len();
            if let Some(scalar) = rule.convert(path, &batch.text, &batch.tree, node, out)? {
                self.pending.push(Pending { field, scalar, start, end: out.len() });
            }
        }
        let base = batch.text.len();
        batch.text.extend_from_slice(out);
        for &Pending { field, scalar, start, end } in &self.pending {
            self.nodes.clear();
            let (path, _) = &self.fields[field];
            path.existing(&batch.text, &mut batch.tree, root, &mut self.nodes);
            for &node in &self.nodes {
                scalar.set(batch, node, base + start, base + end);
            }
        }
        Ok(())
    }

    /// Changes field after field.
    fn run_in_turn(
        &mut self,
        batch: &mut RecordBatch,
        root: NodeId,
        scope: &mut Scope,
    ) -> Result<(), RecordError> {
        let out = &mut scope.scratch;
        for (path, rule) in &self.fields {
            self.nodes.clear();
            path.existing(&batch.text, &mut batch.tree, root, &mut self.nodes);
            for &node in &self.nodes {
                out.clear();
                if let Some(scalar) = rule.convert(path, &batch.text, &batch.tree, node, out)? {
                    let start = batch.text.len();
                    batch.text.extend_from_slice(out);
                    scalar.set(batch, node, start, batch.text.len());
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn pairs_are_split_at_the_first_bare_colon() {
        let check = |text: &str, expected: Option<(&str, &str)>| {
            let expected = expected.map(|(left, right)| (left.to_owned(), right.to_owned()));
            assert_eq!(split_pair(text), expected, "{text}");
        };
        check("a:b", Some(("a", "b")));
        check(" a : b.c ", Some(("a", "b.c")));
        check(r"a\:b:c", Some(("a:b", "c")));
        check(r"a:b\:c", Some(("a", "b:c")));
        check("a:b:c", Some(("a", "b:c")));
        check(r"a\.b:c", Some((r"a\.b", "c")));
        check(r"a\\:b", Some((r"a\\", "b")));
        check("ключ:значение", Some(("ключ", "значение")));
        check("ab", None);
        check(":b", None);
        check("a: ", None);
        check(r"a\:b", None);
        check("", None);
    }

    #[test]
    fn parents_are_the_places_above() {
        let check = |text: &str, expected: &[&str]| {
            let parents = parents(&Path::compile(text).unwrap());
            assert_eq!(parents.iter().map(Path::to_string).collect::<Vec<_>>(), expected, "{text}");
        };
        check("a", &[]);
        check("$.a", &[]);
        check("a.b.c", &["a", "a.b"]);
        check("$.a.b", &["$.a"]);
        check(r"a\.b.c", &[r"a\.b"]);
        check("a[0].b", &["a", "a[0]"]);
        check("$['x.y']['z'].b", &["$['x.y']", "$['x.y']['z']"]);
        check("ä.ö", &["ä"]);
    }
}
