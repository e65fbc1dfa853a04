//! The reader: pieces of a file in, JSON texts of rows out.

use std::collections::HashSet;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder, Terminator};
use levada_model::text::{encode_content, encode_string, needs_escape};

use super::{BOM, CsvError, CsvOptions, CsvPosition, CsvRowError, CsvRowProblem, RAW_PREFIX_BYTES};

/// Longest header in bytes: its names are repeated in every row.
const HEADER_BYTES_MAX: usize = 1 << 20;

/// Line end bytes that may follow the content of a row: `\r\n`.
const LINE_END_BYTES: usize = 2;

/// First size of the buffer for fields; it doubles as needed.
const FIELDS_BYTES_FIRST: usize = 4 << 10;

/// First number of field ends; it doubles as needed.
const ENDS_FIRST: usize = 64;

/// One complete row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CsvRow {
    /// Where its JSON text begins in [`CsvBatch::json`].
    pub json_start: usize,
    /// One past its JSON text.
    pub json_end: usize,
    /// Where it begins in the input.
    pub start: CsvPosition,
    /// Where the next row begins in the input: a place to continue from.
    pub end: CsvPosition,
}

/// What a reader found, in buffers that the caller keeps and clears.
///
/// Rows and errors are each in order of the input; their positions merge them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CsvBatch {
    /// JSON texts of the rows, one after the other, nothing between them.
    pub json: Vec<u8>,
    /// The rows.
    pub rows: Vec<CsvRow>,
    /// The rows that could not be taken.
    pub errors: Vec<CsvRowError>,
}

/// Reads CSV incrementally.
///
/// The first row fixes the columns, with a header and without; [`columns`](Self::columns) together
/// with a row's end is what a checkpoint needs to [`resume`](Self::resume) there.
pub struct CsvReader {
    options: CsvOptions,
    core: Reader,
    columns: Vec<String>,
    /// What stands before the value of each column, from the brace or quote before it on.
    keys: Vec<Box<[u8]>>,
    /// Length of all keys together.
    keys_len: usize,
    /// Unquoted fields of the current row, without anything between them.
    fields: Vec<u8>,
    fields_len: usize,
    /// End of each field in `fields`.
    ends: Vec<usize>,
    ends_len: usize,
    /// The current row as far as it lies in earlier pieces; its first bytes while skipping.
    raw: Vec<u8>,
    /// Bytes of the current row that were read, in this piece and earlier ones.
    raw_len: u64,
    /// The byte before the last one that was read of the current row.
    before_last: u8,
    last: u8,
    /// Why the rest of the current row is dropped.
    skip: Option<CsvRowProblem>,
    /// The next byte to read.
    offset: u64,
    row_start: CsvPosition,
    boundary: CsvPosition,
    /// Bytes of a byte order mark seen so far, while it may still become one.
    bom_seen: Option<usize>,
    blank_lines: u64,
    stopped: Option<CsvError>,
}

// === impl CsvBatch ===

impl CsvBatch {
    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.json.clear();
        self.rows.clear();
        self.errors.clear();
    }

    /// The JSON text of a row.
    ///
    /// - Panics: when `row` is not of this batch.
    #[must_use]
    pub fn json_of(&self, row: &CsvRow) -> &[u8] {
        &self.json[row.json_start..row.json_end]
    }

    /// Memory that rows and errors take, which one call of [`CsvReader::feed`] bounds.
    fn cost(&self) -> usize {
        self.json.len() + self.rows.len() * size_of::<CsvRow>()
    }
}

// === impl CsvReader ===

impl std::fmt::Debug for CsvReader {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("CsvReader")
            .field("columns", &self.columns)
            .field("boundary", &self.boundary)
            .finish_non_exhaustive()
    }
}

impl CsvReader {
    /// A reader at the start of its input.
    ///
    /// - Errors: [`CsvError::Option`].
    pub fn new(options: CsvOptions) -> Result<Self, CsvError> {
        CsvReader::resume(options, Vec::new(), CsvPosition::START)
    }

