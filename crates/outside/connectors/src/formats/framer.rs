//! Cuts a byte stream into the records of a batch.
//!
//! Bytes are read straight into the text of the batch, and records are spans of it. What follows the
//! last line end begins the text of the next batch; that tail, and lines above the number that a
//! batch may hold, are the only things that are copied. CSV is the exception: rows become JSON, and
//! that JSON is the text.
//!
//! - How the stream is cut into reads never changes records or places.
//! - A line longer than allowed costs constant memory. It becomes a record that carries its first
//!   KiB and fails with the reason, and so does a CSV row that cannot be taken: neither is lost.
//! - Blank lines are no records in NDJSON and CSV, and are counted; in `lines` they are records.

use std::sync::Arc;

use levada_codec::csv::{CsvBatch, CsvError, CsvOptions, CsvPosition, CsvReader};
use levada_codec::lines::{LineSpan, LineSplitter, TooLong};
use levada_model::{RecordBatch, RecordError};

use super::Format;

/// A buffer that one long line made larger than this many chunks is given back.
const CHUNKS_KEPT: usize = 4;

/// More bytes than this change buffers without a copy.
const COPIED_BYTES_MAX: usize = 64 << 10;

/// The byte order mark of UTF-8.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// A place between two records, from which reading can go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// Bytes before it.
    pub(crate) offset: u64,
    /// Number of the line that begins here, from 1; only CSV counts them.
    pub(crate) line: u64,
    /// The columns, once they are known; only CSV has them.
    pub(crate) columns: Option<Arc<[String]>>,
}

/// Appends bytes to the end of a buffer, at most about as many as it is told, and gives how many.
pub(crate) type ReadBytes<'a, E> = dyn FnMut(&mut Vec<u8>, usize) -> Result<usize, E> + 'a;

/// What one call of [`Framer::fill`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filled {
    /// The batch holds records.
    Records,
    /// There is nothing more to read now, and no complete record.
    Nothing,
}

/// Why a stream cannot be read on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError<E> {
    /// The bytes could not be read.
    #[error("{0}")]
    Read(E),
    /// The columns cannot be used.
    #[error(transparent)]
    Csv(#[from] CsvError),
}

/// Cuts a byte stream into records; see the module.
pub(crate) struct Framer {
    shape: Shape,
    chunk_bytes: usize,
    /// Bytes behind the last complete line.
    tail: Vec<u8>,
    place: Place,
    blank_lines: u64,
}

enum Shape {
    Lines(Lines),
    Csv(Box<Csv>),
}

struct Lines {
    splitter: LineSplitter,
    max: usize,
    is_json: bool,
    spans: Vec<LineSpan>,
    too_long: Vec<TooLong>,
    /// Lines of one batch.
    count_max: usize,
    /// Where the tail goes on when a batch was full: it may hold complete lines.
    rest: Option<usize>,
}

struct Csv {
    reader: CsvReader,
    found: CsvBatch,
    /// What was read, and how much of it the reader has taken.
    input: Vec<u8>,
    taken: usize,
}

// === impl Framer ===

impl Framer {
    /// Makes a framer that goes on at `place`.
    ///
    /// It reads about `chunk_bytes` at a time. `options` bound lines too: their length, and their
    /// number in a batch.
    ///
    /// Errors: the columns of `place` cannot be used.
    pub(crate) fn new(
        format: Format,
        options: CsvOptions,
        place: Place,
        chunk_bytes: usize,
    ) -> Result<Self, CsvError> {
        let shape = match format {
            Format::Csv => {
                let options = CsvOptions { batch_bytes: chunk_bytes, ..options };
                let columns = place.columns.as_deref().unwrap_or_default().to_vec();
                let position = CsvPosition { offset: place.offset, line: place.line.max(1) };
                let reader = CsvReader::resume(options, columns, position)?;
                let (found, input) = (CsvBatch::default(), Vec::new());
                Shape::Csv(Box::new(Csv { reader, found, input, taken: 0 }))
            }
            Format::Ndjson | Format::Lines => Shape::Lines(Lines {
                splitter: LineSplitter::at_offset(options.record_bytes_max, place.offset),
                max: options.record_bytes_max,
                is_json: format.is_json(),
                spans: Vec::new(),
                too_long: Vec::new(),
                count_max: options.batch_rows.max(1),
                rest: None,
            }),
        };
        Ok(Framer { shape, chunk_bytes, tail: Vec::new(), place, blank_lines: 0 })
    }

    /// Gives the place behind the last complete record.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Takes the number of blank lines since the last call.
    pub(crate) fn take_blank_lines(&mut self) -> u64 {
        std::mem::take(&mut self.blank_lines)
    }

