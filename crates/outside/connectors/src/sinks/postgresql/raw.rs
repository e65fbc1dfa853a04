//! The envelope of raw mode, as a document with a member for each column.
//!
//! A record is either a plain body, whose metadata is the record's, or `{"value": …, "_metadata": {…}}`
//! and nothing else. Source: dataflow-operator.md §3.8.
//!
//! With a column for each metadata key, a key whose column would be that of the body has none: the body
//! wins, and the key is handled like any other without a column.

use levada_model::text::encode_string;
use levada_model::{NodeId, NodeKind, RecordBatch, RecordError, Root, Tree};

use super::SchemaChange;
use super::layout::{DATA, METADATA, Settings};

/// Appends the document of a record to `out`, and gives how many metadata keys were left out; `tree` is
/// empty and may be used.
pub(super) fn write(
    batch: &RecordBatch,
    index: usize,
    settings: &Settings,
    tree: &mut Tree,
    out: &mut Vec<u8>,
) -> Result<u64, RecordError> {
    let record = batch.records[index];
    if let Some(error) = batch.broken(index) {
        return Err(error.clone());
    }
    match record.root {
        Root::Node(root) => envelope(batch, index, settings, &batch.tree, root, out),
        _ => {
            let payload = &batch.text[record.start as usize..record.end as usize];
            if payload.trim_ascii().is_empty() {
                let text = "the payload is empty, so there is no document to write";
                return Err(RecordError::invalid(text));
            }
            if std::str::from_utf8(payload).is_err() {
                return Err(RecordError::invalid("the payload is not UTF-8"));
            }
            let root = tree
                .parse(&batch.text, record.start, record.end)
                .map_err(|error| RecordError::invalid(error.to_string()))?;
            envelope(batch, index, settings, tree, root, out)
        }
    }
}

fn envelope(
    batch: &RecordBatch,
    index: usize,
    settings: &Settings,
    tree: &Tree,
    root: NodeId,
    out: &mut Vec<u8>,
) -> Result<u64, RecordError> {
    let text = &batch.text;
    let inner = parts(tree, text, root);
    out.extend_from_slice(b"{\"");
    out.extend_from_slice(DATA.as_bytes());
    out.extend_from_slice(b"\":");
    tree.print(text, inner.map_or(root, |(value, _)| value), out);
    let Some(prefix) = &settings.flatten else {
        out.extend_from_slice(b",\"");
        out.extend_from_slice(METADATA.as_bytes());
        out.extend_from_slice(b"\":");
        match (inner, batch.meta(index)) {
            (Some((_, metadata)), _) => tree.print(text, metadata, out),
            (None, Some(meta)) => meta.write_json(out),
            (None, None) => out.extend_from_slice(b"{}"),
        }
        out.push(b'}');
        return Ok(0);
    };
    let mut name = String::new();
    let mut left_out = 0;
    // Tells whether the value of the key is to follow.
    let mut key = |key: &str, out: &mut Vec<u8>| {
        name.clear();
        name.push_str(prefix);
        name.push_str(key);
        if name == DATA {
            left_out += 1;
            return match settings.schema_change {
                SchemaChange::Ignore => Ok(false),
                SchemaChange::Strict | SchemaChange::Evolve => Err(collision(key)),
            };
        }
        out.push(b',');
        encode_string(&name, out);
        out.push(b':');
        Ok(true)
    };
    match inner {
        Some((_, metadata)) => {
            for id in tree.children(metadata) {
                if key(&tree.key(text, id).unwrap_or_default(), out)? {
                    tree.print(text, id, out);
                }
            }
        }
        None => {
            for (name, value) in batch.meta(index).into_iter().flat_map(|meta| meta.iter()) {
                if key(name, out)? {
                    value.write_json(out);
                }
            }
        }
    }
    out.push(b'}');
    Ok(left_out)
}

fn collision(key: &str) -> RecordError {
    let key: String = key.chars().take(60).collect();
    RecordError::invalid(format!(
        "the metadata key `{key}` would be written to the column `{DATA}`, which holds the record; set \
         flattenMetadataColumnsPrefix to another text"
    ))
}

/// Gives value and metadata of a record that is an envelope already.
fn parts(tree: &Tree, text: &[u8], root: NodeId) -> Option<(NodeId, NodeId)> {
    let value = tree.member(text, root, b"value")?;
    let metadata = tree.member(text, root, METADATA.as_bytes())?;
    let is_envelope = tree.kind(metadata) == NodeKind::Object && tree.children(root).count() == 2;
    is_envelope.then_some((value, metadata))
}
