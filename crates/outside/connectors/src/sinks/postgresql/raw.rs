//! The envelope of raw mode, as a document with a member for each column.
//!
//! A record is either a plain body, whose metadata is the record's, or `{"value": …, "_metadata": {…}}`
//! and nothing else. Source: dataflow-operator.md §3.8.

use levada_model::text::encode_string;
use levada_model::{NodeId, NodeKind, RecordBatch, RecordError, Root, Tree};

use super::layout::{DATA, METADATA, Settings};

/// Appends the document of a record to `out`; `tree` is empty and may be used.
pub(super) fn write(
    batch: &RecordBatch,
    index: usize,
    settings: &Settings,
    tree: &mut Tree,
    out: &mut Vec<u8>,
) -> Result<(), RecordError> {
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
    Ok(())
}

fn envelope(
    batch: &RecordBatch,
    index: usize,
    settings: &Settings,
    tree: &Tree,
    root: NodeId,
    out: &mut Vec<u8>,
) {
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
        return;
    };
    let mut name = String::new();
    let mut key = |key: &str, out: &mut Vec<u8>| {
        name.clear();
        name.push_str(prefix);
        name.push_str(key);
        out.push(b',');
        encode_string(&name, out);
        out.push(b':');
    };
    match inner {
        Some((_, metadata)) => {
            for id in tree.children(metadata) {
                key(&tree.key(text, id).unwrap_or_default(), out);
                tree.print(text, id, out);
            }
        }
        None => {
            for (name, value) in batch.meta(index).into_iter().flat_map(|meta| meta.iter()) {
                key(name, out);
                value.write_json(out);
            }
        }
    }
    out.push(b'}');
}

/// Gives value and metadata of a record that is an envelope already.
fn parts(tree: &Tree, text: &[u8], root: NodeId) -> Option<(NodeId, NodeId)> {
    let value = tree.member(text, root, b"value")?;
    let metadata = tree.member(text, root, METADATA.as_bytes())?;
    let is_envelope = tree.kind(metadata) == NodeKind::Object && tree.children(root).count() == 2;
    is_envelope.then_some((value, metadata))
}
