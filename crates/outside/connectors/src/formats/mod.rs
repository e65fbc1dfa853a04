//! How records stand in byte streams: what the `file`, `stdin` and `stdout` connectors share.
//!
//! ```text
//! bytes ──> Framer ──> RecordBatch (spans of its text)       sources/{file,stdin}
//!             thread ──> Pump ──> Source::next               one reader thread per source
//! RecordBatch ──> LineWriter, csv ──> bytes                  sinks/{file,stdout}
//! ```

#[cfg(feature = "avro")]
pub(crate) mod avro;
pub(crate) mod blocking;
pub(crate) mod csv_rows;
pub(crate) mod framer;
pub(crate) mod line_writer;
pub(crate) mod pump;

#[cfg(test)]
pub(crate) mod testing;

use levada_codec::csv::CsvOptions;
use levada_codec::lines::{DEFAULT_MAX_RECORD_BYTES, MAX_RECORD_BYTES_CEILING};
use levada_registry::{FieldPath, Report};
use levada_settings::ByteSize;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::blocks::words::check_word;

/// The words for formats, in the order of the documentation.
pub(crate) const FORMATS: &[&str] = &["ndjson", "csv", "lines"];

/// How records stand in a byte stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    /// One JSON value per line.
    #[default]
    Ndjson,
    /// Rows, each of which is an object.
    Csv,
    /// One opaque payload per line.
    Lines,
}

/// How CSV is written.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct CsvBlock {
    /// The character between fields, ASCII. Default `,`.
    pub delimiter: String,
    /// The first row names the columns; without it they are `column1`, `column2` and so on.
    /// Default `true`.
    pub header: Option<bool>,
}

// === impl Format ===

impl Format {
    /// Reads a word; an empty one is the default, and one that is not known was reported by the check.
    pub(crate) fn parse(word: &str) -> Format {
        match word {
            "csv" => Format::Csv,
            "lines" => Format::Lines,
            _ => Format::Ndjson,
        }
    }

    /// Tells whether payloads are JSON.
    pub(crate) fn is_json(self) -> bool {
        self != Format::Lines
    }
}

// === impl CsvBlock ===

impl CsvBlock {
    /// Gives the options; a delimiter that is not one byte was reported by the check.
    pub(crate) fn options(&self, record_bytes_max: usize) -> CsvOptions {
        let delimiter = match self.delimiter.as_bytes() {
            [only] => *only,
            _ => b',',
        };
        CsvOptions {
            delimiter,
            header: self.header.unwrap_or(true),
            field_bytes_max: record_bytes_max,
            record_bytes_max,
            ..CsvOptions::default()
        }
    }

    fn check(&self, at: &FieldPath, report: &mut Report) {
        let usable = match self.delimiter.as_bytes() {
            [] => true,
            [byte] => byte.is_ascii() && !matches!(byte, b'\n' | b'\r' | b'"'),
            _ => false,
        };
        if !usable {
            let detail = "must be one ASCII character, neither a quote nor a line end";
            report.invalid(&at.child("delimiter"), self.delimiter.as_str(), detail);
        }
    }
}

/// Reports what is wrong with a format and its CSV block.
pub(crate) fn check_format(
    format: &str,
    csv: Option<&CsvBlock>,
    at: &FieldPath,
    report: &mut Report,
) {
    check_word("format", format, FORMATS, at, report);
    if let Some(csv) = csv {
        csv.check(&at.child("csv"), report);
        if FORMATS.contains(&format) && format != "csv" || format.is_empty() {
            let text = "has no effect unless format is `csv`".to_owned();
            report.warning(&at.child("csv"), text);
        }
    }
}

/// Reports a record limit that cannot be used.
pub(crate) fn check_record_bytes(size: Option<ByteSize>, at: &FieldPath, report: &mut Report) {
    let most = MAX_RECORD_BYTES_CEILING as u64;
    if let Some(size) = size.filter(|size| size.bytes() == 0 || size.bytes() > most) {
        let detail = "must be at least 1 byte and at most 1GiB";
        report.invalid(&at.child("maxRecordBytes"), size.to_string(), detail);
    }
}

/// Gives the record limit in bytes.
pub(crate) fn record_bytes(size: Option<ByteSize>) -> usize {
    size.map_or(DEFAULT_MAX_RECORD_BYTES, |size| size.as_usize().clamp(1, MAX_RECORD_BYTES_CEILING))
}