    /// Reads until there are records, and adds them to `batch`, whose text is empty.
    ///
    /// When `read` gives zero, there is nothing now. An error of `read` loses nothing: what was read
    /// before stays for the next call.
    pub(crate) fn fill<E>(
        &mut self,
        read: &mut ReadBytes<'_, E>,
        batch: &mut RecordBatch,
        origin: u32,
    ) -> Result<Filled, FrameError<E>> {
        match &mut self.shape {
            Shape::Lines(lines) => loop {
                let text = &mut batch.text;
                let start;
                if let Some(from) = lines.rest.take() {
                    start = lines.splitter.offset();
                    let (consumed, is_full) = lines.split(&self.tail[from..]);
                    let end = from + consumed;
                    if lines.has_found() {
                        text.extend_from_slice(&self.tail[from..end]);
                    }
                    if is_full {
                        lines.rest = Some(end);
                    } else {
                        self.tail.drain(..end);
                        // A file that is followed keeps no more than its tail needs.
                        self.tail.shrink_to(COPIED_BYTES_MAX);
                    }
                } else {
                    move_bytes(&mut self.tail, text);
                    make_room(text, self.chunk_bytes);
                    match read(text, self.chunk_bytes) {
                        Ok(0) => {
                            move_bytes(text, &mut self.tail);
                            return Ok(Filled::Nothing);
                        }
                        Ok(_) => {}
                        Err(error) => {
                            move_bytes(text, &mut self.tail);
                            return Err(FrameError::Read(error));
                        }
                    }
                    start = lines.splitter.offset();
                    let (consumed, is_full) = lines.split(text);
                    if !lines.has_found() {
                        // What is read next goes behind it.
                        text.drain(..consumed);
                        continue;
                    }
                    self.tail.extend_from_slice(&text[consumed..]);
                    text.truncate(consumed);
                    lines.rest = is_full.then_some(0);
                }
                self.blank_lines += lines.emit(start, batch, origin, &mut self.place);
                if !batch.is_empty() {
                    return Ok(Filled::Records);
                }
                batch.text.clear();
            },
            Shape::Csv(csv) => loop {
                if csv.taken == csv.input.len() {
                    csv.input.clear();
                    csv.taken = 0;
                    make_room(&mut csv.input, self.chunk_bytes);
                    let count = read(&mut csv.input, self.chunk_bytes).map_err(FrameError::Read)?;
                    if count == 0 {
                        // Many files may be followed that say little.
                        csv.input = Vec::new();
                        csv.found = CsvBatch::default();
                        return Ok(Filled::Nothing);
                    }
                }
                let blank_before = csv.reader.blank_lines();
                let result = csv.reader.feed(&csv.input[csv.taken..], &mut csv.found);
                // After an error the reader is of no more use, so how much it took does not matter.
                csv.taken += *result.as_ref().unwrap_or(&0);
                self.blank_lines += csv.reader.blank_lines() - blank_before;
                if csv.emit(batch, origin, &mut self.place) {
                    return Ok(Filled::Records);
                }
                result?;
            },
        }
    }

    /// Tells whether [`fill`](Self::fill) may find records without reading.
    pub(crate) fn has_rest(&self) -> bool {
        match &self.shape {
            Shape::Lines(lines) => lines.rest.is_some(),
            Shape::Csv(csv) => csv.taken < csv.input.len(),
        }
    }

    /// Adds the last record when it lacks its line end; nothing can be read after that.
    ///
    /// Only what [`fill`](Self::fill) left when it found nothing is looked at.
    pub(crate) fn finish(
        &mut self,
        batch: &mut RecordBatch,
        origin: u32,
    ) -> Result<Filled, CsvError> {
        match &mut self.shape {
            Shape::Lines(lines) => {
                let start = lines.splitter.offset();
                if let Some(from) = lines.rest.take() {
                    self.tail.drain(..from);
                }
                move_bytes(&mut self.tail, &mut batch.text);
                lines.splitter.finish(&batch.text, &mut lines.spans, &mut lines.too_long);
                self.blank_lines += lines.emit(start, batch, origin, &mut self.place);
                self.place.offset = lines.splitter.offset();
            }
            Shape::Csv(csv) => {
                let result = csv.reader.finish(&mut csv.found);
                csv.emit(batch, origin, &mut self.place);
                result?;
            }
        }
        Ok(if batch.is_empty() { Filled::Nothing } else { Filled::Records })
    }
}

// === impl Lines ===

impl Lines {
    /// Finds lines; gives how many bytes they take, and whether there are as many as a batch may hold.
    fn split(&mut self, text: &[u8]) -> (usize, bool) {
        let Lines { splitter, spans, too_long, count_max, .. } = self;
        let consumed = splitter.split_some(*count_max, text, spans, too_long);
        (consumed, spans.len() + too_long.len() >= *count_max)
    }

