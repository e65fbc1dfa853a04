//! Files with recorded data: plain, gzip or zip, told by their first bytes.
//!
//! - An archive of a batch recording holds one file per query node, named by its index: `0`, `1`, … Source: kapacitor
//!   reference §8.6. The directory is read by a library; the content is inflated here, piece by piece, so that a file
//!   of any size takes constant memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::Crc;
use flate2::read::DeflateDecoder;
use levada_codec::compression::{Compression, DETECT_BYTES, Limits, PlainReader};
use thiserror::Error;
use zip::{CompressionMethod, ZipArchive};

/// More files than this in an archive are refused: a task has fewer query nodes.
pub const FILES_MAX: usize = crate::pipeline::build::NODES_MAX;

/// A larger archive that does not come from a file is refused: its directory stands at its end.
pub const ARCHIVE_BYTES_MAX: u64 = 256 << 20;

/// The end of a gzip file: the size of what was packed. Source: RFC 1952 §2.3.1.
const GZIP_SIZE_BYTES: u64 = 4;

/// What is read at once.
const BUFFER_BYTES: usize = 1 << 18;

/// The first bytes of an archive, and of one without files.
///
/// Source: PKWARE APPNOTE §4.3.7, §4.3.16.
const ZIP_MAGIC: [&[u8]; 2] = [b"PK\x03\x04", b"PK\x05\x06"];

/// Recorded data, uncompressed.
pub type Plain = Box<dyn BufRead + Send>;

/// Why a file cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The file itself.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// An archive.
    #[error("not a zip archive that can be read: {0}")]
    Archive(String),
}

trait Seekable: Read + Seek + Send {}

impl<T: Read + Seek + Send> Seekable for T {}

type Reopen<'r> = &'r dyn Fn() -> io::Result<Box<dyn Seekable>>;

/// Where a file stands in an archive, and what its content must be.
struct Entry {
    name: String,
    start: u64,
    compressed_bytes: u64,
    bytes: u64,
    checksum: u32,
    is_deflated: bool,
}

/// Opens a file: one reader, or one per file of an archive in the order of their numbers.
pub fn open(path: &Path) -> Result<Vec<Plain>, OpenError> {
    let mut file = File::open(path)?;
    if !file.metadata()?.is_file() {
        // A pipe cannot be read from its beginning again.
        return open_stream(file);
    }
    let head = head(&mut file)?;
    if is_zip(&head) {
        let reopen = || Ok(Box::new(File::open(path)?) as Box<dyn Seekable>);
        return archive(&reopen);
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(vec![plain(file, Compression::detect(&head))?])
}

/// Gives how many bytes a file has once it is unpacked, as far as it says so itself; 0 when it does not.
///
/// - Of gzip the size of the last member counts, modulo 2^32: it is for telling how far a reader is, and for nothing else.
pub fn unpacked_bytes(path: &Path) -> Result<u64, OpenError> {
    let mut file = File::open(path)?;
    let head = head(&mut file)?;
    if is_zip(&head) {
        return Ok(entries(Box::new(file))?.iter().map(|entry| entry.bytes).sum());
    }
    let bytes = file.metadata()?.len();
    match Compression::detect(&head) {
        Compression::None => Ok(bytes),
        Compression::Gzip if bytes >= GZIP_SIZE_BYTES => {
            file.seek(SeekFrom::End(-(GZIP_SIZE_BYTES as i64)))?;
            let mut size = [0; GZIP_SIZE_BYTES as usize];
            file.read_exact(&mut size)?;
            Ok(u32::from_le_bytes(size).into())
        }
        _ => Ok(0),
    }
}

/// Counts what is read of a file.
pub fn counted(input: Plain, count: &Arc<AtomicU64>) -> Plain {
    Box::new(Counted { input, count: Arc::clone(count) })
}

struct Counted {
    input: Plain,
    count: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.count.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl BufRead for Counted {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.input.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.count.fetch_add(amount as u64, Ordering::Relaxed);
        self.input.consume(amount);
    }
}

/// Does as [`open`] with something that cannot be opened again, such as standard input.
pub fn open_stream(mut input: impl Read + Send + 'static) -> Result<Vec<Plain>, OpenError> {
    let head = head(&mut input)?;
    let format = Compression::detect(&head);
    let is_zip = is_zip(&head);
    let input = Cursor::new(head).chain(input);
    if !is_zip {
        return Ok(vec![plain(input, format)?]);
    }
    let mut bytes = Vec::new();
    input.take(ARCHIVE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > ARCHIVE_BYTES_MAX {
        let text = format!("more than {ARCHIVE_BYTES_MAX} bytes; give it as a file");
        return Err(OpenError::Archive(text));
    }
    let bytes: Arc<[u8]> = bytes.into();
    archive(&|| Ok(Box::new(Cursor::new(Arc::clone(&bytes))) as Box<dyn Seekable>))
}

fn head(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(DETECT_BYTES);
    input.take(DETECT_BYTES as u64).read_to_end(&mut head)?;
    Ok(head)
}

fn is_zip(head: &[u8]) -> bool {
    ZIP_MAGIC.contains(&head)
}

fn plain(input: impl Read + Send + 'static, format: Compression) -> io::Result<Plain> {
    let input = BufReader::with_capacity(BUFFER_BYTES, input);
    if format == Compression::None {
        return Ok(Box::new(input));
    }
    let plain = PlainReader::new(input, format, Limits::default()).map_err(io::Error::other)?;
    Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, plain)))
}

