//! Records of a request body.
//!
//! A body is checked as a whole before anything of it is accepted; then its records are handed out
//! by their place, without a list of places, so that a body of many small records stays small.

use std::ops::Range;

use levada_model::tree::MAX_DEPTH;
use memchr::memchr;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// How a body holds records.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Format {
    /// One JSON value per line; lines of white space do not count.
    #[default]
    Ndjson,
    /// One JSON value, or an array whose elements are the records.
    Json,
    /// The body is one record, whatever it holds.
    Raw,
}

/// Why a body is refused; all of it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum BodyError {
    /// A line of NDJSON, or of a JSON body, is wrong.
    #[error("line {line}, column {column}: {problem}")]
    Json {
        /// Counted from 1.
        line: usize,
        /// In bytes, counted from 1.
        column: usize,
        /// What is wrong there.
        problem: String,
    },
    /// Nothing was sent.
    #[error("the body is empty; send one record")]
    Empty,
}

/// A checked body, and how far it was handed out.
#[derive(Debug)]
pub(super) struct Body {
    /// The body.
    pub(super) bytes: Vec<u8>,
    format: Format,
    /// The body is an array, and `at` stands behind its bracket or an element.
    is_array: bool,
    at: usize,
    records: u64,
}

// === impl Body ===

impl Body {
    /// Checks a body.
    ///
    /// - Errors: the first thing that is wrong, with its line.
    pub(super) fn check(format: Format, bytes: Vec<u8>) -> Result<Self, BodyError> {
        let mut body = Body { bytes, format, is_array: false, at: 0, records: 0 };
        match format {
            Format::Raw if body.bytes.is_empty() => return Err(BodyError::Empty),
            Format::Raw => body.records = 1,
            Format::Ndjson => body.check_lines()?,
            Format::Json => body.check_document()?,
        }
        Ok(body)
    }

    /// Gives how many records were not handed out yet.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    /// Gives the place of the next record.
    pub(super) fn next(&mut self) -> Option<Range<usize>> {
        if self.records == 0 {
            return None;
        }
        self.records -= 1;
        Some(match self.format {
            Format::Raw => 0..self.bytes.len(),
            Format::Ndjson => self.next_line()?,
            Format::Json => self.next_element(),
        })
    }

    fn check_lines(&mut self) -> Result<(), BodyError> {
        let text = utf8(&self.bytes)?;
        let mut records = 0;
        for (index, line) in text.split('\n').enumerate() {
            let record = line.trim_matches(is_json_space);
            if record.is_empty() {
                continue;
            }
            check_value(record, MAX_DEPTH).map_err(|error| {
                let before = line.len() - line.trim_start_matches(is_json_space).len();
                error.moved(index, before)
            })?;
            records += 1;
        }
        self.records = records;
        Ok(())
    }

    fn check_document(&mut self) -> Result<(), BodyError> {
        let text = utf8(&self.bytes)?;
        let start = text.len() - text.trim_start_matches(is_json_space).len();
        if start == text.len() {
            return Err(BodyError::Empty);
        }
        if self.bytes[start] != b'[' {
            check_value(text, MAX_DEPTH)?;
            self.records = 1;
            return Ok(());
        }
        check_value(text, MAX_DEPTH + 1)?;
        let mut at = start + 1;
        while let Some(element) = element_at(&self.bytes, at) {
            self.records += 1;
            at = element.end;
        }
        self.is_array = true;
        self.at = start + 1;
        Ok(())
    }

    fn next_line(&mut self) -> Option<Range<usize>> {
        while self.at < self.bytes.len() {
            let start = self.at;
            let end = memchr(b'\n', &self.bytes[start..]).map_or(self.bytes.len(), |n| start + n);
            self.at = end + 1;
            let line = trimmed(&self.bytes, start..end);
            if !line.is_empty() {
                return Some(line);
            }
        }
        None
    }

    fn next_element(&mut self) -> Range<usize> {
        if !self.is_array {
            return trimmed(&self.bytes, 0..self.bytes.len());
        }
        let element = element_at(&self.bytes, self.at).unwrap_or(self.at..self.at);
        self.at = element.end;
        element
    }
}

