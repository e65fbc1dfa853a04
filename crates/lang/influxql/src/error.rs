//! What can be wrong with a query, a schedule, and an answer. The texts are those of the original.

use std::fmt;

use thiserror::Error;

/// A place in a query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pos {
    /// From zero.
    pub line: usize,
    /// In characters, from zero.
    pub column: usize,
}

/// Why a text is not `InfluxQL`.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ParseError {
    /// Something else should stand there.
    #[error("found {found}, expected {} at {at}", expected.join(", "))]
    Expected {
        /// What stands there.
        found: String,
        /// What may stand there.
        expected: Vec<&'static str>,
        /// Where.
        at: Pos,
    },
    /// Something is wrong with what stands there.
    #[error("{message} at {at}")]
    At {
        /// What is wrong.
        message: String,
        /// Where.
        at: Pos,
    },
    /// A comparison stands in the list of fields.
    #[error(
        "invalid operator {operator} in SELECT clause at {at}; operator is intended for WHERE clause"
    )]
    Operator {
        /// The operator.
        operator: &'static str,
        /// Where the field starts.
        at: Pos,
    },
    /// Something is wrong, and the original does not say where.
    #[error("{0}")]
    Message(String),
}

/// Why a query cannot be run by a batch task.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum QueryError {
    /// The text is not `InfluxQL`.
    #[error("failed to parse InfluxQL query: {0}")]
    Parse(ParseError),
    /// There is not exactly one statement.
    #[error("query must be a single select statement, got {0} statements")]
    Count(usize),
    /// The statement does something else; the text is quoted as Go quotes.
    #[error("query is not a select statement {}", crate::token::go_quote(.0))]
    NotSelect(String),
    /// There is a sub-query among the sources.
    #[error("unknown query source *influxql.SubQuery")]
    SubQuery,
    /// A source is not among those that the task may read.
    #[error(
        "batch query is not allowed to request data from {}.{}",
        crate::token::go_quote(database),
        crate::token::go_quote(retention)
    )]
    NotAllowed {
        /// The database as written in the query.
        database: String,
        /// The retention policy as written in the query.
        retention: String,
    },
    /// A fill option is not known.
    #[error("unexpected fill option {0}")]
    Fill(String),
    /// The buckets have two lengths.
    #[error("groupBy cannot have more than one time dimension")]
    TimeTwice,
    /// A dimension is neither a text nor a duration; carries the Go name of its type.
    #[error("invalid dimension type:{0}, must be string or time.Duration")]
    DimensionType(&'static str),
}

/// Why a schedule cannot be.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ScheduleError {
    /// There are two.
    #[error("must not set both 'every' and 'cron' properties")]
    Both,
    /// There is none.
    #[error("must define one of 'every' or 'cron'")]
    None,
    /// The interval runs backwards; the doubled word is the original's.
    #[error("'every' duration must must non-negative")]
    Negative,
    /// The cron expression is wrong.
    #[error("{0}")]
    Cron(CronError),
}

/// Why a text is not a cron expression.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CronError {
    /// There are fewer than five fields.
    #[error("missing field(s)")]
    MissingFields,
    /// A field is empty, or only commas.
    #[error("{field} field: missing directive")]
    MissingDirective {
        /// The name of the field.
        field: &'static str,
    },
    /// A part of a field means nothing.
    #[error("syntax error in {field} field: '{text}'")]
    Syntax {
        /// The name of the field.
        field: &'static str,
        /// The part.
        text: String,
    },
    /// A step is zero, or larger than the field.
    #[error("invalid interval {text}")]
    Interval {
        /// The part.
        text: String,
    },
    /// The text is longer than any sensible expression.
    #[error("the cron expression is longer than {max} bytes")]
    TooLong {
        /// The bound.
        max: usize,
    },
}

/// Why an answer of InfluxDB cannot be read.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum DecodeError {
    /// The body is not the JSON that is expected.
    #[error("failed to decode query result: {0}")]
    Json(String),
    /// The server answers with an error.
    #[error("{0}")]
    Server(String),
    /// The column `time` holds neither a text nor a time.
    #[error("unexpected time value: {0}")]
    TimeValue(String),
    /// The column `time` holds a text that is no time.
    #[error("unexpected time format: {0}")]
    TimeFormat(String),
    /// A row or a cell is not what the columns promise.
    #[error("{0}")]
    Row(String),
    /// The answer is larger than the caller takes.
    #[error("the answer has more than {max} values")]
    TooLarge {
        /// The bound.
        max: usize,
    },
    /// Flux reports an error.
    #[error("flux query error: {0}")]
    Flux(String),
    /// A row of a Flux answer is too short to be one.
    #[error("Unexpectedly few columns -- {0}")]
    FewColumns(String),
    /// A column of a Flux answer has a type that is not known.
    #[error("{value} has unknown data type {datatype}")]
    DataType {
        /// The text of the cell.
        value: String,
        /// The type.
        datatype: String,
    },
}

// === impl Pos ===

impl fmt::Display for Pos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, char {}", self.line + 1, self.column + 1)
    }
}

// === impl ParseError ===

impl ParseError {
    pub(crate) fn at(message: impl Into<String>, at: Pos) -> Self {
        ParseError::At { message: message.into(), at }
    }

    pub(crate) fn message(message: impl Into<String>) -> Self {
        ParseError::Message(message.into())
    }
}
