//! State of tasks in files: one file per name, replaced as a whole.
//!
//! ```text
//! LEVADA-STATE 1\n   length (8 bytes, little endian)   CRC-32C (4 bytes)   the state
//! ```
//! A save writes a new file, flushes it and renames it over the old one, so after a crash it is the old state or the new
//! one. A file that is damaged is an error; the caller begins anew and says so.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// Keeps states in a folder.
#[derive(Clone, Debug)]
pub struct StateFiles {
    dir: PathBuf,
}

const MAGIC: &[u8] = b"LEVADA-STATE 1\n";
const HEAD: usize = MAGIC.len() + 12;

// === impl StateFiles ===

impl StateFiles {
    /// Keeps states in `dir`, which is made when it is not there.
    pub fn open(dir: impl Into<PathBuf>) -> io::Result<Self> {
        let dir = dir.into();
        fs::create_dir_all(&dir)?;
        Ok(StateFiles { dir })
    }

    /// Stores a state in place of the one of the same name.
    pub fn save(&self, name: &str, state: &[u8]) -> io::Result<()> {
        let path = self.path(name);
        let new = path.with_extension("tmp");
        let mut file = File::create(&new)?;
        file.write_all(MAGIC)?;
        file.write_all(&(state.len() as u64).to_le_bytes())?;
        file.write_all(&crc32c::crc32c(state).to_le_bytes())?;
        file.write_all(state)?;
        file.sync_data()?;
        fs::rename(&new, &path)?;
        File::open(&self.dir)?.sync_all()
    }

    /// Gives the state of a name; nothing when there is none.
    ///
    /// - Errors: `InvalidData` when the file is damaged.
    pub fn load(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let mut file = match File::open(self.path(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let damaged = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        if bytes.len() < HEAD || !bytes.starts_with(MAGIC) {
            return Err(damaged("not a file with state"));
        }
        let number = |at: usize, length: usize| &bytes[MAGIC.len() + at..MAGIC.len() + at + length];
        let length = u64::from_le_bytes(number(0, 8).try_into().map_err(|_| damaged("short"))?);
        let crc = u32::from_le_bytes(number(8, 4).try_into().map_err(|_| damaged("short"))?);
        let state = bytes.split_off(HEAD);
        if state.len() as u64 != length || crc32c::crc32c(&state) != crc {
            return Err(damaged("the state is damaged"));
        }
        Ok(Some(state))
    }

    /// Deletes the states whose names begin so.
    pub fn delete(&self, prefix: &str) -> io::Result<()> {
        let prefix = escape(prefix);
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new(&self.dir).join(format!("{}.state", escape(name)))
    }
}

/// Turns a name into one of a file: what is not a letter, a digit, `-` or `_` is written as its bytes.
fn escape(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02x}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn states_are_replaced_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let files = StateFiles::open(dir.path()).unwrap();
        assert_eq!(files.load("a/b.0").unwrap(), None);
        files.save("a/b.0", b"one").unwrap();
        files.save("a/b.0", b"two").unwrap();
        files.save("a.0", b"").unwrap();
        assert_eq!(files.load("a/b.0").unwrap().unwrap(), b"two");
        assert_eq!(files.load("a.0").unwrap().unwrap(), b"");
        files.delete("a/").unwrap();
        assert_eq!(files.load("a/b.0").unwrap(), None);
        assert!(files.load("a.0").unwrap().is_some());
    }

    #[test]
    fn damage_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let files = StateFiles::open(dir.path()).unwrap();
        files.save("t", b"some state").unwrap();
        let path = files.path("t");
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::write(&path, damaged).unwrap();
            assert!(files.load("t").is_err(), "byte {at}");
            fs::write(&path, &whole[..at]).unwrap();
            assert!(files.load("t").is_err(), "cut at {at}");
        }
    }
}