// === impl BodyError ===

impl BodyError {
    fn moved(self, lines: usize, columns: usize) -> Self {
        match self {
            BodyError::Json { line, column, problem } => BodyError::Json {
                line: line + lines,
                column: column + if line == 1 { columns } else { 0 },
                problem,
            },
            other => other,
        }
    }
}

fn is_json_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

fn trimmed(bytes: &[u8], mut range: Range<usize>) -> Range<usize> {
    let is_space = |at: usize| is_json_space(char::from(bytes[at]));
    while range.start < range.end && is_space(range.start) {
        range.start += 1;
    }
    while range.start < range.end && is_space(range.end - 1) {
        range.end -= 1;
    }
    range
}

fn utf8(bytes: &[u8]) -> Result<&str, BodyError> {
    std::str::from_utf8(bytes).map_err(|error| {
        let before = &bytes[..error.valid_up_to()];
        let line_start = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
        BodyError::Json {
            line: 1 + memchr::memchr_iter(b'\n', before).count(),
            column: 1 + before.len() - line_start,
            problem: "not UTF-8".into(),
        }
    })
}

/// Tells whether bytes are one JSON value that the parser of records takes.
pub(crate) fn is_json(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| check_value(text, MAX_DEPTH).is_ok())
}

/// Checks that a text is one JSON value that is nested no deeper than `depth_max`.
fn check_value(text: &str, depth_max: usize) -> Result<(), BodyError> {
    if let Err(error) = serde_json::from_str::<IgnoredAny>(text) {
        let whole = error.to_string();
        let problem = whole.rsplit_once(" at line ").map_or(whole.as_str(), |(text, _)| text);
        return Err(BodyError::Json {
            line: error.line(),
            column: error.column(),
            problem: problem.to_owned(),
        });
    }
    match too_deep(text.as_bytes(), depth_max) {
        None => Ok(()),
        Some(at) => {
            let before = &text.as_bytes()[..at];
            let line_start = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
            Err(BodyError::Json {
                line: 1 + memchr::memchr_iter(b'\n', before).count(),
                column: 1 + at - line_start,
                problem: format!("nested deeper than {MAX_DEPTH} levels"),
            })
        }
    }
}

