//! Expressions: rows of operands.

use super::{Parser, expected};
use crate::ast::{Expr, Operator};
use crate::duration;
use crate::error::ParseError;
use crate::scan::Token;
use crate::token::Kind;

/// What may follow `::` after a name.
const CASTS: &[&str] = &["float", "integer", "unsigned", "string", "boolean", "field", "tag"];

/// What a message says may start an operand.
const OPERAND: &[&str] = &["identifier", "string", "number", "bool"];

impl Parser<'_> {
    pub(super) fn expr(&mut self) -> Result<Expr, ParseError> {
        let first = self.operand()?;
        let mut rest = Vec::new();
        while let Some(operator) = self.operator() {
            let operand = if operator.is_match() {
                match self.pattern()? {
                    Some(pattern) => pattern,
                    None => return Err(expected(&self.next(), &["regex"])),
                }
            } else {
                self.operand()?
            };
            rest.push((operator, operand));
        }
        if rest.is_empty() {
            return Ok(first);
        }
        Ok(Expr::Row { first: Box::new(first), rest })
    }

    pub(super) fn pattern(&mut self) -> Result<Option<Expr>, ParseError> {
        Ok(self.pattern_text()?.map(Expr::Pattern))
    }

    fn operand(&mut self) -> Result<Expr, ParseError> {
        let start = self.scanner;
        let token = self.next();
        match token.kind {
            Kind::LeftParen => {
                let inner = self.nested(Parser::expr)?;
                self.need(Kind::RightParen, ")")?;
                Ok(Expr::Paren(Box::new(inner)))
            }
            Kind::Ident if self.scanner.take('(') => self.call(&token.text),
            Kind::Ident => {
                self.scanner = start;
                self.reference()
            }
            Kind::Keyword("DISTINCT") => self.distinct(),
            Kind::String => Ok(Expr::Text(token.text)),
            Kind::Number => match token.text.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(Expr::Number(number)),
                _ => Err(ParseError::at("unable to parse number", token.at)),
            },
            Kind::Integer => integer(&token),
            Kind::True => Ok(Expr::Bool(true)),
            Kind::False => Ok(Expr::Bool(false)),
            Kind::Duration => match duration::parse(&token.text) {
                Ok(nanos) => Ok(Expr::Duration(nanos)),
                Err(error) => Err(ParseError::message(error.to_string())),
            },
            Kind::Operator(Operator::Mul) => self.wildcard(),
            Kind::Operator(operator @ (Operator::Add | Operator::Sub)) => {
                self.signed(operator == Operator::Sub)
            }
            Kind::BoundParam => Err(ParseError::message(match token.text.strip_prefix('$') {
                None | Some("") => "empty bound parameter".into(),
                Some(name) => format!("missing parameter: {name}"),
            })),
            _ => Err(expected(&token, OPERAND)),
        }
    }

    fn call(&mut self, name: &str) -> Result<Expr, ParseError> {
        let name = name.to_lowercase();
        let mut arguments = Vec::new();
        if self.take(Kind::RightParen) {
            return Ok(Expr::Call { name, arguments });
        }
        loop {
            let argument = match self.pattern()? {
                Some(pattern) => pattern,
                None => self.nested(Parser::expr)?,
            };
            arguments.push(argument);
            if !self.take(Kind::Comma) {
                break;
            }
        }
        self.need(Kind::RightParen, ")")?;
        Ok(Expr::Call { name, arguments })
    }

    fn reference(&mut self) -> Result<Expr, ParseError> {
        let name = self.segments()?.join(".");
        let cast = if self.scanner.peek() == Some(':') && self.take(Kind::DoubleColon) {
            let token = self.next();
            let written = match token.kind {
                Kind::Ident => token.text.to_ascii_lowercase(),
                Kind::Keyword(word @ ("FIELD" | "TAG")) => word.to_ascii_lowercase(),
                _ => String::new(),
            };
            let cast = CASTS.iter().find(|known| **known == written);
            Some(*cast.ok_or_else(|| expected(&token, CASTS))?)
        } else {
            None
        };
        Ok(Expr::Ref { name, cast })
    }

    fn distinct(&mut self) -> Result<Expr, ParseError> {
        if self.scanner.take('(') {
            return self.call("distinct");
        }
        let blank = self.scanner.peek().is_some_and(char::is_whitespace);
        let token = self.next();
        match token.kind {
            Kind::Ident if blank => Ok(Expr::Distinct(token.text)),
            _ if blank => Err(expected(&token, &["identifier"])),
            _ => Err(expected(&token, &["(", "identifier"])),
        }
    }

    fn wildcard(&mut self) -> Result<Expr, ParseError> {
        if self.scanner.peek() != Some(':') || !self.take(Kind::DoubleColon) {
            return Ok(Expr::Wildcard(None));
        }
        let token = self.next();
        match token.kind {
            Kind::Keyword("FIELD") => Ok(Expr::Wildcard(Some("field"))),
            Kind::Keyword("TAG") => Ok(Expr::Wildcard(Some("tag"))),
            _ => Err(expected(&token, &["field", "tag"])),
        }
    }

    /// Reads what follows a sign: a number takes it, anything else is multiplied by it.
    fn signed(&mut self, negative: bool) -> Result<Expr, ParseError> {
        let token = self.peek();
        let signable = matches!(
            token.kind,
            Kind::Number | Kind::Integer | Kind::Duration | Kind::LeftParen | Kind::Ident
        );
        if !signable {
            return Err(expected(&token, &["identifier", "number", "duration", "("]));
        }
        let operand = self.nested(Parser::operand)?;
        let sign = if negative { -1 } else { 1 };
        Ok(match operand {
            // Adding zero takes the sign from a zero, which would not be read back.
            Expr::Number(number) if negative => Expr::Number(-number + 0.0),
            Expr::Number(number) => Expr::Number(number),
            Expr::Int(number) => Expr::Int(number * sign),
            Expr::Duration(nanos) => Expr::Duration(nanos * sign),
            Expr::UInt(number) if !negative => Expr::UInt(number),
            Expr::UInt(number) if number == i64::MIN.unsigned_abs() => Expr::Int(i64::MIN),
            Expr::UInt(number) => {
                return Err(ParseError::message(format!("constant -{number} underflows int64")));
            }
            other => {
                Expr::Row { first: Box::new(Expr::Int(sign)), rest: vec![(Operator::Mul, other)] }
            }
        })
    }
}

