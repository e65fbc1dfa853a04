//! CSV to JSON texts and back, a piece at a time.
//!
//! ```text
//! a,b\n1,2\n ──> CsvReader ──> {"a":"1","b":"2"}   {"a":"1","b":"2"} ──> CsvWriter ──> a,b\n1,2\n
//! ```
//!
//! Invariants:
//! - every value is a string; nothing is trimmed, padded or guessed;
//! - the way the input is cut into pieces never changes rows, errors or positions;
//! - a row is held once, up to `record_bytes_max`; a longer one becomes an error with its first
//!   [`RAW_PREFIX_BYTES`];
//! - lines end with `\n` or `\r\n`; a lone `\r` is data. Empty lines are no rows and are counted.
//!
//! Quotes are read leniently: `"a"b` is `ab`, and a quote inside an unquoted field is data. A quote
//! that is never closed swallows the rows behind it, up to its record limit or the end of input,
//! and is reported from the line where it began.

mod reader;
mod writer;

#[cfg(test)]
mod tests;

pub use reader::{CsvBatch, CsvReader, CsvRow};
pub use writer::{CsvWriteError, CsvWriter};

/// Bytes of a row that was too long which are kept for its report.
pub const RAW_PREFIX_BYTES: usize = 1024;

/// The byte order mark of UTF-8. Source: Unicode 16 §23.8.
const BOM: [u8; 3] = [0xef, 0xbb, 0xbf];

/// How CSV is read and written, and its bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvOptions {
    /// Between fields. ASCII, neither the quote nor a line end.
    pub delimiter: u8,
    /// Around fields that hold special bytes. ASCII, neither the delimiter nor a line end.
    pub quote: u8,
    /// Whether the first row names the columns; without it they are `column1`, `column2` …
    pub header: bool,
    /// Longest field in bytes, without quotes.
    pub field_bytes_max: usize,
    /// Most fields of a row.
    pub fields_max: usize,
    /// Longest row in bytes as written, without its line end.
    pub record_bytes_max: usize,
    /// Output after which [`CsvReader::feed`] returns before the end of its input, in bytes.
    pub batch_bytes: usize,
    /// Rows, bad ones included, after which [`CsvReader::feed`] returns before the end of its input.
    pub batch_rows: usize,
}

/// A place between two rows, from which reading can go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CsvPosition {
    /// Bytes before it.
    pub offset: u64,
    /// Number of the line that begins here, counted from 1.
    pub line: u64,
}

/// A row that could not be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("row at line `{}` (byte `{}`) {problem}", .start.line, .start.offset)]
pub struct CsvRowError {
    /// Where the row begins.
    pub start: CsvPosition,
    /// Where the next row begins.
    pub end: CsvPosition,
    /// Length of the row as written, without its line end.
    pub bytes: u64,
    /// The row as written, without its line end; only its first [`RAW_PREFIX_BYTES`] when a bound
    /// on its size was exceeded.
    pub raw: Vec<u8>,
    /// What is wrong with it.
    pub problem: CsvRowProblem,
}

/// What is wrong with a row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CsvRowProblem {
    /// More or fewer fields than columns.
    #[error("has `{found}` fields where `{expected}` are expected; quote delimiters inside values")]
    FieldCount {
        /// Columns of the header or of the first row.
        expected: usize,
        /// Fields of this row.
        found: usize,
    },
    /// A field is not text.
    #[error("has a field `{column}` that is not UTF-8; convert the file")]
    NotUtf8 {
        /// Number of the field, counted from 1.
        column: usize,
    },
    /// A field is longer than allowed.
    #[error("has a field `{column}` longer than `{max}` bytes; raise the limit or split the value")]
    FieldTooLong {
        /// Number of the field, counted from 1.
        column: usize,
        /// The bound.
        max: usize,
    },
    /// More fields than allowed.
    #[error("has more than `{max}` fields; check the delimiter or raise the limit")]
    TooManyFields {
        /// The bound.
        max: usize,
    },
    /// The row is longer than allowed.
    #[error("is longer than `{max}` bytes; look for an unclosed quote or raise the limit")]
    TooLong {
        /// The bound.
        max: usize,
    },
    /// The input ended inside a quoted field.
    #[error("has a quote that is never closed; close it")]
    UnclosedQuote,
}

/// Why a reader or writer cannot go on, or could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CsvError {
    /// The options contradict each other.
    #[error("csv option `{option}` is `{value}`; {rule}")]
    Option {
        /// Its name.
        option: &'static str,
        /// What it was set to.
        value: String,
        /// What is allowed.
        rule: &'static str,
    },
    /// The header cannot be used.
    #[error("csv header cannot be used, so no row can; correct it")]
    Header(#[source] CsvRowError),
    /// The header names a column twice.
    #[error("csv header at line `{line}` names column `{column}` twice; rename one")]
    DuplicateColumn {
        /// The line of the header.
        line: u64,
        /// The name.
        column: String,
    },
    /// The reader was fed after its end.
    #[error("csv input was already finished; start a new reader")]
    Finished,
}

// === impl CsvOptions ===

impl Default for CsvOptions {
    /// Comma, double quote, a header; fields to 1 MiB, 4,096 of them, rows to 16 MiB.
    fn default() -> Self {
        CsvOptions {
            delimiter: b',',
            quote: b'"',
            header: true,
            field_bytes_max: 1 << 20,
            fields_max: 4096,
            record_bytes_max: crate::lines::DEFAULT_MAX_RECORD_BYTES,
            batch_bytes: 4 << 20,
            batch_rows: usize::MAX,
        }
    }
}

impl CsvOptions {
    /// Checks the options; readers and writers do so themselves.
    ///
    /// - Errors: [`CsvError::Option`] for the first one that is not allowed.
    pub fn check(&self) -> Result<(), CsvError> {
        let byte = |option, byte: u8| {
            let usable = byte.is_ascii() && byte != b'\n' && byte != b'\r';
            let rule = "use an ASCII character that is not a line end";
            let value = char::from(byte).escape_default().to_string();
            if usable { Ok(()) } else { Err(CsvError::Option { option, value, rule }) }
        };
        byte("delimiter", self.delimiter)?;
        byte("quote", self.quote)?;
        if self.delimiter == self.quote {
            let value = char::from(self.quote).escape_default().to_string();
            let rule = "use another character than the delimiter";
            return Err(CsvError::Option { option: "quote", value, rule });
        }
        let bounds = [
            ("field_bytes_max", self.field_bytes_max),
            ("fields_max", self.fields_max),
            ("record_bytes_max", self.record_bytes_max),
            ("batch_bytes", self.batch_bytes),
        ];
        for (option, value) in bounds {
            if value == 0 || value > crate::lines::MAX_RECORD_BYTES_CEILING {
                let (value, rule) = (value.to_string(), "use at least 1 and at most 1 GiB");
                return Err(CsvError::Option { option, value, rule });
            }
        }
        if self.batch_rows == 0 {
            return Err(CsvError::Option {
                option: "batch_rows",
                value: "0".into(),
                rule: "use at least 1",
            });
        }
        Ok(())
    }
}

// === impl CsvPosition ===

impl CsvPosition {
    /// The start of the input.
    pub const START: CsvPosition = CsvPosition { offset: 0, line: 1 };
}
