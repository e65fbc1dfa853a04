//! One open file, read into batches.

use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use levada_codec::compression::{
    Compression, CompressionError, DETECT_BYTES, Decompressor, Limits,
};
use levada_codec::csv::{CsvError, CsvOptions};
use levada_model::RecordBatch;
use rustix::buffer::spare_capacity;
use rustix::io::Errno;

use super::identity::{FileId, FilePosition, Fingerprint};
use crate::formats::Format;
use crate::formats::framer::{Filled, FrameError, Framer, Place};

/// Compressed bytes of one read.
const COMPRESSED_CHUNK_BYTES: usize = 128 << 10;

/// How the files of a source are read.
#[derive(Clone, Debug)]
pub(super) struct ReadOptions {
    pub(super) format: Format,
    pub(super) csv: CsvOptions,
    /// Nothing: by the first bytes of each file.
    pub(super) compression: Option<Compression>,
    pub(super) chunk_bytes: usize,
}

/// Why a file cannot be read on.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    /// It cannot be opened.
    #[error("cannot open file `{path}`")]
    Open {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The system could not give its bytes.
    #[error("cannot read file `{path}` at byte `{offset}`")]
    Read {
        path: PathBuf,
        offset: u64,
        #[source]
        source: io::Error,
    },
    /// Its compressed data is cut off or damaged.
    #[error("cannot decompress file `{path}` behind byte `{offset}` of its content")]
    Decompress {
        path: PathBuf,
        /// Of the decompressed content.
        offset: u64,
        #[source]
        source: CompressionError,
    },
    /// Its columns cannot be used.
    #[error("cannot read file `{path}` as csv")]
    Csv {
        path: PathBuf,
        #[source]
        source: CsvError,
    },
}

/// One open file.
pub(super) struct Reader {
    bytes: Bytes,
    framer: Framer,
    fingerprint: Fingerprint,
    id: FileId,
}

/// The content of a file, decompressed.
struct Bytes {
    path: PathBuf,
    file: File,
    /// Bytes of the file itself that were read.
    raw_offset: u64,
    /// Bytes of its content that were read.
    offset: u64,
    unzip: Option<Box<Unzip>>,
}

struct Unzip {
    decompressor: Decompressor,
    input: Vec<u8>,
    taken: usize,
}

// === impl ReadError ===

