//! The inputs of a dry run: line protocol and recordings.

use std::io::{self, BufRead, Read as _};

use levada_codec::line_protocol::{Parser, Precision};
use levada_model::{Point, Str, Timestamp};
use thiserror::Error;

use crate::recording::{self, RecordedBatch};

/// How points are written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StreamFormat {
    /// Told from the first line.
    #[default]
    Auto,
    /// One point per line.
    Lines,
    /// Three lines per point: database, retention policy, line protocol. Source: kapacitor reference §8.6.
    Recording,
}

/// Why an input cannot be read.
#[derive(Debug, Error)]
pub enum InputError {
    /// The file itself.
    #[error("the input cannot be read")]
    Io(#[from] io::Error),
    /// As many inputs as query nodes are needed. Source of the text: kapacitor reference §8.6.
    #[error("unexpected number of batch collectors. exp {expected} got {got}")]
    Count {
        /// How many inputs there are.
        expected: usize,
        /// How many query nodes there are.
        got: usize,
    },
    /// The time jumps too far.
    #[error("an item is at {} s, and more than {ticks} ticks of timers are due before it", time.0 / 1_000_000_000)]
    Jump {
        /// The time of the item.
        time: Timestamp,
        /// As many ticks are allowed.
        ticks: usize,
    },
    /// A line.
    #[error("line {line}: {text}")]
    Line {
        /// Which input, counted from 0.
        input: usize,
        /// Counted from 1.
        line: u64,
        /// What is wrong with it.
        text: String,
    },
}

/// A longer line is refused.
const LINE_BYTES_MAX: usize = 64 << 20;
/// Lines that are parsed at once.
const CHUNK_BYTES: usize = 64 << 10;

/// Reads points, a chunk at a time.
pub(super) struct Stream<R> {
    input: R,
    format: StreamFormat,
    line: u64,
    /// Line ends outside of strings.
    ends: u64,
    chunk: Vec<u8>,
    quotes: Quotes,
}

/// Tells whether a line end is one, or stands in a string; each byte is looked at once.
///
/// As upstream, only quotes of field values count: in names and tags they are characters like others.
#[derive(Debug, Default, PartialEq, Eq)]
struct Quotes {
    is_escaped: bool,
    in_fields: bool,
    in_string: bool,
    equals: usize,
    commas: usize,
}

/// Reads batches of several inputs in the order of their times.
pub(super) struct Batches {
    inputs: Vec<Batch>,
}

struct Batch {
    index: usize,
    input: Box<dyn BufRead + Send>,
    line: u64,
    next: Option<RecordedBatch>,
}

// === impl Stream ===

impl<R: BufRead> Stream<R> {
    pub(super) fn new(input: R, format: StreamFormat) -> Self {
        Stream { input, format, line: 0, ends: 0, chunk: Vec::new(), quotes: Quotes::default() }
    }

    /// Reads the next points; `false` at the end of the input. Of a chunk with a bad line, `out` gets what stands before it.
    pub(super) fn next(
        &mut self,
        parser: &mut Parser,
        (database, retention): (&Str, &Str),
        precision: Precision,
        out: &mut Vec<Point>,
    ) -> Result<bool, InputError> {
        let first = self.line + 1;
        let is_more = self.read_chunk()?;
        if self.chunk.is_empty() {
            return Ok(is_more);
        }
        if self.format == StreamFormat::Auto {
            self.format = tell(&self.chunk);
        }
        match self.format {
            StreamFormat::Recording => {
                self.recording(parser, precision, first, out)?;
            }
            _ => {
                parse(parser, (database, retention), precision, &self.chunk, first, out)?;
            }
        }
        Ok(is_more)
    }

    /// Reads whole lines; a recording three at a time. `false` at the end.
    fn read_chunk(&mut self) -> Result<bool, InputError> {
        self.chunk.clear();
        loop {
            let length = self.chunk.len();
            let limit = (LINE_BYTES_MAX - length.min(LINE_BYTES_MAX)) as u64;
            let read = (&mut self.input).take(limit).read_until(b'\n', &mut self.chunk)?;
            if read == 0 {
                if self.chunk.len() >= LINE_BYTES_MAX {
                    return Err(self.too_long());
                }
                return Ok(false);
            }
            self.line += 1;
            if self.chunk.last() != Some(&b'\n') && self.chunk.len() >= LINE_BYTES_MAX {
                return Err(self.too_long());
            }
            // A string may hold line ends, so a chunk ends where none is open.
            self.quotes.feed(&self.chunk[length..]);
            if self.quotes.is_inside() {
                continue;
            }
            self.ends += 1;
            if self.chunk.len() >= CHUNK_BYTES && self.ends.is_multiple_of(3) {
                return Ok(true);
            }
        }
    }

    fn too_long(&self) -> InputError {
        let text = format!("more than {LINE_BYTES_MAX} bytes without the end of a point");
        InputError::Line { input: 0, line: self.line, text }
    }

