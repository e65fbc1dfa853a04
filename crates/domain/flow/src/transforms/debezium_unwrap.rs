//! `debeziumUnwrap`: turns change events into rows.
//!
//! ```text
//! {"payload":{"op":"u","before":{…},"after":{"id":1,…},"source":{…}}}   →   {"id":1,…}
//! ```
//! The row is a part of the event and is not copied. What kind of change it was goes to the metadata.

use levada_model::tree::{EncodedKey, NodeId, NodeKind, Tree};
use levada_model::{Meta, RecordBatch, RecordError, Str, Value};
use levada_registry::{FieldPath, Report};
use schemars::JsonSchema;
use serde::Deserialize;

use super::fields::{Scalar, check_room};
use super::{Scope, Transform, TransformContext, TransformSpec, Verdict};

/// Turns Debezium's change events into rows; other JSON objects pass as they are.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Spec {
    /// Makes a delete of a tombstone (a message without data), its row taken from the message key.
    /// Otherwise tombstones are dropped.
    pub infer_delete_from_tombstone: bool,
    /// Copies every field of `payload.source` into the metadata, as `source_<field>`.
    pub include_source_in_metadata: bool,
    /// What a row read by a snapshot counts as: `insert` or `update`.
    pub snapshot_operation: String,
    /// Adds `__op` (`c`, `u`, `d` or `r`) and `__deleted` (`"true"` or `"false"`) to the row.
    pub add_operation_fields: bool,
    /// Fields of `payload.source` to add to the row, as `source_<field>`.
    pub add_source_fields: Vec<String>,
}

impl Default for Spec {
    fn default() -> Self {
        Spec {
            infer_delete_from_tombstone: false,
            include_source_in_metadata: false,
            snapshot_operation: INSERT.into(),
            add_operation_fields: false,
            add_source_fields: Vec::new(),
        }
    }
}

const INSERT: &str = "insert";
const UPDATE: &str = "update";
const DELETE: &str = "delete";

impl TransformSpec for Spec {
    const NAME: &'static str = "debeziumUnwrap";
    const SUMMARY: &'static str = "turns Debezium's change events into rows";
    const EXAMPLE: &'static str = "\
type: debeziumUnwrap
config:
  inferDeleteFromTombstone: true
  addOperationFields: true
  addSourceFields: [table, lsn]
";

    fn check(&self, at: &FieldPath, report: &mut Report) {
        if ![INSERT, UPDATE].contains(&self.snapshot_operation.as_str()) {
            let at = at.child("snapshotOperation");
            report.unsupported(&at, &self.snapshot_operation, [INSERT, UPDATE]);
        }
        for (index, field) in self.add_source_fields.iter().enumerate() {
            if field.is_empty() {
                report.required(&at.child("addSourceFields").index(index), "field is required");
            }
        }
    }

    fn build(&self, _: &TransformContext) -> Result<Box<dyn Transform>, String> {
        let operation = |name: &str| Value::Str(name.into());
        let source_fields = self.add_source_fields.iter().map(|name| SourceField {
            name: name.as_str().into(),
            key: Field::new(&format!("source_{name}")),
        });
        Ok(Box::new(DebeziumUnwrap {
            infers_delete: self.infer_delete_from_tombstone,
            keeps_source: self.include_source_in_metadata,
            insert: operation(INSERT),
            update: operation(UPDATE),
            delete: operation(DELETE),
            snapshot: operation(&self.snapshot_operation),
            operation_fields: self
                .add_operation_fields
                .then(|| (Field::new("__op"), Field::new("__deleted"))),
            source_fields: source_fields.collect(),
            source_names: Vec::new(),
        }))
    }
}

struct DebeziumUnwrap {
    infers_delete: bool,
    keeps_source: bool,
    insert: Value,
    update: Value,
    delete: Value,
    snapshot: Value,
    operation_fields: Option<(Field, Field)>,
    source_fields: Vec<SourceField>,
    /// Names of metadata for the fields of `source` that were seen, in their order.
    source_names: Vec<(Box<str>, Str)>,
}