impl ReadError {
    /// Tells whether the file is simply not there any more.
    pub(super) fn is_vanished(&self) -> bool {
        matches!(self, ReadError::Open { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// Gives the error of the system, if it is one.
    pub(super) fn io(&self) -> Option<&io::Error> {
        match self {
            ReadError::Open { source, .. } | ReadError::Read { source, .. } => Some(source),
            ReadError::Decompress { .. } | ReadError::Csv { .. } => None,
        }
    }
}

// === impl Reader ===

impl Reader {
    /// Opens a file and goes to `start`, where it is a position in this file; else to its beginning.
    ///
    /// The flag tells whether there was a start that does not fit the file: it was replaced.
    pub(super) fn open(
        path: &Path,
        start: Option<&FilePosition>,
        options: &ReadOptions,
    ) -> Result<(Reader, bool), ReadError> {
        let open_error = |source| ReadError::Open { path: path.to_owned(), source };
        let file = File::open(path).map_err(open_error)?;
        let metadata = file.metadata().map_err(open_error)?;
        if !metadata.is_file() {
            return Err(open_error(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is not a regular file",
            )));
        }
        if let Err(error) = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Sequential) {
            // A hint only.
            tracing::debug!(%error, "the file system takes no advice");
        }
        let mut head = Vec::with_capacity(DETECT_BYTES);
        let compression = match options.compression {
            Some(compression) => compression,
            None => {
                loop {
                    let at = head.len();
                    let is_full = at >= DETECT_BYTES;
                    if is_full || pread(&file, &mut head, at as u64).map_err(open_error)? == 0 {
                        break;
                    }
                }
                Compression::detect(&head)
            }
        };
        let is_plain = compression == Compression::None;
        let fits = match start {
            Some(start) => start.fits(&file, &metadata, is_plain).map_err(open_error)?,
            None => false,
        };
        let place = start.filter(|_| fits).map(|start| start.place.clone()).unwrap_or_default();
        let fingerprint = Fingerprint::read(&file).map_err(open_error)?;
        let mut bytes =
            Bytes { path: path.to_owned(), file, raw_offset: 0, offset: 0, unzip: None };
        if is_plain {
            bytes.raw_offset = place.offset;
            bytes.offset = place.offset;
        } else {
            // The cap on the ratio protects memory that a body takes as a whole; here it is bounded.
            let limits = Limits { ratio_max: None, ..Limits::default() };
            let decompressor = Decompressor::new(compression, limits)
                .map_err(|error| bytes.decompress_error(error))?;
            bytes.unzip = Some(Box::new(Unzip { decompressor, input: Vec::new(), taken: 0 }));
            bytes.skip_to(place.offset)?;
        }
        let framer = Framer::new(options.format, options.csv.clone(), place, options.chunk_bytes)
            .map_err(|source| ReadError::Csv { path: path.to_owned(), source })?;
        let id = FileId::of(&metadata);
        let reader = Reader { bytes, framer, fingerprint, id };
        Ok((reader, start.is_some() && !fits))
    }

    /// Adds the next records to `batch`.
    pub(super) fn fill(
        &mut self,
        batch: &mut RecordBatch,
        origin: u32,
    ) -> Result<Filled, ReadError> {
        let bytes = &mut self.bytes;
        let mut read = |text: &mut Vec<u8>, max: usize| bytes.read(text, max);
        match self.framer.fill(&mut read, batch, origin) {
            Ok(filled) => {
                self.extend_fingerprint();
                Ok(filled)
            }
            Err(FrameError::Read(error)) => Err(error),
            Err(FrameError::Csv(source)) => {
                Err(ReadError::Csv { path: self.bytes.path.clone(), source })
            }
        }
    }

    /// Adds the next of the records that were read with earlier ones, and reads nothing.
    pub(super) fn fill_rest(
        &mut self,
        batch: &mut RecordBatch,
        origin: u32,
    ) -> Result<Filled, ReadError> {
        match self.framer.fill(&mut |_, _| Ok::<_, Infallible>(0), batch, origin) {
            Ok(filled) => Ok(filled),
            Err(FrameError::Read(never)) => match never {},
            Err(FrameError::Csv(source)) => {
                Err(ReadError::Csv { path: self.bytes.path.clone(), source })
            }
        }
    }

    /// Adds the last record when it lacks its line end, and checks that an archive is whole.
    ///
    /// What a cut-off archive holds of a last record is no record.
    pub(super) fn finish(
        &mut self,
        batch: &mut RecordBatch,
        origin: u32,
    ) -> Result<Filled, ReadError> {
        if let Some(unzip) = &self.bytes.unzip {
            // An empty file is an empty log and not a cut-off archive.
            if self.bytes.raw_offset > 0 {
                let whole = unzip.decompressor.finish();
                whole.map_err(|error| self.bytes.decompress_error(error))?;
            }
        }
        self.framer
            .finish(batch, origin)
            .map_err(|source| ReadError::Csv { path: self.bytes.path.clone(), source })
    }

    /// Goes behind the last complete record there is now, for `startAt: end`.
    pub(super) fn skip_to_end(&mut self, options: &ReadOptions) -> Result<(), ReadError> {
        if self.bytes.unzip.is_some() || options.format == Format::Csv {
            // Only reading tells where records end.
            let mut batch = RecordBatch::new();
            while self.fill(&mut batch, 0)? == Filled::Records {
                batch.clear();
            }
            self.framer.take_blank_lines();
            return Ok(());
        }
        let offset =
            last_line_start(&self.bytes.file).map_err(|source| self.bytes.read_error(source))?;
        let place = Place { offset, ..Place::default() };
        self.framer = Framer::new(options.format, options.csv.clone(), place, options.chunk_bytes)
            .map_err(|source| ReadError::Csv { path: self.bytes.path.clone(), source })?;
        self.bytes.raw_offset = offset;
        self.bytes.offset = offset;
        Ok(())
    }

    /// Gives where reading goes on behind the last complete record.
    pub(super) fn position(&self) -> FilePosition {
        FilePosition {
            id: self.id,
            fingerprint: self.fingerprint,
            place: self.framer.place().clone(),
        }
    }

    /// Gives which file it is.
    pub(super) fn id(&self) -> FileId {
        self.id
    }

    /// Gives how many bytes of the file itself are not read yet.
    pub(super) fn bytes_left(&self) -> u64 {
        let length = self.bytes.file.metadata().map_or(0, |metadata| metadata.len());
        length.saturating_sub(self.bytes.raw_offset)
    }

    /// Gives how many bytes of the file itself are done with: none while records of them are held.
    pub(super) fn bytes_done(&self) -> u64 {
        if self.framer.has_rest() { 0 } else { self.bytes.raw_offset }
    }

    /// Tells whether the file was emptied, and perhaps written again, since it was opened.
    pub(super) fn is_truncated(&self) -> bool {
        let Ok(metadata) = self.bytes.file.metadata() else { return false };
        if metadata.len() < self.bytes.raw_offset {
            return true;
        }
        // Only a file that has something new is worth a look at its head.
        metadata.len() > self.bytes.raw_offset
            && self.fingerprint.matches(&self.bytes.file).is_ok_and(|same| !same)
    }

    /// Takes the number of blank lines since the last call.
    pub(super) fn take_blank_lines(&mut self) -> u64 {
        self.framer.take_blank_lines()
    }

    fn extend_fingerprint(&mut self) {
        if self.fingerprint.is_short()
            && self.bytes.raw_offset > self.fingerprint.bytes
            && let Ok(longer) = Fingerprint::read(&self.bytes.file)
        {
            self.fingerprint = longer;
        }
    }
}

// === impl Bytes ===

impl Bytes {
    /// Appends bytes of the content to `text`, at most about `max`; zero: there are none now.
    fn read(&mut self, text: &mut Vec<u8>, max: usize) -> Result<usize, ReadError> {
        let Some(mut unzip) = self.unzip.take() else {
            let count = pread_some(&self.file, text, max, self.raw_offset)
                .map_err(|source| self.read_error(source))?;
            self.raw_offset += count as u64;
            self.offset += count as u64;
            return Ok(count);
        };
        let result = self.read_compressed(&mut unzip, text, max);
        self.unzip = Some(unzip);
        result
    }