    /// A reader that goes on at `position`, the end of a row, with the columns known before.
    ///
    /// With no columns the first row fixes them, as at the start.
    ///
    /// - Errors: [`CsvError::Option`], [`CsvError::DuplicateColumn`].
    pub fn resume(
        options: CsvOptions,
        columns: Vec<String>,
        position: CsvPosition,
    ) -> Result<Self, CsvError> {
        options.check()?;
        let mut core = ReaderBuilder::new()
            .delimiter(options.delimiter)
            .quote(options.quote)
            .terminator(Terminator::Any(b'\n'))
            .build();
        // The library strips a byte order mark only when its first piece holds all of it; an empty
        // line ends its interest, and this reader strips the mark itself.
        core.read_record(b"\n", &mut [0], &mut [0]);
        core.set_line(position.line);
        let mut reader = CsvReader {
            core,
            columns: Vec::new(),
            keys: Vec::new(),
            keys_len: 0,
            fields: vec![0; FIELDS_BYTES_FIRST.min(options.record_bytes_max) + LINE_END_BYTES + 1],
            fields_len: 0,
            ends: vec![0; ENDS_FIRST.min(options.fields_max)],
            ends_len: 0,
            raw: Vec::new(),
            raw_len: 0,
            before_last: 0,
            last: 0,
            skip: None,
            offset: position.offset,
            row_start: position,
            boundary: position,
            bom_seen: (position.offset == 0).then_some(0),
            blank_lines: 0,
            stopped: None,
            options,
        };
        if !columns.is_empty() {
            reader.set_columns(columns)?;
        }
        Ok(reader)
    }

    /// The columns; empty before the first row.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The end of the last complete row, header and empty lines included.
    #[must_use]
    pub fn boundary(&self) -> CsvPosition {
        self.boundary
    }

    /// Empty lines seen so far.
    #[must_use]
    pub fn blank_lines(&self) -> u64 {
        self.blank_lines
    }

