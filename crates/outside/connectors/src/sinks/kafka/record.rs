//! What of a record goes into a message: key, payload, headers, time.

use std::borrow::Cow;

use levada_model::envelope::headers;
use levada_model::{Meta, RecordBatch, Value};
use rdkafka::message::{Header, OwnedHeaders};

/// A message before it is sent.
pub(super) struct Fields<'b> {
    pub(super) key: Option<&'b [u8]>,
    /// Nothing: a tombstone.
    pub(super) payload: Option<Cow<'b, [u8]>>,
    pub(super) headers: Option<OwnedHeaders>,
    /// Milliseconds UTC; nothing: now.
    pub(super) time: Option<i64>,
}

/// Headers of a dead letter, by the metadata that they come from.
///
/// Source: dataflow-operator.md §10.2; `original_sink` and the time as in §4.3.
const LETTER_HEADERS: [(&str, &str); 8] = [
    ("df-error-class", "error_class"),
    ("df-error-stage", "error_stage"),
    ("df-error-message", "error"),
    ("df-error-timestamp", "error_timestamp"),
    ("df-original-sink", "original_sink"),
    ("df-source-topic", "topic"),
    ("df-source-partition", "partition"),
    ("df-source-offset", "offset"),
];

/// Gives what of a record is sent.
pub(super) fn fields(batch: &RecordBatch, index: usize) -> Fields<'_> {
    let payload = batch.payload(index);
    if let Some(envelope) = batch.envelope(index) {
        let encoded = envelope.headers_in(&batch.text);
        return Fields {
            key: envelope.key_in(&batch.text),
            headers: (!encoded.is_empty()).then(|| owned(headers(encoded))),
            time: envelope.time.map(|time| time.0.div_euclid(1_000_000)),
            payload: (!envelope.is_tombstone || !payload.is_empty()).then_some(payload),
        };
    }
    match batch.meta(index) {
        None => Fields { key: None, payload: Some(payload), headers: None, time: None },
        Some(meta) => of_meta(meta, payload),
    }
}

fn of_meta<'b>(meta: &'b Meta, payload: Cow<'b, [u8]>) -> Fields<'b> {
    let key = match meta.get("key") {
        // Metadata calls a null key empty. Differs: the original sends an empty key, which puts all
        // records without a key into one partition.
        Some(Value::Str(text)) if !text.is_empty() => Some(text.as_bytes()),
        Some(Value::Bytes(bytes)) => Some(&**bytes),
        _ => None,
    };
    let time = match meta.get("timestamp") {
        Some(Value::Time(time)) => Some(time.0.div_euclid(1_000_000)),
        _ => None,
    };
    let is_tombstone = payload.is_empty() && meta.get("tombstone") == Some(&Value::Bool(true));
    Fields { key, payload: (!is_tombstone).then_some(payload), headers: headers_of(meta), time }
}

fn headers_of(meta: &Meta) -> Option<OwnedHeaders> {
    let is_letter = meta.get("is_error_message") == Some(&Value::Bool(true));
    let map = match meta.get("headers") {
        Some(Value::Map(map)) => map.as_slice(),
        _ => &[],
    };
    if map.is_empty() && !is_letter {
        return None;
    }
    let mut all = OwnedHeaders::new_with_capacity(map.len() + LETTER_HEADERS.len());
    for (name, value) in map {
        let bytes = bytes_of(value);
        all = all.insert(Header { key: name, value: bytes.as_deref() });
    }
    if is_letter {
        for (name, key) in LETTER_HEADERS {
            let value = meta.get(key).and_then(bytes_of);
            if let Some(value) = value {
                all = all.insert(Header { key: name, value: Some(&*value) });
            }
        }
    }
    Some(all)
}

fn bytes_of(value: &Value) -> Option<Cow<'_, [u8]>> {
    match value {
        Value::Null => None,
        Value::Str(text) => Some(Cow::Borrowed(text.as_bytes())),
        Value::Bytes(bytes) => Some(Cow::Borrowed(bytes)),
        other => other.to_text().map(|text| Cow::Owned(text.into_bytes())),
    }
}

fn owned<'t>(list: impl Iterator<Item = (&'t str, Option<&'t [u8]>)>) -> OwnedHeaders {
    list.fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value }))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use levada_model::Timestamp;
    use levada_model::envelope::{Envelope, push_header};
    use rdkafka::message::Headers;

    use super::*;

    fn shown(headers: Option<&OwnedHeaders>) -> Vec<(String, Option<String>)> {
        let Some(headers) = headers else { return Vec::new() };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        headers.iter().map(|one| (one.key.to_owned(), one.value.map(text))).collect()
    }

    #[test]
    fn an_envelope_goes_through_as_it_is() {
        let mut batch = RecordBatch::new();
        let origin = batch.push_origin("t/0".into(), 2.into());
        batch.text.extend_from_slice(b"k");
        push_header(&mut batch.text, "h", Some(b"1"));
        push_header(&mut batch.text, "h", None);
        let end = batch.text.len() as u32;
        batch.push(b"", origin, 1);
        batch.set_envelope(Envelope {
            key: Some((0, 1)),
            headers: Some((1, end)),
            time: Some(Timestamp(1_500_999_999)),
            offset: 1,
            is_tombstone: true,
        });
        batch.push(b"{}", origin, 2);
        batch.set_envelope(Envelope { key: Some((0, 0)), ..Envelope::default() });
        let first = fields(&batch, 0);
        assert_eq!((first.key, first.time), (Some(&b"k"[..]), Some(1500)));
        assert!(first.payload.is_none());
        let expected = [("h".to_owned(), Some("1".to_owned())), ("h".to_owned(), None)];
        assert_eq!(shown(first.headers.as_ref()), expected);
        let second = fields(&batch, 1);
        assert_eq!(second.key, Some(&b""[..]), "an empty key is not a null one");
        assert_eq!(second.payload.as_deref(), Some(&b"{}"[..]));
        assert!(second.headers.is_none());
    }

    #[test]
    fn metadata_stands_in_for_an_envelope_that_was_changed() {
        let mut batch = RecordBatch::new();
        let origin = batch.push_origin("t/0".into(), 2.into());
        let mut meta = Meta::new();
        for (key, value) in [
            ("topic", "in".into()),
            ("partition", Value::Int(3)),
            ("offset", Value::Int(42)),
            ("key", "".into()),
            ("headers", Value::Map(vec![("a".into(), Value::Int(7)), ("b".into(), Value::Null)])),
            ("is_error_message", Value::Bool(true)),
            ("error_class", "invalid_data".into()),
            ("error", "no number".into()),
        ] {
            meta.set(key, value);
        }
        batch.push(b"{}", origin, 1);
        batch.set_meta(0, Some(Arc::new(meta)));
        let letter = fields(&batch, 0);
        assert_eq!(letter.key, None);
        let headers = shown(letter.headers.as_ref());
        let headers: Vec<(&str, Option<&str>)> =
            headers.iter().map(|(key, value)| (key.as_str(), value.as_deref())).collect();
        let expected = [
            ("a", Some("7")),
            ("b", None),
            ("df-error-class", Some("invalid_data")),
            ("df-error-message", Some("no number")),
            ("df-source-topic", Some("in")),
            ("df-source-partition", Some("3")),
            ("df-source-offset", Some("42")),
        ];
        assert_eq!(headers, expected);
    }
}
