//! The writer: ordered pairs in, rows out.

use std::collections::HashMap;

use super::{CsvError, CsvOptions};

/// Why a record could not be written. Nothing of it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CsvWriteError {
    /// Keys that are not columns.
    #[error("record has keys {} that are not columns of the csv file; known: {}",
        quoted(.unknown), quoted(.columns))]
    UnknownKeys {
        /// The keys, in the order of the record.
        unknown: Vec<String>,
        /// The columns.
        columns: Vec<String>,
    },
    /// The same key twice.
    #[error("record has key `{key}` twice; rename one")]
    DuplicateKey {
        /// The key.
        key: String,
    },
    /// The first record has no keys, so there are no columns.
    #[error("record has no keys, so the csv file would have no columns; send a record with keys")]
    NoColumns,
}

/// Writes CSV whose columns are fixed by its first record.
///
/// A later record may lack keys, which become empty fields, and may order them differently.
#[derive(Clone, Debug)]
pub struct CsvWriter {
    delimiter: u8,
    quote: u8,
    columns: Vec<String>,
    index: HashMap<String, usize>,
    header_due: bool,
    at_start: bool,
    /// For each column, the pair of the current record that fills it, counted from 1.
    filled: Vec<usize>,
}

// === impl CsvWriter ===

impl CsvWriter {
    /// A writer of a new file. Only delimiter, quote and header of the options matter.
    ///
    /// - Errors: [`CsvError::Option`].
    pub fn new(options: &CsvOptions) -> Result<Self, CsvError> {
        options.check()?;
        Ok(CsvWriter {
            delimiter: options.delimiter,
            quote: options.quote,
            columns: Vec::new(),
            index: HashMap::new(),
            header_due: options.header,
            at_start: true,
            filled: Vec::new(),
        })
    }

    /// A writer that continues a file with these columns; no header is written.
    ///
    /// - Errors: [`CsvError::Option`], [`CsvError::DuplicateColumn`].
    pub fn append_to(options: &CsvOptions, columns: Vec<String>) -> Result<Self, CsvError> {
        let mut writer = CsvWriter::new(options)?;
        writer.set_columns(columns);
        if writer.index.len() != writer.columns.len() {
            let is_twice = |at: &usize| writer.columns[..*at].contains(&writer.columns[*at]);
            let twice = (0..writer.columns.len()).find(is_twice).unwrap_or_default();
            let column = writer.columns.swap_remove(twice);
            return Err(CsvError::DuplicateColumn { line: 1, column });
        }
        writer.header_due = false;
        writer.at_start = false;
        Ok(writer)
    }

    /// The columns; empty before the first record.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Begins a new file with the same columns: the next record is preceded by the header again.
    pub fn restart(&mut self, header: bool) {
        self.header_due = header;
        self.at_start = true;
    }

    /// Appends a record, before the first one the header.
    ///
    /// - Errors: [`CsvWriteError`]; `out` is as it was then, and the next record may be written.
    pub fn write(
        &mut self,
        pairs: &[(impl AsRef<str>, impl AsRef<str>)],
        out: &mut Vec<u8>,
    ) -> Result<(), CsvWriteError> {
        self.write_fields(pairs.len(), |at| (pairs[at].0.as_ref(), pairs[at].1.as_ref()), out)
    }

    /// Appends a record of `count` pairs that `pair` gives by their number; see [`CsvWriter::write`].
    pub fn write_fields<'p>(
        &mut self,
        count: usize,
        pair: impl Fn(usize) -> (&'p str, &'p str) + Copy,
        out: &mut Vec<u8>,
    ) -> Result<(), CsvWriteError> {
        if self.columns.is_empty() {
            self.columns_from((0..count).map(|at| pair(at).0))?;
        }
        self.fill(|| (0..count).map(move |at| pair(at).0))?;
        if std::mem::take(&mut self.header_due) {
            let columns = std::mem::take(&mut self.columns);
            self.append_row(columns.iter().map(String::as_str), out);
            self.columns = columns;
        }
        let filled = std::mem::take(&mut self.filled);
        let value = |&number: &usize| number.checked_sub(1).map_or("", |at| pair(at).1);
        self.append_row(filled.iter().map(value), out);
        self.filled = filled;
        Ok(())
    }

    fn columns_from<'p>(
        &mut self,
        keys: impl Iterator<Item = &'p str> + Clone,
    ) -> Result<(), CsvWriteError> {
        let mut seen = std::collections::HashSet::new();
        if let Some(key) = keys.clone().find(|key| !seen.insert(*key)) {
            return Err(CsvWriteError::DuplicateKey { key: key.to_owned() });
        }
        if seen.is_empty() {
            return Err(CsvWriteError::NoColumns);
        }
        self.set_columns(keys.map(str::to_owned).collect());
        Ok(())
    }

    fn set_columns(&mut self, columns: Vec<String>) {
        self.index = columns.iter().cloned().zip(0..).collect();
        self.filled = vec![0; columns.len()];
        self.columns = columns;
    }

    /// Finds the column of each pair.
    fn fill<'p, K: Iterator<Item = &'p str>>(
        &mut self,
        keys: impl Fn() -> K,
    ) -> Result<(), CsvWriteError> {
        self.filled.fill(0);
        for (at, key) in keys().enumerate() {
            // Records usually have the same keys in the same order.
            let same_place = self.columns.get(at).is_some_and(|column| column == key);
            let column = if same_place { Some(at) } else { self.index.get(key).copied() };
            let Some(column) = column else {
                let unknown = keys().filter(|key| !self.index.contains_key(*key));
                return Err(CsvWriteError::UnknownKeys {
                    unknown: unknown.map(str::to_owned).collect(),
                    columns: self.columns.clone(),
                });
            };
            if std::mem::replace(&mut self.filled[column], at + 1) != 0 {
                return Err(CsvWriteError::DuplicateKey { key: key.to_owned() });
            }
        }
        Ok(())
    }

    fn append_row<'a>(&mut self, fields: impl Iterator<Item = &'a str>, out: &mut Vec<u8>) {
        let row_start = out.len();
        for (at, field) in fields.enumerate() {
            if at > 0 {
                out.push(self.delimiter);
            }
            // A reader would take a mark at the very start for one of the file.
            let quote =
                (self.at_start && field.starts_with('\u{feff}')) || self.needs_quotes(field);
            self.at_start = false;
            if quote {
                self.append_quoted(field, out);
            } else {
                out.extend_from_slice(field.as_bytes());
            }
        }
        if out.len() == row_start {
            // One empty column: an empty line would be no row.
            out.extend_from_slice(&[self.quote, self.quote]);
        }
        out.push(b'\n');
    }

    fn needs_quotes(&self, field: &str) -> bool {
        let bytes = field.as_bytes();
        memchr::memchr3(self.delimiter, self.quote, b'\n', bytes).is_some()
            || memchr::memchr(b'\r', bytes).is_some()
    }

    fn append_quoted(&self, field: &str, out: &mut Vec<u8>) {
        out.push(self.quote);
        let mut rest = field.as_bytes();
        while let Some(at) = memchr::memchr(self.quote, rest) {
            out.extend_from_slice(&rest[..=at]);
            out.push(self.quote);
            rest = &rest[at + 1..];
        }
        out.extend_from_slice(rest);
        out.push(self.quote);
    }
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
