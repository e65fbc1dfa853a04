//! Records as lines of a bulk request: what to do, and the payload.

use levada_condition::Path;
use levada_model::text::encode_string;
use levada_model::{RecordBatch, RecordError, Root, Timestamp};

use super::{OpType, Spec};
use crate::formats::line_writer::LineWriter;
use crate::mapping::{Document, Reader, TextRule, TimeRule, plain_path};
use crate::traits::Outcomes;

/// The longest id in bytes. Source: Elasticsearch, `_id` field; a longer one fails the whole request.
const ID_BYTES_MAX: usize = 512;

/// Makes bulk bodies.
pub(super) struct Encoder {
    op_type: OpType,
    index: TextRule,
    id: Option<Path>,
    routing: Option<TextRule>,
    time: Option<TimeRule>,
    needs_document: bool,
    reader: Reader,
    body: Vec<u8>,
    /// The records of the body, in order.
    sent: Vec<usize>,
    /// Compacts payloads that hold line feeds.
    lines: LineWriter,
    text: String,
}

// === impl Encoder ===

impl Encoder {
    pub(super) fn new(spec: &Spec) -> Result<Self, String> {
        let index = TextRule::compile(&spec.index)?;
        let id = (!spec.id.is_empty()).then(|| plain_path(&spec.id)).transpose()?;
        let routing =
            (!spec.routing.is_empty()).then(|| TextRule::compile(&spec.routing)).transpose()?;
        let time =
            TimeRule::compile(&spec.timestamp, spec.timestamp_unit)?.filter(|_| index.has_date());
        let needs_document = index.needs_document()
            || id.is_some()
            || time.is_some()
            || routing.as_ref().is_some_and(TextRule::needs_document)
            || spec.op_type == OpType::Update;
        Ok(Encoder {
            op_type: spec.op_type,
            index,
            id,
            routing,
            time,
            needs_document,
            reader: Reader::default(),
            body: Vec::new(),
            sent: Vec::new(),
            lines: LineWriter::default(),
            text: String::new(),
        })
    }

    /// Gives the index when it is the same for every record.
    pub(super) fn fixed_index(&self) -> Option<&str> {
        self.index.fixed()
    }

    /// Begins a new body.
    pub(super) fn clear(&mut self) {
        self.body.clear();
        self.sent.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    /// Gives the bytes of the body.
    pub(super) fn len(&self) -> usize {
        self.body.len()
    }

    /// Gives the body away.
    pub(super) fn take_body(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.body)
    }

    /// Gives the records of the body, in order.
    pub(super) fn sent(&self) -> &[usize] {
        &self.sent
    }

    /// Adds a record.
    ///
    /// Errors: the record has no place in a bulk request; the body is as before.
    pub(super) fn push(
        &mut self,
        batch: &RecordBatch,
        index: usize,
        received: Timestamp,
    ) -> Result<(), RecordError> {
        let before = self.body.len();
        let result =
            self.push_action(batch, index, received).and_then(|()| self.push_payload(batch, index));
        match result {
            Ok(()) => self.sent.push(index),
            Err(_) => self.body.truncate(before),
        }
        result
    }

    fn push_action(
        &mut self,
        batch: &RecordBatch,
        index: usize,
        received: Timestamp,
    ) -> Result<(), RecordError> {
        let document = match self.needs_document {
            true => Some(self.reader.read(batch, index)?),
            false => None,
        };
        let document = document.as_ref();
        let time = match (&self.time, document) {
            (Some(rule), Some(document)) => rule.read(document)?,
            _ => received,
        };
        self.body.extend_from_slice(match self.op_type {
            OpType::Index => b"{\"index\":{\"_index\":",
            OpType::Create => b"{\"create\":{\"_index\":",
            OpType::Update => b"{\"update\":{\"_index\":",
            OpType::Delete => b"{\"delete\":{\"_index\":",
        });
        self.text.clear();
        self.index.append_all(document, time, "index", &mut self.text)?;
        if self.text.is_empty() {
            return Err(RecordError::invalid("index: it is empty for this record"));
        }
        encode_string(&self.text, &mut self.body);
        if let (Some(path), Some(document)) = (&self.id, document) {
            push_id(document, path, &mut self.text, &mut self.body)?;
        }
        if let Some(routing) = &mut self.routing {
            self.text.clear();
            let is_missing = routing.append(document, time, &mut self.text)?.is_some();
            if !is_missing && !self.text.is_empty() {
                self.body.extend_from_slice(b",\"routing\":");
                encode_string(&self.text, &mut self.body);
            }
        }
        self.body.extend_from_slice(b"}}\n");
        Ok(())
    }

    fn push_payload(&mut self, batch: &RecordBatch, index: usize) -> Result<(), RecordError> {
        if self.op_type == OpType::Delete {
            return Ok(());
        }
        if self.op_type == OpType::Update {
            self.body.extend_from_slice(b"{\"doc\":");
        }
        let start = self.body.len();
        batch.print(index, &mut self.body);
        let payload = &self.body[start..];
        if !is_object(batch.records[index].root, payload) {
            return Err(RecordError::invalid("the payload is not a JSON object"));
        }
        // A carriage return is a line end for some servers; the white space of JSON goes with it.
        if memchr::memchr2(b'\n', b'\r', payload).is_some() {
            let mut rejected = Outcomes::default();
            self.lines.clear();
            self.lines.push(batch, index, &mut rejected);
            if let Some((_, error)) = rejected.rejected_records().first() {
                return Err(error.clone());
            }
            self.body.truncate(start);
            let line = self.lines.pushed();
            self.body.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
            // Without a line feed the line writer leaves carriage returns where they are.
            for byte in self.body[start..].iter_mut().filter(|byte| **byte == b'\r') {
                *byte = b' ';
            }
        }
        if self.op_type == OpType::Update {
            self.body.extend_from_slice(b",\"doc_as_upsert\":true}");
        }
        self.body.push(b'\n');
        Ok(())
    }
}

fn push_id(
    document: &Document<'_>,
    path: &Path,
    text: &mut String,
    body: &mut Vec<u8>,
) -> Result<(), RecordError> {
    let Some(node) = document.find(path) else {
        return Err(RecordError::invalid(format!("id: the record has no value at `{path}`")));
    };
    text.clear();
    document.append_scalar(node, path, text)?;
    if text.is_empty() || text.len() > ID_BYTES_MAX {
        let message =
            format!("id: `{path}` has {} bytes; ids have 1 to {ID_BYTES_MAX}", text.len());
        return Err(RecordError::invalid(message));
    }
    body.extend_from_slice(b",\"_id\":");
    encode_string(text, body);
    Ok(())
}

/// Tells whether a payload looks like an object; whether it is one, the server finds out.
fn is_object(root: Root, payload: &[u8]) -> bool {
    let first = payload.iter().find(|byte| !byte.is_ascii_whitespace());
    !matches!(root, Root::NotJson | Root::Broken(_)) && first == Some(&b'{')
}
