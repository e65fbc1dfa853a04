//! From text to statements.
//!
//! Accepts what the library of InfluxDB 1.9 accepts, and says what it says about the rest.

mod clause;
mod expr;
mod other;

use crate::ast::{Field, Measurement, MeasurementName, Select, Source, Statement};
use crate::error::ParseError;
use crate::scan::{Pattern, Scanner, Token};
use crate::token::{Kind, Operator};

/// How deep parentheses, calls, signs and sub-queries may nest; far beyond what people write, far below what a stack
/// holds.
pub const DEPTH_MAX: usize = 100;

/// How long a text may be, in bytes: the size of a body that InfluxDB takes in a form would be larger, a script not.
pub const TEXT_MAX: usize = 1 << 20;

/// Reads statements that are separated by semicolons.
pub fn parse(text: &str) -> Result<Vec<Statement>, ParseError> {
    if text.len() > TEXT_MAX {
        return Err(ParseError::message(format!("the query is longer than {TEXT_MAX} bytes")));
    }
    let mut parser = Parser { scanner: Scanner::new(text), depth: 0 };
    let mut statements = Vec::new();
    let mut separated = true;
    loop {
        let token = parser.peek();
        match token.kind {
            Kind::Eof => return Ok(statements),
            Kind::Semicolon => {
                parser.next();
                separated = true;
            }
            _ if separated => {
                statements.push(parser.statement()?);
                separated = false;
            }
            _ => return Err(expected(&token, &[";", "EOF"])),
        }
    }
}

pub(crate) struct Parser<'t> {
    scanner: Scanner<'t>,
    depth: usize,
}