fn integer(token: &Token) -> Result<Expr, ParseError> {
    if let Ok(number) = token.text.parse() {
        return Ok(Expr::Int(number));
    }
    match token.text.parse() {
        Ok(number) => Ok(Expr::UInt(number)),
        Err(_) => Err(ParseError::at("unable to parse integer", token.at)),
    }
}

/// Gives the first operator that has no place in the list of fields.
pub(super) fn comparison(expr: &Expr) -> Option<Operator> {
    match expr {
        Expr::Row { first, rest } => rest
            .iter()
            .map(|(operator, _)| *operator)
            .find(|operator| !operator.is_math())
            .or_else(|| comparison(first))
            .or_else(|| rest.iter().find_map(|(_, operand)| comparison(operand))),
        Expr::Paren(inner) => comparison(inner),
        Expr::Call { arguments, .. } => arguments.iter().find_map(comparison),
        _ => None,
    }
}

/// Says what Go says about a pattern that is wrong.
///
/// Only the syntax is looked at: InfluxDB runs the pattern, so nothing is compiled here.
pub(super) fn check_pattern(pattern: &str) -> Result<(), String> {
    use regex_syntax::ast::{ErrorKind, parse::ParserBuilder};

    let parsed = ParserBuilder::new().nest_limit(NEST_MAX).build().parse(pattern);
    let Err(error) = parsed else {
        return Ok(());
    };
    let span = error.span();
    let part = pattern.get(span.start.offset..span.end.offset).unwrap_or(pattern);
    let from = pattern.get(span.start.offset..).unwrap_or(pattern);
    let (cause, part) = match error.kind() {
        ErrorKind::GroupUnclosed => ("missing closing )", pattern),
        ErrorKind::GroupUnopened => ("unexpected )", pattern),
        ErrorKind::ClassUnclosed => ("missing closing ]", from),
        ErrorKind::ClassRangeInvalid => ("invalid character class range", part),
        ErrorKind::RepetitionMissing => ("missing argument to repetition operator", part),
        ErrorKind::RepetitionCountInvalid => ("invalid repeat count", part),
        ErrorKind::EscapeUnexpectedEof => ("trailing backslash at end of expression", ""),
        ErrorKind::EscapeUnrecognized => ("invalid escape sequence", part),
        ErrorKind::UnsupportedLookAround | ErrorKind::FlagUnrecognized => {
            ("invalid or unsupported Perl syntax", part)
        }
        ErrorKind::NestLimitExceeded(_) => ("expression nests too deeply", pattern),
        other => return Err(format!("error parsing regexp: {other}: `{part}`")),
    };
    Err(format!("error parsing regexp: {cause}: `{part}`"))
}

/// Source: Go refuses patterns that nest deeper than 1,000; ours is kept on the stack.
const NEST_MAX: u32 = 250;