    /// Memory held for the current row, in bytes.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        self.raw.capacity() + self.fields.capacity() + self.ends.capacity() * size_of::<usize>()
    }

    /// Reads a piece of the input, appends complete rows to `batch`, and returns the bytes read.
    ///
    /// Fewer bytes than given were read when the batch grew by `batch_bytes` or `batch_rows`: take the rows out and
    /// call again with the rest. A row that is not complete yet is kept here, not by the caller.
    ///
    /// - Errors: the columns cannot be used, or the reader was finished; it stays so. What was
    ///   appended before is valid.
    pub fn feed(&mut self, input: &[u8], batch: &mut CsvBatch) -> Result<usize, CsvError> {
        self.check_open()?;
        let start = self.read_bom(input, batch)?;
        let read = self.read(&input[start..], batch);
        self.stop_on_error(read).map(|read| start + read)
    }

    /// Completes a last row that lacks its line end.
    ///
    /// - Errors: as [`feed`](Self::feed).
    pub fn finish(&mut self, batch: &mut CsvBatch) -> Result<(), CsvError> {
        self.check_open()?;
        if let Some(seen) = self.bom_seen.take() {
            let read = self.read(&BOM[..seen], batch);
            self.stop_on_error(read)?;
        }
        let ended = if self.raw_len == 0 { Ok(()) } else { self.end_last_row(batch) };
        self.stop_on_error(ended)?;
        self.stopped = Some(CsvError::Finished);
        Ok(())
    }

    fn check_open(&self) -> Result<(), CsvError> {
        self.stopped.clone().map_or(Ok(()), Err)
    }

    fn stop_on_error<T>(&mut self, result: Result<T, CsvError>) -> Result<T, CsvError> {
        if let Err(error) = &result {
            self.stopped = Some(error.clone());
        }
        result
    }

    /// Reads a byte order mark, however it is cut; what turns out to be none is read as data.
    fn read_bom(&mut self, input: &[u8], batch: &mut CsvBatch) -> Result<usize, CsvError> {
        let Some(mut seen) = self.bom_seen else {
            return Ok(0);
        };
        let mut start = 0;
        while let Some(&byte) = input.get(start)
            && seen < BOM.len()
            && byte == BOM[seen]
        {
            seen += 1;
            start += 1;
        }
        if seen == BOM.len() {
            self.bom_seen = None;
            self.offset += BOM.len() as u64;
            self.boundary.offset = self.offset;
        } else if start == input.len() {
            self.bom_seen = Some(seen);
        } else {
            self.bom_seen = None;
            let read = self.read(&BOM[..seen], batch);
            self.stop_on_error(read)?;
        }
        Ok(start)
    }

    fn read(&mut self, input: &[u8], batch: &mut CsvBatch) -> Result<usize, CsvError> {
        let cost_max = batch.cost().saturating_add(self.options.batch_bytes);
        let rows_of = |batch: &CsvBatch| batch.rows.len() + batch.errors.len();
        let rows_max = rows_of(batch).saturating_add(self.options.batch_rows);
        let mut error_cost = 0;
        let (mut at, mut row_at) = (0, 0);
        while at < input.len() {
            if self.raw_len == 0 {
                let is_full = rows_of(batch) >= rows_max;
                if is_full || batch.cost().saturating_add(error_cost) >= cost_max {
                    return Ok(at);
                }
                if input[at] == b'\n' {
                    at += 1;
                    self.read_blank_line();
                    continue;
                }
                row_at = at;
                self.row_start = CsvPosition { offset: self.offset, line: self.core.line() };
            }
            let (result, read) = self.read_some(&input[at..]);
            at += read;
            if self.skip.is_some() {
                self.keep_prefix(&input[row_at..at]);
                row_at = at;
            }
            if result == ReadRecordResult::Record {
                let errors = batch.errors.len();
                self.end_row(&input[row_at..at], true, batch)?;
                error_cost += batch.errors[errors..]
                    .iter()
                    .map(|error| size_of::<CsvRowError>() + error.raw.len())
                    .sum::<usize>();
            }
        }
        if self.raw_len > 0 && self.skip.is_none() {
            self.raw.extend_from_slice(&input[row_at..]);
        }
        Ok(at)
    }

    /// One call of the library, and what its buffers need after it.
    fn read_some(&mut self, input: &[u8]) -> (ReadRecordResult, usize) {
        let row_max = (self.options.record_bytes_max + LINE_END_BYTES) as u64;
        let skipping = self.skip.is_some();
        let room = if skipping { u64::MAX } else { row_max - self.raw_len };
        let input = &input[..input.len().min(usize::try_from(room).unwrap_or(usize::MAX))];
        // What a skipped row would hold is written to the same place over and over.
        let (fields_from, ends_from) =
            if skipping { (0, 0) } else { (self.fields_len, self.ends_len) };
        let (result, read, wrote, ended) = self.core.read_record(
            input,
            &mut self.fields[fields_from..],
            &mut self.ends[ends_from..],
        );
        self.note_read(&input[..read]);
        if skipping {
            return (result, read);
        }
        self.fields_len += wrote;
        self.ends_len += ended;
        match result {
            ReadRecordResult::OutputFull => {
                // Never full at its largest: fields are shorter than the row they are in.
                let most = self.options.record_bytes_max + LINE_END_BYTES + 1;
                self.fields.resize((self.fields.len() * 2).min(most), 0);
            }
            ReadRecordResult::OutputEndsFull if self.ends.len() < self.options.fields_max => {
                self.ends.resize((self.ends.len() * 2).min(self.options.fields_max), 0);
            }
            ReadRecordResult::OutputEndsFull => {
                self.skip = Some(CsvRowProblem::TooManyFields { max: self.options.fields_max });
            }
            ReadRecordResult::InputEmpty if self.raw_len >= row_max => {
                self.skip = Some(CsvRowProblem::TooLong { max: self.options.record_bytes_max });
            }
            ReadRecordResult::InputEmpty | ReadRecordResult::Record | ReadRecordResult::End => {}
        }
        (result, read)
    }

    fn note_read(&mut self, read: &[u8]) {
        self.raw_len += read.len() as u64;
        self.offset += read.len() as u64;
        match read {
            [] => {}
            [only] => (self.before_last, self.last) = (self.last, *only),
            [.., before, last] => (self.before_last, self.last) = (*before, *last),
        }
    }

    fn keep_prefix(&mut self, bytes: &[u8]) {
        // Two more than are reported, because the line end may be among them.
        let keep = RAW_PREFIX_BYTES + LINE_END_BYTES;
        self.raw.truncate(keep);
        let room = keep - self.raw.len();
        self.raw.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn read_blank_line(&mut self) {
        self.offset += 1;
        self.core.set_line(self.core.line() + 1);
        self.end_blank_line();
    }

    fn end_blank_line(&mut self) {
        self.blank_lines += 1;
        self.boundary = CsvPosition { offset: self.offset, line: self.core.line() };
    }

    /// Ends the last row by a line end that is not in the input.
    fn end_last_row(&mut self, batch: &mut CsvBatch) -> Result<(), CsvError> {
        let line = self.core.line();
        loop {
            let before = (self.raw_len, self.offset, self.before_last, self.last);
            // A line end that is not in the input must not be what exceeds the bound of the row.
            self.raw_len = self.raw_len.min(self.options.record_bytes_max as u64);
            let (result, read) = self.read_some(b"\n");
            (self.raw_len, self.offset, self.before_last, self.last) = before;
            if read == 0 {
                continue; // A buffer was full and has grown, or the row is skipped from here on.
            }
            self.core.set_line(line);
            if result != ReadRecordResult::Record && self.skip.is_none() {
                self.skip = Some(CsvRowProblem::UnclosedQuote);
                return self.end_row(&[], false, batch);
            }
            self.before_last = self.last;
            return self.end_row(&[], false, batch);
        }
    }

    /// Takes the complete row, the rest of which is `tail`, and begins the next one.
    fn end_row(
        &mut self,
        tail: &[u8],
        line_end: bool,
        batch: &mut CsvBatch,
    ) -> Result<(), CsvError> {
        let unclosed = self.skip == Some(CsvRowProblem::UnclosedQuote);
        let cr = !unclosed && self.before_last == b'\r';
        let bytes = self.raw_len - u64::from(line_end) - u64::from(cr);
        let end = CsvPosition { offset: self.offset, line: self.core.line() };
        let result = if bytes == 0 {
            self.end_blank_line();
            Ok(())
        } else {
            if cr && self.skip.is_none() {
                // The `\r` of the line end is the last byte of the last field for the library.
                self.fields_len -= 1;
                self.ends[self.ends_len - 1] -= 1;
            }
            let taken = self.take_row(bytes, end, batch);
            self.refuse_row(taken, tail, bytes, end, batch)
        };
        self.boundary = end;
        self.raw.clear();
        (self.raw_len, self.fields_len, self.ends_len) = (0, 0, 0);
        (self.before_last, self.last, self.skip) = (0, 0, None);
        result
    }

    /// Reports a row that was not taken; for the header that is the end.
    fn refuse_row(
        &mut self,
        taken: Result<(), Refusal>,
        tail: &[u8],
        bytes: u64,
        end: CsvPosition,
        batch: &mut CsvBatch,
    ) -> Result<(), CsvError> {
        let problem = match taken {
            Ok(()) => return Ok(()),
            Err(Refusal::Columns(error)) => return Err(error),
            Err(Refusal::Row(problem)) => problem,
        };
        let whole = matches!(
            problem,
            CsvRowProblem::FieldCount { .. }
                | CsvRowProblem::NotUtf8 { .. }
                | CsvRowProblem::UnclosedQuote
        );
        let keep = if whole { bytes } else { bytes.min(RAW_PREFIX_BYTES as u64) } as usize;
        let mut raw = std::mem::take(&mut self.raw);
        raw.truncate(keep);
        raw.extend_from_slice(&tail[..tail.len().min(keep - raw.len())]);
        raw.shrink_to_fit();
        let error = CsvRowError { start: self.row_start, end, bytes, raw, problem };
        if self.columns.is_empty() && self.options.header {
            return Err(CsvError::Header(error));
        }
        batch.errors.push(error);
        Ok(())
    }

    fn take_row(
        &mut self,
        bytes: u64,
        end: CsvPosition,
        batch: &mut CsvBatch,
    ) -> Result<(), Refusal> {
        if let Some(problem) = self.skip.take() {
            return Err(Refusal::Row(problem));
        }
        let fields = self.check_fields(bytes).map_err(Refusal::Row)?;
        if self.columns.is_empty() {
            let columns = if self.options.header {
                let mut start = 0;
                let names = self.ends[..self.ends_len].iter().map(|&field_end| {
                    fields[std::mem::replace(&mut start, field_end)..field_end].to_owned()
                });
                names.collect()
            } else {
                (1..=self.ends_len).map(|number| format!("column{number}")).collect()
            };
            self.set_columns(columns).map_err(Refusal::Columns)?;
            if self.options.header {
                return Ok(());
            }
        }
        if self.ends_len != self.columns.len() {
            let (expected, found) = (self.columns.len(), self.ends_len);
            return Err(Refusal::Row(CsvRowProblem::FieldCount { expected, found }));
        }
        self.append_json(end, batch);
        Ok(())
    }

    /// Checks the bounds of the row and that each field is text.
    fn check_fields(&self, bytes: u64) -> Result<&str, CsvRowProblem> {
        let is_header = self.columns.is_empty() && self.options.header;
        let header_max = if is_header { HEADER_BYTES_MAX } else { usize::MAX };
        let max = self.options.record_bytes_max.min(header_max);
        if bytes > max as u64 {
            return Err(CsvRowProblem::TooLong { max });
        }
        let max = self.options.field_bytes_max;
        let ends = &self.ends[..self.ends_len];
        // A row within the bound of one field, which is the usual one, needs no look at each.
        if self.fields_len > max {
            let starts = std::iter::once(&0).chain(ends);
            let long = starts.zip(ends).position(|(start, end)| end - start > max);
            if let Some(field) = long {
                return Err(CsvRowProblem::FieldTooLong { column: field + 1, max });
            }
        }
        let fields = &self.fields[..self.fields_len];
        match std::str::from_utf8(fields) {
            // A character cut by the border of two fields looks whole without the border.
            Ok(text) => match ends.iter().position(|&end| !text.is_char_boundary(end)) {
                None => Ok(text),
                Some(field) => Err(CsvRowProblem::NotUtf8 { column: field + 1 }),
            },
            Err(error) => {
                let bad = error.valid_up_to();
                let text = std::str::from_utf8(&fields[..bad]).unwrap_or_default();
                let cut = |&end: &usize| end > bad || !text.is_char_boundary(end);
                let field = ends.iter().position(cut).unwrap_or(ends.len());
                Err(CsvRowProblem::NotUtf8 { column: field + 1 })
            }
        }
    }

    fn append_json(&self, end: CsvPosition, batch: &mut CsvBatch) {
        let json = &mut batch.json;
        let json_start = json.len();
        let fields = &self.fields[..self.fields_len];
        json.reserve(self.keys_len + fields.len() + 2);
        // Most rows hold nothing to escape, which one look at the whole row tells.
        let plain = !needs_escape(fields);
        let mut field_start = 0;
        for (key, &field_end) in self.keys.iter().zip(&self.ends[..self.ends_len]) {
            json.extend_from_slice(key);
            let field = &fields[field_start..field_end];
            if plain {
                json.extend_from_slice(field);
            } else {
                encode_content(field, json);
            }
            field_start = field_end;
        }
        json.extend_from_slice(b"\"}");
        let json_end = json.len();
        batch.rows.push(CsvRow { json_start, json_end, start: self.row_start, end });
    }

    fn set_columns(&mut self, columns: Vec<String>) -> Result<(), CsvError> {
        let mut seen = HashSet::with_capacity(columns.len());
        for column in &columns {
            if !seen.insert(column.as_str()) {
                let line = self.row_start.line;
                return Err(CsvError::DuplicateColumn { line, column: column.clone() });
            }
        }
        self.keys = columns
            .iter()
            .enumerate()
            .map(|(index, column)| {
                let mut key = if index == 0 { b"{".to_vec() } else { b"\",".to_vec() };
                encode_string(column, &mut key);
                key.extend_from_slice(b":\"");
                key.into_boxed_slice()
            })
            .collect();
        self.keys_len = self.keys.iter().map(|key| key.len()).sum();
        self.columns = columns;
        Ok(())
    }
}

/// Why a row was not taken.
enum Refusal {
    Row(CsvRowProblem),
    Columns(CsvError),
}