/// A name to look for and to add.
struct Field {
    name: Box<str>,
    key: EncodedKey,
}

struct SourceField {
    name: Box<str>,
    key: Field,
}

/// The most names of source fields that are kept; connectors have about fifteen.
const SOURCE_NAMES_MAX: usize = 64;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Op {
    Create,
    Update,
    Delete,
    Read,
}

impl Op {
    const ALL: [(&'static str, Op); 4] =
        [("c", Op::Create), ("u", Op::Update), ("d", Op::Delete), ("r", Op::Read)];

    fn letter(self) -> &'static [u8] {
        match self {
            Op::Create => b"\"c\"",
            Op::Update => b"\"u\"",
            Op::Delete => b"\"d\"",
            Op::Read => b"\"r\"",
        }
    }
}

impl Transform for DebeziumUnwrap {
    fn record(
        &mut self,
        batch: &mut RecordBatch,
        index: usize,
        _: &mut Scope,
    ) -> Result<Verdict, RecordError> {
        let record = batch.records[index];
        if record.start == record.end {
            return self.tombstone(batch, index);
        }
        let root = batch.document(index);
        let Some(root) = root.filter(|root| batch.tree.kind(*root) == NodeKind::Object) else {
            return Err(error("invalid JSON payload: not a JSON object"));
        };
        let (text, tree) = (&batch.text, &batch.tree);
        let Some(payload) = object(text, tree, root, "payload") else {
            return Ok(Verdict::Keep);
        };
        let Some(op) = tree.member(text, payload, b"op") else {
            return Ok(Verdict::Keep);
        };
        let op = read_op(text, tree, op)?;
        let name = if op == Op::Delete { "before" } else { "after" };
        let Some(row) = object(text, tree, payload, name) else {
            return Err(error(&format!("payload.{name} must be object")));
        };
        let source = object(text, tree, payload, "source");
        self.unwrap(batch, index, op, row, source);
        Ok(Verdict::Keep)
    }
}

impl DebeziumUnwrap {
    fn tombstone(&mut self, batch: &mut RecordBatch, index: usize) -> Result<Verdict, RecordError> {
        if !self.infers_delete {
            return Ok(Verdict::Drop);
        }
        let meta = batch.meta_arc(index);
        let key: &[u8] = match meta.as_ref().and_then(|meta| meta.get("key")) {
            Some(Value::Str(key)) => key.as_bytes(),
            Some(Value::Bytes(key)) => key,
            _ => b"",
        };
        check_room(batch, key.len(), Spec::NAME)?;
        let before = batch.records[index];
        batch.set_payload(index, key);
        let root = batch.document(index);
        let Some(root) = root.filter(|root| batch.tree.kind(*root) == NodeKind::Object) else {
            batch.records[index] = before;
            return Err(error("tombstone key must be a JSON object"));
        };
        let row = object(&batch.text, &batch.tree, root, "payload").unwrap_or(root);
        self.unwrap(batch, index, Op::Delete, row, None);
        Ok(Verdict::Keep)
    }

    /// Makes the row the record. Nothing can fail here.
    fn unwrap(
        &mut self,
        batch: &mut RecordBatch,
        index: usize,
        op: Op,
        row: NodeId,
        source: Option<NodeId>,
    ) {
        let mut meta = batch.meta_arc(index).map_or_else(Meta::new, |meta| (*meta).clone());
        let operation = match op {
            Op::Create => &self.insert,
            Op::Update => &self.update,
            Op::Delete => &self.delete,
            Op::Read => &self.snapshot,
        };
        meta.set("operation", operation.clone());
        if let Some(id) = batch.tree.member(&batch.text, row, b"id") {
            meta.set("id", value(&batch.text, &batch.tree, id));
        }
        if let (true, Some(source)) = (self.keeps_source, source) {
            self.copy_source(batch, source, &mut meta);
        }
        batch.set_meta(index, Some(meta.into()));

        batch.set_root(index, row);
        if let Some((op_field, deleted_field)) = &self.operation_fields {
            let node = op_field.ensure(batch, row);
            set_literal(batch, node, op.letter());
            let node = deleted_field.ensure(batch, row);
            let is_deleted = op == Op::Delete;
            set_literal(batch, node, if is_deleted { b"\"true\"" } else { b"\"false\"" });
        }
        for field in &self.source_fields {
            let found = source
                .and_then(|source| batch.tree.member(&batch.text, source, field.name.as_bytes()));
            if let Some(found) = found {
                let node = field.key.ensure(batch, row);
                batch.tree.set_node(node, found);
            }
        }
    }

