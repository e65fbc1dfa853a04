//! The inputs of a dry run: line protocol and recordings.

use std::io::{self, BufRead, Chain, Cursor, Read as _};

use levada_codec::line_protocol::{Parser, Precision};
use levada_model::{Point, Str, Timestamp};
use thiserror::Error;

use crate::recording::points::{self, PointReader};
use crate::recording::quotes::Quotes;
use crate::recording::{LINE_BYTES_MAX, ReadError};

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

/// Lines that are parsed at once.
const CHUNK_BYTES: usize = 64 << 10;

/// Points of a recording that are handed on at once.
const RECORDED_POINTS: usize = 512;

/// Reads points, a chunk at a time.
pub(super) struct Stream<R> {
    input: Input<R>,
    format: StreamFormat,
}

enum Input<R> {
    Lines(Lines<R>),
    Recording(PointReader<Chain<Cursor<Vec<u8>>, R>>),
    /// Between the two.
    Moved,
}

/// Reads line protocol, a chunk at a time.
struct Lines<R> {
    input: R,
    line: u64,
    chunk: Vec<u8>,
    quotes: Quotes,
}

// === impl Stream ===

impl<R: BufRead> Stream<R> {
    pub(super) fn new(input: R, format: StreamFormat) -> Self {
        let input = match format {
            StreamFormat::Recording => Input::of_recording(Vec::new(), input),
            _ => {
                Input::Lines(Lines { input, line: 0, chunk: Vec::new(), quotes: Quotes::default() })
            }
        };
        Stream { input, format }
    }

    /// Reads the next points; `false` at the end of the input. Of a chunk with a bad line, `out` gets what stands before it.
    pub(super) fn next(
        &mut self,
        parser: &mut Parser,
        (database, retention): (&Str, &Str),
        precision: Precision,
        out: &mut Vec<Point>,
    ) -> Result<bool, InputError> {
        if let Input::Lines(lines) = &mut self.input {
            let first = lines.line + 1;
            let is_more = lines.read_chunk()?;
            if lines.chunk.is_empty() {
                return Ok(is_more);
            }
            if self.format == StreamFormat::Auto {
                self.format = tell(&lines.chunk);
            }
            if self.format != StreamFormat::Recording {
                parse(parser, (database, retention), precision, &lines.chunk, first, out)?;
                return Ok(is_more);
            }
            if let Input::Lines(lines) = std::mem::replace(&mut self.input, Input::Moved) {
                self.input = Input::of_recording(lines.chunk, lines.input);
            }
        }
        let Input::Recording(points) = &mut self.input else { return Ok(false) };
        while out.len() < RECORDED_POINTS {
            if !points.next(parser, precision, out)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

// === impl Input ===

impl<R: BufRead> Input<R> {
    fn of_recording(head: Vec<u8>, rest: R) -> Self {
        Input::Recording(PointReader::new(Cursor::new(head).chain(rest)))
    }
}

// === impl Lines ===

impl<R: BufRead> Lines<R> {
    /// Reads whole lines. `false` at the end.
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
            if self.chunk.len() >= CHUNK_BYTES {
                return Ok(true);
            }
        }
    }

    fn too_long(&self) -> InputError {
        let text = format!("more than {LINE_BYTES_MAX} bytes without the end of a point");
        InputError::Line { input: 0, line: self.line, text }
    }
}

impl From<ReadError> for InputError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Io { source, .. } => InputError::Io(source),
            ReadError::Line { input, line, text } => InputError::Line { input, line, text },
        }
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
    if points::is_marked(chunk) {
        return StreamFormat::Recording;
    }
    let is_comment = |line: &&[u8]| line.is_empty() || line.starts_with(b"#");
    let first = chunk.split(|byte| *byte == b'\n').find(|line| !is_comment(line));
    match first {
        Some(line) if !line.contains(&b' ') && !line.contains(&b'=') => StreamFormat::Recording,
        _ => StreamFormat::Lines,
    }
}
