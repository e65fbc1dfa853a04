//! Records as the body of a request.

use levada_model::{RecordBatch, RecordError, Root};
use memchr::memchr2;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::sources::http::body::is_json;
use crate::traits::Outcomes;

/// How a request holds records.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Format {
    /// One record per line.
    #[default]
    Ndjson,
    /// One JSON array.
    Json,
    /// One request per record, whatever it holds.
    Single,
}

// === impl Format ===

impl Format {
    /// Gives the media type, unless a header says otherwise.
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Format::Ndjson => "application/x-ndjson",
            Format::Json | Format::Single => "application/json",
        }
    }
}

/// Writes the records that are wanted into `body`, and their indexes into `sent`.
///
/// A record that the format cannot carry is rejected in `outcomes`.
pub(super) fn encode(
    format: Format,
    batch: &RecordBatch,
    wanted: impl Iterator<Item = usize>,
    body: &mut Vec<u8>,
    sent: &mut Vec<usize>,
    outcomes: &mut Outcomes,
) {
    body.clear();
    sent.clear();
    if format == Format::Json {
        body.push(b'[');
    }
    for index in wanted {
        let before = body.len();
        if format == Format::Json && !sent.is_empty() {
            body.push(b',');
        }
        let start = body.len();
        batch.print(index, body);
        match fit(format, batch.records[index].root, &mut body[start..]) {
            Ok(()) => sent.push(index),
            Err(error) => {
                body.truncate(before);
                outcomes.rejected(index, error);
                continue;
            }
        }
        if format == Format::Ndjson {
            body.push(b'\n');
        }
    }
    if format == Format::Json {
        body.push(b']');
    }
}

/// Makes a record fit for its format, or says why it cannot be.
fn fit(format: Format, root: Root, record: &mut [u8]) -> Result<(), RecordError> {
    let is_known_json = matches!(root, Root::Node(_));
    match format {
        Format::Single => Ok(()),
        Format::Json if is_known_json || is_json(record) => Ok(()),
        Format::Json => {
            let message = "not JSON, so it cannot stand in a JSON array; use another batch.format";
            Err(RecordError::invalid(message))
        }
        Format::Ndjson if memchr2(b'\n', b'\r', record).is_none() => Ok(()),
        Format::Ndjson if is_known_json || is_json(record) => {
            // Line feeds in JSON are white space; strings have theirs escaped.
            for byte in record.iter_mut().filter(|byte| matches!(**byte, b'\n' | b'\r')) {
                *byte = b' ';
            }
            Ok(())
        }
        Format::Ndjson => {
            let message =
                "holds line feeds and is not JSON, so it is no line; use another batch.format";
            Err(RecordError::invalid(message))
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn encoded(format: Format, payloads: &[&str]) -> (String, Vec<usize>, Vec<usize>) {
        let mut batch = RecordBatch::new();
        for payload in payloads {
            batch.push(payload.as_bytes(), 0, 0);
        }
        let (mut body, mut sent, mut outcomes) = (Vec::new(), Vec::new(), Outcomes::default());
        encode(format, &batch, 0..batch.len(), &mut body, &mut sent, &mut outcomes);
        let rejected = outcomes.rejected_records().iter().map(|(index, _)| *index).collect();
        (String::from_utf8(body).unwrap(), sent, rejected)
    }

    #[test]
    fn records_become_lines() {
        let (body, sent, rejected) =
            encoded(Format::Ndjson, &["{\"a\":\n1}", "plain", "a\nb", "2"]);
        assert_eq!(body, "{\"a\": 1}\nplain\n2\n");
        assert_eq!((sent, rejected), (vec![0, 1, 3], vec![2]));
    }

    #[test]
    fn records_become_elements() {
        let (body, sent, rejected) = encoded(Format::Json, &["x", "{}", "1,2", "[1]"]);
        assert_eq!(body, "[{},[1]]");
        assert_eq!((sent, rejected), (vec![1, 3], vec![0, 2]));
        assert_eq!(encoded(Format::Json, &[]).0, "[]");
    }

    #[test]
    fn a_single_record_is_the_body() {
        assert_eq!(encoded(Format::Single, &["a\nb"]).0, "a\nb");
    }
}
