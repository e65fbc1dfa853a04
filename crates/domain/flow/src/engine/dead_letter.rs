//! The message that an error sink gets for a record that failed.
//!
//! ```json
//! {"error":{"message":"…","metadata":{…},"original_sink":"file","timestamp":"…","class":"invalid_data",
//!           "stage":"transform[2]:cast","attempts":1,"dataflow":"default/orders","first_seen":"…",
//!           "position":{"partition":"…","offset":42}},
//!  "original_message":{…}}
//! ```
//! A payload that is no JSON object stands in `original_message.original_data`, and byte for byte in
//! `original_message_base64` when it is not JSON at all.
//!
//! Source: dataflow-operator.md §4.3 for the fields up to `timestamp`, §10.2 for their siblings.

use std::sync::Arc;

use base64::Engine as _;
use levada_model::text::encode_string;
use levada_model::{Meta, NodeKind, RecordBatch, RecordError, Timestamp, Value};

/// What all dead letters of a flow share.
#[derive(Clone, Debug)]
pub struct LetterContext {
    /// `namespace/name` of the flow.
    pub dataflow: String,
}

/// One failed record.
pub struct DeadLetter<'a> {
    /// Why it failed.
    pub error: &'a RecordError,
    /// Where it failed.
    pub stage: &'a str,
    /// The type of the sink it was meant for.
    pub original_sink: &'a str,
    /// How often it was tried.
    pub attempts: u32,
    /// Now.
    pub now: Timestamp,
}

impl LetterContext {
    /// Adds the dead letter of a record of `batch` to `letters`; it counts on the record's origin.
    pub fn write(
        &self,
        batch: &mut RecordBatch,
        index: usize,
        letter: &DeadLetter<'_>,
        letters: &mut RecordBatch,
    ) {
        let payload = batch.payload(index).into_owned();
        let record = batch.records[index];
        let origin = batch.origins[record.origin as usize].clone();
        let meta = batch.meta_arc(index).unwrap_or_default();
        let timestamp = letter.now.rfc3339();

        let out = &mut letters.text;
        let start = out.len();
        out.extend_from_slice(b"{\"error\":{\"message\":");
        encode_string(&letter.error.message, out);
        out.extend_from_slice(b",\"metadata\":");
        meta.write_json(out);
        field(out, "original_sink", letter.original_sink);
        field(out, "timestamp", &timestamp);
        field(out, "class", letter.error.class.as_str());
        field(out, "stage", letter.stage);
        out.extend_from_slice(b",\"attempts\":");
        out.extend_from_slice(itoa::Buffer::new().format(letter.attempts).as_bytes());
        field(out, "dataflow", &self.dataflow);
        field(out, "first_seen", &batch.received_at.rfc3339_nano());
        out.extend_from_slice(b",\"position\":{\"partition\":");
        encode_string(&origin.partition, out);
        out.extend_from_slice(b",\"offset\":");
        out.extend_from_slice(itoa::Buffer::new().format(record.position).as_bytes());
        out.extend_from_slice(b"}},");
        write_original(&payload, out);
        out.push(b'}');
        let end = out.len();
        out.push(b'\n');

        letters.origins.push(origin);
        let origin = letters.origins.len() as u32 - 1;
        letters.push_span(start as u32, end as u32, origin, record.position);
        letters.received_at = batch.received_at;
        letters.processed_at = batch.processed_at;
        let index = letters.len() - 1;
        let mut meta = (*meta).clone();
        meta.set("error", Value::Str(letter.error.message.as_str().into()));
        meta.set("error_timestamp", Value::Str(timestamp.into()));
        meta.set("original_sink", letter.original_sink.into());
        meta.set("is_error_message", Value::Bool(true));
        meta.set("error_class", letter.error.class.as_str().into());
        meta.set("error_stage", letter.stage.into());
        letters.set_meta(index, Some(Arc::<Meta>::new(meta)));
    }
}

fn field(out: &mut Vec<u8>, key: &str, value: &str) {
    out.push(b',');
    encode_string(key, out);
    out.push(b':');
    encode_string(value, out);
}

fn write_original(payload: &[u8], out: &mut Vec<u8>) {
    // A batch of its own checks UTF-8 and JSON; this is no hot path.
    let mut check = RecordBatch::new();
    check.push_origin("".into(), serde_json::Value::Null);
    check.push(payload, 0, 0);
    let document = check.document(0);
    if document.is_some_and(|root| check.tree.kind(root) == NodeKind::Object) {
        out.extend_from_slice(b"\"original_message\":");
        out.extend_from_slice(payload.trim_ascii());
        return;
    }
    out.extend_from_slice(b"\"original_message\":{\"original_data\":");
    encode_string(&String::from_utf8_lossy(payload), out);
    out.push(b'}');
    if document.is_none() {
        out.extend_from_slice(b",\"original_message_base64\":\"");
        let encoded = base64::engine::general_purpose::STANDARD.encode(payload);
        out.extend_from_slice(encoded.as_bytes());
        out.push(b'"');
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn letter_of(payload: &[u8]) -> serde_json::Value {
        let mut batch = RecordBatch::new();
        let origin = batch.push_origin("in.ndjson".into(), 0.into());
        batch.push(payload, origin, 42);
        batch.meta_mut(0).set("topic", "in".into());
        let mut letters = RecordBatch::new();
        let error = RecordError::transform("no number");
        let letter = DeadLetter {
            error: &error,
            stage: "transform[0]:cast",
            original_sink: "file",
            attempts: 1,
            now: Timestamp(1_770_460_200_000_000_000),
        };
        LetterContext { dataflow: "default/f".into() }.write(&mut batch, 0, &letter, &mut letters);
        assert_eq!(letters.meta(0).unwrap().get("is_error_message"), Some(&Value::Bool(true)));
        assert_eq!(letters.text.last(), Some(&b'\n'));
        serde_json::from_slice(&letters.payload(0)).unwrap()
    }

    #[test]
    fn the_original_is_kept_exactly() {
        let letter = letter_of(br#"{"n":12345678901234567890}"#);
        assert_eq!(letter["original_message"]["n"].to_string(), "12345678901234567890");
        assert_eq!(
            letter["error"]["position"],
            serde_json::json!({"partition":"in.ndjson","offset":42})
        );
        assert_eq!(letter["error"]["metadata"], serde_json::json!({"topic":"in"}));
        assert_eq!(letter["error"]["timestamp"], "2026-02-07T10:30:00Z");
        assert_eq!(letter["error"]["class"], "transformation_error");
        assert_eq!(letter.get("original_message_base64"), None);
        let letter = letter_of(b"[1]");
        assert_eq!(letter["original_message"], serde_json::json!({"original_data":"[1]"}));
        assert_eq!(letter.get("original_message_base64"), None);
        let letter = letter_of(b"\x00\xff");
        assert_eq!(letter["original_message_base64"], "AP8=");
    }
}
