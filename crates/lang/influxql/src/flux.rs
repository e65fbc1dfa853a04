//! Flux: the request, and the tables of the answer.
//!
//! ```text
//! #datatype,string,long,dateTime:RFC3339,double,string,string     the types of the columns
//! #group,false,false,false,false,true,true                       whether a column is a part of the group key
//! #default,_result,,,,,
//! ,result,table,_time,_value,_measurement,host
//! ,,0,2026-01-01T00:00:00Z,1.5,cpu,a                             a row of table 0
//! ```
//! The measurement is the column `_measurement`; other columns of the group key are tags, except `_start` and `_stop`,
//! which are dropped; `_time` is the time; what is left are fields.

mod csv;

use levada_model::text::encode_string;
use levada_model::{Str, Timestamp};

use crate::error::DecodeError;
use crate::result::{CELLS_MAX, parse_time};

/// How an answer is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Leaves out an empty cell of a number or a time, instead of refusing the answer as the original does.
    pub skip_empty: bool,
    /// How many cells are taken.
    pub cells_max: usize,
}

/// A table of an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// The measurement; empty when there is no such column.
    pub name: Str,
    /// Sorted by key.
    pub tags: Vec<(Str, Str)>,
    /// The columns that are fields.
    pub columns: Box<[Str]>,
    /// The rows.
    pub rows: Vec<Row>,
}

/// A row of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The column `_time`; absent when there is no such column.
    pub time: Option<Timestamp>,
    /// One cell per field column.
    pub cells: Box<[Cell]>,
}

/// A value of a table.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// `double`
    Float(f64),
    /// `long`
    Int(i64),
    /// `unsignedLong`
    UInt(u64),
    /// `boolean`
    Bool(bool),
    /// `string`
    Str(Str),
    /// `dateTime`
    Time(Timestamp),
    /// An empty cell that was skipped.
    Null,
}