/// Gives the error of a token that may not stand where it does.
fn expected(token: &Token, expected: &[&'static str]) -> ParseError {
    ParseError::Expected { found: token.found(), expected: expected.into(), at: token.at }
}

const SELECT: Kind = Kind::Keyword("SELECT");
const FROM: Kind = Kind::Keyword("FROM");

impl<'t> Parser<'t> {
    fn statement(&mut self) -> Result<Statement, ParseError> {
        if self.take(SELECT) {
            return Ok(Statement::Select(Box::new(self.select()?)));
        }
        self.other().map(Statement::Other)
    }

    /// Reads what follows `SELECT`.
    fn select(&mut self) -> Result<Select, ParseError> {
        let mut select =
            Select { fields: self.fields()?, into: self.target()?, ..Select::default() };
        self.need(FROM, "FROM")?;
        select.sources = self.sources()?;
        self.clauses(&mut select)?;
        Ok(select)
    }

    fn fields(&mut self) -> Result<Vec<Field>, ParseError> {
        let mut fields = Vec::new();
        loop {
            fields.push(self.field()?);
            if !self.take(Kind::Comma) {
                return Ok(fields);
            }
        }
    }

    fn field(&mut self) -> Result<Field, ParseError> {
        let expr = match self.pattern()? {
            Some(pattern) => pattern,
            None => {
                let at = self.peek().at;
                let expr = self.expr()?;
                if let Some(operator) = expr::comparison(&expr) {
                    return Err(ParseError::Operator { operator: operator.text(), at });
                }
                expr
            }
        };
        let alias = match self.take(Kind::Keyword("AS")) {
            true => Some(self.ident()?),
            false => None,
        };
        Ok(Field { expr, alias })
    }

    fn target(&mut self) -> Result<Option<Measurement>, ParseError> {
        if !self.take(Kind::Keyword("INTO")) {
            return Ok(None);
        }
        let mut segments = self.segments()?;
        let same = segments.len() < 3 && self.scanner.peek() == Some(':');
        if same {
            self.need(Kind::Colon, ":")?;
            self.need(Kind::Keyword("MEASUREMENT"), "MEASUREMENT")?;
        }
        let name = match same {
            true => MeasurementName::Same,
            false => MeasurementName::Name(segments.pop().unwrap_or_default()),
        };
        Ok(Some(placed(segments, name)))
    }

    fn sources(&mut self) -> Result<Vec<Source>, ParseError> {
        let mut sources = Vec::new();
        loop {
            sources.push(self.source()?);
            if !self.take(Kind::Comma) {
                return Ok(sources);
            }
        }
    }

    fn source(&mut self) -> Result<Source, ParseError> {
        if let Some(pattern) = self.pattern_text()? {
            return Ok(Source::Measurement(placed(Vec::new(), MeasurementName::Pattern(pattern))));
        }
        if self.take(Kind::LeftParen) {
            let select = self.nested(|parser| {
                parser.need(SELECT, "SELECT")?;
                parser.select()
            })?;
            self.need(Kind::RightParen, ")")?;
            return Ok(Source::SubQuery(Box::new(select)));
        }
        let mut segments = self.segments()?;
        let pattern = if segments.len() < 3 { self.pattern_text()? } else { None };
        let name = match pattern {
            Some(pattern) => MeasurementName::Pattern(pattern),
            None => MeasurementName::Name(segments.pop().unwrap_or_default()),
        };
        Ok(Source::Measurement(placed(segments, name)))
    }

    /// Reads up to three names with dots between; one in the middle may be empty.
    fn segments(&mut self) -> Result<Vec<String>, ParseError> {
        let mut segments = vec![self.ident()?];
        while self.scanner.take('.') {
            match self.scanner.peek() {
                Some('/' | ':') => break,
                Some('.') => segments.push(String::new()),
                _ => segments.push(self.ident()?),
            }
        }
        if segments.len() > 3 {
            let mut text = String::from("too many segments in ");
            for (index, segment) in segments.iter().enumerate() {
                text.push_str(if index > 0 { "." } else { "" });
                crate::token::write_quoted(segment, '"', &mut text);
            }
            return Err(ParseError::at(text, Default::default()));
        }
        Ok(segments)
    }

    fn ident(&mut self) -> Result<String, ParseError> {
        let token = self.next();
        match token.kind {
            Kind::Ident => Ok(token.text),
            _ => Err(expected(&token, &["identifier"])),
        }
    }

    fn next(&mut self) -> Token {
        self.scanner.next()
    }

    fn peek(&self) -> Token {
        let mut scanner = self.scanner;
        scanner.next()
    }

    fn take(&mut self, kind: Kind) -> bool {
        let mut scanner = self.scanner;
        let found = scanner.next().kind == kind;
        if found {
            self.scanner = scanner;
        }
        found
    }

    fn need(&mut self, kind: Kind, name: &'static str) -> Result<(), ParseError> {
        let token = self.next();
        if token.kind == kind { Ok(()) } else { Err(expected(&token, &[name])) }
    }

    /// Reads something that may hold itself.
    fn nested<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, ParseError>,
    ) -> Result<T, ParseError> {
        if self.depth >= DEPTH_MAX {
            return Err(ParseError::at(
                format!("the query is nested deeper than {DEPTH_MAX} levels"),
                self.peek().at,
            ));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    fn pattern_text(&mut self) -> Result<Option<String>, ParseError> {
        match self.scanner.pattern() {
            None => Ok(None),
            Some(Pattern::Bad(at)) => Err(ParseError::at("bad regex: ", at)),
            Some(Pattern::Text(text, at)) => match expr::check_pattern(&text) {
                Ok(()) => Ok(Some(text)),
                Err(message) => Err(ParseError::at(message, at)),
            },
        }
    }

    fn word(&self) -> Option<String> {
        let token = self.peek();
        (token.kind == Kind::Ident).then(|| token.text.to_ascii_lowercase())
    }

    fn operator(&mut self) -> Option<Operator> {
        let mut scanner = self.scanner;
        let Kind::Operator(operator) = scanner.next().kind else {
            return None;
        };
        self.scanner = scanner;
        Some(operator)
    }
}

/// Puts what stands before a name where it belongs.
fn placed(mut before: Vec<String>, name: MeasurementName) -> Measurement {
    let retention = before.pop().unwrap_or_default();
    let database = before.pop().unwrap_or_default();
    Measurement { database, retention, name }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
