//! Recordings of points: three lines per point, as upstream has them, and a form for what those cannot hold.
//!
//! ```text
//! telegraf
//! autogen
//! cpu,host=a usage=97.1 1772359205000000000
//! #levada point 8 7 70012
//! telegrafautogen…70012 bytes of line protocol…
//! ```
//!
//! - Upstream reads line by line and no line beyond 64 KiB, so a string with a line end or a long point makes its files
//!   unreadable (U-48). Such points, and no others, are written in the second form: the lengths of database, retention
//!   policy and line in bytes, then the three one after the other, then the end of a line.
//! - Read are both, and line ends within strings of the first form, as upstream writes them.
//! - Source: kapacitor reference (server) §5.2.

use std::io::{self, BufRead, Read as _, Write};

use levada_codec::line_protocol::{LineError, Parser, Precision, write_point};
use levada_model::{Point, Str, Timestamp};

use super::quotes::Quotes;
use super::{LINE_BYTES_MAX, ReadError, read_line};

/// Begins the second form.
const MARK: &str = "#levada point ";

/// The longest line that upstream reads. Source: Go's `bufio.MaxScanTokenSize`, less the end of the line.
pub const PLAIN_LINE_BYTES_MAX: usize = (64 << 10) - 1;

/// Points that are read at once. Ours: their text and what becomes of it stay in the nearest cache.
const RUN_MAX: usize = 128;

/// Lines of a point of the first form.
const PLAIN_LINES: u64 = 3;

/// Reads points.
pub struct PointReader<R> {
    input: R,
    /// Lines that were read.
    line: u64,
    buffer: Vec<u8>,
    database: Str,
    retention: Str,
    /// What is wrong behind the points that were given last.
    failure: Option<ReadError>,
}

/// Writes points.
pub struct PointWriter<W> {
    output: W,
    buffer: Vec<u8>,
    points: u64,
}

/// Why a point was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The file itself.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Nothing was written of the point: line protocol cannot carry it.
    #[error(transparent)]
    Point(#[from] LineError),
    /// Nothing was written of the point: it would not be read again.
    #[error("the point has {0} bytes, and no more than {LINE_BYTES_MAX} are read")]
    TooLong(usize),
}

// === impl PointReader ===

impl<R: BufRead> PointReader<R> {
    /// Reads from the beginning of a recording.
    pub fn new(input: R) -> Self {
        PointReader {
            input,
            line: 0,
            buffer: Vec::new(),
            database: Str::default(),
            retention: Str::default(),
            failure: None,
        }
    }