    fn recording(
        &mut self,
        parser: &mut Parser,
        precision: Precision,
        first: u64,
        out: &mut Vec<Point>,
    ) -> Result<(), InputError> {
        let mut rest = &self.chunk[..];
        let mut line = first;
        while !rest.is_empty() {
            let (database, after) = cut(rest);
            let (retention, after) = cut(after);
            if after.is_empty() {
                let text = "invalid replay file format, expected another line".to_owned();
                return Err(InputError::Line { input: 0, line: line + 1, text });
            }
            // The point itself may take several lines when a string holds line ends.
            let mut end =
                after.iter().position(|byte| *byte == b'\n').map_or(after.len(), |at| at + 1);
            let mut quotes = Quotes::default();
            quotes.feed(&after[..end]);
            while end < after.len() && quotes.is_inside() {
                let more = after[end..].iter().position(|byte| *byte == b'\n');
                let next = more.map_or(after.len(), |at| end + at + 1);
                quotes.feed(&after[end..next]);
                end = next;
            }
            let (point, after) = after.split_at(end);
            let names = (utf8(database, line)?, utf8(retention, line + 1)?);
            // Upstream reads lines without a carriage return at their end.
            let text = point.strip_suffix(b"\r\n").unwrap_or(point);
            parse(parser, (&names.0, &names.1), precision, text, line + 2, out)?;
            line += 2 + point.iter().filter(|byte| **byte == b'\n').count().max(1) as u64;
            rest = after;
        }
        Ok(())
    }
}

fn utf8(bytes: &[u8], line: u64) -> Result<Str, InputError> {
    let text = std::str::from_utf8(bytes).map_err(|_| InputError::Line {
        input: 0,
        line,
        text: "not UTF-8".to_owned(),
    })?;
    Ok(text.into())
}

/// Takes a line off without its end.
fn cut(text: &[u8]) -> (&[u8], &[u8]) {
    match text.iter().position(|byte| *byte == b'\n') {
        Some(at) => (text[..at].trim_ascii_end(), &text[at + 1..]),
        None => (text.trim_ascii_end(), &[]),
    }
}

fn parse(
    parser: &mut Parser,
    (database, retention): (&Str, &Str),
    precision: Precision,
    bytes: &[u8],
    first: u64,
    out: &mut Vec<Point>,
) -> Result<(), InputError> {
    let count = out.len();
    let outcome = parser.parse(database, retention, precision, Timestamp(0), bytes, out);
    let Some(problem) = outcome.problems.first() else { return Ok(()) };
    // What stands before the first bad line counts, and nothing behind it.
    out.truncate(count);
    let lines_before = (problem.line as usize).saturating_sub(1);
    let end =
        bytes.split_inclusive(|byte| *byte == b'\n').take(lines_before).map(<[u8]>::len).sum();
    let before: &[u8] = bytes.get(..end).unwrap_or_default();
    parser.parse(database, retention, precision, Timestamp(0), before, out);
    let text = problem.server_text();
    Err(InputError::Line { input: 0, line: first + lines_before as u64, text })
}

/// A line of line protocol has a blank and an `=`; the name of a database that has both is not told apart.
fn tell(chunk: &[u8]) -> StreamFormat {
    let is_comment = |line: &&[u8]| line.is_empty() || line.starts_with(b"#");
    let first = chunk.split(|byte| *byte == b'\n').find(|line| !is_comment(line));
    match first {
        Some(line) if !line.contains(&b' ') && !line.contains(&b'=') => StreamFormat::Recording,
        _ => StreamFormat::Lines,
    }
}

// === impl Quotes ===

impl Quotes {
    /// What was fed does not end with the end of a line.
    fn is_inside(&self) -> bool {
        *self != Quotes::default()
    }

    fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if std::mem::take(&mut self.is_escaped) {
                continue;
            }
            match byte {
                b'\\' => self.is_escaped = true,
                b'"' if self.in_fields && self.equals > self.commas => {
                    self.in_string = !self.in_string;
                }
                _ if self.in_string => {}
                b'\n' => *self = Quotes::default(),
                b' ' => self.in_fields = true,
                b'=' if self.in_fields => self.equals += 1,
                b',' if self.in_fields => self.commas += 1,
                _ => {}
            }
        }
    }
}

// === impl Batches ===

impl Batches {
    pub(super) fn new(inputs: Vec<Box<dyn BufRead + Send>>) -> Result<Self, InputError> {
        let mut batches = Batches { inputs: Vec::with_capacity(inputs.len()) };
        for (index, input) in inputs.into_iter().enumerate() {
            let mut batch = Batch { index, input, line: 0, next: None };
            batch.advance()?;
            batches.inputs.push(batch);
        }
        Ok(batches)
    }

    /// Gives the earliest batch and the place of its input.
    pub(super) fn next(&mut self) -> Result<Option<(usize, RecordedBatch)>, InputError> {
        let earliest = self
            .inputs
            .iter()
            .enumerate()
            .filter_map(|(index, input)| input.next.as_ref().map(|batch| (batch.time, index)))
            .min();
        let Some((_, index)) = earliest else { return Ok(None) };
        let input = &mut self.inputs[index];
        let batch = input.next.take();
        input.advance()?;
        Ok(batch.map(|batch| (index, batch)))
    }
}

// === impl Batch ===

impl Batch {
    /// Reads up to the next batch that has points.
    fn advance(&mut self) -> Result<(), InputError> {
        let mut line = Vec::new();
        loop {
            line.clear();
            let read =
                (&mut self.input).take(LINE_BYTES_MAX as u64).read_until(b'\n', &mut line)?;
            if read == 0 {
                return Ok(());
            }
            self.line += 1;
            if read == LINE_BYTES_MAX && line.last() != Some(&b'\n') {
                let text = format!("longer than {LINE_BYTES_MAX} bytes");
                return Err(InputError::Line { input: self.index, line: self.line, text });
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            self.next = recording::batch(&line).map_err(|error| InputError::Line {
                input: self.index,
                line: self.line,
                text: error.to_string(),
            })?;
            if self.next.is_some() {
                return Ok(());
            }
        }
    }
}
