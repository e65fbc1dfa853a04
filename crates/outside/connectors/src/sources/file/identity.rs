//! Which file it is, whatever it is called, and where reading goes on in it.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use levada_model::Position;
use rustix::buffer::spare_capacity;
use serde_json::{Value, json};

use crate::formats::framer::Place;

/// Bytes at the start of a file that its fingerprint covers.
const FINGERPRINT_BYTES: usize = 1024;

/// Entries of a folder that are looked at for a file that was renamed.
const RENAMED_LOOK_MAX: usize = 10_000;

/// The number of a file on this machine: it keeps it over renames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct FileId {
    pub(super) device: u64,
    pub(super) inode: u64,
}

/// What a file begins with: tells a file from another one that got its number, and from itself after
/// it was emptied and written again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fingerprint {
    pub(super) bytes: u64,
    pub(super) crc: u32,
}

/// Where reading goes on in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FilePosition {
    pub(super) id: FileId,
    pub(super) fingerprint: Fingerprint,
    pub(super) place: Place,
}

// === impl FileId ===

impl FileId {
    pub(super) fn of(metadata: &Metadata) -> FileId {
        FileId { device: metadata.dev(), inode: metadata.ino() }
    }
}

// === impl Fingerprint ===

impl Fingerprint {
    /// Tells whether it can still grow with the file.
    pub(super) fn is_short(self) -> bool {
        self.bytes < FINGERPRINT_BYTES as u64
    }

    /// Reads the fingerprint of the file as it is now.
    pub(super) fn read(file: &File) -> io::Result<Fingerprint> {
        let mut head = Vec::new();
        read_head(file, &mut head, FINGERPRINT_BYTES)?;
        Ok(Fingerprint { bytes: head.len() as u64, crc: crc32c::crc32c(&head) })
    }

    /// Tells whether the file still begins with what this covers.
    pub(super) fn matches(self, file: &File) -> io::Result<bool> {
        let mut head = Vec::new();
        read_head(file, &mut head, self.bytes.min(FINGERPRINT_BYTES as u64) as usize)?;
        Ok(head.len() as u64 == self.bytes && crc32c::crc32c(&head) == self.crc)
    }
}

/// Reads the first `count` bytes, or all there are, without moving the place of the file.
fn read_head(file: &File, head: &mut Vec<u8>, count: usize) -> io::Result<()> {
    head.reserve_exact(count);
    while head.len() < count {
        let at = head.len() as u64;
        match rustix::io::pread(file, spare_capacity(head), at) {
            Ok(0) => break,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    head.truncate(count);
    Ok(())
}

// === impl FilePosition ===

impl FilePosition {
    /// Gives the form that is stored: `{"offset","device","inode","head":{"bytes","crc32c"}}`, for CSV
    /// also `line` and `columns`.
    pub(super) fn to_json(&self) -> Position {
        let mut json = json!({
            "offset": self.place.offset,
            "device": self.id.device,
            "inode": self.id.inode,
            "head": { "bytes": self.fingerprint.bytes, "crc32c": self.fingerprint.crc },
        });
        if self.place.line > 0 {
            json["line"] = self.place.line.into();
        }
        if let Some(columns) = &self.place.columns {
            json["columns"] = Value::from(columns.to_vec());
        }
        json
    }

    /// Reads the stored form; nothing when it is none.
    pub(super) fn from_json(json: &Position) -> Option<FilePosition> {
        let number = |value: &Value, key: &str| value.get(key).and_then(Value::as_u64);
        let head = json.get("head")?;
        let columns = match json.get("columns") {
            None | Some(Value::Null) => None,
            Some(Value::Array(names)) => {
                let names = names.iter().map(|name| name.as_str().map(str::to_owned));
                Some(names.collect::<Option<Vec<String>>>()?.into())
            }
            Some(_) => return None,
        };
        Some(FilePosition {
            id: FileId { device: number(json, "device")?, inode: number(json, "inode")? },
            fingerprint: Fingerprint {
                bytes: number(head, "bytes")?,
                crc: u32::try_from(number(head, "crc32c")?).ok()?,
            },
            place: Place {
                offset: number(json, "offset")?,
                line: number(json, "line").unwrap_or(0),
                columns,
            },
        })
    }

    /// Tells whether this is a position in the file as it is now.
    ///
    /// `is_plain`: the offset counts bytes of the file itself, so the file cannot be shorter.
    pub(super) fn fits(
        &self,
        file: &File,
        metadata: &Metadata,
        is_plain: bool,
    ) -> io::Result<bool> {
        Ok(self.id == FileId::of(metadata)
            && (!is_plain || metadata.len() >= self.place.offset)
            && self.fingerprint.matches(file)?)
    }
}

/// Looks for a file beside `path` that has this number: where a rotation put it.
pub(super) fn find_renamed(path: &Path, id: FileId) -> Option<PathBuf> {
    let entries = std::fs::read_dir(path.parent()?).ok()?;
    for entry in entries.take(RENAMED_LOOK_MAX).flatten() {
        let is_it = entry
            .metadata()
            .is_ok_and(|metadata| metadata.is_file() && FileId::of(&metadata) == id);
        if is_it {
            return Some(entry.path());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn positions_are_read_as_they_were_stored() {
        for (line, columns) in [(0, None), (3, Some(["a".to_owned(), "b\"".to_owned()]))] {
            let position = FilePosition {
                id: FileId { device: u64::MAX, inode: 7 },
                fingerprint: Fingerprint { bytes: 9, crc: u32::MAX },
                place: Place { offset: 1 << 60, line, columns: columns.map(|c| c.to_vec().into()) },
            };
            assert_eq!(FilePosition::from_json(&position.to_json()), Some(position));
        }
    }

    #[test]
    fn what_is_no_position_is_refused() {
        let good = FilePosition {
            id: FileId { device: 1, inode: 2 },
            fingerprint: Fingerprint::default(),
            place: Place::default(),
        };
        for key in ["offset", "device", "inode", "head"] {
            for wrong in [Value::Null, "x".into(), (-1).into()] {
                let mut json = good.to_json();
                json[key] = wrong;
                assert_eq!(FilePosition::from_json(&json), None, "{key}");
            }
        }
        let mut json = good.to_json();
        json["columns"] = json!([1]);
        assert_eq!(FilePosition::from_json(&json), None);
        assert_eq!(FilePosition::from_json(&Value::from(5)), None);
    }

    #[test]
    fn a_fingerprint_holds_while_the_file_only_grows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let print = |text: &str| {
            std::fs::write(&path, text).unwrap();
            File::open(&path).unwrap()
        };
        let short = Fingerprint::read(&print("abc")).unwrap();
        assert!(short.is_short());
        assert!(short.matches(&print("abcdef")).unwrap());
        assert!(!short.matches(&print("abX")).unwrap());
        assert!(!short.matches(&print("ab")).unwrap());
        let long = Fingerprint::read(&print(&"x".repeat(5000))).unwrap();
        assert!(!long.is_short());
        assert!(long.matches(&print(&"x".repeat(1024))).unwrap());
        let renamed = folder.path().join("g");
        let id = FileId::of(&std::fs::metadata(&path).unwrap());
        std::fs::rename(&path, &renamed).unwrap();
        assert_eq!(find_renamed(&path, id), Some(renamed));
    }
}
