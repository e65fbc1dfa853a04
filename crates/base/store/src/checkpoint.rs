//! The checkpoint and its file form.
//!
//! ```text
//! {"crc32c":"1a2b3c4d","checkpoint":{"version":1,"flow":"default/cpu","epoch":3,"savedAt":1700000000000000000,
//!  "sources":{"source":{"0":42}}}}
//! ```
//! in one line without an end of line. The checksum covers the bytes of `checkpoint`; it is the CRC-32C in eight hexadecimal digits.
//! Cutting the file anywhere leaves no valid JSON, and a changed byte either does not match the checksum or changes nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

/// The version of the file form that this program writes and reads.
pub const VERSION: u32 = 1;

/// Largest checkpoint in its file form: millions of partitions would not reach it.
pub(crate) const BYTES_MAX: u64 = 64 << 20;

/// Which positions a flow has finished.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Checkpoint {
    /// The version of the form: [`VERSION`].
    pub version: u32,
    /// The flow, as `namespace/name`.
    pub flow: String,
    /// The epoch of the holder that saved it; see [`Lease::epoch`](crate::Lease::epoch).
    pub epoch: u64,
    /// When it was saved, nanoseconds UTC.
    pub saved_at: i64,
    /// Source → partition → position, in whatever JSON the source understands.
    pub sources: BTreeMap<String, BTreeMap<String, Value>>,
}

/// Says why bytes are not a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes were cut or changed.
    #[error("{0}")]
    Corrupt(String),
    /// A newer program wrote it.
    #[error("it has version {0}")]
    Version(u64),
}

#[derive(Serialize)]
struct EnvelopeOut<'a> {
    crc32c: String,
    checkpoint: &'a RawValue,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EnvelopeIn<'a> {
    crc32c: String,
    #[serde(borrow)]
    checkpoint: &'a RawValue,
}

#[derive(Deserialize)]
struct VersionOnly {
    version: u64,
}

// === impl Checkpoint ===

impl Checkpoint {
    /// Makes a checkpoint without positions. `saved_at` is nanoseconds UTC.
    #[must_use]
    pub fn new(flow: impl Into<String>, epoch: u64, saved_at: i64) -> Self {
        Self { version: VERSION, flow: flow.into(), epoch, saved_at, sources: BTreeMap::new() }
    }

    /// Gives the finished position of a partition of a source.
    #[must_use]
    pub fn position(&self, source: &str, partition: &str) -> Option<&Value> {
        self.sources.get(source)?.get(partition)
    }

    /// Sets the finished position of a partition of a source.
    pub fn set_position(&mut self, source: &str, partition: &str, position: Value) {
        self.sources.entry(source.into()).or_default().insert(partition.into(), position);
    }
}

/// Gives the file form.
///
/// - Errors: a reason, when the form would be larger than 64 MiB or could not be read back (nesting deeper than 127).
pub fn encode(checkpoint: &Checkpoint) -> Result<Vec<u8>, String> {
    let body = serde_json::value::to_raw_value(checkpoint).map_err(|error| error.to_string())?;
    let crc32c = format!("{:08x}", crc32c::crc32c(body.get().as_bytes()));
    let bytes = serde_json::to_vec(&EnvelopeOut { crc32c, checkpoint: &body })
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(format!("it has {} bytes, more than {BYTES_MAX}", bytes.len()));
    }
    // What cannot be read back must not replace what can.
    match decode(&bytes) {
        Ok(back) if back == *checkpoint => Ok(bytes),
        Ok(_) => Err("its positions do not read back as they were written".into()),
        Err(error) => Err(format!("it could not be read back: {error}")),
    }
}

