//! Rows of CSV from JSON payloads.

use std::ops::Range;

use levada_codec::csv::{CsvBatch, CsvError, CsvOptions, CsvReader, CsvWriter};
use levada_model::{NodeKind, RecordBatch, RecordError, Tree};

use crate::traits::Outcomes;

/// Makes rows of the objects in payloads.
///
/// The first record of a file fixes the columns. Strings are written as they are, `null` as an empty
/// field, numbers and booleans as they were written, arrays and objects as JSON.
#[derive(Debug)]
pub(crate) struct CsvRows {
    writer: CsvWriter,
    header: bool,
    rows: Vec<u8>,
    /// What follows is memory that is used again.
    payload: Vec<u8>,
    tree: Tree,
    /// Keys and values of the record at hand, decoded, and where each pair stands in it.
    plain: String,
    pairs: Vec<(Range<usize>, Range<usize>)>,
}

// === impl CsvRows ===

impl CsvRows {
    /// Makes a writer of a new file.
    pub(crate) fn new(options: &CsvOptions) -> Result<Self, CsvError> {
        Ok(CsvRows::of(CsvWriter::new(options)?, options))
    }

    /// Makes a writer that goes on with a file that begins with `head`.
    ///
    /// Without a header in the file its number of columns says nothing about their names, so the next
    /// record fixes them.
    pub(crate) fn append_to(options: &CsvOptions, head: &[u8]) -> Result<Self, CsvError> {
        if !options.header {
            return CsvRows::new(options);
        }
        let mut reader = CsvReader::new(options.clone())?;
        let mut found = CsvBatch::default();
        reader.feed(head, &mut found)?;
        if reader.columns().is_empty() {
            return CsvRows::new(options);
        }
        let writer = CsvWriter::append_to(options, reader.columns().to_vec())?;
        Ok(CsvRows::of(writer, options))
    }

    fn of(writer: CsvWriter, options: &CsvOptions) -> Self {
        CsvRows {
            writer,
            header: options.header,
            rows: Vec::new(),
            payload: Vec::new(),
            tree: Tree::default(),
            plain: String::new(),
            pairs: Vec::new(),
        }
    }

    /// Starts a series of [`CsvRows::push`].
    pub(crate) fn clear(&mut self) {
        self.rows.clear();
    }

    /// Gives the rows that were pushed.
    pub(crate) fn pushed(&self) -> &[u8] {
        &self.rows
    }

    /// Says that the file is empty (again): the next row is preceded by the header.
    pub(crate) fn restart(&mut self) {
        self.writer.restart(self.header);
    }

    /// Adds the row of one record, or rejects it.
    pub(crate) fn push(&mut self, batch: &RecordBatch, index: usize, outcomes: &mut Outcomes) {
        if let Err(error) = self.try_push(batch, index) {
            outcomes.rejected(index, error);
        }
    }

    fn try_push(&mut self, batch: &RecordBatch, index: usize) -> Result<(), RecordError> {
        self.payload.clear();
        batch.print(index, &mut self.payload);
        let text = match std::str::from_utf8(&self.payload) {
            Ok(text) => text,
            Err(error) => {
                let at = error.valid_up_to();
                return Err(RecordError::invalid(format!(
                    "invalid JSON: not UTF-8 from byte {at} on"
                )));
            }
        };
        self.tree.clear();
        let root = self
            .tree
            .parse(text.as_bytes(), 0, text.len() as u32)
            .map_err(|error| RecordError::invalid(error.to_string()))?;
        if self.tree.kind(root) != NodeKind::Object {
            let kind = self.tree.kind(root).name();
            return Err(RecordError::invalid(format!("a csv row needs an object, not {kind}")));
        }
        let bytes = text.as_bytes();
        self.plain.clear();
        self.pairs.clear();
        for child in self.tree.children(root) {
            let start = self.plain.len();
            self.plain.push_str(&self.tree.key(bytes, child).unwrap_or_default());
            let middle = self.plain.len();
            match self.tree.kind(child) {
                NodeKind::Null => {}
                NodeKind::String => {
                    self.plain.push_str(&self.tree.string(bytes, child).unwrap_or_default());
                }
                _ => {
                    let (start, end) = self.tree.span(child).unwrap_or_default();
                    self.plain.push_str(&text[start as usize..end as usize]);
                }
            }
            self.pairs.push((start..middle, middle..self.plain.len()));
        }
        let (plain, pairs) = (&self.plain, &self.pairs);
        let pair = |at: usize| (&plain[pairs[at].0.clone()], &plain[pairs[at].1.clone()]);
        self.writer
            .write_fields(pairs.len(), pair, &mut self.rows)
            .map_err(|error| RecordError::invalid(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn rows(writer: &mut CsvRows, payloads: &[&str]) -> (String, Vec<String>) {
        let mut batch = RecordBatch::new();
        let origin = batch.push_origin("p".into(), 0.into());
        for payload in payloads {
            batch.push(payload.as_bytes(), origin, 0);
        }
        let mut outcomes = Outcomes::default();
        writer.clear();
        for index in 0..batch.len() {
            writer.push(&batch, index, &mut outcomes);
        }
        let errors = outcomes.rejected_records().iter().map(|(_, error)| error.message.clone());
        (String::from_utf8(writer.pushed().to_vec()).unwrap(), errors.collect())
    }

    #[test]
    fn objects_become_rows_and_others_are_rejected() {
        let mut writer = CsvRows::new(&CsvOptions::default()).unwrap();
        let (text, errors) = rows(
            &mut writer,
            &[
                r#"{"a":1.50,"b":"x,\"y\"","c":null}"#,
                r#"{"b":true,"a":{"k":[1]}}"#,
                "[1]",
                "{\"a\":",
                r#"{"z":1}"#,
            ],
        );
        assert_eq!(text, "a,b,c\n1.50,\"x,\"\"y\"\"\",\n\"{\"\"k\"\":[1]}\",true,\n");
        assert_eq!(errors.len(), 3);
        assert_eq!(errors[0], "a csv row needs an object, not array");
    }

    #[test]
    fn a_file_goes_on_with_its_columns() {
        let options = CsvOptions::default();
        let mut writer = CsvRows::append_to(&options, b"b,a\n1,2\n").unwrap();
        assert_eq!(rows(&mut writer, &[r#"{"a":3,"b":4}"#]).0, "4,3\n");
        writer.restart();
        assert_eq!(rows(&mut writer, &[r#"{"a":5}"#]).0, "b,a\n,5\n");
        let mut empty = CsvRows::append_to(&options, b"").unwrap();
        assert_eq!(rows(&mut empty, &[r#"{"a":3}"#]).0, "a\n3\n");
    }
}
