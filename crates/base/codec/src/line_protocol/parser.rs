//! Reads lines.
//!
//! ```text
//! cpu,host=a,core=0 usage=1.5,idle=98.5 1770460200000000000
//! └── series cache ┘└ shape that the ─┘
//!                     series had last
//! ```
//!
//! Most lines repeat the series of an earlier one and the field keys of its last point. For those, the bytes before
//! the first blank are looked up, the keys are compared and only the values are read. Whatever is unusual goes
//! through the [`rules`] of the server, which are slower and complete; both ways give the same points.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use levada_model::point::{Point, Values};
use levada_model::{Str, Timestamp};

use super::cache::Generations;
use super::intern::{NAME_ESCAPES, RawHasher, Scope, SeriesTable, ShapeTable};
use super::number::short_time;
use super::quick::{Fields, key_end};
use super::rules::{self, Refusal};
use super::shared::SharedSeries;
use super::twins::Twins;

/// The unit of the times in a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// `n`
    #[default]
    Nanoseconds,
    /// `u`
    Microseconds,
    /// `ms`
    Milliseconds,
    /// `s`
    Seconds,
    /// `m`
    Minutes,
    /// `h`
    Hours,
}

impl std::str::FromStr for Precision {
    type Err = String;

    /// Reads the unit as the API names it, with the spellings of other versions.
    fn from_str(word: &str) -> Result<Self, String> {
        Ok(match word {
            "n" | "ns" => Precision::Nanoseconds,
            "u" | "us" | "µ" | "µs" => Precision::Microseconds,
            "ms" => Precision::Milliseconds,
            "s" => Precision::Seconds,
            "m" => Precision::Minutes,
            "h" => Precision::Hours,
            _ => return Err(format!("unknown unit `{word}`; known: n, u, ms, s, m, h")),
        })
    }
}

/// What a [`Parser`] keeps and accepts.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How many spellings of series are known at once.
    pub series_max: usize,
    /// How many bytes they take, roughly.
    pub series_bytes_max: usize,
    /// How many lists of field keys are known at once.
    pub shapes_max: usize,
    /// How many bytes they take, roughly.
    pub shapes_bytes_max: usize,
    /// How many problems of a body are described.
    pub problems_max: usize,
    /// Whether `1u` is a number; an InfluxDB 1.x server refuses it unless it was built so.
    pub unsigned: bool,
}

/// What became of a body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// How many lines gave a point.
    pub points: u64,
    /// How many lines were refused.
    pub refused: u64,
    /// The first of them.
    pub problems: Vec<LineProblem>,
}

/// A line that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineProblem {
    /// The number of the line in the body; the first one is 1.
    pub line: u64,
    /// The place in the line, in bytes; the first one is 1.
    pub column: u64,
    /// The line from its first character that is no blank on, or its beginning.
    pub excerpt: String,
    /// What is wrong with it.
    pub refusal: Refusal,
}

/// What a [`Parser`] knows and how often that helped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ParserStatistics {
    /// Spellings of series that are known.
    pub series: u64,
    /// The bytes that they take, roughly.
    pub series_bytes: u64,
    /// How often a spelling was new.
    pub series_misses: u64,
    /// How many spellings were forgotten.
    pub series_evicted: u64,
    /// Lists of field keys that are known.
    pub shapes: u64,
    /// How many of them were forgotten.
    pub shapes_evicted: u64,
}

/// Reads line protocol as an InfluxDB 1.6 server does.
#[derive(Debug)]
pub struct Parser {
    limits: Limits,
    scopes: Generations<Arc<Scope>>,
    scope_next: u64,
    scope_last: Option<Arc<Scope>>,
    series: SeriesTable,
    shapes: ShapeTable,
    hasher: RawHasher,
    /// Where the keys of the fields of one line are, for lists of keys that were not guessed.
    spans: Vec<(usize, usize)>,
    /// For texts with backslashes.
    scratch: Vec<u8>,
    twins: Twins,
}

/// Points that a list has room for from the beginning.
const RESERVED_MAX: usize = 8_192;
/// How many databases with retention policies are known at once.
const SCOPES_MAX: usize = 1_024;
/// How much of a line a problem shows.
pub const EXCERPT_BYTES_MAX: usize = 512;

// === impl Precision ===

impl Precision {
    /// Gives the precision that a query parameter names; what is unknown means nanoseconds, as the server takes it.
    pub fn of(name: &str) -> Self {
        match name {
            "u" => Precision::Microseconds,
            "ms" => Precision::Milliseconds,
            "s" => Precision::Seconds,
            "m" => Precision::Minutes,
            "h" => Precision::Hours,
            _ => Precision::Nanoseconds,
        }
    }

