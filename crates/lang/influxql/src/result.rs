//! The answer of InfluxDB to a query, as rows.
//!
//! ```text
//! {"results":[{"series":[{"name":"cpu","tags":{"host":"a"},"columns":["time","mean"],"values":[["2026-…",1.5]]}]},
//!             {"error":"…"}]}
//! ```
//! The results stand each for itself: what is wrong with one does not touch the others. Cells are read straight from
//! the text; no tree of the JSON is built.

use std::collections::BTreeMap;
use std::sync::Arc;

use levada_model::{FieldValue, Str, Timestamp, Values};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::DecodeError;

/// How an answer is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Keeps numbers without a fraction as integers.
    ///
    /// Compat: off, every number is a float, so that `count()` gives floats.
    pub keep_integers: bool,
    /// The nanoseconds of one step where times are numbers; without it such a time is an error.
    pub epoch_unit: Option<i64>,
    /// How many cells are taken.
    pub cells_max: usize,
}

/// How many cells are taken unless said otherwise: a gigabyte of values, more than any batch should be.
pub const CELLS_MAX: usize = 16 << 20;

/// The result of one statement.
pub type StatementResult = Result<Vec<Series>, DecodeError>;

/// The rows of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The measurement.
    pub name: Str,
    /// Sorted by key.
    pub tags: Vec<(Str, Str)>,
    /// The columns besides the time.
    pub columns: Box<[Str]>,
    /// Rows in which every cell is null are left out.
    pub rows: Vec<Row>,
}

/// One point of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// When.
    pub time: Timestamp,
    /// One value per column; [`FieldValue::Null`] where the point has no such field.
    pub values: Values,
}

/// Reads an answer.
///
/// - Errors: a body that is not such JSON, an error of the whole request, too many cells. Errors of a single result are
///   in its place.
pub fn decode(text: &str, options: Options) -> Result<Vec<StatementResult>, DecodeError> {
    let json = |error: serde_json::Error| DecodeError::Json(error.to_string());
    let answer: RawAnswer<'_> = serde_json::from_str(text).map_err(json)?;
    if let Some(error) = answer.error {
        return Err(DecodeError::Server(error));
    }
    let mut cells_left = options.cells_max;
    let mut results = Vec::new();
    for result in answer.results.into_iter().flatten() {
        results.push(match result.error {
            Some(error) => Err(DecodeError::Server(error)),
            None => match result.series(options, &mut cells_left) {
                Err(error @ DecodeError::TooLarge { .. }) => return Err(error),
                other => other,
            },
        });
    }
    Ok(results)
}

#[derive(Deserialize)]
struct RawAnswer<'t> {
    #[serde(borrow, default)]
    results: Option<Vec<RawResult<'t>>>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct RawResult<'t> {
    #[serde(borrow, default)]
    series: Option<Vec<RawSeries<'t>>>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct RawSeries<'t> {
    #[serde(default)]
    name: String,
    #[serde(default)]
    tags: Option<BTreeMap<String, String>>,
    #[serde(default)]
    columns: Vec<String>,
    #[serde(borrow, default)]
    values: Option<Vec<Vec<&'t RawValue>>>,
}

// === impl Options ===

impl Default for Options {
    fn default() -> Self {
        Options { keep_integers: false, epoch_unit: None, cells_max: CELLS_MAX }
    }
}

// === impl Row ===

impl Series {
    /// Gives the fields that a row has.
    pub fn fields<'s>(&'s self, row: &'s Row) -> impl Iterator<Item = (&'s Str, &'s FieldValue)> {
        self.columns.iter().zip(&row.values).filter(|(_, value)| !value.is_null())
    }

    /// Gives the latest time of the rows.
    pub fn time_max(&self) -> Option<Timestamp> {
        self.rows.iter().map(|row| row.time).max()
    }
}

impl RawResult<'_> {
    fn series(self, options: Options, cells_left: &mut usize) -> StatementResult {
        self.series.into_iter().flatten().map(|series| series.read(options, cells_left)).collect()
    }
}

