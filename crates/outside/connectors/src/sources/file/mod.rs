//! The `file` source: NDJSON, CSV or lines from files, once or for ever.
//!
//! ```text
//! patterns ──> files (sorted) ──> Reader: pread, decompress ──> Framer ──> Pump ──> next()
//!                └ identity: device, inode, fingerprint   └── one thread ──┘
//! ```
//! Invariants
//! - A partition is a file under the path at which it was found. Its position names the place behind
//!   the last complete record, in bytes of the content, and the file: device, inode and a checksum of
//!   its first KiB. A position is used only where the file is still that file.
//! - A file that was renamed is read to its end before the new file of that name, in the same
//!   partition; also when it was renamed while nobody looked, as long as it stayed in its folder.
//! - A file that became shorter, or begins differently, is read from its start, with a warning.
//! - A last line without its end is delivered when the file cannot grow any more: without `follow`,
//!   or after the file was renamed or deleted. Until then the position stays before it.
//! - What cannot be a record (a line above `maxRecordBytes`, a bad CSV row) is a record that fails
//!   with the reason.
//! - A file that cannot be read does not keep the others from being read; without `follow` the
//!   source ends with its error behind them.
//! - Memory: the batches under way, and one line of at most `maxRecordBytes` per open file.

mod files;
mod follow;
mod identity;
mod metrics;
mod once;
mod reader;
mod source;

use levada_codec::compression::Compression;
use levada_codec::csv::CsvOptions;
use levada_registry::{FieldPath, Report};
use levada_settings::{ByteSize, Duration};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::blocks::words::check_word;
use crate::formats::{CsvBlock, Format, check_format, check_record_bytes, record_bytes};
use crate::{BuildContext, BuildError, Source, SourceSpec};
use files::Patterns;
use reader::ReadOptions;
use source::{FileSource, Settings};

const COMPRESSIONS: &[&str] = &["auto", "none", "gzip", "zstd"];
const STARTS: &[&str] = &["beginning", "end"];

/// How often followed files are looked at. Ours: below what a person notices, and a stat per file.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// Reads records from files.
#[derive(Debug, Default, Clone, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(rename = "FileSource")]
pub struct Spec {
    /// Paths or glob patterns (`*`, `?`, `[…]`, `**`), relative to the folder of the manifest. Files are
    /// read in the order of their paths.
    pub paths: Vec<String>,
    /// `ndjson` (one JSON value per line), `csv` (each row becomes an object of strings) or `lines`
    /// (each line is a payload as it is). Default `ndjson`.
    pub format: String,
    /// Go on when the end is reached: wait for more lines, for new files and for rotated ones.
    /// Default `false`.
    pub follow: bool,
    /// Where a file that was never read starts when the flow starts: `beginning` or `end`.
    /// Default `beginning`.
    pub start_at: String,
    /// `auto` (by the first bytes of each file), `none`, `gzip` or `zstd`. Default `auto`.
    pub compression: String,
    /// How CSV is written; only for `format: csv`.
    pub csv: Option<CsvBlock>,
    /// Longest record, up to `1GiB`; a longer one fails and only its first KiB is kept. Default `16MiB`.
    pub max_record_bytes: Option<ByteSize>,
    /// How often followed files are looked at. Default `250ms`.
    pub poll_interval: Option<Duration>,
}

// === impl Spec ===

impl SourceSpec for Spec {
    const NAME: &'static str = "file";
    const SUMMARY: &'static str = "reads NDJSON, CSV or lines from files, once or following them";

    fn check(&self, at: &FieldPath, report: &mut Report) {
        if self.paths.is_empty() {
            report.required(&at.child("paths"), "at least one path or pattern is required");
        }
        for (index, path) in self.paths.iter().enumerate() {
            let at = at.child("paths").index(index);
            if path.is_empty() {
                report.required(&at, "a path or pattern is required");
            } else if path.contains('\0') {
                report.invalid(&at, path.as_str(), "must not contain NUL");
            } else if let Err(error) = Patterns::check(path) {
                let detail = format!("is not a pattern: {} at character {}", error.msg, error.pos);
                report.invalid(&at, path.as_str(), &detail);
            }
        }
        check_format(&self.format, self.csv.as_ref(), at, report);
        check_word("startAt", &self.start_at, STARTS, at, report);
        check_word("compression", &self.compression, COMPRESSIONS, at, report);
        check_record_bytes(self.max_record_bytes, at, report);
        if let Some(interval) = self.poll_interval {
            if interval.is_zero() {
                report.invalid(&at.child("pollInterval"), "0s", "must be greater than zero");
            } else if !self.follow {
                let text = "has no effect unless follow is `true`".to_owned();
                report.warning(&at.child("pollInterval"), text);
            }
        }
    }

    fn build(self, ctx: &BuildContext) -> Result<Box<dyn Source>, BuildError> {
        let settings = Settings {
            patterns: Patterns::new(&self.paths, &ctx.base_dir),
            follow: self.follow,
            start_at_end: self.start_at == "end",
            poll_interval: self.poll_interval.unwrap_or(POLL_INTERVAL).get(),
            read: ReadOptions {
                format: Format::parse(&self.format),
                csv: CsvOptions {
                    batch_rows: ctx.batch_records.max(1),
                    ..self.csv.unwrap_or_default().options(record_bytes(self.max_record_bytes))
                },
                compression: match self.compression.as_str() {
                    "none" => Some(Compression::None),
                    "gzip" => Some(Compression::Gzip),
                    "zstd" => Some(Compression::Zstd),
                    _ => None,
                },
                chunk_bytes: ctx.chunk_bytes(),
            },
        };
        Ok(Box::new(FileSource::new(settings, ctx)))
    }
}

#[cfg(test)]
mod tests;
