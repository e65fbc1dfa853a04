//! Rows of cells, as RFC 4180 writes them.

use crate::error::DecodeError;

/// The rows of a text; blank lines are left out.
pub(super) struct Rows<'t> {
    rest: &'t str,
}

impl<'t> Rows<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Rows { rest: text }
    }

    /// Reads the next row into `row`; tells whether there was one.
    pub(super) fn next(&mut self, row: &mut Vec<String>) -> Result<bool, DecodeError> {
        row.clear();
        self.rest = self.rest.trim_start_matches(['\r', '\n']);
        if self.rest.is_empty() {
            return Ok(false);
        }
        loop {
            let cell = match self.rest.strip_prefix('"') {
                Some(quoted) => self.quoted(quoted)?,
                None => {
                    let end = self.rest.find([',', '\n']).unwrap_or(self.rest.len());
                    let (cell, rest) = self.rest.split_at(end);
                    self.rest = rest;
                    let ends_line = !rest.starts_with(',');
                    let cell = if ends_line { cell.trim_end_matches('\r') } else { cell };
                    cell.to_string()
                }
            };
            row.push(cell);
            match self.rest.strip_prefix(',') {
                Some(rest) => self.rest = rest,
                None => return Ok(true),
            }
        }
    }

    /// Reads up to the closing quote; two quotes are one of the text.
    fn quoted(&mut self, text: &'t str) -> Result<String, DecodeError> {
        let mut cell = String::new();
        let mut rest = text;
        loop {
            let Some(end) = rest.find('"') else {
                return Err(DecodeError::Row("a quoted value does not end".into()));
            };
            cell.push_str(&rest[..end]);
            rest = &rest[end + 1..];
            match rest.strip_prefix('"') {
                Some(more) => {
                    cell.push('"');
                    rest = more;
                }
                None => break,
            }
        }
        self.rest = rest.strip_prefix('\r').filter(|line| line.starts_with('\n')).unwrap_or(rest);
        if !(self.rest.is_empty() || self.rest.starts_with(['\n', ','])) {
            return Err(DecodeError::Row("text follows a quoted value".into()));
        }
        Ok(cell)
    }
}
