//! The `file` sink: NDJSON, CSV or lines to files.
//!
//! ```text
//! batch ──> path per record ──> LineWriter or CsvRows ──> Output: one write per batch and file
//!                                                           sync: fdatasync   close: final name
//! ```
//! Invariants
//! - A record counts as written when the system has it, or for compressed files when it waits for its
//!   member; the sync that the engine asks for before it stores positions makes both durable.
//! - A write that failed in the middle, as on a full disk, is cut off again: nothing is torn, and a
//!   record that is written again is there once.
//! - `append` takes nothing away from a file that is there: a last line without its end gets one, and
//!   the end of a compressed file that was cut off is put aside as `<path>.torn-<n>`.
//! - `atomic` writes `<path>.partial` and gives it its name at the end, or when it is full. After a
//!   crash the partial file goes on behind its last whole record.
//! - A file has one writer; a second one is refused where the file system has locks.
//! - At most `maxOpenFiles` are open; the one that was not used longest is made durable and closed.
//!
//! A file grows past `rotate.bytes` by at most one batch.

mod output;
mod path;
mod sink;

use std::path::Path;

use levada_codec::compression::Compression;
use levada_registry::{FieldPath, Report};
use levada_settings::{ByteSize, Duration};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::blocks::words::check_word;
use crate::formats::{CsvBlock, Format, check_format};
use crate::{BuildContext, BuildError, Sink, SinkSpec};
use levada_codec::lines::MAX_RECORD_BYTES_CEILING;
use path::PathTemplate;
use sink::{FileSink, Settings};

const COMPRESSIONS: &[&str] = &["none", "auto", "gzip", "zstd"];
const MODES: &[&str] = &["append", "atomic"];

/// Files open at a time. Ours: far below the usual limit of 1,024 descriptors of a process.
const OPEN_FILES_MAX: u32 = 64;

/// Writes payloads to files.
#[derive(Debug, Default, Clone, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[schemars(rename = "FileSink")]
pub struct Spec {
    /// The file, relative to the folder of the manifest. It may hold `{date}` and `{hour}` (UTC, when the
    /// record is written) and `{metadata.KEY}`. Folders are made.
    pub path: String,
    /// `ndjson` and `lines` (one payload per line) or `csv` (objects; the first one fixes the columns).
    /// Default `ndjson`.
    pub format: String,
    /// `none`, `gzip`, `zstd` or `auto` (by the extension of the path). Default `none`.
    pub compression: String,
    /// `append` to what is there, or `atomic`: write under another name, and replace the file at the end.
    /// Default `append`.
    pub mode: String,
    /// When a file is full and gets the name `<stem>-<yyyymmddThhmmss>-<n>.<extension>`. Default: never.
    pub rotate: Option<Rotate>,
    /// How CSV is written; only for `format: csv`.
    pub csv: Option<CsvBlock>,
    /// Files open at a time, from 1; more names than that cost reopening. Default 64.
    pub max_open_files: Option<u32>,
}

/// When a file is full.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Rotate {
    /// When it has at least this many bytes. Default: any number.
    pub bytes: Option<ByteSize>,
    /// When it was open this long, and something is written or made durable. Default: any time.
    pub interval: Option<Duration>,
}

// === impl Spec ===

impl SinkSpec for Spec {
    const NAME: &'static str = "file";
    const SUMMARY: &'static str = "writes NDJSON, CSV or lines to files, appending or atomically";

    fn check(&self, at: &FieldPath, report: &mut Report) {
        let path_at = at.child("path");
        if self.path.is_empty() {
            report.required(&path_at, "a path is required");
        } else if self.path.contains('\0') {
            report.invalid(&path_at, self.path.as_str(), "must not contain NUL");
        } else if Path::new(&self.path).file_name().is_none() || self.path.ends_with('/') {
            report.invalid(&path_at, self.path.as_str(), "must end with the name of a file");
        } else if let Err(error) = PathTemplate::parse(&self.path) {
            report.invalid(&path_at, self.path.as_str(), &error.to_string());
        }
        check_format(&self.format, self.csv.as_ref(), at, report);
        check_word("compression", &self.compression, COMPRESSIONS, at, report);
        check_word("mode", &self.mode, MODES, at, report);
        if self.max_open_files == Some(0) {
            report.invalid(&at.child("maxOpenFiles"), 0, "must be greater than zero");
        }
        if let Some(rotate) = &self.rotate {
            rotate.check(&at.child("rotate"), report);
        }
    }

    fn is_idempotent(&self) -> Option<bool> {
        Some(false)
    }

    fn build(self, ctx: &BuildContext) -> Result<Box<dyn Sink>, BuildError> {
        let template = PathTemplate::parse(&self.path)
            .map_err(|error| BuildError::Invalid(error.to_string()))?;
        let rotate = self.rotate.unwrap_or_default();
        let settings = Settings {
            template,
            base_dir: ctx.base_dir.clone(),
            format: Format::parse(&self.format),
            csv: self.csv.unwrap_or_default().options(MAX_RECORD_BYTES_CEILING),
            compression: match self.compression.as_str() {
                "gzip" => Compression::Gzip,
                "zstd" => Compression::Zstd,
                "auto" => Compression::from_path(Path::new(&self.path)),
                _ => Compression::None,
            },
            is_atomic: self.mode == "atomic",
            rotate_bytes: rotate.bytes.map(ByteSize::bytes),
            rotate_interval: rotate.interval.map(Duration::get),
            open_max: self.max_open_files.unwrap_or(OPEN_FILES_MAX).max(1) as usize,
        };
        Ok(Box::new(FileSink::new(settings, ctx.clock.clone())))
    }
}

// === impl Rotate ===

impl Rotate {
    fn check(&self, at: &FieldPath, report: &mut Report) {
        if self.bytes.is_some_and(|bytes| bytes.bytes() == 0) {
            report.invalid(&at.child("bytes"), 0, "must be greater than zero");
        }
        if self.interval.is_some_and(Duration::is_zero) {
            report.invalid(&at.child("interval"), "0s", "must be greater than zero");
        }
        if self.bytes.is_none() && self.interval.is_none() {
            report.warning(at, "has no effect without bytes or interval".to_owned());
        }
    }
}

#[cfg(test)]
mod tests;
