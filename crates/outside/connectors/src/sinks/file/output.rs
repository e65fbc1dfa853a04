//! One file that is written.
//!
//! Invariants
//! - What is in the file ends with a whole record: a write that failed in the middle is cut off again
//!   before anything else is written.
//! - Compressed files consist of whole members (gzip) or frames (zstd). Records wait in memory, at most
//!   [`MEMBER_BYTES`] and one batch, until they are compressed together or must become durable; so a
//!   member that could not be written is compressed again, and nothing is torn or twice in it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use levada_codec::compression::{Compression, Compressor, Decompressor, Limits};
use levada_runtime::durable::sync_folder;

/// Payload bytes that are compressed together: the window of either format many times over.
const MEMBER_BYTES: usize = 1 << 20;

/// Bytes of one read when an existing file is looked through.
const SCAN_BYTES: usize = 256 << 10;

/// Bytes at the start of an existing file that may hold its CSV header.
pub(super) const HEAD_BYTES: usize = 1 << 20;

/// Why a file cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} `{path}`")]
pub(super) struct OutputError {
    pub(super) action: &'static str,
    pub(super) path: PathBuf,
    #[source]
    pub(super) source: io::Error,
}

/// What to do with the end of a file that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tail {
    /// It may be anybody's: nothing is taken away.
    Keep,
    /// Ours: a record that was not written whole goes.
    Cut,
}

/// One file that is written.
#[derive(Debug)]
pub(super) struct Output {
    path: PathBuf,
    file: File,
    is_regular: bool,
    /// Length up to which the file holds whole records.
    good: u64,
    /// Bytes behind `good` may have been written.
    is_torn: bool,
    is_unsynced: bool,
    compression: Compression,
    /// Records that wait for their member.
    staged: Vec<u8>,
    member: Vec<u8>,
}

// === impl Output ===