    /// Reads the next point, or some at once where they are like the one before; `false` at the end. A comment in place of a
    /// point adds nothing to `out`.
    pub fn next(
        &mut self,
        parser: &mut Parser,
        precision: Precision,
        out: &mut Vec<Point>,
    ) -> Result<bool, ReadError> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        if self.run(parser, precision, out)? {
            return Ok(true);
        }
        if !self.read_line()? {
            return Ok(false);
        }
        let first = self.line;
        if let Some(lengths) = self.buffer.strip_prefix(MARK.as_bytes()) {
            let lengths = lengths_of(lengths)
                .ok_or_else(|| self.wrong("the lengths of a point are not three numbers"))?;
            self.framed(lengths, parser, precision, out)?;
            return Ok(true);
        }
        name(&self.buffer, first, &mut self.database)?;
        self.expect_line()?;
        name(&self.buffer, self.line, &mut self.retention)?;
        self.expect_line()?;
        let at = self.line;
        let mut quotes = Quotes::default();
        let mut fed = 0;
        loop {
            quotes.feed(&self.buffer[fed..]);
            fed = self.buffer.len();
            // The point itself may take several lines when a string holds line ends; the last line may have no end.
            if self.buffer.last() != Some(&b'\n') || !quotes.is_inside() || !self.read_more()? {
                break;
            }
        }
        // Upstream reads lines without a carriage return at their end.
        let length = self.buffer.strip_suffix(b"\r\n").unwrap_or(&self.buffer).len();
        self.parse(length, at, parser, precision, out)?;
        Ok(true)
    }

    /// Counts the lines that were read.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Reads points of the first form without strings that stand whole in what the input has at hand, and whose database and
    /// retention policy are those of the point before: their lines are parsed together. `false` when there is none.
    fn run(
        &mut self,
        parser: &mut Parser,
        precision: Precision,
        out: &mut Vec<Point>,
    ) -> Result<bool, ReadError> {
        if !is_plain_name(&self.database) || !is_plain_name(&self.retention) {
            return Ok(false);
        }
        let (before, count) = (self.line, out.len());
        let ahead = match self.input.fill_buf() {
            Ok(ahead) => ahead,
            // It is asked again where a line is asked for.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(false),
            // Now, for who is asked again might not say the same.
            Err(source) => return Err(ReadError::Io { input: 0, line: self.line + 1, source }),
        };
        self.buffer.clear();
        let (mut used, mut points) = (0, 0);
        while points < RUN_MAX
            && let Some(line) = plain(&ahead[used..], &self.database, &self.retention)
        {
            self.buffer.extend_from_slice(line);
            used += self.database.len() + self.retention.len() + 2 + line.len();
            points += 1;
        }
        if points == 0 {
            return Ok(false);
        }
        self.input.consume(used);
        self.line += points as u64 * PLAIN_LINES;
        let names = (&self.database, &self.retention);
        let parsed = parser.parse(names.0, names.1, precision, Timestamp(0), &self.buffer, out);
        if parsed.problems.is_empty() {
            return Ok(true);
        }
        // What stands before the first bad line counts, and nothing behind it.
        out.truncate(count);
        for (place, line) in self.buffer.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let length = out.len();
            let parsed = parser.parse(names.0, names.1, precision, Timestamp(0), line, out);
            let Some(problem) = parsed.problems.first() else { continue };
            out.truncate(length);
            let line = before + (place as u64 + 1) * PLAIN_LINES;
            let failure = ReadError::Line { input: 0, line, text: problem.server_text() };
            if length == count {
                return Err(failure);
            }
            self.failure = Some(failure);
            break;
        }
        Ok(true)
    }

    fn framed(
        &mut self,
        lengths: [usize; 3],
        parser: &mut Parser,
        precision: Precision,
        out: &mut Vec<Point>,
    ) -> Result<(), ReadError> {
        let [database, retention, line] = lengths;
        let total = lengths.iter().try_fold(1usize, |sum, length| sum.checked_add(*length));
        let Some(total) = total.filter(|total| *total <= LINE_BYTES_MAX) else {
            return Err(self.wrong(&format!("a point of more than {LINE_BYTES_MAX} bytes")));
        };
        let at = self.line + 1;
        self.buffer.clear();
        // Grows with what is there, whatever the lengths say.
        let read = (&mut self.input).take(total as u64).read_to_end(&mut self.buffer);
        let ends = self.buffer.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.line += ends;
        read.map_err(|source| ReadError::Io { input: 0, line: self.line + 1, source })?;
        if self.buffer.len() != total || self.buffer.last() != Some(&b'\n') {
            return Err(self.wrong("a point is not as long as it says"));
        }
        name_whole(&self.buffer[..database], at, &mut self.database)?;
        let rest = &self.buffer[database..];
        name_whole(&rest[..retention], at, &mut self.retention)?;
        self.buffer.drain(..database + retention);
        self.parse(line, at, parser, precision, out)
    }

    fn parse(
        &self,
        length: usize,
        at: u64,
        parser: &mut Parser,
        precision: Precision,
        out: &mut Vec<Point>,
    ) -> Result<(), ReadError> {
        let (text, count) = (&self.buffer[..length], out.len());
        let outcome =
            parser.parse(&self.database, &self.retention, precision, Timestamp(0), text, out);
        let Some(problem) = outcome.problems.first() else { return Ok(()) };
        out.truncate(count);
        let line = at + problem.line.saturating_sub(1);
        Err(ReadError::Line { input: 0, line, text: problem.server_text() })
    }

    fn expect_line(&mut self) -> Result<(), ReadError> {
        match self.read_line()? {
            true => Ok(()),
            false => {
                let text = "invalid replay file format, expected another line".to_owned();
                Err(ReadError::Line { input: 0, line: self.line + 1, text })
            }
        }
    }

    fn read_line(&mut self) -> Result<bool, ReadError> {
        self.buffer.clear();
        self.read_more()
    }

    /// Reads a line behind what is there; `false` at the end.
    fn read_more(&mut self) -> Result<bool, ReadError> {
        let most = LINE_BYTES_MAX.saturating_sub(self.buffer.len());
        let read = read_line(&mut self.input, most, &mut self.buffer)
            .map_err(|source| ReadError::Io { input: 0, line: self.line + 1, source })?;
        self.line += u64::from(read > 0);
        if self.buffer.len() >= LINE_BYTES_MAX && self.buffer.last() != Some(&b'\n') {
            let text = format!("more than {LINE_BYTES_MAX} bytes without the end of a point");
            return Err(ReadError::Line { input: 0, line: self.line.max(1), text });
        }
        Ok(read > 0)
    }

    fn wrong(&self, text: &str) -> ReadError {
        ReadError::Line { input: 0, line: self.line, text: text.to_owned() }
    }
}

