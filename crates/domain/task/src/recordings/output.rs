//! Files of recordings while they are written.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use levada_model::Point;

use super::folder::{Folder, Partial};
use super::kept::RecordingType;
use crate::recording::RecordedBatch;
use crate::recording::batches::BatchWriter;
use crate::recording::points::{PointWriter, WriteError};

/// What is gathered before it is written.
const BUFFER_BYTES: usize = 1 << 18;

/// A file that is being written; deleted when it is dropped unfinished.
pub(super) struct Output {
    content: Content,
    partial: Partial,
    /// Points that no line can carry, and why the first of them.
    refused: (u64, String),
}

enum Content {
    Points(Box<PointWriter<GzEncoder<BufWriter<Bounded>>>>),
    Batches(BatchWriter<BufWriter<Bounded>>),
}

/// A file that does not grow beyond its bound.
struct Bounded {
    file: File,
    at: u64,
    max: u64,
}

/// A file that is whole and has no name.
pub(super) struct Written {
    partial: Partial,
    file: File,
    /// What it lacks.
    pub(super) lacks: Option<String>,
}

// === impl Output ===

impl Output {
    pub(super) fn create(folder: &Folder, kind: RecordingType, max: u64) -> io::Result<Self> {
        let (partial, file) = folder.partial()?;
        let bounded = BufWriter::with_capacity(BUFFER_BYTES, Bounded { file, at: 0, max });
        let content = match kind {
            RecordingType::Stream => {
                let packed = GzEncoder::new(bounded, Compression::default());
                Content::Points(Box::new(PointWriter::new(packed)))
            }
            RecordingType::Batch => Content::Batches(BatchWriter::new(bounded)),
        };
        Ok(Output { content, partial, refused: (0, String::new()) })
    }

    /// Writes a point; one that no line can carry is counted.
    pub(super) fn point(&mut self, point: &Point) -> io::Result<()> {
        let Content::Points(writer) = &mut self.content else {
            return Err(io::Error::other("points are for recordings of streams"));
        };
        match writer.point(point) {
            Ok(()) => {}
            Err(WriteError::Io(error)) => return Err(error),
            Err(error) => {
                if self.refused.0 == 0 {
                    self.refused.1 = error.to_string();
                }
                self.refused.0 += 1;
            }
        }
        Ok(())
    }

    /// Begins the file of the next query node.
    pub(super) fn file(&mut self) -> io::Result<()> {
        self.batches()?.file()
    }

    /// Writes a batch.
    pub(super) fn batch(&mut self, batch: &RecordedBatch) -> io::Result<()> {
        self.batches()?.batch(batch)
    }

    fn batches(&mut self) -> io::Result<&mut BatchWriter<BufWriter<Bounded>>> {
        match &mut self.content {
            Content::Batches(writer) => Ok(writer),
            Content::Points(_) => Err(io::Error::other("batches are for recordings of batches")),
        }
    }

    /// Writes what is left.
    pub(super) fn finish(self) -> io::Result<Written> {
        let bounded = match self.content {
            Content::Points(writer) => writer.into_inner().finish()?,
            Content::Batches(writer) => writer.finish()?,
        };
        let bounded = bounded.into_inner().map_err(io::IntoInnerError::into_error)?;
        let lacks = match self.refused {
            (0, _) => None,
            (count, reason) => Some(format!("{count} points were not recorded: {reason}")),
        };
        Ok(Written { partial: self.partial, file: bounded.file, lacks })
    }
}

// === impl Written ===

impl Written {
    /// Gives the file its name; gives its size.
    pub(super) fn keep(self, folder: &Folder, name: &str) -> io::Result<u64> {
        folder.keep(self.partial, &self.file, name)
    }

    /// Gives the file without a name; it is there as long as what is given.
    pub(super) fn into_partial(self) -> Partial {
        self.partial
    }
}

// === impl Bounded ===

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.at.saturating_add(bytes.len() as u64) > self.max {
            let text = format!("the recording is larger than {} bytes", self.max);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
        }
        let written = self.file.write(bytes)?;
        self.at += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for Bounded {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.at = self.file.seek(to)?;
        Ok(self.at)
    }
}
