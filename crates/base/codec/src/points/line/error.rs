//! What is wrong with lines, in the words of upstream.

use std::fmt;

use thiserror::Error;

use crate::line_protocol::Refusal;

/// How many problems of a body are described.
pub const PROBLEMS_MAX: usize = 10;
/// How much of a line, and of a body, a message shows.
const EXCERPT_BYTES_MAX: usize = 1_024;

/// Why a line is refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Cause {
    /// What InfluxDB refuses as well.
    #[error(transparent)]
    Refusal(#[from] Refusal),
    /// Bytes that are not base64.
    #[error("invalid base64 data")]
    Base64,
    /// A list that does not end, holds what is no value, or holds too much.
    #[error("invalid array")]
    Array,
    /// A list of different types. Source: B49, where upstream loses the point and says nothing.
    #[error("array elements of different types")]
    MixedArray,
    /// A time that nanoseconds cannot count in its unit.
    #[error("time out of range: {0}")]
    TimeRange(i64),
}

/// A line that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineProblem {
    /// The line, or its beginning.
    pub excerpt: String,
    /// The place in the body, in bytes; the first one is 1.
    pub position: usize,
    /// Why.
    pub cause: Cause,
}

/// Why a body is refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BodyError {
    /// A body without a byte.
    #[error("empty data")]
    Empty,
    /// A body that places cannot be counted in.
    #[error("body of {0} bytes is too large")]
    TooLarge(usize),
    /// Some lines are bad.
    #[error("{}", lines_text(.problems, *.good, *.bad, .origin))]
    Lines {
        /// The first of them.
        problems: Vec<LineProblem>,
        /// How many lines are good.
        good: usize,
        /// How many are not.
        bad: usize,
        /// The body, or its beginning.
        origin: String,
    },
}

// === impl LineProblem ===

impl LineProblem {
    pub(super) fn new(line: &str, position: usize, cause: Cause) -> Self {
        LineProblem { excerpt: excerpt(line).to_owned(), position, cause }
    }
}

impl fmt::Display for LineProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LineProblem { excerpt, position, cause } = self;
        write!(f, "unable to parse '{excerpt}'(pos: {position}): {cause}")
    }
}

// === impl BodyError ===

impl BodyError {
    /// Makes the error of a body with bad lines.
    pub fn lines(problems: Vec<LineProblem>, good: usize, bad: usize, body: &str) -> Self {
        BodyError::Lines { problems, good, bad, origin: excerpt(body).to_owned() }
    }
}

fn lines_text(problems: &[LineProblem], good: usize, bad: usize, origin: &str) -> String {
    let problems: Vec<String> = problems.iter().map(LineProblem::to_string).collect();
    let problems = problems.join("\n");
    format!(
        "invalid lineprotocol: {problems}\nwith {good} point parse ok, {bad} points failed. Origin data: \"{origin}\""
    )
}

fn excerpt(text: &str) -> &str {
    &text[..text.floor_char_boundary(EXCERPT_BYTES_MAX)]
}