// === impl PointWriter ===

impl<W: Write> PointWriter<W> {
    /// Writes to something that gathers small writes.
    pub fn new(output: W) -> Self {
        PointWriter { output, buffer: Vec::new(), points: 0 }
    }

    /// Writes a point; after [`WriteError::Point`] and [`WriteError::TooLong`] the next one may follow.
    pub fn point(&mut self, point: &Point) -> Result<(), WriteError> {
        let (database, retention) = (&*point.series.database, &*point.series.retention);
        self.buffer.clear();
        write_point(point, Precision::Nanoseconds, &mut self.buffer)?;
        let line = &self.buffer[..self.buffer.len() - 1];
        if is_plain_name(database) && is_plain_name(retention) && is_plain_line(line) {
            for name in [database, retention] {
                self.output.write_all(name.as_bytes())?;
                self.output.write_all(b"\n")?;
            }
            self.output.write_all(&self.buffer)?;
        } else {
            let total = database.len() + retention.len() + self.buffer.len();
            if total > LINE_BYTES_MAX {
                return Err(WriteError::TooLong(total));
            }
            let lengths = (database.len(), retention.len(), line.len());
            writeln!(self.output, "{MARK}{} {} {}", lengths.0, lengths.1, lengths.2)?;
            self.output.write_all(database.as_bytes())?;
            self.output.write_all(retention.as_bytes())?;
            self.output.write_all(&self.buffer)?;
        }
        self.points += 1;
        Ok(())
    }

    /// Counts the points that were written.
    pub fn points(&self) -> u64 {
        self.points
    }

    /// Gives the output back.
    pub fn into_inner(self) -> W {
        self.output
    }
}

/// Says whether a recording that begins so begins with a point of the second form.
pub(crate) fn is_marked(head: &[u8]) -> bool {
    head.starts_with(MARK.as_bytes())
}

/// Gives the line of a point that stands whole in a text, when its names are these and nothing in it can be a string.
fn plain<'t>(text: &'t [u8], database: &str, retention: &str) -> Option<&'t [u8]> {
    let text = text.strip_prefix(database.as_bytes())?.strip_prefix(b"\n")?;
    let text = text.strip_prefix(retention.as_bytes())?.strip_prefix(b"\n")?;
    let end = memchr::memchr(b'\n', text)?;
    let line = &text[..=end];
    let is_odd = line.ends_with(b"\r\n") || memchr::memchr2(b'"', b'\\', line).is_some();
    (!is_odd).then_some(line)
}

fn is_plain_name(name: &str) -> bool {
    name.len() <= PLAIN_LINE_BYTES_MAX
        && !name.contains('\n')
        && !name.ends_with('\r')
        && !name.starts_with(MARK)
}

fn is_plain_line(line: &[u8]) -> bool {
    if line.len() > PLAIN_LINE_BYTES_MAX || line.contains(&b'\n') {
        return false;
    }
    let mut quotes = Quotes::default();
    quotes.feed(line);
    quotes.feed(b"\n");
    !quotes.is_inside()
}

/// Takes a line as the name of a database or a retention policy, without its end.
fn name(line: &[u8], at: u64, known: &mut Str) -> Result<(), ReadError> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    name_whole(line.strip_suffix(b"\r").unwrap_or(line), at, known)
}

fn name_whole(text: &[u8], line: u64, known: &mut Str) -> Result<(), ReadError> {
    // Nearly always the one of the last point.
    if known.as_bytes() != text {
        let text = std::str::from_utf8(text).map_err(|_| ReadError::Line {
            input: 0,
            line,
            text: "not UTF-8".to_owned(),
        })?;
        *known = text.into();
    }
    Ok(())
}

fn lengths_of(text: &[u8]) -> Option<[usize; 3]> {
    let mut words = std::str::from_utf8(text).ok()?.trim_end().split(' ');
    let lengths = [words.next()?, words.next()?, words.next()?].map(|word| word.parse().ok());
    match (lengths, words.next()) {
        ([Some(database), Some(retention), Some(line)], None) => Some([database, retention, line]),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