impl Output {
    /// Opens a file to write behind what it holds; parent folders are made.
    pub(super) fn open(
        path: &Path,
        compression: Compression,
        tail: Tail,
    ) -> Result<Output, OutputError> {
        let fail = |action, source| OutputError { action, path: path.to_owned(), source };
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Some(parent) = parent {
            std::fs::create_dir_all(parent).map_err(|source| fail("make the folder of", source))?;
        }
        let is_new = !path.exists();
        let mut options = OpenOptions::new();
        // Devices and pipes are only written.
        let is_special = std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file());
        options.write(true).read(!is_special).create(true).truncate(false);
        let file = options.open(path).map_err(|source| fail("open", source))?;
        let metadata = file.metadata().map_err(|source| fail("open", source))?;
        if metadata.is_dir() {
            return Err(fail("open", io::ErrorKind::IsADirectory.into()));
        }
        let is_regular = metadata.is_file();
        if is_regular {
            lock(&file).map_err(|source| fail("lock", source))?;
            if is_new && let Some(parent) = parent {
                sync_folder(parent).map_err(|source| fail("make durable the folder of", source))?;
            }
        }
        let mut output = Output {
            path: path.to_owned(),
            file,
            is_regular,
            good: if is_regular { metadata.len() } else { 0 },
            is_torn: false,
            is_unsynced: false,
            compression,
            staged: Vec::new(),
            member: Vec::new(),
        };
        if output.good > 0 {
            output.mend(tail).map_err(|source| fail("mend the end of", source))?;
        }
        Ok(output)
    }

    /// Gives the path it is written under.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Tells whether it is a file and not a device or a pipe.
    pub(super) fn is_regular(&self) -> bool {
        self.is_regular
    }

    /// Gives how large the file is, what still waits in memory included as it is.
    pub(super) fn bytes(&self) -> u64 {
        self.good + self.staged.len() as u64
    }

    /// Tells whether nothing was ever written to the file.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes() == 0
    }

    /// Gives the decompressed start of the file.
    pub(super) fn head(&self) -> Result<Vec<u8>, OutputError> {
        let read = || {
            let mut head = Vec::new();
            let mut file = &self.file;
            file.seek(SeekFrom::Start(0))?;
            if self.compression == Compression::None {
                file.take(HEAD_BYTES as u64).read_to_end(&mut head)?;
                return Ok(head);
            }
            let mut input = Vec::new();
            file.take(HEAD_BYTES as u64).read_to_end(&mut input)?;
            let mut unzip = decompressor(self.compression)?;
            let mut taken = 0;
            while head.len() < HEAD_BYTES {
                let step = unzip
                    .step_into(&input[taken..], &mut head, SCAN_BYTES)
                    .map_err(io::Error::other)?;
                taken += step.consumed;
                if step.consumed == 0 && step.produced == 0 {
                    break;
                }
            }
            Ok(head)
        };
        if !self.is_regular || self.good == 0 {
            return Ok(Vec::new());
        }
        read().map_err(|source| self.error("read the start of", source))
    }

    /// Writes whole records. On an error nothing of them is in the file.
    pub(super) fn write(&mut self, records: &[u8]) -> Result<(), OutputError> {
        if records.is_empty() {
            return Ok(());
        }
        if self.compression == Compression::None {
            return self.append(records);
        }
        if self.staged.len() >= MEMBER_BYTES {
            // Left from a write that failed: it must go before more is taken.
            self.write_member()?;
        }
        self.staged.extend_from_slice(records);
        if self.staged.len() >= MEMBER_BYTES {
            // The records are taken either way; the next write or sync tells whether there is room.
            if let Err(error) = self.write_member() {
                tracing::debug!(%error, "records wait in memory");
            }
        }
        Ok(())
    }

    /// Makes everything written so far durable.
    pub(super) fn sync(&mut self) -> Result<(), OutputError> {
        self.write_member()?;
        if self.is_unsynced && self.is_regular {
            self.file.sync_data().map_err(|source| self.error("make durable", source))?;
        }
        self.is_unsynced = false;
        Ok(())
    }

    fn write_member(&mut self) -> Result<(), OutputError> {
        if self.staged.is_empty() {
            return Ok(());
        }
        let mut member = std::mem::take(&mut self.member);
        member.clear();
        let compressed = Compressor::new(self.compression, None).and_then(|mut compressor| {
            compressor.write(&self.staged, &mut member)?;
            compressor.finish(&mut member)
        });
        let result = compressed
            .map_err(|error| self.error("compress records for", io::Error::other(error)))
            .and_then(|()| self.append(&member));
        self.member = member;
        if result.is_ok() {
            self.staged.clear();
            // What one large batch needed is given back.
            self.staged.shrink_to(2 * MEMBER_BYTES);
            self.member.shrink_to(2 * MEMBER_BYTES);
        }
        result
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), OutputError> {
        if self.is_torn {
            self.cut().map_err(|source| self.error("cut off a torn write of", source))?;
        }
        match self.file.write_all(bytes) {
            Ok(()) => {
                self.good += bytes.len() as u64;
                self.is_unsynced = true;
                Ok(())
            }
            Err(source) => {
                self.is_torn = self.is_regular;
                if self.is_torn
                    && let Err(error) = self.cut()
                {
                    // Tried again before the next write.
                    tracing::debug!(%error, "a torn write is still there");
                }
                Err(self.error("write to", source))
            }
        }
    }

    fn cut(&mut self) -> io::Result<()> {
        self.file.set_len(self.good)?;
        self.file.seek(SeekFrom::Start(self.good))?;
        self.is_torn = false;
        Ok(())
    }

    /// Makes the file end with a whole record, or member, and goes there.
    fn mend(&mut self, tail: Tail) -> io::Result<()> {
        if self.compression == Compression::None {
            let end = last_line_end(&self.file, self.good)?;
            let is_whole = end == self.good;
            if !is_whole && tail == Tail::Cut {
                tracing::info!(path = %self.path.display(), bytes = self.good - end,
                    "a record that was not written whole is cut off and written again");
                self.good = end;
                self.cut()?;
            } else if !is_whole {
                tracing::warn!(path = %self.path.display(),
                    "the last line has no end; it gets one, and records follow");
                self.file.seek(SeekFrom::Start(self.good))?;
                self.append(b"\n").map_err(|error| error.source)?;
            }
        } else {
            let end = last_member_end(&self.file, self.compression)?;
            if end < self.good {
                if tail == Tail::Keep {
                    let aside = save_tail(&self.file, &self.path, end)?;
                    tracing::warn!(path = %self.path.display(), saved = %aside.display(),
                        "the file ends inside a compressed member; that end was put aside");
                }
                self.good = end;
                self.cut()?;
            }
        }
        self.file.seek(SeekFrom::Start(self.good))?;
        Ok(())
    }

    fn error(&self, action: &'static str, source: io::Error) -> OutputError {
        OutputError { action, path: self.path.clone(), source }
    }
}

