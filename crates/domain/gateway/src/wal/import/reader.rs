//! The files of an old cache: which there are, and the records in one.

use std::fs::{self, File};
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use super::super::record::PAYLOAD_BYTES_MAX;

/// Stands in place of a length and ends a file.
const END_MARK: u32 = 0xdead_beef;

const DATA: &str = "data";
const POS: &str = ".pos";
const DIGITS: usize = 32;

/// Largest position file that is read, bytes; paths are not longer.
const POS_BYTES_MAX: u64 = 16 << 10;

/// A file with records.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DataFile {
    pub(super) path: PathBuf,
    /// Where the first record is that was not sent yet.
    start: u64,
}

/// How a file ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Whole,
    /// These bytes are no records.
    Damaged {
        bytes: u64,
    },
}

/// Reads records one behind the other.
#[derive(Debug)]
pub(super) struct FileReader {
    pub(super) path: PathBuf,
    /// How it ended, once it did.
    pub(super) ending: Option<Ending>,
    input: BufReader<File>,
    at: u64,
    size: u64,
}

/// Finds the data files of a folder and of those in it, each folder's oldest first.
pub(super) fn find_files(root: &Path) -> io::Result<Vec<DataFile>> {
    let mut folders = vec![root.to_owned()];
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders.push(entry.path());
        }
    }
    folders.sort();
    let mut files = Vec::new();
    for folder in folders {
        let mut names = Vec::new();
        for entry in fs::read_dir(&folder)? {
            let name = entry?.file_name();
            if let Some(name) = name.to_str().filter(|name| is_data(name)) {
                names.push(name.to_owned());
            }
        }
        // The digits have one length, and the file that was written last has none.
        names.sort_by_key(|name| (name == DATA, name.clone()));
        let reading = read_position(&folder);
        files.extend(names.into_iter().map(|name| {
            let start = reading.as_ref().filter(|(read, _)| *read == name);
            DataFile { start: start.map_or(0, |(_, at)| *at), path: folder.join(name) }
        }));
    }
    Ok(files)
}

/// Renames a file that is done with.
pub(super) fn set_aside(path: &Path, suffix: &str) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    fs::rename(path, name)
}

fn is_data(name: &str) -> bool {
    let digits = name.strip_prefix("data.");
    name == DATA
        || digits.is_some_and(|digits| {
            digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit())
        })
}

/// Gives the file that was being read, by its name alone because folders move, and where.
fn read_position(folder: &Path) -> Option<(String, u64)> {
    let file = File::open(folder.join(POS)).ok()?;
    let mut bytes = Vec::new();
    file.take(POS_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    let (at, path) = bytes.split_first_chunk::<8>()?;
    let name = Path::new(std::str::from_utf8(path).ok()?).file_name()?.to_str()?;
    Some((name.to_owned(), u64::try_from(i64::from_le_bytes(*at)).ok()?))
}

// === impl FileReader ===

impl FileReader {
    pub(super) fn open(file: &DataFile) -> io::Result<Self> {
        let mut input = File::open(&file.path)?;
        let size = input.metadata()?.len();
        // A position behind the end is not one of this file.
        let start = if file.start <= size { file.start } else { 0 };
        input.seek(SeekFrom::Start(start))?;
        let input = BufReader::new(input);
        Ok(FileReader { path: file.path.clone(), ending: None, input, at: start, size })
    }

    /// Reads records of about so many bytes; fewer at the end.
    pub(super) fn read(&mut self, bytes: usize) -> io::Result<Vec<Vec<u8>>> {
        let (mut records, mut total) = (Vec::new(), 0);
        while total < bytes && self.ending.is_none() {
            if let Some(record) = self.next()? {
                total += record.len();
                records.push(record);
            }
        }
        Ok(records)
    }

    fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let left = self.size - self.at;
        if left < 4 {
            self.end(left);
            return Ok(None);
        }
        let mut length = [0; 4];
        self.input.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length);
        if length == END_MARK {
            self.end(left - 4);
            return Ok(None);
        }
        // The length is believed only as far as the file goes.
        if u64::from(length) > left - 4 || length as usize > PAYLOAD_BYTES_MAX {
            self.end(left);
            return Ok(None);
        }
        let mut record = vec![0; length as usize];
        self.input.read_exact(&mut record)?;
        self.at += 4 + u64::from(length);
        Ok(Some(record))
    }

    fn end(&mut self, bytes: u64) {
        self.ending = Some(if bytes == 0 { Ending::Whole } else { Ending::Damaged { bytes } });
    }
}
