//! State of tasks in files: one file per name, replaced as a whole.
//!
//! ```text
//! LEVADA-STATE 1\n   length (8 bytes, little endian)   CRC-32C (4 bytes)   the state
//! ```
//! A save writes a new file, flushes it and renames it over the old one, so after a crash it is the old state or the new
//! one. A file that is damaged is an error; the caller begins anew and says so. The folder belongs to one process.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use levada_runtime::durable::sync_folder;

/// Keeps states in a folder; cheap to clone.
#[derive(Clone, Debug)]
pub struct StateFiles {
    dir: PathBuf,
    known: Arc<Mutex<Known>>,
}

/// What is in the files, by their names without the suffix; nothing where nobody has looked yet.
type Known = BTreeMap<String, Option<Digest>>;

/// Length and CRC-32C.
type Digest = (u64, u32);

const MAGIC: &[u8] = b"LEVADA-STATE 1\n";
const HEAD: usize = MAGIC.len() + 12;
const SUFFIX: &str = ".state";
/// The longest name of a file. Source: most file systems.
const FILE_NAME_MAX: usize = 255;

// === impl StateFiles ===

impl StateFiles {
    /// Keeps states in `dir`, which is made when it is not there.
    pub fn open(dir: impl Into<PathBuf>) -> io::Result<Self> {
        let dir = dir.into();
        fs::create_dir_all(&dir)?;
        let mut known = Known::new();
        for entry in fs::read_dir(&dir)? {
            let name = entry?.file_name();
            if let Some(name) = name.to_str().and_then(|name| name.strip_suffix(SUFFIX)) {
                known.insert(name.to_owned(), None);
            }
        }
        Ok(StateFiles { dir, known: Arc::new(Mutex::new(known)) })
    }

    /// Stores a state in place of the one of the same name; one that is stored already is not written again.
    ///
    /// It outlives the process at once, and the machine after [`StateFiles::sync`].
    pub fn save(&self, name: &str, state: &[u8]) -> io::Result<()> {
        let name = escape(name);
        let digest = (state.len() as u64, crc32c::crc32c(state));
        if self.known().get(&name) == Some(&Some(digest)) {
            return Ok(());
        }
        let path = self.path(&name);
        let new = path.with_extension("tmp");
        let mut file = File::create(&new)?;
        file.write_all(MAGIC)?;
        file.write_all(&digest.0.to_le_bytes())?;
        file.write_all(&digest.1.to_le_bytes())?;
        file.write_all(state)?;
        file.sync_data()?;
        fs::rename(&new, &path)?;
        self.known().insert(name, Some(digest));
        Ok(())
    }

    /// Makes everything that was saved outlive the machine.
    pub fn sync(&self) -> io::Result<()> {
        sync_folder(&self.dir)
    }

    /// Gives the state of a name; nothing when there is none.
    ///
    /// - Errors: `InvalidData` when the file is damaged.
    pub fn load(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let name = escape(name);
        let mut file = match File::open(self.path(&name)) {
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
        self.known().insert(name, Some((length, crc)));
        Ok(Some(state))
    }

    /// Deletes the states whose names begin so.
    pub fn delete(&self, prefix: &str) -> io::Result<()> {
        let prefix = escape(prefix);
        let mut known = self.known();
        let names = known.range(prefix.clone()..).map(|(name, _)| name);
        let names: Vec<String> =
            names.take_while(|name| name.starts_with(&prefix)).cloned().collect();
        for name in names {
            match fs::remove_file(self.path(&name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => drop(known.remove(&name)),
            }
        }
        Ok(())
    }

    /// Says whether a file can have this name.
    pub fn can_name(name: &str) -> bool {
        escape(name).len() + SUFFIX.len() <= FILE_NAME_MAX
    }

    /// - `name`: escaped.
    fn path(&self, name: &str) -> PathBuf {
        Path::new(&self.dir).join(format!("{name}{SUFFIX}"))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
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
        files.sync().unwrap();
        // As after a restart.
        let files = StateFiles::open(dir.path()).unwrap();
        assert_eq!(files.load("a/b.0").unwrap().unwrap(), b"two");
        assert_eq!(files.load("a.0").unwrap().unwrap(), b"");
        files.delete("a/").unwrap();
        assert_eq!(files.load("a/b.0").unwrap(), None);
        assert!(files.load("a.0").unwrap().is_some());
    }

    #[test]
    fn what_is_stored_already_is_not_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let files = StateFiles::open(dir.path()).unwrap();
        files.save("t", b"some state").unwrap();
        let path = files.path("t");
        let is_written = |state: &[u8]| {
            fs::write(&path, b"mark").unwrap();
            files.save("t", state).unwrap();
            fs::read(&path).unwrap() != b"mark"
        };
        assert!(!is_written(b"some state"));
        assert!(is_written(b"other state"));
        assert!(!is_written(b"other state"));
        files.delete("t").unwrap();
        assert!(is_written(b"other state"), "it was deleted meanwhile");
        // What was read is known, too.
        let again = StateFiles::open(dir.path()).unwrap();
        assert_eq!(again.load("t").unwrap().unwrap(), b"other state");
        fs::write(&path, b"mark").unwrap();
        again.save("t", b"other state").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"mark");
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
