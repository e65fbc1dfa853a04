//! Records as rows: objects, one per line.

use levada_model::text::encode_string;
use levada_model::{NodeId, NodeKind, RecordBatch, RecordError, Tree};

/// Which columns a record has.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    /// One per field.
    Columns {
        /// Every row must have this one.
        key: Option<String>,
    },
    /// The whole record as text, and its metadata.
    Raw {
        /// A column per key, beginning with this text, in place of the one column.
        prefix: Option<String>,
        /// There is a column for the metadata.
        has_metadata: bool,
    },
}

/// Makes rows; keeps its memory.
#[derive(Default)]
pub(super) struct Rows {
    tree: Tree,
    metadata: Vec<u8>,
    metadata_tree: Tree,
}

/// The column of the whole record in raw mode, and that of its metadata. Source: dataflow-operator.md §3.8.
pub(super) const DATA: &str = "data";
pub(super) const METADATA: &str = "_metadata";

// === impl Rows ===

impl Rows {
    /// Appends the row of a record and a line feed.
    ///
    /// - Errors: the record has no row, and `out` is as it was before.
    pub(super) fn push(
        &mut self,
        shape: &Shape,
        batch: &RecordBatch,
        index: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), RecordError> {
        let start = out.len();
        let result = match shape {
            Shape::Columns { key } => self.push_columns(key.as_deref(), batch, index, out),
            Shape::Raw { prefix, has_metadata } => {
                self.push_raw(prefix.as_deref(), *has_metadata, batch, index, out)
            }
        };
        match result {
            Ok(()) => out.push(b'\n'),
            Err(_) => out.truncate(start),
        }
        result
    }

    fn push_columns(
        &mut self,
        key: Option<&str>,
        batch: &RecordBatch,
        index: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), RecordError> {
        let start = out.len();
        batch.print(index, out);
        let root = self.parse(out, start)?;
        let row = match self.unwrapped(out, root) {
            Some((value, _)) => value,
            None => root,
        };
        if self.tree.kind(row) != NodeKind::Object {
            let kind = self.tree.kind(row).name();
            return Err(RecordError::invalid(format!(
                "is {kind} and not an object, so it has no columns; rawMode takes any record"
            )));
        }
        if let Some(key) = key {
            // ClickHouse would write a default, and such rows replace each other.
            let value = self.tree.member(out, row, key.as_bytes());
            if value.is_none_or(|value| self.tree.kind(value) == NodeKind::Null) {
                return Err(RecordError::invalid(format!("has no `{key}`, the conflictKey")));
            }
        }
        if row != root
            && let Some((from, to)) = self.tree.span(row)
        {
            out.copy_within(from as usize..to as usize, start);
            out.truncate(start + (to - from) as usize);
        }
        Ok(())
    }

    fn push_raw(
        &mut self,
        prefix: Option<&str>,
        has_metadata: bool,
        batch: &RecordBatch,
        index: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), RecordError> {
        let payload = batch.payload(index);
        let Ok(text) = std::str::from_utf8(&payload) else {
            return Err(RecordError::invalid("is not UTF-8, so it cannot be sent as text"));
        };
        // Whatever is no JSON is a plain body.
        self.tree.clear();
        let root = self.tree.parse(&payload, 0, payload.len() as u32).ok();
        let parts = root.and_then(|root| self.unwrapped(&payload, root));
        let spans =
            parts.map(|(value, metadata)| (self.tree.span(value), self.tree.span(metadata)));
        self.metadata.clear();
        let data = match spans {
            Some((Some(value), Some((from, to)))) => {
                self.metadata.extend_from_slice(&payload[from as usize..to as usize]);
                &text[value.0 as usize..value.1 as usize]
            }
            _ => {
                match batch.meta(index) {
                    Some(meta) => meta.write_json(&mut self.metadata),
                    None => self.metadata.extend_from_slice(b"{}"),
                }
                text
            }
        };
        out.push(b'{');
        push_member(DATA, out);
        encode_string(data, out);
        match prefix {
            Some(prefix) => self.push_flat(prefix, out)?,
            None if has_metadata => {
                out.push(b',');
                push_member(METADATA, out);
                push_text(&self.metadata, out);
            }
            None => {}
        }
        out.push(b'}');
        Ok(())
    }

    /// Appends a member for each key of the metadata.
    fn push_flat(&mut self, prefix: &str, out: &mut Vec<u8>) -> Result<(), RecordError> {
        self.metadata_tree.clear();
        let (text, tree) = (&self.metadata, &mut self.metadata_tree);
        let root = tree
            .parse(text, 0, text.len() as u32)
            .map_err(|error| RecordError::invalid(format!("its metadata: {error}")))?;
        let mut column = String::new();
        for member in tree.children(root) {
            column.clear();
            column.push_str(prefix);
            let key = tree.key(text, member).unwrap_or_default();
            column.push_str(&key);
            if column == DATA {
                // Which of two members with one name the server takes is not for us to know.
                let key: String = key.chars().take(60).collect();
                return Err(RecordError::invalid(format!(
                    "has the metadata key `{key}`, which would be written to the column `{DATA}`, which holds \
                     the record; set flattenMetadataColumnsPrefix to another text"
                )));
            }
            out.push(b',');
            push_member(&column, out);
            match tree.kind(member) {
                // A column of its own holds what is inside as text.
                NodeKind::Object | NodeKind::Array => {
                    let (from, to) = tree.span(member).unwrap_or_default();
                    push_text(&text[from as usize..to as usize], out);
                }
                _ => tree.print(text, member, out),
            }
        }
        Ok(())
    }