    /// Gives the length of the unit.
    pub fn nanoseconds(self) -> i64 {
        match self {
            Precision::Nanoseconds => 1,
            Precision::Microseconds => 1_000,
            Precision::Milliseconds => 1_000_000,
            Precision::Seconds => 1_000_000_000,
            Precision::Minutes => 60_000_000_000,
            Precision::Hours => 3_600_000_000_000,
        }
    }

    /// Gives the last full unit at or before a time.
    pub fn truncate(self, time: Timestamp) -> Timestamp {
        let rest = time.0.rem_euclid(self.nanoseconds());
        // Only the first unit of all is not full.
        Timestamp(time.0.saturating_sub(rest))
    }
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Limits {
            series_max: 1_000_000,
            series_bytes_max: 256 << 20,
            shapes_max: 65_536,
            shapes_bytes_max: 32 << 20,
            problems_max: 100,
            unsigned: false,
        }
    }
}

// === impl LineProblem ===

impl LineProblem {
    /// Gives the text that a server answers with.
    pub fn server_text(&self) -> String {
        format!("unable to parse '{}': {}", self.excerpt, self.refusal)
    }
}

impl std::fmt::Display for LineProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let LineProblem { line, column, excerpt, refusal } = self;
        write!(f, "line {line}, column {column}: unable to parse '{excerpt}': {refusal}")
    }
}

// === impl Parser ===

impl Parser {
    /// Makes a parser that knows no series.
    pub fn new(limits: Limits) -> Self {
        let hasher = RawHasher::default();
        Parser {
            scopes: Generations::new(SCOPES_MAX, usize::MAX),
            scope_next: 0,
            scope_last: None,
            series: SeriesTable::new(limits.series_max, limits.series_bytes_max, hasher.clone()),
            shapes: ShapeTable::new(limits.shapes_max, limits.shapes_bytes_max, hasher.clone()),
            hasher,
            spans: Vec::new(),
            scratch: Vec::new(),
            twins: Twins::default(),
            limits,
        }
    }

    /// Makes a parser that knows no series and gives those that others know, where it can.
    pub fn sharing(limits: Limits, shared: SharedSeries) -> Self {
        let mut parser = Parser::new(limits);
        parser.series.shared = Some(shared);
        parser
    }

    /// Gives what the parser knows.
    pub fn statistics(&self) -> ParserStatistics {
        ParserStatistics {
            series: self.series.known.len() as u64,
            series_bytes: self.series.known.bytes() as u64,
            series_misses: self.series.misses,
            series_evicted: self.series.known.evicted,
            shapes: self.shapes.known.len() as u64,
            shapes_evicted: self.shapes.known.evicted,
        }
    }

    /// Adds the points of a body to `out`; lines that are no points are counted and described.
    ///
    /// A line without a time gets `default_time`, cut to the precision.
    pub fn parse(
        &mut self,
        database: &Str,
        retention: &Str,
        precision: Precision,
        default_time: Timestamp,
        bytes: &[u8],
        out: &mut Vec<Point>,
    ) -> Outcome {
        let scope = self.scope(database, retention);
        self.twins.begin(bytes.len());
        if out.capacity() == 0 {
            // Doubling leaves up to half of a list empty, and many wait in the queues of tasks. A body may have many more
            // lines than points, so that a long list grows as others do.
            let lines = memchr::memchr_iter(b'\n', bytes).count() + 1;
            out.reserve_exact(lines.min(RESERVED_MAX));
        }
        let before = out.len();
        let mut body = Body {
            bytes,
            precision,
            default_time: precision.truncate(default_time),
            counted: 0,
            lines: 1,
            outcome: Outcome::default(),
        };
        let mut at = 0;
        while at < bytes.len() {
            at = match self.quick(&scope, &body, at) {
                Some((point, next)) => {
                    out.push(point);
                    next
                }
                None => self.thorough(&scope, &mut body, at, out),
            };
        }
        body.outcome.points = (out.len() - before) as u64;
        body.outcome
    }

    fn scope(&mut self, database: &Str, retention: &Str) -> Arc<Scope> {
        let is_wanted =
            |scope: &Scope| scope.database == *database && scope.retention == *retention;
        if let Some(last) = &self.scope_last
            && is_wanted(last)
        {
            return Arc::clone(last);
        }
        let hash = self.hasher.hash_all([database.as_bytes(), retention.as_bytes()].into_iter());
        let scope = match self.scopes.find(hash, |scope| is_wanted(scope)) {
            Some(scope) => Arc::clone(scope),
            None => {
                self.scope_next += 1;
                let (database, retention) = (Arc::clone(database), Arc::clone(retention));
                let scope = Arc::new(Scope { id: self.scope_next, database, retention });
                Arc::clone(self.scopes.insert(hash, 0, scope))
            }
        };
        self.scope_last = Some(Arc::clone(&scope));
        scope
    }

