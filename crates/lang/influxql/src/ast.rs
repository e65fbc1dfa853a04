//! What a query says.
//!
//! An expression keeps the row of its operands as written: nothing evaluates it, so no tree of precedences is built,
//! and a long row is not a deep one.

pub use crate::token::Operator;

/// A statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Statement {
    /// A query.
    Select(Box<Select>),
    /// Another statement, in canonical text.
    Other(String),
}

/// A SELECT statement; [`ToString`] gives its canonical text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Select {
    /// What is asked for.
    pub fields: Vec<Field>,
    /// Where InfluxDB puts the result.
    pub into: Option<Measurement>,
    /// What is read.
    pub sources: Vec<Source>,
    /// `WHERE`.
    pub condition: Option<Expr>,
    /// `GROUP BY`.
    pub dimensions: Vec<Expr>,
    /// `fill(…)`.
    pub fill: FillClause,
    /// `ORDER BY time`: whether ascending, and whether the name is there.
    pub order: Option<Order>,
    /// `LIMIT`; zero is none.
    pub limit: i64,
    /// `OFFSET`; zero is none.
    pub offset: i64,
    /// `SLIMIT`; zero is none.
    pub series_limit: i64,
    /// `SOFFSET`; zero is none.
    pub series_offset: i64,
    /// `tz(…)`: an IANA name.
    pub zone: Option<String>,
}

/// One of the things asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// What.
    pub expr: Expr,
    /// `AS`.
    pub alias: Option<String>,
}

/// How points are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// Whether the name `time` is written.
    pub named: bool,
    /// Oldest first.
    pub ascending: bool,
}

/// What stands for buckets without points.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum FillClause {
    /// A null; the default, not printed.
    #[default]
    Null,
    /// Nothing.
    None,
    /// The value before.
    Previous,
    /// A value on the line between the neighbours.
    Linear,
    /// An integer.
    Int(i64),
    /// A float.
    Float(f64),
}

/// What is read.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// A measurement, or those of a pattern.
    Measurement(Measurement),
    /// The result of another query.
    SubQuery(Box<Select>),
}

/// A measurement with as much of its place as is written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measurement {
    /// Empty where it is not written.
    pub database: String,
    /// Empty where it is not written.
    pub retention: String,
    /// The name or the pattern.
    pub name: MeasurementName,
}

/// Which measurements.
#[derive(Clone, Debug, PartialEq)]
pub enum MeasurementName {
    /// The one of this name.
    Name(String),
    /// All that match.
    Pattern(String),
    /// `:MEASUREMENT` after INTO: those that were read.
    Same,
}

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// A row of operands.
    Row {
        /// The first operand.
        first: Box<Expr>,
        /// The others, each with the operator before it.
        rest: Vec<(Operator, Expr)>,
    },
    /// `(…)`
    Paren(Box<Expr>),
    /// A field or a tag, and the type it is read as.
    Ref {
        /// Segments of a name are joined with dots.
        name: String,
        /// After `::`, lower case.
        cast: Option<&'static str>,
    },
    /// A call of a function.
    Call {
        /// Lower case.
        name: String,
        /// The arguments.
        arguments: Vec<Expr>,
    },
    /// `DISTINCT field`
    Distinct(String),
    /// `*`, `*::tag`, `*::field`
    Wildcard(Option<&'static str>),
    /// A pattern.
    Pattern(String),
    /// A text.
    Text(String),
    /// A float.
    Number(f64),
    /// An integer.
    Int(i64),
    /// An integer beyond the signed ones.
    UInt(u64),
    /// A duration in nanoseconds.
    Duration(i64),
    /// A boolean.
    Bool(bool),
}

impl Default for MeasurementName {
    fn default() -> Self {
        MeasurementName::Name(String::new())
    }
}

// === impl Expr ===

impl Expr {
    /// Gives the operators of the row, if it is one.
    pub fn operators(&self) -> impl Iterator<Item = Operator> {
        let rest = match self {
            Expr::Row { rest, .. } => rest.as_slice(),
            _ => &[],
        };
        rest.iter().map(|(operator, _)| *operator)
    }
}