    fn copy_source(&mut self, batch: &RecordBatch, source: NodeId, meta: &mut Meta) {
        for member in batch.tree.children(source) {
            let Some(name) = batch.tree.key(&batch.text, member) else {
                continue;
            };
            let known = self.source_names.iter().find(|(known, _)| **known == *name);
            let key = match known {
                Some((_, key)) => key.clone(),
                None => {
                    let key: Str = format!("source_{name}").into();
                    if self.source_names.len() < SOURCE_NAMES_MAX {
                        self.source_names.push((name.as_ref().into(), key.clone()));
                    }
                    key
                }
            };
            meta.set(&key, value(&batch.text, &batch.tree, member));
        }
    }
}

impl Field {
    fn new(name: &str) -> Self {
        Field { name: name.into(), key: EncodedKey::new(name) }
    }

    /// Gives the member of the row to set; one of that name is replaced.
    fn ensure(&self, batch: &mut RecordBatch, row: NodeId) -> NodeId {
        batch.tree.touch(row);
        let known = batch.tree.member(&batch.text, row, self.name.as_bytes());
        known.unwrap_or_else(|| batch.tree.insert_member(&mut batch.text, row, &self.key))
    }
}

fn error(why: &str) -> RecordError {
    RecordError::transform(format!("debezium unwrap: {why}"))
}

fn object(text: &[u8], tree: &Tree, of: NodeId, name: &str) -> Option<NodeId> {
    let found = tree.member(text, of, name.as_bytes())?;
    (tree.kind(found) == NodeKind::Object).then_some(found)
}

fn read_op(text: &[u8], tree: &Tree, node: NodeId) -> Result<Op, RecordError> {
    let string = tree.string(text, node);
    let known = Op::ALL.into_iter().find(|(letter, _)| string.as_deref() == Some(letter));
    known.map(|(_, op)| op).ok_or_else(|| {
        let shown = match (&string, tree.kind(node)) {
            (Some(string), _) => string.chars().take(64).collect(),
            (None, NodeKind::Null) => String::new(),
            (None, kind) => {
                let literal = tree.literal(text, node).unwrap_or(kind.name());
                literal.chars().take(64).collect()
            }
        };
        error(&format!("unsupported op {shown:?}"))
    })
}

fn set_literal(batch: &mut RecordBatch, node: NodeId, literal: &[u8]) {
    let start = batch.text.len();
    batch.text.extend_from_slice(literal);
    Scalar::plain(NodeKind::String).set(batch, node, start, batch.text.len());
}

/// Gives a part of a document as a value apart from it.
fn value(text: &[u8], tree: &Tree, node: NodeId) -> Value {
    match tree.kind(node) {
        NodeKind::Null => Value::Null,
        NodeKind::True => Value::Bool(true),
        NodeKind::False => Value::Bool(false),
        NodeKind::String => Value::Str(tree.string(text, node).unwrap_or_default().into()),
        NodeKind::Number => {
            let literal = tree.literal(text, node).unwrap_or_default();
            match (literal.parse::<i64>(), literal.parse::<u64>()) {
                (Ok(number), _) => Value::Int(number),
                (_, Ok(number)) => Value::UInt(number),
                _ => Value::Number(literal.into()),
            }
        }
        NodeKind::Array | NodeKind::Object => {
            let mut json = Vec::new();
            tree.print(text, node, &mut json);
            match serde_json::from_slice(&json) {
                Ok(json) => Value::from_json(&json),
                // Nested deeper than serde_json goes.
                Err(_) => Value::Str(String::from_utf8_lossy(&json).into()),
            }
        }
    }
}

#[cfg(test)]
mod tests;