    /// Reads a line that is nothing out of the ordinary; gives its point and where the next line begins.
    #[inline]
    fn quick(&mut self, scope: &Scope, body: &Body<'_>, at: usize) -> Option<(Point, usize)> {
        let bytes = body.bytes;
        let (place, key_end) = match self.series.expected(scope.id, bytes, at) {
            Some(found) => found,
            None => {
                let key_end = key_end(bytes, at)?;
                (self.series.place(scope.id, &bytes[at..key_end])?, key_end)
            }
        };
        let known = self.series.known.at(place)?;
        let mut values = Values::new();
        let mut fields = Fields {
            bytes,
            key_bytes: key_end - at,
            scratch: &mut self.scratch,
            twins: &mut self.twins,
            unsigned: self.limits.unsigned,
        };
        let (shape, end) = match fields.guessed(known, key_end + 1, &mut values) {
            Some(found) => found,
            None => {
                values.clear();
                let (shapes, spans) = (&mut self.shapes, &mut self.spans);
                fields.other(known, shapes, spans, key_end + 1, &mut values)?
            }
        };
        let (time, next) = match bytes.get(end) {
            None | Some(b'\n') => (body.default_time, end + 1),
            Some(_) => {
                let (number, end) = short_time(bytes, end + 1)?;
                if !matches!(bytes.get(end), None | Some(b'\n')) {
                    return None;
                }
                (Timestamp(rules::scaled(number, body.precision)?), end + 1)
            }
        };
        let series = Arc::clone(&known.series);
        Some((Point { series, shape, values, time }, next))
    }

    /// Reads any line by the rules of the server; gives where the next one begins.
    #[cold]
    fn thorough(
        &mut self,
        scope: &Scope,
        body: &mut Body<'_>,
        at: usize,
        out: &mut Vec<Point>,
    ) -> usize {
        let end = rules::line_end(body.bytes, at);
        let block = &body.bytes[at..end];
        let blanks = rules::skip_blanks(block, 0);
        let line = &block[blanks..];
        if line.is_empty() || line[0] == b'#' {
            return end + 1;
        }
        // A text that does not end takes the last line end of the body with it.
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        match rules::parts(line, body.precision, self.limits.unsigned) {
            Ok(parts) => out.push(self.point(scope, body, parts)),
            Err((column, refusal)) => {
                body.refuse(at, blanks + column, line, refusal, self.limits.problems_max);
            }
        }
        end + 1
    }

    fn point(&mut self, scope: &Scope, body: &Body<'_>, parts: rules::Parts<'_>) -> Point {
        let mut keys: Vec<&[u8]> = Vec::with_capacity(parts.fields.len());
        let mut values = Values::new();
        let mut places = HashMap::<Str, usize, foldhash::fast::RandomState>::default();
        for (key, value) in parts.fields {
            // Of two fields with one key the last one counts.
            let name = rules::unescaped(key, NAME_ESCAPES).into();
            match places.entry(name) {
                Entry::Occupied(place) => values[*place.get()] = value,
                Entry::Vacant(place) => {
                    place.insert(keys.len());
                    keys.push(key);
                    values.push(value);
                }
            }
        }
        let shape = self.shapes.get(&keys);
        let known = self.series.get(scope, parts.key);
        if shape.is_plain {
            known.guess = Some(Arc::clone(&shape));
        }
        let time = parts.time.map_or(body.default_time, Timestamp);
        let shape = Arc::clone(&shape.shape);
        Point { series: Arc::clone(&known.series), shape, values, time }
    }
}

/// A body that is being read.
struct Body<'t> {
    bytes: &'t [u8],
    precision: Precision,
    default_time: Timestamp,
    /// Up to where line ends were counted.
    counted: usize,
    /// The number of the line there.
    lines: u64,
    outcome: Outcome,
}

// === impl Body ===

impl Body<'_> {
    fn refuse(&mut self, at: usize, column: usize, line: &[u8], refusal: Refusal, max: usize) {
        self.outcome.refused += 1;
        if self.outcome.problems.len() >= max {
            return;
        }
        self.lines += memchr::memchr_iter(b'\n', &self.bytes[self.counted..at]).count() as u64;
        self.counted = at;
        let excerpt = &line[..line.len().min(EXCERPT_BYTES_MAX)];
        self.outcome.problems.push(LineProblem {
            line: self.lines,
            column: column as u64 + 1,
            excerpt: String::from_utf8_lossy(excerpt).into_owned(),
            refusal,
        });
    }
}

#[cfg(test)]
mod tests;
