//! A file: bodies one behind the other, line by line.
//!
//! The file belongs to the gateway. A body stands in it whole or not at all: what an attempt that failed has left is cut
//! off, and so is what stands behind the last line end when the file is opened, which is left of a process that ended while
//! it wrote. Somebody else may move the file away; then a new one is begun.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use levada_codec::points::LeftOut;
use levada_model::Timestamp;
use tokio::fs::{self, File, OpenOptions};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};
use tokio::sync::Mutex;

use super::{Open, OpenReceiverError, Tools, unreadable};
use crate::deliver::{Answer, Receiver};
use crate::destination::EndpointSpec;
use crate::ingest::Encoder;
use crate::wal::Record;

/// A file, and how large it may get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSpec {
    /// Where it is.
    pub path: PathBuf,
    /// A body that would make it larger begins a new one; 0 is without limit.
    pub bytes_max: u64,
    /// So many full files are kept, as `PATH.1`, which is the newest, and so on.
    pub kept_max: usize,
    /// Whether a body counts as delivered only when it is on the disk.
    pub is_synced: bool,
}

struct FileReceiver {
    spec: FileSpec,
    label: String,
    encoder: Arc<Encoder>,
    /// Bodies do not stand within each other.
    state: Mutex<Option<Opened>>,
}

/// The file as it is open.
struct Opened {
    file: File,
    /// Device and number: another may be in its place.
    id: (u64, u64),
    /// Bytes of whole bodies.
    length: u64,
}

/// How much is read at once when the last line end is looked for.
const LOOK_BACK: usize = 64 << 10;
/// Others have nothing to look for in it. Source: dataway reference §2.1, `output_file`.
const MODE: u32 = 0o600;

#[async_trait]
impl Open for FileSpec {
    fn has_urls(&self) -> bool {
        false
    }

    async fn open(
        &self,
        _endpoint: &EndpointSpec,
        tools: &Tools<'_>,
    ) -> Result<Arc<dyn Receiver>, OpenReceiverError> {
        Ok(Arc::new(FileReceiver {
            label: format!("file://{}", self.path.display()),
            spec: self.clone(),
            encoder: Arc::clone(tools.encoder),
            state: Mutex::default(),
        }))
    }
}

#[async_trait]
impl Receiver for FileReceiver {
    fn label(&self) -> &str {
        &self.label
    }

    async fn send(&self, record: &Record, _is_retry: bool, _now: Timestamp) -> Answer {
        let plain = match self.encoder.plain(record) {
            Ok(plain) => plain,
            Err(error) => return unreadable(error),
        };
        let mut state = self.state.lock().await;
        match self.append(&mut state, &plain).await {
            Ok(()) => Answer::Delivered { status: 0, left_out: LeftOut::default() },
            Err(error) => {
                let reason = format!("cannot write `{}`: {error}", self.spec.path.display());
                Answer::Later { status: None, after: None, is_overload: false, reason }
            }
        }
    }
}

// === impl FileReceiver ===

impl FileReceiver {
    /// Appends a body. While that is under way nothing is open for others: whatever ends it, the file is looked at anew.
    async fn append(&self, state: &mut Option<Opened>, body: &Bytes) -> io::Result<()> {
        let path = &self.spec.path;
        let mut opened = match state.take() {
            Some(opened) if id_of(path).await? == Some(opened.id) => opened,
            _ => Opened::open(path).await?,
        };
        let needs_end = body.last().is_some_and(|last| *last != b'\n');
        let bytes = body.len() as u64 + u64::from(needs_end);
        let is_full = self.spec.bytes_max > 0
            && opened.length > 0
            && opened.length.saturating_add(bytes) > self.spec.bytes_max;
        if is_full {
            rotate(path, self.spec.kept_max).await?;
            opened = Opened::open(path).await?;
        }
        if let Err(error) = self.write(&mut opened.file, body, needs_end).await {
            if let Err(error) = opened.file.set_len(opened.length).await {
                tracing::warn!(path = %path.display(), %error, "half a body stands in the file");
            }
            return Err(error);
        }
        opened.length += bytes;
        *state = Some(opened);
        Ok(())
    }

    async fn write(&self, file: &mut File, body: &Bytes, needs_end: bool) -> io::Result<()> {
        file.write_all(body).await?;
        if needs_end {
            file.write_all(b"\n").await?;
        }
        file.flush().await?;
        if self.spec.is_synced { file.sync_data().await } else { Ok(()) }
    }
}

// === impl Opened ===

impl Opened {
    async fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let mut file = options.read(true).append(true).create(true).mode(MODE).open(path).await?;
        let metadata = file.metadata().await?;
        let length = whole_lines(&mut file, metadata.len()).await?;
        if length < metadata.len() {
            let bytes = metadata.len() - length;
            tracing::warn!(path = %path.display(), bytes, "the file ended within a line, which is cut off");
            file.set_len(length).await?;
        }
        Ok(Opened { file, id: (metadata.dev(), metadata.ino()), length })
    }
}

/// Gives where the last line ends.
async fn whole_lines(file: &mut File, length: u64) -> io::Result<u64> {
    let mut end = length;
    let mut buffer = vec![0; LOOK_BACK];
    while end > 0 {
        let start = end.saturating_sub(LOOK_BACK as u64);
        let part = &mut buffer[..(end - start) as usize];
        file.seek(io::SeekFrom::Start(start)).await?;
        file.read_exact(part).await?;
        if let Some(at) = memchr::memrchr(b'\n', part) {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

async fn id_of(path: &Path) -> io::Result<Option<(u64, u64)>> {
    match fs::metadata(path).await {
        Ok(metadata) => Ok(Some((metadata.dev(), metadata.ino()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Moves a full file away, and those before it one place further; the last one goes.
async fn rotate(path: &Path, kept_max: usize) -> io::Result<()> {
    let place = |number: usize| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    };
    if kept_max == 0 {
        return fs::remove_file(path).await;
    }
    for number in (1..kept_max).rev() {
        match fs::rename(place(number), place(number + 1)).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::rename(path, place(1)).await
}