    fn has_found(&self) -> bool {
        !self.spans.is_empty() || !self.too_long.is_empty()
    }

    /// Makes records of the lines found in the text, which begins at `start` of the stream.
    ///
    /// Gives how many blank lines there were.
    fn emit(&mut self, start: u64, batch: &mut RecordBatch, origin: u32, place: &mut Place) -> u64 {
        let mut blank_lines = 0;
        let is_json = self.is_json;
        batch.expects_json = is_json;
        batch.records.reserve(self.spans.len());
        let mut long = self.too_long.iter().peekable();
        let max = self.max;
        let mut next = 0;
        for span in &self.spans {
            let offset = start + u64::from(span.start);
            while let Some(line) = long.next_if(|line| line.start_offset < offset) {
                push_too_long(line, max, batch, origin);
            }
            let mut from = span.start;
            if is_json {
                let line = &batch.text[span.start as usize..span.end as usize];
                if offset == 0 && line.starts_with(BOM) {
                    from += BOM.len() as u32;
                }
                // A line that begins like JSON is not looked through.
                let line = &line[(from - span.start) as usize..];
                if line.first().is_none_or(|byte| *byte <= b' ') && is_blank(line) {
                    blank_lines += 1;
                    continue;
                }
            }
            batch.push_span(from, span.end, origin, offset);
        }
        for line in long {
            push_too_long(line, max, batch, origin);
        }
        if let Some(span) = self.spans.last() {
            next = start + span.next_start(&batch.text) as u64;
        }
        if let Some(line) = self.too_long.last() {
            next = next.max(line.end_offset);
        }
        place.offset = place.offset.max(next);
        self.spans.clear();
        self.too_long.clear();
        blank_lines
    }
}

fn is_blank(line: &[u8]) -> bool {
    line.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r'))
}

fn push_too_long(line: &TooLong, max: usize, batch: &mut RecordBatch, origin: u32) {
    let (at, bytes) = (line.start_offset, line.bytes);
    let error = RecordError::invalid(format!(
        "the line at byte {at} has {bytes} bytes, more than maxRecordBytes {max}; raise it, or \
         split the line"
    ));
    batch.push_broken(&line.prefix, origin, at, error);
}

// === impl Csv ===

impl Csv {
    /// Makes records of the rows found; tells whether there are any.
    fn emit(&mut self, batch: &mut RecordBatch, origin: u32, place: &mut Place) -> bool {
        let boundary = self.reader.boundary();
        place.offset = boundary.offset;
        place.line = boundary.line;
        if place.columns.is_none() && !self.reader.columns().is_empty() {
            place.columns = Some(self.reader.columns().into());
        }
        if self.found.rows.is_empty() && self.found.errors.is_empty() {
            return false;
        }
        batch.expects_json = true;
        std::mem::swap(&mut batch.text, &mut self.found.json);
        let mut errors = self.found.errors.drain(..).peekable();
        for row in &self.found.rows {
            while let Some(error) = errors.next_if(|error| error.start < row.start) {
                let reason = RecordError::invalid(error.to_string());
                batch.push_broken(&error.raw, origin, error.start.offset, reason);
            }
            let (start, end) = (row.json_start as u32, row.json_end as u32);
            batch.push_span(start, end, origin, row.start.offset);
        }
        for error in errors {
            let reason = RecordError::invalid(error.to_string());
            batch.push_broken(&error.raw, origin, error.start.offset, reason);
        }
        self.found.clear();
        true
    }
}

/// Moves the bytes of one buffer to another, which is empty: many by their memory, few by a copy, so
/// that a file that is followed keeps no more memory than its tail needs.
fn move_bytes(from: &mut Vec<u8>, to: &mut Vec<u8>) {
    if from.len() > COPIED_BYTES_MAX {
        std::mem::swap(from, to);
    } else {
        to.extend_from_slice(from);
    }
    from.clear();
}

/// Makes room for a read behind what the buffer holds, and gives back what one long line needed.
fn make_room(buffer: &mut Vec<u8>, chunk_bytes: usize) {
    if buffer.capacity() > CHUNKS_KEPT * chunk_bytes && buffer.len() < chunk_bytes {
        buffer.shrink_to(chunk_bytes);
    }
    // Half a chunk will do: asking for a whole one would double the buffer because of a short tail. A
    // quarter more than a chunk is for what steps add: growing for that would double it, too.
    if buffer.capacity() - buffer.len() < chunk_bytes.div_ceil(2) {
        let room = chunk_bytes + chunk_bytes / 4;
        if buffer.len() < chunk_bytes {
            buffer.reserve_exact(room);
        } else {
            // A long line must not be copied for every read.
            buffer.reserve(room);
        }
    }
}

#[cfg(test)]
mod tests;