/// Gives the body of a request.
///
/// - Shape: JSON with its members in the order of the original.
pub fn request_body(query: &str, now: Timestamp) -> Vec<u8> {
    let mut body = Vec::with_capacity(query.len() + 192);
    body.extend_from_slice(br#"{"type":"flux","now":"#);
    encode_string(&now.rfc3339_nano(), &mut body);
    body.extend_from_slice(br#","query":"#);
    encode_string(query, &mut body);
    body.extend_from_slice(
        br#","dialect":{"annotations":["datatype","default","group"],"delimiter":",","header":true}}"#,
    );
    body
}

/// Gives path and query of a request; of the organisation only what is given.
pub fn request_path(org: &str, org_id: &str) -> String {
    let mut path = String::from("/api/v2/query");
    let mut sign = '?';
    for (name, value) in [("org", org), ("orgID", org_id)] {
        if !value.is_empty() {
            path.push(sign);
            path.push_str(name);
            path.push('=');
            write_query_value(value, &mut path);
            sign = '&';
        }
    }
    path
}

/// Reads an annotated CSV.
pub fn decode(text: &str, options: Options) -> Result<Vec<Table>, DecodeError> {
    let mut decoder = Decoder { options, cells_left: options.cells_max, ..Decoder::default() };
    let mut rows = csv::Rows::new(text);
    let mut row = Vec::new();
    while rows.next(&mut row)? {
        decoder.row(&row)?;
    }
    Ok(decoder.tables)
}

/// What a column becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Dropped,
    Table,
    Name,
    Time,
    Tag,
    Field,
}

struct Column {
    name: Str,
    datatype: String,
    default: String,
    role: Role,
}

#[derive(Default)]
struct Decoder {
    options: Options,
    cells_left: usize,
    datatypes: Vec<String>,
    groups: Vec<String>,
    defaults: Vec<String>,
    header_is_due: bool,
    is_error: bool,
    columns: Vec<Column>,
    /// The number of the table that is being read, as written.
    table: Option<String>,
    tables: Vec<Table>,
}

/// A row with fewer cells belongs to no table: annotation, result, table, and the start, stop and time of a point.
const CELLS_MIN: usize = 6;

impl Decoder {
    fn row(&mut self, cells: &[String]) -> Result<(), DecodeError> {
        self.cells_left = self
            .cells_left
            .checked_sub(cells.len())
            .ok_or(DecodeError::TooLarge { max: self.options.cells_max })?;
        let first = cells.first().map_or("", String::as_str);
        if first.starts_with('#') {
            self.annotation(first, cells);
            return Ok(());
        }
        if self.is_error {
            return Err(DecodeError::Flux(error_text(cells)));
        }
        if is_error_header(cells) {
            self.is_error = true;
            return Ok(());
        }
        if cells.len() < CELLS_MIN {
            return Err(DecodeError::FewColumns(cells.join(",")));
        }
        if self.header_is_due || self.columns.is_empty() {
            self.header(cells);
            return Ok(());
        }
        self.data(cells)
    }

    fn annotation(&mut self, name: &str, cells: &[String]) {
        if !self.header_is_due {
            self.header_is_due = true;
            self.is_error = false;
            self.datatypes.clear();
            self.groups.clear();
            self.defaults.clear();
        }
        match name {
            "#datatype" => self.datatypes = cells.to_vec(),
            "#group" => self.groups = cells.to_vec(),
            "#default" => self.defaults = cells.to_vec(),
            // Others may be added by the server, and are comments to us.
            _ => {}
        }
    }

    fn header(&mut self, cells: &[String]) {
        let at = |list: &[String], index: usize| list.get(index).cloned().unwrap_or_default();
        self.columns = cells
            .iter()
            .enumerate()
            .map(|(index, name)| {
                let role = match name.as_str() {
                    _ if index == 0 => Role::Dropped,
                    "table" => Role::Table,
                    "result" | "_start" | "_stop" => Role::Dropped,
                    "_measurement" => Role::Name,
                    "_time" => Role::Time,
                    _ if at(&self.groups, index) == "true" => Role::Tag,
                    _ => Role::Field,
                };
                let datatype = at(&self.datatypes, index);
                let default = at(&self.defaults, index);
                Column { name: name.as_str().into(), datatype, default, role }
            })
            .collect();
        self.header_is_due = false;
        self.table = None;
    }

    fn data(&mut self, cells: &[String]) -> Result<(), DecodeError> {
        if cells.len() != self.columns.len() {
            let (cells, columns) = (cells.len(), self.columns.len());
            let message = format!("a row of {cells} values does not fit {columns} columns");
            return Err(DecodeError::Row(message));
        }
        let number = self.columns.iter().zip(cells).find(|(column, _)| column.role == Role::Table);
        let number = number.map(|(column, cell)| column.text(cell)).unwrap_or_default();
        if self.table.as_deref() != Some(number) {
            self.table = Some(number.into());
            let table = self.new_table(cells);
            self.tables.push(table);
        }
        let row = self.read(cells)?;
        if let Some(table) = self.tables.last_mut() {
            table.rows.push(row);
        }
        Ok(())
    }

    fn new_table(&self, cells: &[String]) -> Table {
        let mut table = Table::default();
        let mut fields = Vec::new();
        for (column, cell) in self.columns.iter().zip(cells) {
            match column.role {
                Role::Name => table.name = column.text(cell).into(),
                Role::Tag => table.tags.push((column.name.clone(), column.text(cell).into())),
                Role::Field => fields.push(column.name.clone()),
                Role::Dropped | Role::Table | Role::Time => {}
            }
        }
        table.tags.sort();
        table.columns = fields.into();
        table
    }

    fn read(&self, cells: &[String]) -> Result<Row, DecodeError> {
        let mut time = None;
        let mut fields = Vec::new();
        for (column, cell) in self.columns.iter().zip(cells) {
            match column.role {
                Role::Time => time = Some(column.time(column.text(cell))?),
                Role::Field => fields.push(column.cell(cell, self.options)?),
                Role::Dropped | Role::Table | Role::Name | Role::Tag => {}
            }
        }
        Ok(Row { time, cells: fields.into() })
    }
}

// === impl Options ===

impl Default for Options {
    fn default() -> Self {
        Options { skip_empty: false, cells_max: CELLS_MAX }
    }
}

// === impl Column ===

impl Column {
    /// Gives the text of a cell, or of the default when it is empty.
    ///
    /// Differs: the original asks for the defaults and does not use them.
    fn text<'c>(&'c self, cell: &'c str) -> &'c str {
        if cell.is_empty() { &self.default } else { cell }
    }

    fn time(&self, text: &str) -> Result<Timestamp, DecodeError> {
        parse_time(text).map_err(DecodeError::TimeFormat)
    }

    fn cell(&self, cell: &str, options: Options) -> Result<Cell, DecodeError> {
        let text = self.text(cell);
        let datatype = self.datatype.as_str();
        let is_text = matches!(datatype, "string" | "boolean");
        if text.is_empty() && !is_text && options.skip_empty {
            return Ok(Cell::Null);
        }
        match datatype {
            "string" => Ok(Cell::Str(text.into())),
            "boolean" => Ok(Cell::Bool(text != "false")),
            "double" => read_float(text).map(Cell::Float),
            "long" => text.parse().map(Cell::Int).map_err(|e| wrong_number("ParseInt", text, &e)),
            "unsignedLong" => {
                text.parse().map(Cell::UInt).map_err(|e| wrong_number("ParseUint", text, &e))
            }
            "dateTime" | "dateTime:RFC3339" | "dateTime:RFC3339Nano" => {
                self.time(text).map(Cell::Time)
            }
            _ => Err(DecodeError::DataType { value: text.into(), datatype: datatype.into() }),
        }
    }
}

/// Reads a float; infinities and NaN are `+Inf`, `-Inf` and `NaN`.
fn read_float(text: &str) -> Result<f64, DecodeError> {
    text.parse().map_err(|_| {
        let quoted = crate::token::go_quote(text);
        DecodeError::Row(format!("strconv.ParseFloat: parsing {quoted}: invalid syntax"))
    })
}

fn wrong_number(function: &str, text: &str, error: &std::num::ParseIntError) -> DecodeError {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};

    let cause = match error.kind() {
        NegOverflow | PosOverflow => "value out of range",
        _ => "invalid syntax",
    };
    let quoted = crate::token::go_quote(text);
    DecodeError::Row(format!("strconv.{function}: parsing {quoted}: {cause}"))
}

/// An error has a table of its own, with the columns `error` and `reference`.
fn is_error_header(cells: &[String]) -> bool {
    cells.iter().find(|cell| !cell.is_empty()).is_some_and(|cell| cell == "error")
        && cells.len() < CELLS_MIN
}

fn error_text(cells: &[String]) -> String {
    cells.iter().find(|cell| !cell.is_empty()).cloned().unwrap_or_default()
}

fn write_query_value(value: &str, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(byte as char);
            }
            b' ' => out.push('+'),
            byte => {
                out.push('%');
                out.push(HEX[usize::from(byte >> 4)] as char);
                out.push(HEX[usize::from(byte & 15)] as char);
            }
        }
    }
}

#[cfg(test)]
mod tests;