/// Gives the first bracket of valid JSON that is nested too deep.
fn too_deep(text: &[u8], depth_max: usize) -> Option<usize> {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        match text[at] {
            b'"' => at = string_end(text, at) - 1,
            b'[' | b'{' => {
                depth += 1;
                if depth > depth_max {
                    return Some(at);
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    None
}

/// Gives where the string that begins at `start` ends, its quote included.
fn string_end(text: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < text.len() {
        match text[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

/// Gives the next element of a valid array; `at` is behind its bracket or behind an element.
fn element_at(text: &[u8], mut at: usize) -> Option<Range<usize>> {
    while text.get(at).is_some_and(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b',')) {
        at += 1;
    }
    let start = at;
    let mut depth = 0_usize;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'"' => {
                at = string_end(text, at);
                continue;
            }
            b'[' | b'{' => depth += 1,
            b']' | b'}' | b',' if depth == 0 => break,
            b']' | b'}' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    let element = trimmed(text, start..at);
    (!element.is_empty()).then_some(element)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use levada_model::RecordBatch;
    use proptest::prelude::*;

    use super::*;

    fn records(format: Format, text: &str) -> Result<Vec<String>, String> {
        let mut body = Body::check(format, text.into()).map_err(|error| error.to_string())?;
        let expected = body.records();
        let mut records = Vec::new();
        while let Some(place) = body.next() {
            records.push(String::from_utf8(body.bytes[place].to_vec()).unwrap());
        }
        assert_eq!((records.len() as u64, body.records()), (expected, 0));
        Ok(records)
    }

    #[test]
    fn lines_are_records() {
        let lines = |text| records(Format::Ndjson, text).unwrap();
        assert_eq!(lines("{\"a\":1}\n\r\n  [2] \r\n\"x\""), ["{\"a\":1}", "[2]", "\"x\""]);
        assert_eq!(lines(""), [""; 0]);
        assert_eq!(lines("\n \n"), [""; 0]);
    }

    #[test]
    fn a_json_body_is_one_record_or_an_array_of_them() {
        let json = |text| records(Format::Json, text).unwrap();
        assert_eq!(json(" {\"a\":\n1} "), ["{\"a\":\n1}"]);
        assert_eq!(json("7"), ["7"]);
        assert_eq!(
            json("[ {\"a\":\"],\\\"\"} ,[1,[2]], \"x,]\" , null]"),
            ["{\"a\":\"],\\\"\"}", "[1,[2]]", "\"x,]\"", "null"]
        );
        assert_eq!(json(" [ ] "), [""; 0]);
        assert_eq!(records(Format::Raw, "a\nb").unwrap(), ["a\nb"]);
    }

    #[test]
    fn wrong_bodies_are_refused_with_their_line() {
        let error = |format, text| records(format, text).unwrap_err();
        assert_eq!(error(Format::Ndjson, "{}\n\n {\"a\":}\n"), "line 3, column 7: expected value");
        assert_eq!(error(Format::Ndjson, "{\n}"), "line 1, column 1: EOF while parsing an object");
        assert_eq!(error(Format::Json, "[1,\n2"), "line 2, column 1: EOF while parsing a list");
        assert_eq!(error(Format::Json, "1 2"), "line 1, column 3: trailing characters");
        assert_eq!(error(Format::Json, " "), BodyError::Empty.to_string());
        assert_eq!(error(Format::Raw, ""), BodyError::Empty.to_string());
        let not_utf8 = Body::check(Format::Ndjson, b"{}\n\"\xff\"".to_vec()).unwrap_err();
        assert_eq!(not_utf8.to_string(), "line 2, column 2: not UTF-8");
    }

    #[test]
    fn nesting_is_bounded_where_the_parser_of_records_bounds_it() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(records(Format::Ndjson, &nested(MAX_DEPTH)).is_ok());
        assert!(parses(nested(MAX_DEPTH).as_bytes()));
        assert!(!parses(nested(MAX_DEPTH + 1).as_bytes()));
        let error = records(Format::Ndjson, &nested(MAX_DEPTH + 1)).unwrap_err();
        assert_eq!(error, "line 1, column 513: nested deeper than 512 levels");
        assert!(records(Format::Json, &nested(MAX_DEPTH + 1)).is_ok());
        assert!(records(Format::Json, &nested(MAX_DEPTH + 2)).is_err());
        assert!(records(Format::Json, &nested(100_000)).is_err());
    }

    fn parses(text: &[u8]) -> bool {
        let mut batch = RecordBatch::new();
        batch.push(text, 0, 0);
        batch.parse(0).is_ok()
    }

    proptest! {
        #[test]
        fn what_passes_is_what_the_parser_of_records_takes(
            text in r#"[\[\]{}",:\\ \n0-9eE.+\-utrfalsn/\u{0}-\u{7f}\u{e9}]{0,24}"#
        ) {
            // A line feed is white space inside a record, but ends a line.
            prop_assert_eq!(is_json(text.as_bytes()), parses(text.as_bytes()), "{:?}", text);
            for format in [Format::Ndjson, Format::Json] {
                if let Ok(records) = records(format, &text) {
                    prop_assert!(records.iter().all(|record| parses(record.as_bytes())));
                }
            }
        }

        #[test]
        fn the_elements_of_an_array_are_all_handed_out(
            elements in prop::collection::vec("(\\[\\]|\\{\"a\":\\[1, \"x\\]\"\\]\\}|-1[.]5e3|\"\\\\\"\"| null)", 0..9)
        ) {
            let body = format!("[{}]", elements.join(" ,\n"));
            let expected: Vec<&str> = elements.iter().map(|element| element.trim()).collect();
            prop_assert_eq!(records(Format::Json, &body).unwrap(), expected);
        }
    }
}