/// Reads the file form.
///
/// - Errors: [`DecodeError`]; no other checkpoint than the one encoded ever comes back.
pub fn decode(bytes: &[u8]) -> Result<Checkpoint, DecodeError> {
    let corrupt = |reason: String| DecodeError::Corrupt(reason);
    if bytes.is_empty() {
        return Err(corrupt("the file is empty".into()));
    }
    let envelope: EnvelopeIn<'_> = serde_json::from_slice(bytes)
        .map_err(|error| corrupt(format!("cut or changed ({error})")))?;
    let body = envelope.checkpoint.get();
    let expected = u32::from_str_radix(&envelope.crc32c, 16);
    let actual = crc32c::crc32c(body.as_bytes());
    if expected != Ok(actual) {
        return Err(corrupt(format!("checksum {actual:08x} does not match `{}`", envelope.crc32c)));
    }
    let version: VersionOnly =
        serde_json::from_str(body).map_err(|error| corrupt(error.to_string()))?;
    if version.version != u64::from(VERSION) {
        return Err(DecodeError::Version(version.version));
    }
    serde_json::from_str(body).map_err(|error| corrupt(error.to_string()))
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::collection::btree_map;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    pub(crate) fn sample(flow: &str, epoch: u64) -> Checkpoint {
        let mut checkpoint = Checkpoint::new(flow, epoch, 1_700_000_000_123_456_789);
        checkpoint.set_position("source", "0", json!(42));
        checkpoint.set_position(
            "source",
            "ünï\n\"code\"",
            json!({"file": "a/b.log", "offset": u64::MAX, "x": [null, true, -1.5e300]}),
        );
        checkpoint.set_position("second", "", json!("0/16B3748"));
        checkpoint
    }

    fn position() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_filter_map("finite", |number| number
                .is_finite()
                .then(|| Value::from(number))),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::vec((".{0,8}", inner), 0..4)
                    .prop_map(|entries| Value::Object(entries.into_iter().collect())),
            ]
        })
    }

    fn checkpoint() -> impl Strategy<Value = Checkpoint> {
        let sources = btree_map(".{0,12}", btree_map(".{0,12}", position(), 0..4), 0..4);
        (".*", any::<u64>(), any::<i64>(), sources).prop_map(|(flow, epoch, saved_at, sources)| {
            Checkpoint { version: VERSION, flow, epoch, saved_at, sources }
        })
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(checkpoint in checkpoint()) {
            prop_assert_eq!(decode(&encode(&checkpoint).unwrap()).unwrap(), checkpoint);
        }

        #[test]
        fn no_prefix_decodes(checkpoint in checkpoint()) {
            let bytes = encode(&checkpoint).unwrap();
            for end in 0..bytes.len() {
                prop_assert!(matches!(decode(&bytes[..end]), Err(DecodeError::Corrupt(_))), "cut at {}", end);
            }
        }

        #[test]
        fn any_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(decode(&bytes).is_err());
        }
    }

    #[test]
    fn no_changed_bit_gives_another_checkpoint() {
        let original = sample("default/cpu", 3);
        let bytes = encode(&original).unwrap();
        for place in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[place] ^= 1 << bit;
                match decode(&changed) {
                    Ok(back) => assert_eq!(back, original, "byte {place} bit {bit}"),
                    Err(error) => assert!(
                        matches!(error, DecodeError::Corrupt(_)),
                        "byte {place} bit {bit}: {error}"
                    ),
                }
            }
        }
    }

    #[test]
    fn the_form_is_what_the_documentation_says() {
        let mut checkpoint = Checkpoint::new("default/cpu", 3, 1_700_000_000_000_000_000);
        checkpoint.set_position("source", "0", json!(42));
        let text = String::from_utf8(encode(&checkpoint).unwrap()).unwrap();
        let body = r#"{"version":1,"flow":"default/cpu","epoch":3,"savedAt":1700000000000000000,"sources":{"source":{"0":42}}}"#;
        let crc = crc32c::crc32c(body.as_bytes());
        assert_eq!(text, format!(r#"{{"crc32c":"{crc:08x}","checkpoint":{body}}}"#));
        assert_eq!(checkpoint.position("source", "0"), Some(&json!(42)));
        assert_eq!(checkpoint.position("source", "1"), None);
    }

    #[test]
    fn other_versions_and_unreadable_positions_are_refused() {
        let body = r#"{"version":2,"new":true}"#;
        let text = format!(
            r#"{{"crc32c":"{:08x}","checkpoint":{body}}}"#,
            crc32c::crc32c(body.as_bytes())
        );
        assert_eq!(decode(text.as_bytes()), Err(DecodeError::Version(2)));
        let mut deep = json!(1);
        for _ in 0..200 {
            deep = json!([deep]);
        }
        let mut checkpoint = sample("f", 1);
        checkpoint.set_position("source", "0", deep);
        assert!(encode(&checkpoint).unwrap_err().contains("recursion limit"));
    }
}
