//! Recordings of batches: one file per query node, a batch per line of it, read in the order of their times.

use std::io::{self, BufRead, Seek, Write};

use levada_alert::json;
use levada_model::{FieldValue, Point, Series, Timestamp};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::quick::Batches;
use super::{LINE_BYTES_MAX, ReadError, RecordedBatch, read_line};

/// Where recorded times are put.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Times {
    /// As they were recorded.
    #[default]
    Recorded,
    /// The first point is at this time, and everything that follows is as far from it as it was; for batches each file by
    /// itself.
    ///
    /// - Source: kapacitor reference (server) §5.3.
    From(Timestamp),
}

/// Reads batches of several inputs in the order of their times.
pub struct BatchReader<R> {
    inputs: Vec<Input<R>>,
}

struct Input<R> {
    index: usize,
    input: R,
    line: u64,
    buffer: Vec<u8>,
    batches: Batches,
    times: Times,
    /// What is added to every time, once it is known.
    shift: Option<i64>,
    next: Option<RecordedBatch>,
}

/// Writes an archive of batches.
pub struct BatchWriter<W: Write + Seek> {
    archive: Box<ZipWriter<W>>,
    files: usize,
    buffer: Vec<u8>,
    batches: u64,
    points: u64,
}

// === impl BatchReader ===

impl<R: BufRead> BatchReader<R> {
    /// Reads the first batch of every input.
    pub fn new(inputs: Vec<R>, times: Times) -> Result<Self, ReadError> {
        let mut batches = BatchReader { inputs: Vec::with_capacity(inputs.len()) };
        for (index, input) in inputs.into_iter().enumerate() {
            let mut input = Input {
                index,
                input,
                line: 0,
                buffer: Vec::new(),
                batches: Batches::default(),
                times,
                shift: None,
                next: None,
            };
            input.advance()?;
            batches.inputs.push(input);
        }
        Ok(batches)
    }