impl RawSeries<'_> {
    fn read(self, options: Options, cells_left: &mut usize) -> Result<Series, DecodeError> {
        let time_at = self.columns.iter().position(|column| column == "time");
        let values = self.values.unwrap_or_default();
        let mut rows = Vec::with_capacity(values.len());
        for cells in &values {
            if cells.len() != self.columns.len() {
                let (cells, columns) = (cells.len(), self.columns.len());
                let message = format!("a row of {cells} values does not fit {columns} columns");
                return Err(DecodeError::Row(message));
            }
            *cells_left = cells_left
                .checked_sub(cells.len())
                .ok_or(DecodeError::TooLarge { max: options.cells_max })?;
            rows.extend(read_row(cells, time_at, options)?);
        }
        let columns = self.columns.iter().enumerate();
        let columns = columns.filter(|(at, _)| Some(*at) != time_at);
        let tags = self.tags.into_iter().flatten();
        Ok(Series {
            name: self.name.into(),
            tags: tags.map(|(key, value)| (key.into(), value.into())).collect(),
            columns: columns.map(|(_, column)| Str::from(column.as_str())).collect(),
            rows,
        })
    }
}

/// Reads a row; there is none when all of its fields are null.
fn read_row(
    cells: &[&RawValue],
    time_at: Option<usize>,
    options: Options,
) -> Result<Option<Row>, DecodeError> {
    // A statement that gives no time is none that a batch task runs; its rows are put at the epoch.
    let mut time = Timestamp(0);
    let mut values = Values::new();
    let mut empty = true;
    for (at, cell) in cells.iter().enumerate() {
        if Some(at) == time_at {
            time = read_time(cell.get(), options)?;
            continue;
        }
        let value = read_cell(cell.get(), options)?;
        empty &= value.is_null();
        values.push(value);
    }
    Ok((!empty).then_some(Row { time, values }))
}

fn read_time(cell: &str, options: Options) -> Result<Timestamp, DecodeError> {
    let wrong_value = || match cell {
        "null" => DecodeError::TimeValue("<nil>".into()),
        cell => DecodeError::TimeValue(cell.into()),
    };
    if cell.starts_with('"') {
        let text: String = serde_json::from_str(cell).map_err(|_| wrong_value())?;
        return parse_time(&text).map_err(DecodeError::TimeFormat);
    }
    let unit = options.epoch_unit.ok_or_else(wrong_value)?;
    let steps: i64 = cell.parse().map_err(|_| wrong_value())?;
    steps.checked_mul(unit).map(Timestamp).ok_or_else(wrong_value)
}

/// Reads an RFC 3339 time; the error is the cause as Go tells it.
pub(crate) fn parse_time(text: &str) -> Result<Timestamp, String> {
    let wrong = || {
        let quoted = crate::token::go_quote(text);
        format!(
            "parsing time {quoted} as \"2006-01-02T15:04:05.999999999Z07:00\": cannot parse {quoted} as \"2006\""
        )
    };
    // jiff reads more than RFC 3339; the `T` and the length of a date and a time are what Go insists on.
    if text.len() < "2006-01-02T15:04:05Z".len() || text.as_bytes()[10] != b'T' {
        return Err(wrong());
    }
    let time: jiff::Timestamp = text.parse().map_err(|_| wrong())?;
    i64::try_from(time.as_nanosecond()).map(Timestamp).map_err(|_| wrong())
}

fn read_cell(cell: &str, options: Options) -> Result<FieldValue, DecodeError> {
    Ok(match cell.as_bytes() {
        b"null" => FieldValue::Null,
        b"true" => FieldValue::Bool(true),
        b"false" => FieldValue::Bool(false),
        [b'"', ..] => match serde_json::from_str::<String>(cell) {
            Ok(text) => FieldValue::Str(Arc::from(text)),
            Err(error) => return Err(DecodeError::Json(error.to_string())),
        },
        [b'[' | b'{', ..] => {
            return Err(DecodeError::Row("a value is neither a number nor a text".into()));
        }
        _ => read_number(cell, options),
    })
}

/// Reads a number of JSON; one that is too large for a float is an infinity.
fn read_number(text: &str, options: Options) -> FieldValue {
    if options.keep_integers {
        if let Ok(number) = text.parse() {
            return FieldValue::Int(number);
        }
        if let Ok(number) = text.parse() {
            return FieldValue::UInt(number);
        }
    }
    FieldValue::Float(text.parse().unwrap_or(f64::NAN))
}

#[cfg(test)]
mod tests;
