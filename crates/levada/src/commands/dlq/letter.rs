//! A dead letter as it stands in a file.

use base64::Engine as _;
use serde_json::Value;
use serde_json::value::RawValue;

/// What of a dead letter a person or a replay needs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Letter {
    /// When it failed.
    pub(super) timestamp: String,
    /// The class of the failure; empty in letters of the original.
    pub(super) class: String,
    /// The stage that failed; empty in letters of the original.
    pub(super) stage: String,
    /// `namespace/name` of the flow.
    pub(super) dataflow: String,
    /// Why.
    pub(super) message: String,
    /// The metadata of the record.
    pub(super) metadata: serde_json::Map<String, Value>,
    /// The payload of the record, byte for byte.
    pub(super) payload: Vec<u8>,
}

/// The parts that are taken as they were written, so that numbers and key order survive.
#[derive(serde::Deserialize)]
struct Raw<'a> {
    error: Value,
    #[serde(borrow)]
    original_message: Option<&'a RawValue>,
    original_message_base64: Option<String>,
}

/// A row that a sink wrote in raw mode.
#[derive(serde::Deserialize)]
struct Row<'a> {
    #[serde(borrow)]
    data: Raw<'a>,
}

impl Letter {
    /// Reads a line, or a row of a table; nothing when it is no dead letter.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let line = line.trim();
        let raw: Raw<'_> = match serde_json::from_str(line) {
            Ok(raw) => raw,
            Err(_) => serde_json::from_str::<Row<'_>>(line).ok()?.data,
        };
        // A column may hold the object as text.
        let error = match &raw.error {
            Value::String(text) => serde_json::from_str(text).ok()?,
            error => error.clone(),
        };
        let text = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or("").to_owned();
        let payload = payload(&raw)?;
        let metadata = error.get("metadata").and_then(Value::as_object).cloned();
        Some(Letter {
            timestamp: text("timestamp"),
            class: text("class"),
            stage: text("stage"),
            dataflow: text("dataflow"),
            message: error.get("message").and_then(Value::as_str)?.to_owned(),
            metadata: metadata.unwrap_or_default(),
            payload,
        })
    }
}

fn payload(raw: &Raw<'_>) -> Option<Vec<u8>> {
    if let Some(encoded) = &raw.original_message_base64 {
        return base64::engine::general_purpose::STANDARD.decode(encoded).ok();
    }
    let original = raw.original_message?.get();
    let parsed: Value = serde_json::from_str(original).ok()?;
    if let Value::String(text) = parsed {
        return Some(text.into_bytes());
    }
    // A payload that was no object stands as text under one key.
    let only = parsed.as_object().filter(|object| object.len() == 1);
    match only.and_then(|object| object.get("original_data")) {
        Some(Value::String(text)) => Some(text.clone().into_bytes()),
        _ => Some(original.as_bytes().to_vec()),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn payload_of(rest: &str) -> Vec<u8> {
        let line = format!("{{\"error\":{{\"message\":\"m\",\"stage\":\"sink\"}},{rest}}}");
        Letter::parse(&line).unwrap().payload
    }

    #[test]
    fn the_payload_is_taken_as_it_was() {
        assert_eq!(payload_of(r#""original_message":{"n":1.00,"a": 2}"#), br#"{"n":1.00,"a": 2}"#);
        assert_eq!(payload_of(r#""original_message":{"original_data":"[1]"}"#), b"[1]");
        let binary = r#""original_message":{"original_data":"?"},"original_message_base64":"AP8=""#;
        assert_eq!(payload_of(binary), b"\x00\xff");
        assert_eq!(Letter::parse("{}"), None);
        assert_eq!(Letter::parse(r#"{"data":{}}"#), None);
        assert_eq!(Letter::parse("not json"), None);
    }

    #[test]
    fn rows_of_tables_are_letters() {
        let letter = r#"{"error":{"message":"m","stage":"sink"},"original_message":{"n":1.00}}"#;
        let raw = format!("{{\"id\":7,\"data\":{letter},\"_metadata\":null}}");
        let texts = r#"{"error":"{\"message\":\"m\",\"stage\":\"sink\"}","original_message":"{\"n\":1.00}"}"#;
        for row in [raw.as_str(), texts] {
            assert_eq!(Letter::parse(row), Letter::parse(letter), "{row}");
        }
    }
}