/// Takes the file for this writer alone: two that cut each other's ends off would lose records.
fn lock(file: &File) -> io::Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "another sink writes it; give each sink a path of its own",
        )),
        Err(TryLockError::Error(error)) => {
            // Some network file systems have no locks.
            tracing::debug!(%error, "the file cannot be locked");
            Ok(())
        }
    }
}

/// Gives where the last line that has an end does end.
fn last_line_end(mut file: &File, length: u64) -> io::Result<u64> {
    let mut block = Vec::new();
    let mut end = length;
    while end > 0 {
        let start = end.saturating_sub(SCAN_BYTES as u64);
        block.clear();
        file.seek(SeekFrom::Start(start))?;
        file.take(end - start).read_to_end(&mut block)?;
        if let Some(newline) = memchr::memrchr(b'\n', &block) {
            return Ok(start + newline as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// Gives where the last whole member does end; looks through the whole file.
///
/// A member ends before the first byte of the next one or at the end of the file, so the decompressor
/// is fed up to each byte with which a member may begin, and asked there.
fn last_member_end(mut file: &File, compression: Compression) -> io::Result<u64> {
    let first = match compression {
        Compression::Zstd => 0x28,
        Compression::Gzip | Compression::None => 0x1f,
    };
    file.seek(SeekFrom::Start(0))?;
    let mut unzip = decompressor(compression)?;
    let mut output = vec![0; SCAN_BYTES];
    let mut input = Vec::with_capacity(SCAN_BYTES);
    let mut whole = 0;
    loop {
        input.clear();
        if file.take(SCAN_BYTES as u64).read_to_end(&mut input)? == 0 {
            return Ok(whole);
        }
        let mut start = 0;
        while start < input.len() {
            let next = memchr::memchr(first, &input[start + 1..]);
            let next = next.map_or(input.len(), |at| start + 1 + at);
            while start < next || unzip.has_more() {
                match unzip.step(&input[start..next], &mut output) {
                    Ok(step) => start += step.consumed,
                    Err(_) => return Ok(whole),
                }
            }
            if unzip.finish().is_ok() {
                whole = unzip.total_in();
            }
        }
    }
}

/// Copies what stands behind `end` to a file of its own and gives its path.
fn save_tail(mut file: &File, path: &Path, end: u64) -> io::Result<PathBuf> {
    const NAMES_MAX: u32 = 10_000;
    for number in 1..=NAMES_MAX {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".torn-{number}"));
        let aside = path.with_file_name(name);
        match OpenOptions::new().write(true).create_new(true).open(&aside) {
            Ok(mut saved) => {
                file.seek(SeekFrom::Start(end))?;
                io::copy(&mut file, &mut saved)?;
                saved.sync_all()?;
                return Ok(aside);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "too many `.torn-` files; remove some"))
}

fn decompressor(compression: Compression) -> io::Result<Decompressor> {
    let limits = Limits { ratio_max: None, ..Limits::default() };
    Decompressor::new(compression, limits).map_err(io::Error::other)
}
