//! The unit that moves through a flow: many records over one text.
//!
//! ```text
//! text    {"id":1,"a":…}\n{"id":2,…}\n … ***  "new literal"      one buffer; edits append
//! records [start..end, root, meta, origin] [ … ] …                24-40 bytes each
//! tree    nodes of the records that were parsed                   cleared with the batch
//! origins partition, position                                     one or a few per batch
//! ```
//! Nothing belongs to a single record but its entry, so a batch that is reused allocates nothing.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use crate::ack::{Ack, Position};
use crate::envelope::Envelope;
use crate::error::RecordError;
use crate::meta::Meta;
use crate::time::Timestamp;
use crate::tree::{NodeId, ParseError, Tree};
use crate::value::Str;

/// How much text a batch may hold: offsets are 32 bits, and half of that is kept for edits.
pub const TEXT_MAX: usize = 1 << 31;

/// The route index of records that no route matched.
pub const MAIN: u16 = u16::MAX;

const NO_META: u32 = u32::MAX;

/// What is known about a record as a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// Nobody looked yet.
    Unparsed,
    /// The payload is not one JSON value.
    NotJson,
    /// The source could not read the record whole; the payload is what there is of it.
    Broken(u32),
    /// The root node.
    Node(NodeId),
}

/// One record of a batch: where its payload stands, and what belongs to it.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// Start of the payload in the text.
    pub start: u32,
    /// End of the payload in the text.
    pub end: u32,
    /// The document, once somebody needs it.
    pub root: Root,
    meta: u32,
    /// Index of the origin whose acknowledgement this record counts on.
    pub origin: u32,
    /// Index of the route it goes to, or [`MAIN`].
    pub route: u16,
    /// Where it stands in its partition, in the source's own unit (byte offset, Kafka offset).
    pub position: u64,
}

/// Where a part of a batch came from.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The partition: a file, a topic partition.
    pub partition: Str,
    /// Where to go on once these records are finished.
    pub position: Position,
    /// The counter; set by the engine when it takes the batch over.
    pub ack: Option<Ack>,
}

/// Metadata that one or more records have.
#[derive(Clone, Debug, Default)]
struct Slot {
    base: Option<Arc<Meta>>,
    envelope: Option<Envelope>,
    /// `base` and `envelope` as one, once somebody asked.
    whole: OnceLock<Arc<Meta>>,
}

/// Records over one text; reused from batch to batch.
#[derive(Debug, Default)]
pub struct RecordBatch {
    /// Payloads, and what edits appended.
    pub text: Vec<u8>,
    /// The nodes of parsed records.
    pub tree: Tree,
    /// The records, in order.
    pub records: Vec<Record>,
    /// The origins that records refer to.
    pub origins: Vec<Origin>,
    metas: Vec<Slot>,
    /// Index into `metas` of what every pushed record starts with.
    shared_meta: Option<u32>,
    /// When the source read the batch.
    pub received_at: Timestamp,
    /// When its steps were done; zero before that.
    pub processed_at: Timestamp,
    /// The source promises JSON, so a payload that is none is an error and not just opaque bytes.
    pub expects_json: bool,
    /// Why records are [`Root::Broken`].
    broken: Vec<RecordError>,
    utf8_until: usize,
    utf8_mixed: bool,
}

// === impl RecordBatch ===

impl RecordBatch {
    /// Makes an empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Empties the batch and keeps its memory for the next use.
    pub fn clear(&mut self) {
        self.text.clear();
        self.tree.clear();
        self.records.clear();
        self.origins.clear();
        self.metas.clear();
        self.broken.clear();
        self.shared_meta = None;
        self.expects_json = false;
        self.received_at = Timestamp::default();
        self.processed_at = Timestamp::default();
        self.utf8_until = 0;
        self.utf8_mixed = false;
    }

    /// Gives how many records there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Tells whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Gives the sum of the payload sizes as they were read, in bytes.
    pub fn payload_bytes(&self) -> u64 {
        self.records.iter().map(|record| u64::from(record.end - record.start)).sum()
    }

