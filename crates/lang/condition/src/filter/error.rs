//! What can be wrong with a filter, and where.

use std::fmt;

/// A place in a filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// Bytes before it.
    pub offset: usize,
    /// Counts from 1.
    pub line: usize,
    /// Bytes in its line before it, plus 1.
    pub column: usize,
}

/// One thing that is wrong; prints as `1:5 parse error: unexpected: "}"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub position: Position,
    /// What, in the words of upstream where it has some.
    pub text: String,
}

/// Everything that is wrong with one filter; prints as its first problem, which is the one that upstream reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterError {
    /// In the order in which they were found; at least one.
    problems: Vec<Problem>,
}

/// Everything that is wrong with one filter of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListError {
    /// The place in the list; the first one is 0.
    pub index: usize,
    /// The filter as written.
    pub filter: String,
    /// What is wrong with it.
    pub error: FilterError,
}

/// What a filter without any condition is called.
pub(super) const EMPTY: &str = "condition empty";

/// The longest message; patterns are shown whole, and may be as long as a filter.
const MESSAGE_BYTES_MAX: usize = 1_024;

// === impl Position ===

impl Position {
    /// Gives the place behind so many bytes of a text.
    pub(super) fn of(text: &str, offset: usize) -> Self {
        let offset = offset.min(text.len());
        let before = &text.as_bytes()[..offset];
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        Position { offset, line, column: offset - line_start + 1 }
    }
}

// === impl Problem ===

impl Problem {
    pub(super) fn new(text: &str, offset: usize, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if message.len() > MESSAGE_BYTES_MAX {
            message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
            message.push_str("...");
        }
        Problem { position: Position::of(text, offset), text: message }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { line, column, .. } = self.position;
        write!(f, "{line}:{column} parse error: {}", self.text)
    }
}

// === impl FilterError ===

impl FilterError {
    /// Gives the error of problems; `None` when there are none.
    pub(super) fn of(problems: Vec<Problem>) -> Option<Self> {
        if problems.is_empty() { None } else { Some(FilterError { problems }) }
    }

    pub(super) fn one(problem: Problem) -> Self {
        FilterError { problems: vec![problem] }
    }

    /// Gives every problem, in the order in which they were found.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Gives where the first problem is.
    pub fn position(&self) -> Position {
        self.problems.first().map(|problem| problem.position).unwrap_or_default()
    }
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.first() {
            Some(problem) => problem.fmt(f),
            None => Ok(()),
        }
    }
}

impl std::error::Error for FilterError {}

// === impl ListError ===

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "filters[{}]: {}", self.index, self.error)
    }
}

impl std::error::Error for ListError {}
