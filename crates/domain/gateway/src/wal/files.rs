//! The file system, as far as the log needs one; small enough that a test can play it.
//!
//! Writes may be torn and are not durable before [`Handle::sync`]; names are not durable before [`Files::sync_dir`].

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::{FileExt, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use levada_runtime::durable::sync_folder;

/// Most slices that one call of the system takes (`IOV_MAX` of Linux).
const SLICES_MAX: usize = 1_024;

/// Who may read what waits: the user of the process only, because bodies are data of customers.
const FILE_MODE: u32 = 0o600;

/// A file system.
pub(crate) trait Files: Send + Sync + 'static {
    /// Makes a folder with its parents, unless it exists.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Gives names and sizes of the files of a folder, in any order.
    fn list(&self, path: &Path) -> io::Result<Vec<(String, u64)>>;
    /// Makes an empty file, in place of one that exists; sets `reserve` bytes aside for it where the system can.
    fn create(&self, path: &Path, reserve: u64) -> io::Result<Arc<dyn Handle>>;
    /// Opens a file to read and write.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn Handle>>;
    /// Renames a file, in place of one that exists.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Lets two files of one folder change names, both at once.
    ///
    /// - Errors: [`io::ErrorKind::Unsupported`] where the system cannot; then nothing has changed.
    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names of a folder durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
}

/// An open file.
pub(crate) trait Handle: Send + Sync {
    /// Writes all the parts, one behind the other; after an error any part of them may have been written.
    fn write_at(&self, offset: u64, parts: &mut [IoSlice<'_>]) -> io::Result<()>;
    /// Reads up to `buffer.len()` bytes; fewer at the end of the file only.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
    /// Gives the size.
    fn size(&self) -> io::Result<u64>;
    /// Cuts the file.
    fn truncate(&self, size: u64) -> io::Result<()>;
    /// Makes durable what was written.
    fn sync(&self) -> io::Result<()>;
}

/// The file system of the machine.
#[derive(Debug)]
pub(crate) struct SystemFiles;

/// Reads a whole file of at most `bytes_max` bytes.
pub(crate) fn read_all(files: &dyn Files, path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let file = files.open(path)?;
    let size = file.size()?;
    if size > bytes_max {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("it has {size} bytes, more than {bytes_max}"),
        ));
    }
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
    let read = file.read_at(0, &mut bytes)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Tells whether the error means that nothing more fits.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

// === impl SystemFiles ===

impl Files for SystemFiles {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<(String, u64)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if let (true, Ok(name)) = (metadata.is_file(), entry.file_name().into_string()) {
                found.push((name, metadata.len()));
            }
        }
        Ok(found)
    }

    fn create(&self, path: &Path, reserve: u64) -> io::Result<Arc<dyn Handle>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(FILE_MODE);
        let file = options.open(path)?;
        if reserve > 0 {
            reserve_space(&file, reserve)?;
        }
        Ok(Arc::new(file))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn Handle>> {
        Ok(Arc::new(OpenOptions::new().read(true).write(true).open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    #[cfg(target_os = "linux")]
    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use rustix::io::Errno;
        match renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE) {
            // The file system or the kernel does not know how, or a sandbox does not know the call.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP | Errno::PERM) => {
                Err(io::ErrorKind::Unsupported.into())
            }
            result => result.map_err(io::Error::from),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn exchange(&self, _: &Path, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        sync_folder(path)
    }
}

impl Handle for File {
    fn write_at(&self, mut offset: u64, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        IoSlice::advance_slices(&mut parts, 0);
        while !parts.is_empty() {
            let some = &parts[..parts.len().min(SLICES_MAX)];
            match rustix::io::pwritev(self, some, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    offset += written as u64;
                    IoSlice::advance_slices(&mut parts, written);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match FileExt::read_at(self, &mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        self.set_len(size)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Sets space aside without changing the size of the file; a file system that cannot is no error.
fn reserve_space(file: &File, bytes: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::KEEP_SIZE, 0, bytes) {
        Err(rustix::io::Errno::NOSPC) => return Err(io::ErrorKind::StorageFull.into()),
        Err(rustix::io::Errno::DQUOT) => return Err(io::ErrorKind::QuotaExceeded.into()),
        // Most likely not supported; the writes will say so if it was more than that.
        Ok(()) | Err(_) => {}
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (file, bytes);
    Ok(())
}