    /// Tells whether `bytes` more fit into the text.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.text.len().saturating_add(bytes) <= TEXT_MAX
    }

    /// Adds an origin and gives its index for [`Record::origin`].
    pub fn push_origin(&mut self, partition: Str, position: Position) -> u32 {
        self.origins.push(Origin { partition, position, ack: None });
        self.origins.len() as u32 - 1
    }

    /// Sets the metadata that records pushed from now on start with.
    pub fn set_shared_meta(&mut self, meta: Option<Arc<Meta>>) {
        self.shared_meta = meta.map(|meta| self.push_slot(Some(meta), None));
    }

    fn push_slot(&mut self, base: Option<Arc<Meta>>, envelope: Option<Envelope>) -> u32 {
        self.metas.push(Slot { base, envelope, whole: OnceLock::new() });
        self.metas.len() as u32 - 1
    }

    /// Gives the record that was pushed last an envelope, on top of the shared metadata.
    ///
    /// `envelope` refers to bytes in the text of this batch.
    pub fn set_envelope(&mut self, envelope: Envelope) {
        let base = self.shared_meta.and_then(|slot| self.metas[slot as usize].base.clone());
        let slot = self.push_slot(base, Some(envelope));
        if let Some(record) = self.records.last_mut() {
            record.meta = slot;
        }
    }

    /// Gives the envelope of a record whose metadata nobody changed.
    pub fn envelope(&self, index: usize) -> Option<&Envelope> {
        self.metas.get(self.records[index].meta as usize)?.envelope.as_ref()
    }

    /// Copies a payload to the end of the text and adds its record; a line feed follows the payload.
    pub fn push(&mut self, payload: &[u8], origin: u32, position: u64) {
        let start = self.text.len() as u32;
        self.text.extend_from_slice(payload);
        let end = self.text.len() as u32;
        self.text.push(b'\n');
        self.push_span(start, end, origin, position);
    }

    /// Adds a record whose payload is in the text already.
    pub fn push_span(&mut self, start: u32, end: u32, origin: u32, position: u64) {
        debug_assert!(start <= end && end as usize <= self.text.len());
        self.records.push(Record {
            start,
            end,
            root: Root::Unparsed,
            meta: self.shared_meta.unwrap_or(NO_META),
            origin,
            route: MAIN,
            position,
        });
    }

    /// Adds a record that the source could not read whole, such as a line that is too long.
    ///
    /// `payload` is what there is of it, within a bound of the source. The record fails at the first
    /// stage with `error`, whatever the steps are.
    pub fn push_broken(&mut self, payload: &[u8], origin: u32, position: u64, error: RecordError) {
        self.push(payload, origin, position);
        self.broken.push(error);
        let number = self.broken.len() as u32 - 1;
        if let Some(record) = self.records.last_mut() {
            record.root = Root::Broken(number);
        }
    }

    /// Gives why a record could not be read whole; nothing for other records.
    pub fn broken(&self, index: usize) -> Option<&RecordError> {
        match self.records[index].root {
            Root::Broken(number) => self.broken.get(number as usize),
            _ => None,
        }
    }

    /// Tells whether any record could not be read whole.
    pub fn has_broken(&self) -> bool {
        !self.broken.is_empty()
    }

    /// Gives the document of a record, parsing it on first need.
    ///
    /// Errors: why the payload is not JSON. The record then is [`Root::NotJson`], and asking again parses again.
    pub fn parse(&mut self, index: usize) -> Result<NodeId, ParseError> {
        let record = self.records[index];
        if let Root::Node(root) = record.root {
            return Ok(root);
        }
        let parsed = self
            .check_utf8(record.start, record.end)
            .and_then(|()| self.tree.parse(&self.text, record.start, record.end));
        self.records[index].root = match parsed {
            Ok(root) => Root::Node(root),
            Err(_) => Root::NotJson,
        };
        parsed
    }

    /// Gives the document of a record, or nothing when its payload is not JSON; parses at most once.
    #[inline]
    pub fn document(&mut self, index: usize) -> Option<NodeId> {
        match self.records[index].root {
            Root::Node(root) => Some(root),
            Root::NotJson | Root::Broken(_) => None,
            Root::Unparsed => self.parse(index).ok(),
        }
    }

    /// Checks the whole text at once; only when that fails, record by record.
    fn check_utf8(&mut self, start: u32, end: u32) -> Result<(), ParseError> {
        if end as usize <= self.utf8_until {
            return Ok(());
        }
        if !self.utf8_mixed {
            if simdutf8::basic::from_utf8(&self.text[self.utf8_until..]).is_ok() {
                self.utf8_until = self.text.len();
                return Ok(());
            }
            self.utf8_mixed = true;
        }
        match std::str::from_utf8(&self.text[start as usize..end as usize]) {
            Ok(_) => Ok(()),
            Err(error) => Err(ParseError::NotUtf8 { at: error.valid_up_to() as u32 }),
        }
    }

    /// Gives the payload of a record as it would leave: as it was read, or with its edits.
    pub fn payload(&self, index: usize) -> Cow<'_, [u8]> {
        let record = &self.records[index];
        match record.root {
            Root::Node(root) if self.tree.is_dirty(root) => {
                let mut out = Vec::new();
                self.tree.print(&self.text, root, &mut out);
                Cow::Owned(out)
            }
            _ => Cow::Borrowed(&self.text[record.start as usize..record.end as usize]),
        }
    }

    /// Appends the payload of a record as it would leave to `out`.
    #[inline]
    pub fn print(&self, index: usize, out: &mut Vec<u8>) {
        let record = &self.records[index];
        match record.root {
            Root::Node(root) if self.tree.is_dirty(root) => self.tree.print(&self.text, root, out),
            _ => out.extend_from_slice(&self.text[record.start as usize..record.end as usize]),
        }
    }

    /// Replaces the whole payload of a record; it will be parsed again when somebody needs it.
    pub fn set_payload(&mut self, index: usize, payload: &[u8]) {
        let start = self.text.len() as u32;
        self.text.extend_from_slice(payload);
        let record = &mut self.records[index];
        record.start = start;
        record.end = self.text.len() as u32;
        record.root = Root::Unparsed;
    }

    /// Makes another node the document of a record.
    pub fn set_root(&mut self, index: usize, root: NodeId) {
        let record = &mut self.records[index];
        record.root = Root::Node(root);
        if let Some((start, end)) = self.tree.span(root) {
            record.start = start;
            record.end = end;
        }
    }

    /// Gives the metadata of a record, if it has any.
    pub fn meta(&self, index: usize) -> Option<&Meta> {
        self.shared(index).map(|meta| &**meta)
    }

    /// Gives the metadata of a record without what its envelope says; makes nothing.
    pub fn base_meta(&self, index: usize) -> Option<&Meta> {
        self.metas.get(self.records[index].meta as usize)?.base.as_deref()
    }

    /// Gives the metadata of a record as it is shared.
    pub fn meta_arc(&self, index: usize) -> Option<Arc<Meta>> {
        self.shared(index).cloned()
    }

    fn shared(&self, index: usize) -> Option<&Arc<Meta>> {
        let slot = self.metas.get(self.records[index].meta as usize)?;
        let Some(envelope) = &slot.envelope else { return slot.base.as_ref() };
        let whole =
            slot.whole.get_or_init(|| Arc::new(envelope.meta(slot.base.as_ref(), &self.text)));
        Some(whole)
    }

    /// Gives the metadata of a record for changing; other records that share it keep theirs.
    pub fn meta_mut(&mut self, index: usize) -> &mut Meta {
        let meta = self.meta_arc(index).unwrap_or_default();
        self.set_meta(index, Some(Arc::new((*meta).clone())));
        let slot = self.metas.last_mut().expect("metadata was just added");
        let base = slot.base.as_mut().expect("it was just set");
        Arc::get_mut(base).expect("the metadata was just copied")
    }

    /// Gives a record this metadata.
    pub fn set_meta(&mut self, index: usize, meta: Option<Arc<Meta>>) {
        self.records[index].meta = match meta {
            Some(meta) => self.push_slot(Some(meta), None),
            None => NO_META,
        };
    }

    /// Gives the acknowledgement counter of a record.
    ///
    /// Panics: the engine sets the counters of all origins before any other stage sees a batch.
    pub fn ack(&self, index: usize) -> &Ack {
        self.origins[self.records[index].origin as usize]
            .ack
            .as_ref()
            .expect("the engine set the counters")
    }

    /// Counts the records of each origin: one number per entry of `origins`.
    pub fn count_by_origin(&self, counts: &mut Vec<u64>) {
        counts.clear();
        counts.resize(self.origins.len(), 0);
        if let [count] = counts.as_mut_slice() {
            *count = self.records.len() as u64;
            return;
        }
        for record in &self.records {
            counts[record.origin as usize] += 1;
        }
    }

    /// Counts every record as dealt with.
    pub fn finish_all(&self) {
        let mut counts = Vec::new();
        self.count_by_origin(&mut counts);
        for (origin, count) in self.origins.iter().zip(counts) {
            if let Some(ack) = &origin.ack {
                ack.done(count);
            }
        }
    }

    /// Copies one record of another batch to the end of this one, edits printed, and a line feed behind it.
    ///
    /// `origin` is the index of its origin in this batch.
    pub fn push_from(&mut self, other: &RecordBatch, index: usize, origin: u32) {
        let source = other.records[index];
        let start = self.text.len() as u32;
        other.print(index, &mut self.text);
        let end = self.text.len() as u32;
        self.text.push(b'\n');
        let meta = match other.metas.get(source.meta as usize) {
            None => NO_META,
            Some(Slot { base, envelope: Some(envelope), .. }) => {
                let envelope = envelope.copy(&other.text, &mut self.text);
                self.push_slot(base.clone(), Some(envelope))
            }
            Some(Slot { base, .. }) => match (self.metas.last(), base) {
                (Some(Slot { base: Some(last), envelope: None, .. }), Some(base))
                    if Arc::ptr_eq(last, base) =>
                {
                    self.metas.len() as u32 - 1
                }
                _ => self.push_slot(base.clone(), None),
            },
        };
        self.records.push(Record { start, end, root: Root::Unparsed, meta, origin, ..source });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn siblings_do_not_see_each_others_metadata() {
        let mut batch = RecordBatch::new();
        let origin = batch.push_origin("p".into(), 0.into());
        let shared: Meta = [("topic".into(), "t".into())].into_iter().collect();
        batch.set_shared_meta(Some(Arc::new(shared)));
        batch.push(b"1", origin, 0);
        batch.push(b"2", origin, 1);
        batch.meta_mut(0).set("partition", crate::Value::Int(3));
        assert!(batch.meta(0).is_some_and(|meta| meta.get("partition").is_some()));
        assert!(batch.meta(1).is_some_and(|meta| meta.get("partition").is_none()));
    }

    #[test]
    fn an_envelope_becomes_metadata_when_asked_and_moves_with_its_record() {
        let mut batch = RecordBatch::new();
        let origin = batch.push_origin("t/3".into(), 8.into());
        let shared: Meta = [("topic".into(), "t".into())].into_iter().collect();
        batch.set_shared_meta(Some(Arc::new(shared)));
        let start = batch.text.len() as u32;
        batch.text.extend_from_slice(b"k1");
        let key = Some((start, batch.text.len() as u32));
        let start = batch.text.len() as u32;
        crate::envelope::push_header(&mut batch.text, "h", Some(b"v"));
        let headers = Some((start, batch.text.len() as u32));
        batch.push(b"{}", origin, 7);
        batch.set_envelope(Envelope { key, headers, offset: 7, ..Envelope::default() });
        let mut other = RecordBatch::new();
        other.text.extend_from_slice(b"something else");
        other.push_origin("t/3".into(), 8.into());
        other.push_from(&batch, 0, 0);
        let envelope = other.envelope(0).copied();
        assert_eq!(envelope.and_then(|one| one.key_in(&other.text)), Some(&b"k1"[..]));
        let mut json = Vec::new();
        if let Some(meta) = other.meta(0) {
            meta.write_json(&mut json);
        }
        let expected = r#"{"topic":"t","offset":7,"key":"k1","headers":{"h":"v"}}"#;
        assert_eq!(String::from_utf8_lossy(&json), expected);
        other.meta_mut(0).set("key", "k2".into());
        assert!(other.envelope(0).is_none(), "changed metadata is what counts");
        assert_eq!(other.meta(0).and_then(|meta| meta.get("key")), Some(&"k2".into()));
    }

    #[test]
    fn one_bad_record_does_not_hide_the_others() {
        let mut batch = RecordBatch::new();
        let origin = batch.push_origin("p".into(), 0.into());
        batch.push(b"{\"a\":1}", origin, 0);
        batch.push(b"\"\xff\"", origin, 1);
        batch.push("{\"b\":\"é\"}".as_bytes(), origin, 2);
        assert!(batch.document(0).is_some());
        assert_eq!(batch.parse(1), Err(ParseError::NotUtf8 { at: 1 }));
        assert!(batch.document(2).is_some());
        assert_eq!(&*batch.payload(1), b"\"\xff\"");
    }
}