fn archive(reopen: Reopen<'_>) -> Result<Vec<Plain>, OpenError> {
    let mut entries = entries(reopen()?)?;
    entries.sort_by_key(|entry| (number(&entry.name), entry.start));
    let open = |entry: Entry| -> Result<Plain, OpenError> {
        let mut file = reopen()?;
        file.seek(SeekFrom::Start(entry.start))?;
        let input = BufReader::with_capacity(BUFFER_BYTES, file.take(entry.compressed_bytes));
        let inflated: Box<dyn Read + Send> = match entry.is_deflated {
            true => Box::new(DeflateDecoder::new(input)),
            false => Box::new(input),
        };
        let checked = Checked { input: inflated, entry, crc: Crc::new(), count: 0 };
        Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, checked)))
    };
    entries.into_iter().map(open).collect()
}

/// Reads the directory; folders are left out.
fn entries(file: Box<dyn Seekable>) -> Result<Vec<Entry>, OpenError> {
    let refused = |text: String| OpenError::Archive(text);
    let mut archive =
        ZipArchive::new(BufReader::new(file)).map_err(|error| refused(error.to_string()))?;
    if archive.len() > FILES_MAX {
        return Err(refused(format!("it holds more than {FILES_MAX} files")));
    }
    let mut entries = Vec::with_capacity(archive.len());
    for index in 0..archive.len() {
        let file = archive.by_index_raw(index).map_err(|error| refused(error.to_string()))?;
        let name = file.name().map_err(|error| refused(error.to_string()))?.into_owned();
        if file.is_dir() {
            continue;
        }
        if file.encrypted() {
            return Err(refused(format!("`{name}` in it is encrypted")));
        }
        let is_deflated = match file.compression() {
            CompressionMethod::Stored => false,
            CompressionMethod::Deflated => true,
            other => {
                return Err(refused(format!(
                    "`{name}` in it is compressed by {other:?}; known: deflate"
                )));
            }
        };
        let start =
            file.data_start().ok_or_else(|| refused(format!("`{name}` has no place in it")))?;
        entries.push(Entry {
            name,
            start,
            compressed_bytes: file.compressed_size(),
            bytes: file.size(),
            checksum: file.crc32(),
            is_deflated,
        });
    }
    Ok(entries)
}

/// Gives the number that a file is named by; files without one follow.
fn number(name: &str) -> u64 {
    let base = name.rsplit('/').next().unwrap_or_default();
    let digits = base.split('.').next().unwrap_or_default();
    digits.parse().unwrap_or(u64::MAX)
}

/// Compares a file of an archive with what the directory says of it.
struct Checked {
    input: Box<dyn Read + Send>,
    entry: Entry,
    crc: Crc,
    count: u64,
}

impl Read for Checked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let name = &self.entry.name;
        let invalid = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
        let read = self
            .input
            .read(buffer)
            .map_err(|error| invalid(format!("`{name}` in the archive is damaged: {error}")))?;
        self.count += read as u64;
        self.crc.update(&buffer[..read]);
        let is_wrong = match read {
            0 => self.count != self.entry.bytes || self.crc.sum() != self.entry.checksum,
            // Whatever a small archive inflates to, it ends where it said it would.
            _ => self.count > self.entry.bytes,
        };
        if is_wrong {
            return Err(invalid(format!(
                "`{name}` in the archive is damaged: it is not what the archive says"
            )));
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests;