    fn read_compressed(
        &mut self,
        unzip: &mut Unzip,
        text: &mut Vec<u8>,
        max: usize,
    ) -> Result<usize, ReadError> {
        loop {
            if unzip.taken == unzip.input.len() {
                unzip.input.clear();
                unzip.taken = 0;
                unzip.input.reserve(COMPRESSED_CHUNK_BYTES);
                let count = pread(&self.file, &mut unzip.input, self.raw_offset)
                    .map_err(|source| self.read_error(source))?;
                self.raw_offset += count as u64;
                if count == 0 && !unzip.decompressor.has_more() {
                    unzip.input = Vec::new();
                    return Ok(0);
                }
            }
            let room = max.min(text.capacity() - text.len()).max(1);
            let input = &unzip.input[unzip.taken..];
            let had_input = !input.is_empty();
            let step = unzip
                .decompressor
                .step_into(input, text, room)
                .map_err(|error| self.decompress_error(error))?;
            unzip.taken += step.consumed;
            self.offset += step.produced as u64;
            if step.produced > 0 {
                return Ok(step.produced);
            }
            if !had_input && !unzip.decompressor.has_more() {
                return Ok(0);
            }
        }
    }

    /// Decompresses and forgets everything up to `offset` of the content.
    fn skip_to(&mut self, offset: u64) -> Result<(), ReadError> {
        let mut forgotten = Vec::with_capacity(COMPRESSED_CHUNK_BYTES);
        while self.offset < offset {
            forgotten.clear();
            let left = usize::try_from(offset - self.offset).unwrap_or(usize::MAX);
            if self.read(&mut forgotten, left.min(COMPRESSED_CHUNK_BYTES))? == 0 {
                let source = io::Error::new(
                    io::ErrorKind::InvalidData,
                    "its content ends before the stored position",
                );
                return Err(self.read_error(source));
            }
        }
        Ok(())
    }

    fn read_error(&self, source: io::Error) -> ReadError {
        ReadError::Read { path: self.path.clone(), offset: self.raw_offset, source }
    }

    fn decompress_error(&self, source: CompressionError) -> ReadError {
        ReadError::Decompress { path: self.path.clone(), offset: self.offset, source }
    }
}

/// Reads into the spare room of `buffer`, from `offset` of the file; zero at its end.
fn pread(file: &File, buffer: &mut Vec<u8>, offset: u64) -> io::Result<usize> {
    loop {
        match rustix::io::pread(file, spare_capacity(buffer), offset) {
            Ok(count) => return Ok(count),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Reads at most `max` bytes behind what `buffer` holds, which has more room than that for edits.
fn pread_some(file: &File, buffer: &mut Vec<u8>, max: usize, offset: u64) -> io::Result<usize> {
    if buffer.capacity() - buffer.len() <= max {
        return pread(file, buffer, offset);
    }
    // Clearing the room costs less than a batch that grows with every use because a read fills it.
    let before = buffer.len();
    buffer.resize(before + max, 0);
    let result = loop {
        match rustix::io::pread(file, &mut buffer[before..], offset) {
            Err(Errno::INTR) => {}
            result => break result,
        }
    };
    buffer.truncate(before + *result.as_ref().unwrap_or(&0));
    Ok(result?)
}

/// Gives where the last line that lacks its end begins, or the end of the file.
fn last_line_start(file: &File) -> io::Result<u64> {
    const BLOCK_BYTES: u64 = 64 << 10;
    let mut end = file.metadata()?.len();
    let mut block = Vec::with_capacity(BLOCK_BYTES as usize);
    while end > 0 {
        let start = end.saturating_sub(BLOCK_BYTES);
        block.clear();
        while (block.len() as u64) < end - start {
            let at = start + block.len() as u64;
            if pread(file, &mut block, at)? == 0 {
                break;
            }
        }
        block.truncate((end - start) as usize);
        if let Some(newline) = memchr::memrchr(b'\n', &block) {
            return Ok(start + newline as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}