    /// Gives the earliest batch and the place of its input.
    pub fn next_batch(&mut self) -> Result<Option<(usize, RecordedBatch)>, ReadError> {
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

// === impl Input ===

impl<R: BufRead> Input<R> {
    /// Reads up to the next batch that has points.
    fn advance(&mut self) -> Result<(), ReadError> {
        loop {
            self.buffer.clear();
            let read = read_line(&mut self.input, LINE_BYTES_MAX, &mut self.buffer);
            let (input, line) = (self.index, self.line + 1);
            let read = read.map_err(|source| ReadError::Io { input, line, source })?;
            if read == 0 {
                return Ok(());
            }
            self.line += 1;
            if read == LINE_BYTES_MAX && self.buffer.last() != Some(&b'\n') {
                return Err(self.wrong(format!("longer than {LINE_BYTES_MAX} bytes")));
            }
            if self.buffer.trim_ascii().is_empty() {
                continue;
            }
            let read = self.batches.read(&self.buffer);
            let read = read.map_err(|error| self.wrong(error.to_string()))?;
            if let Some(batch) = read {
                self.next = Some(self.placed(batch));
                return Ok(());
            }
        }
    }

    /// Puts a batch where its times are to be; its own time goes with its points.
    ///
    /// - Differs: upstream leaves the time of a batch where it was unless it is before the last point.
    fn placed(&mut self, mut batch: RecordedBatch) -> RecordedBatch {
        let (Times::From(start), Some(first)) = (self.times, batch.points.first()) else {
            return batch;
        };
        let shift = *self.shift.get_or_insert_with(|| start.0.saturating_sub(first.time.0));
        for point in &mut batch.points {
            point.time = shifted(point.time, shift);
        }
        batch.time = shifted(batch.time, shift);
        batch
    }

    fn wrong(&self, text: String) -> ReadError {
        ReadError::Line { input: self.index, line: self.line, text }
    }
}

/// Moves a time; one that would leave the range stays at its end.
pub(crate) fn shifted(time: Timestamp, by: i64) -> Timestamp {
    Timestamp(time.0.saturating_add(by))
}

// === impl BatchWriter ===

impl<W: Write + Seek> BatchWriter<W> {
    /// Begins an archive.
    pub fn new(output: W) -> Self {
        // It is a large thing to move.
        let archive = Box::new(ZipWriter::new(output));
        BatchWriter { archive, files: 0, buffer: Vec::new(), batches: 0, points: 0 }
    }

    /// Begins the file of the next query node.
    pub fn file(&mut self) -> io::Result<()> {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .large_file(true);
        self.archive.start_file(self.files.to_string(), options).map_err(io::Error::other)?;
        self.files += 1;
        Ok(())
    }

    /// Writes a batch to the file that was begun last.
    ///
    /// - Errors: also a batch that would not be read again, because its line is longer than [`LINE_BYTES_MAX`].
    pub fn batch(&mut self, batch: &RecordedBatch) -> io::Result<()> {
        self.buffer.clear();
        write_batch(batch, &mut self.buffer);
        if self.buffer.len() >= LINE_BYTES_MAX {
            let (bytes, max) = (self.buffer.len(), LINE_BYTES_MAX);
            let text = format!("a batch has {bytes} bytes, and no more than {max} are read");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        self.archive.write_all(&self.buffer)?;
        self.batches += 1;
        self.points += batch.points.len() as u64;
        Ok(())
    }

    /// Counts the batches and their points that were written.
    pub fn counts(&self) -> (u64, u64) {
        (self.batches, self.points)
    }

    /// Writes the directory.
    pub fn finish(self) -> io::Result<W> {
        self.archive.finish().map_err(io::Error::other)
    }
}

/// Appends a line.
fn write_batch(batch: &RecordedBatch, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"name":"#);
    json::write_text(&batch.name, out);
    out.extend_from_slice(br#","tmax":"#);
    json::write_time(batch.time, out);
    if batch.key.name.is_some() {
        out.extend_from_slice(br#","byname":true"#);
    }
    let mut names = String::new();
    for (name, value) in batch.key.tags() {
        names.push_str(if names.is_empty() { "" } else { "," });
        names.push_str(name);
        names.push('=');
        names.push_str(value);
    }
    if !names.is_empty() {
        out.extend_from_slice(br#","group":"#);
        json::write_text(&names, out);
        out.extend_from_slice(br#","tags":"#);
        write_texts(batch.key.tags(), out);
    }
    if !batch.points.is_empty() {
        out.extend_from_slice(br#","points":["#);
        for (index, point) in batch.points.iter().enumerate() {
            comma(index, out);
            write_point(point, batch, out);
        }
        out.push(b']');
    }
    out.extend_from_slice(b"}\n");
}

fn write_point(point: &Point, batch: &RecordedBatch, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"fields":{"#);
    let fields = point.fields().filter(|(_, value)| !value.is_null());
    for (index, (name, value)) in fields.enumerate() {
        comma(index, out);
        json::write_text(name, out);
        out.push(b':');
        match value {
            // Nanoseconds: what upstream's durations are in JSON.
            FieldValue::Duration(nanos) => json::write_int(*nanos, out),
            value => json::write_field(value, out),
        }
    }
    out.push(b'}');
    let kinds = point.fields().filter_map(|(name, value)| Some((name, kind(value)?)));
    let mut kinds = kinds.peekable();
    if kinds.peek().is_some() {
        out.extend_from_slice(br#","kinds":"#);
        write_texts(kinds, out);
    }
    // A point without tags would be given those of its batch.
    let tags = |series: &Series| series.tags().next().is_some();
    if tags(&point.series) || !batch.key.dimensions.is_empty() {
        out.extend_from_slice(br#","tags":"#);
        write_texts(point.series.tags(), out);
    }
    out.extend_from_slice(br#","time":"#);
    json::write_time(point.time, out);
    out.push(b'}');
}

/// Gives the word for what JSON, or upstream's reading of it, does not keep.
fn kind(value: &FieldValue) -> Option<&'static str> {
    match value {
        FieldValue::Int(_) => Some("int"),
        FieldValue::UInt(_) => Some("uint"),
        FieldValue::Duration(_) => Some("duration"),
        FieldValue::Float(number) if number.is_nan() => Some("NaN"),
        FieldValue::Float(number) if number.is_infinite() => {
            Some(if *number > 0.0 { "+Inf" } else { "-Inf" })
        }
        _ => None,
    }
}

fn write_texts(pairs: impl Iterator<Item = (impl AsRef<str>, impl AsRef<str>)>, out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, (name, value)) in pairs.enumerate() {
        comma(index, out);
        json::write_text(name.as_ref(), out);
        out.push(b':');
        json::write_text(value.as_ref(), out);
    }
    out.push(b'}');
}

fn comma(index: usize, out: &mut Vec<u8>) {
    if index > 0 {
        out.push(b',');
    }
}

#[cfg(test)]
mod tests;
