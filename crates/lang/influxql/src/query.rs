//! The query of a batch task: checked once, written anew for every tick.
//!
//! ```text
//! SELECT mean("value") FROM "db"."rp"."cpu" WHERE "host" = 'a' OR "x" > 1 GROUP BY foo
//!   │ prepare: one SELECT, no sub-query; GROUP BY and fill of the text are dropped
//!   ▼ at(00:05..00:10, [time(1m), host], fill 0)
//! SELECT mean(value) FROM db.rp.cpu WHERE (host = 'a' OR x > 1) AND time >= '…' AND time < '…' GROUP BY time(1m, 0s), host fill(0)
//! ```

use std::fmt::Write as _;

use levada_model::{Str, Timestamp};

use crate::ast::{FillClause, Operator, Select, Source, Statement};
use crate::duration;
use crate::error::QueryError;
use crate::token::write_ident;

/// A query that a batch task runs again and again.
#[derive(Clone, Debug)]
pub struct Query {
    head: String,
    condition: Option<String>,
    tail: String,
    sources: Vec<(String, String)>,
}

/// The time that a query covers: from `start` on, before `stop`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first time inside.
    pub start: Timestamp,
    /// The first time after.
    pub stop: Timestamp,
}

/// What the result is grouped by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dimension {
    /// A tag.
    Tag(Str),
    /// All tags.
    Wildcard,
    /// Buckets of time, in nanoseconds.
    Time {
        /// The length of a bucket.
        every: i64,
        /// Where the first bucket starts, after the epoch.
        offset: i64,
    },
}

/// What stands for buckets without points.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Fill {
    /// A null: the default of InfluxDB, not written.
    #[default]
    Null,
    /// Nothing: there is no row.
    None,
    /// The value of the bucket before.
    Previous,
    /// A value on the line between the neighbours.
    Linear,
    /// An integer.
    Int(i64),
    /// A float.
    Float(f64),
}

// === impl Query ===

impl Query {
    /// Checks the text of a query.
    ///
    /// - Errors: those of a task that is enabled: no `InfluxQL`, not one statement, no SELECT, a sub-query.
    pub fn prepare(text: &str) -> Result<Query, QueryError> {
        select_of(text).map(|select| Query::of(&select, false))
    }

    /// Gives the query of `compat = "1.8"`.
    ///
    /// Compat: a top-level `OR` of the condition escapes the range, as it does in the original (U-19).
    pub fn prepare_literal(text: &str) -> Result<Query, QueryError> {
        select_of(text).map(|select| Query::of(&select, true))
    }

    fn of(select: &Select, literal: bool) -> Query {
        let mut head = String::new();
        select.print_head(&mut head);
        let mut tail = String::new();
        select.print_tail(&mut tail);
        let sources = select.sources.iter().filter_map(|source| match source {
            Source::Measurement(place) => Some((place.database.clone(), place.retention.clone())),
            Source::SubQuery(_) => None,
        });
        let sources = sources.collect();
        let condition = select.condition.as_ref().map(|condition| {
            let escapes = condition.operators().any(|operator| operator == Operator::Or);
            if escapes && !literal { format!("({condition})") } else { condition.to_string() }
        });
        Query { head, condition, tail, sources }
    }

    /// Gives database and retention policy of every source, as written; empty where they are not.
    pub fn sources(&self) -> impl Iterator<Item = (&str, &str)> {
        self.sources.iter().map(|(database, retention)| (&**database, &**retention))
    }

    /// Checks the sources against what a task may read; databases and retention policies are compared literally.
    pub fn check_sources(&self, allowed: impl Fn(&str, &str) -> bool) -> Result<(), QueryError> {
        match self.sources().find(|(database, retention)| !allowed(database, retention)) {
            None => Ok(()),
            Some((database, retention)) => Err(QueryError::NotAllowed {
                database: database.into(),
                retention: retention.into(),
            }),
        }
    }

    /// Gives the text for one range.
    ///
    /// With `align_group` the buckets of time start where the range starts, whatever their offset says.
    ///
    /// Differs: a condition with a top-level `OR` is put in parentheses before the range is added (U-19), except for
    /// [`Query::prepare_literal`]. Others read the same without, and are left as the original prints them.
    pub fn at(
        &self,
        range: Range,
        dimensions: &[Dimension],
        fill: Fill,
        align_group: bool,
    ) -> String {
        let mut text = self.head.clone();
        text.push_str(" WHERE ");
        if let Some(condition) = &self.condition {
            text.push_str(condition);
            text.push_str(" AND ");
        }
        let (start, stop) = (range.start.rfc3339_nano(), range.stop.rfc3339_nano());
        write!(text, "time >= '{start}' AND time < '{stop}'").ok();
        for (index, dimension) in dimensions.iter().enumerate() {
            text.push_str(if index == 0 { " GROUP BY " } else { ", " });
            dimension.print(range.start, align_group, &mut text);
        }
        write!(text, "{}{}", fill.clause(), self.tail).ok();
        text
    }
}

/// Gives the one SELECT of a text.
fn select_of(text: &str) -> Result<Select, QueryError> {
    let mut statements = crate::parse(text).map_err(QueryError::Parse)?;
    let count = statements.len();
    let (Some(statement), 1) = (statements.pop(), count) else {
        return Err(QueryError::Count(count));
    };
    let select = match statement {
        Statement::Select(select) => *select,
        Statement::Other(text) => return Err(QueryError::NotSelect(text)),
    };
    if select.sources.iter().any(|source| matches!(source, Source::SubQuery(_))) {
        return Err(QueryError::SubQuery);
    }
    Ok(select)
}

// === impl Dimension ===

impl Dimension {
    /// Checks that there is at most one length of buckets.
    pub fn check_all(dimensions: &[Dimension]) -> Result<(), QueryError> {
        let times = dimensions.iter().filter(|one| matches!(one, Dimension::Time { .. })).count();
        if times > 1 { Err(QueryError::TimeTwice) } else { Ok(()) }
    }

    fn print(&self, start: Timestamp, align_group: bool, text: &mut String) {
        match self {
            Dimension::Tag(name) => write_ident(name, text),
            Dimension::Wildcard => text.push('*'),
            Dimension::Time { every, offset } => {
                let aligned = start.0.checked_rem_euclid(*every).filter(|_| align_group);
                let offset = duration::format(aligned.unwrap_or(*offset));
                write!(text, "time({}, {offset})", duration::format(*every)).ok();
            }
        }
    }
}

// === impl Fill ===

impl Fill {
    /// Gives the option of this name: `null`, `none`, `previous`, `linear`.
    pub fn from_name(name: &str) -> Result<Fill, QueryError> {
        match name {
            "null" => Ok(Fill::Null),
            "none" => Ok(Fill::None),
            "previous" => Ok(Fill::Previous),
            "linear" => Ok(Fill::Linear),
            other => Err(QueryError::Fill(other.into())),
        }
    }

    fn clause(self) -> FillClause {
        match self {
            Fill::Null => FillClause::Null,
            Fill::None => FillClause::None,
            Fill::Previous => FillClause::Previous,
            Fill::Linear => FillClause::Linear,
            Fill::Int(number) => FillClause::Int(number),
            Fill::Float(number) => FillClause::Float(number),
        }
    }
}

#[cfg(test)]
mod tests;
