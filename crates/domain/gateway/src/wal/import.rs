//! Takes over the disk caches that an original left behind.
//!
//! ```text
//! <folder>/data.<32 digits>, the oldest first, then <folder>/data:
//!   u32 length, little-endian, then so many bytes: protobuf `CacheData`; the length 0xdeadbeef ends a file
//! <folder>/.pos: i64 place, little-endian, then the name of the file that was being read
//! ```
//! Every file is renamed when all of its records are queued, so a second import does not take them again; after a crash
//! in the middle of a file its first records come twice.
//!
//! Source: dataway reference §6.3; the numbers of categories §1.7.

mod cache_data;
mod reader;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use levada_model::{Category, Timestamp};
use levada_runtime::{TaskKind, Tasks};

use self::cache_data::CacheData;
use self::reader::{Ending, FileReader};
use super::error::{AppendError, StorageError};
use super::intake::Receipt;
use super::queue::Queue;
use super::record::Record;

/// Who wrote a cache: the numbers of categories moved between versions, and nothing in a file tells which it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportTable {
    /// DataKit 1.6 and its neighbours, before there were changes of objects.
    V1_6,
    /// DataKit 1.84 and its neighbours.
    V1_84,
}

/// A writer whose numbers of categories are not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown writer of a disk cache `{0}`; known: `1.6`, `1.84`")]
pub struct UnknownTable(String);

/// What an import came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// Files that were read to their end.
    pub files: u64,
    /// Records that were queued.
    pub records: u64,
    /// Their points.
    pub points: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// Records that the queue dropped, as its settings say.
    pub dropped_records: u64,
    /// Records that are no `CacheData`, or of a category that the writer did not have.
    pub undecodable_records: u64,
    /// Bytes behind the last whole record of a file.
    pub damaged_bytes: u64,
}

/// Says why an import stopped; what was queued before is queued.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file system would not do it.
    #[error("the cache cannot be read")]
    Storage(#[from] StorageError),
    /// The queue would not take a record.
    #[error("a record of `{}` could not be queued", path.display())]
    Append {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: AppendError,
    },
}

/// Most bytes read from a file before they are queued.
const CHUNK_BYTES: usize = 4 << 20;

/// What the name of a file becomes when its records are queued.
const DONE_SUFFIX: &str = ".imported";

/// The same for a file that could not be read to its end.
const DAMAGED_SUFFIX: &str = ".damaged";

/// Queues the records of a cache, or of the caches in the folders of a folder, as the original has one for each category.
///
/// `now` is the time of packages that have none.
pub async fn import_old_cache(
    queue: &Queue,
    folder: &Path,
    table: ImportTable,
    now: Timestamp,
    tasks: &Tasks,
) -> Result<ImportReport, ImportError> {
    let mut report = ImportReport::default();
    let root = folder.to_owned();
    let files = on_thread(tasks, folder, move || reader::find_files(&root)).await?;
    for file in files {
        let path = file.path.clone();
        let opened = on_thread(tasks, &path, move || FileReader::open(&file)).await?;
        import_file(queue, opened, table, now, tasks, &mut report).await?;
    }
    Ok(report)
}

async fn import_file(
    queue: &Queue,
    mut reader: FileReader,
    table: ImportTable,
    now: Timestamp,
    tasks: &Tasks,
    report: &mut ImportReport,
) -> Result<(), ImportError> {
    let path = reader.path.clone();
    loop {
        let (records, back) = on_thread(tasks, &path, move || {
            let records = reader.read(CHUNK_BYTES)?;
            let records: Vec<Option<Record>> =
                records.iter().map(|payload| decode(payload, table, now)).collect();
            Ok((records, reader))
        })
        .await?;
        reader = back;
        for record in records {
            let Some(record) = record else {
                report.undecodable_records += 1;
                continue;
            };
            let (points, bytes) = (record.points, record.body.len() as u64);
            let receipt = queue.append(record).await;
            let failed = |source| ImportError::Append { path: path.clone(), source };
            match receipt.map_err(failed)? {
                Receipt::Kept { .. } => {
                    report.records += 1;
                    report.points += u64::from(points);
                    report.bytes += bytes;
                }
                Receipt::Dropped(_) => report.dropped_records += 1,
            }
        }
        let suffix = match reader.ending {
            None => continue,
            Some(Ending::Whole) => DONE_SUFFIX,
            Some(Ending::Damaged { bytes }) => {
                tracing::warn!(path = %path.display(), bytes, "the rest of an old cache file cannot be read; it is kept beside");
                report.damaged_bytes += bytes;
                DAMAGED_SUFFIX
            }
        };
        report.files += 1;
        let from = path.clone();
        on_thread(tasks, &path, move || reader::set_aside(&from, suffix)).await?;
        return Ok(());
    }
}

fn decode(payload: &[u8], table: ImportTable, now: Timestamp) -> Option<Record> {
    let data = CacheData::read(payload)?;
    let category = table.category(data.category)?;
    data.into_record(category, now)
}

async fn on_thread<T: Send + 'static>(
    tasks: &Tasks,
    path: &Path,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, ImportError> {
    let done = tasks.spawn_thread(TaskKind::Gateway, "import of an old cache", work).await;
    let done = done.unwrap_or_else(|error| Err(io::Error::other(error)));
    Ok(done.map_err(|error| StorageError::new("import", path, error))?)
}

// === impl ImportTable ===

impl ImportTable {
    /// Gives the category of a number.
    pub fn category(self, number: i64) -> Option<Category> {
        let names: &[&str] = match self {
            ImportTable::V1_6 => &[
                "unknown",
                "dynamic_dw",
                "metrics",
                "metric",
                "network",
                "keyevent",
                "object",
                "custom_object",
                "logging",
                "tracing",
                "rum",
                "security",
                "profiling",
            ],
            ImportTable::V1_84 => &[
                "unknown",
                "dynamic_dw",
                "metrics",
                "metric",
                "network",
                "keyevent",
                "object",
                "object_change",
                "custom_object",
                "logging",
                "tracing",
                "rum",
                "security",
                "profiling",
                "dialtesting",
                // Only newer ones write these.
                "execution_log",
                "llm",
                "agent_llm",
            ],
        };
        Category::of_name(names.get(usize::try_from(number).ok()?)?)
    }
}

impl FromStr for ImportTable {
    type Err = UnknownTable;

    fn from_str(text: &str) -> Result<Self, UnknownTable> {
        match text {
            "1.6" => Ok(ImportTable::V1_6),
            "1.84" => Ok(ImportTable::V1_84),
            _ => Err(UnknownTable(text.chars().take(32).collect())),
        }
    }
}

impl fmt::Display for ImportTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ImportTable::V1_6 => "1.6",
            ImportTable::V1_84 => "1.84",
        })
    }
}

#[cfg(test)]
mod tests;