    /// Parses what stands in `out` from `start` on.
    fn parse(&mut self, out: &[u8], start: usize) -> Result<NodeId, RecordError> {
        if std::str::from_utf8(&out[start..]).is_err() {
            return Err(RecordError::invalid("is not UTF-8, so it is no JSON"));
        }
        self.tree.clear();
        let error = |text: String| RecordError::invalid(text);
        let end = u32::try_from(out.len()).map_err(|_| error("the batch is too long".into()))?;
        self.tree.parse(out, start as u32, end).map_err(|parse| error(parse.to_string()))
    }

    /// Gives the parts of an envelope `{"value": …, "_metadata": {…}}`; nothing of another record.
    fn unwrapped(&self, text: &[u8], root: NodeId) -> Option<(NodeId, NodeId)> {
        let (value, metadata) = (
            self.tree.member(text, root, b"value")?,
            self.tree.member(text, root, METADATA.as_bytes())?,
        );
        let is_envelope =
            self.tree.children(root).count() == 2 && self.tree.kind(metadata) == NodeKind::Object;
        is_envelope.then_some((value, metadata))
    }
}

fn push_member(name: &str, out: &mut Vec<u8>) {
    encode_string(name, out);
    out.push(b':');
}

/// Appends JSON as a string; it is UTF-8, because it was parsed or written here.
fn push_text(json: &[u8], out: &mut Vec<u8>) {
    encode_string(&String::from_utf8_lossy(json), out);
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn row(shape: &Shape, payload: &[u8]) -> Result<String, String> {
        let mut batch = RecordBatch::new();
        batch.push(payload, 0, 0);
        let meta = batch.meta_mut(0);
        meta.set("topic", "t".into());
        meta.set("offset", levada_model::Value::Int(7));
        let mut out = b"before\n".to_vec();
        let result = Rows::default().push(shape, &batch, 0, &mut out);
        let text = String::from_utf8(out.split_off(7)).unwrap();
        result.map(|()| text).map_err(|error| error.message)
    }

    #[test]
    fn objects_are_rows_and_envelopes_are_unwrapped() {
        let row = |payload: &str| row(&Shape::Columns { key: None }, payload.as_bytes());
        assert_eq!(row(r#" {"a": 1.10} "#).unwrap(), " {\"a\": 1.10} \n");
        assert_eq!(row(r#"{"value": {"a":1}, "_metadata":{"x":2}}"#).unwrap(), "{\"a\":1}\n");
        let other = r#"{"value":{"a":1},"_metadata":{},"more":1}"#;
        assert_eq!(row(other).unwrap(), format!("{other}\n"));
        assert!(row("[1]").unwrap_err().starts_with("is array and not an object"));
        assert!(row(r#"{"value":1,"_metadata":{}}"#).unwrap_err().starts_with("is number"));
        assert!(row("{\"a\":").unwrap_err().starts_with("invalid JSON"));
    }

    #[test]
    fn raw_records_are_texts_with_their_metadata() {
        let shape = |prefix: Option<&str>, has_metadata| Shape::Raw {
            prefix: prefix.map(str::to_owned),
            has_metadata,
        };
        assert_eq!(
            row(&shape(None, true), b"plain \"text\"").unwrap(),
            "{\"data\":\"plain \\\"text\\\"\",\"_metadata\":\"{\\\"topic\\\":\\\"t\\\",\\\"offset\\\":7}\"}\n"
        );
        assert_eq!(row(&shape(None, false), b"1").unwrap(), "{\"data\":\"1\"}\n");
        assert_eq!(
            row(&shape(Some("kafka_"), true), b"1").unwrap(),
            "{\"data\":\"1\",\"kafka_topic\":\"t\",\"kafka_offset\":7}\n"
        );
        let envelope = br#"{"value":[1, 2],"_metadata":{"h":{"k":"v"},"n":null}}"#;
        assert_eq!(
            row(&shape(Some("m_"), true), envelope).unwrap(),
            "{\"data\":\"[1, 2]\",\"m_h\":\"{\\\"k\\\":\\\"v\\\"}\",\"m_n\":null}\n"
        );
        // The body keeps its column.
        for (prefix, key) in [("", "data"), ("da", "ta"), ("data", "")] {
            let envelope = format!("{{\"value\":1,\"_metadata\":{{\"{key}\":2}}}}");
            let problem = row(&shape(Some(prefix), true), envelope.as_bytes()).unwrap_err();
            assert!(problem.contains("the column `data`"), "{problem}");
        }
        assert!(row(&shape(None, true), b"\xff").unwrap_err().contains("UTF-8"));
    }
}
