//! From text to tests.

use regex::RegexBuilder;

use super::{DEPTH_MAX, Expr, Operand, REGEX_BYTES_MAX, REGEX_COUNT_MAX, TEXT_MAX, Test};
use crate::error::SyntaxError;
use crate::literal::Literal;
use crate::path::{Path, closing_quote, unquote};

pub(super) fn compile(text: &str) -> Result<Expr, SyntaxError> {
    if text.len() > TEXT_MAX {
        let message = format!("the condition is longer than {TEXT_MAX} bytes");
        return Err(SyntaxError::new(text, 0, message));
    }
    if text.trim().is_empty() {
        return Err(SyntaxError::blank());
    }
    let mut parser = Parser { text, at: 0, depth: 0, regexes: 0 };
    let expr = parser.expr()?;
    match parser.peek() {
        None => Ok(expr),
        Some(b')') => Err(parser.error("`)` without `(`")),
        Some(_) => Err(parser.unexpected()),
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
    regexes: usize,
}

/// The signs between an operand and a value.
#[derive(Clone, Copy)]
enum Operator {
    Compare(fn(Literal) -> Test),
    Match(bool),
    In(bool),
}

/// Longer signs come first.
const SIGNS: &[(&str, Operator)] = &[
    ("==", Operator::Compare(Test::Equal)),
    ("!=", Operator::Compare(Test::NotEqual)),
    ("=~", Operator::Match(true)),
    ("!~", Operator::Match(false)),
    ("<=", Operator::Compare(Test::AtMost)),
    (">=", Operator::Compare(Test::AtLeast)),
    ("<", Operator::Compare(Test::Below)),
    (">", Operator::Compare(Test::Above)),
];

impl<'t> Parser<'t> {
    fn expr(&mut self) -> Result<Expr, SyntaxError> {
        let first = self.all()?;
        let mut parts = vec![first];
        while self.take("||") {
            parts.push(self.all()?);
        }
        Ok(one_or(parts, Expr::Any))
    }

    fn all(&mut self) -> Result<Expr, SyntaxError> {
        let first = self.unary()?;
        let mut parts = vec![first];
        while self.take("&&") {
            parts.push(self.unary()?);
        }
        Ok(one_or(parts, Expr::All))
    }

    fn unary(&mut self) -> Result<Expr, SyntaxError> {
        self.skip_blanks();
        if self.depth >= DEPTH_MAX {
            return Err(
                self.error(format!("the condition is nested deeper than {DEPTH_MAX} levels"))
            );
        }
        match self.peek() {
            Some(b'!') => {
                self.at += 1;
                self.depth += 1;
                let inner = self.unary()?;
                self.depth -= 1;
                Ok(Expr::Not(Box::new(inner)))
            }
            Some(b'(') => {
                let open = self.at;
                self.at += 1;
                self.depth += 1;
                let inner = self.expr()?;
                self.depth -= 1;
                if !self.take(")") {
                    return match self.peek() {
                        None => Err(SyntaxError::new(self.text, open, "`(` is not closed")),
                        Some(_) => Err(self.unexpected()),
                    };
                }
                Ok(inner)
            }
            _ => self.test(),
        }
    }

    fn test(&mut self) -> Result<Expr, SyntaxError> {
        if let Some(b'"' | b'\'') = self.peek() {
            return Err(self
                .error("a path is expected before a quote")
                .hint("write the path on the left: `$.status == 'active'`"));
        }
        if let Some(operand) = self.exists()? {
            return Ok(Expr::Test(operand, Test::Exists));
        }
        let start = self.at;
        let operator = self.scan_operand()?;
        let operand = self.operand(start, self.at)?;
        let test = match operator {
            None => Test::Truthy,
            Some((sign, operator)) => {
                self.at += sign.len();
                self.right_side(sign, operator)?
            }
        };
        self.skip_blanks();
        match self.peek() {
            None | Some(b')') => {}
            _ if self.is_connective() => {}
            _ => return Err(self.unexpected()),
        }
        Ok(Expr::Test(operand, test))
    }

    /// Reads `exists(operand)`, if that is what stands here.
    fn exists(&mut self) -> Result<Option<Operand>, SyntaxError> {
        let Some(rest) = self.text[self.at..].strip_prefix("exists") else {
            return Ok(None);
        };
        let rest = rest.trim_start_matches(is_blank);
        if !rest.starts_with('(') {
            return Ok(None);
        }
        let open = self.text.len() - rest.len();
        self.at = open + 1;
        self.skip_blanks();
        let start = self.at;
        if self.scan_operand()?.is_some() {
            return Err(self.error("`exists` takes a path and no comparison"));
        }
        let operand = self.operand(start, self.at)?;
        if !self.take(")") {
            return Err(SyntaxError::new(self.text, open, "`(` is not closed"));
        }
        self.skip_blanks();
        if !matches!(self.peek(), None | Some(b')')) && !self.is_connective() {
            return Err(self.unexpected());
        }
        Ok(Some(operand))
    }

    fn operand(&self, start: usize, end: usize) -> Result<Operand, SyntaxError> {
        let written = self.text[start..end].trim_end_matches(is_blank);
        if written.is_empty() {
            return Err(SyntaxError::new(self.text, start, "a path is expected"));
        }
        if let Some(key) = written.strip_prefix("metadata.") {
            if key.is_empty() {
                return Err(SyntaxError::new(
                    self.text,
                    start,
                    "a key is expected after `metadata.`",
                )
                .hint("a payload member called `metadata` is `$.metadata`"));
            }
            return Ok(Operand::Meta(key.into()));
        }
        let columns = || self.text[..start].chars().count();
        let path = Path::compile(written).map_err(|error| error.shifted(columns()))?;
        Ok(Operand::Path(path))
    }

    /// Moves behind the operand and gives the operator that stands there, if one does.
    ///
    /// Nothing counts inside quotes, parentheses and brackets, or behind a backslash.
    fn scan_operand(&mut self) -> Result<Option<(&'t str, Operator)>, SyntaxError> {
        let bytes = self.text.as_bytes();
        let mut parentheses = Vec::new();
        while let Some(&byte) = bytes.get(self.at) {
            match byte {
                b'\\' => {
                    self.at += 1;
                    let escaped = self.text[self.at..].chars().next();
                    self.at += escaped.map_or(0, char::len_utf8);
                    continue;
                }
                b'"' | b'\'' => {
                    let Some(end) = closing_quote(self.text, self.at) else {
                        return Err(self
                            .error("the quote is not closed")
                            .hint("write a backslash before a quote that is part of a key"));
                    };
                    self.at = end;
                }
                b'(' => parentheses.push(self.at),
                b')' if parentheses.pop().is_none() => return Ok(None),
                _ if !parentheses.is_empty() => {}
                _ if self.is_connective() => return Ok(None),
                b'=' | b'!' | b'<' | b'>' => {
                    if let Some(found) = self.sign()? {
                        return Ok(Some(found));
                    }
                }
                b'i' | b'n' => {
                    if let Some(found) = self.word() {
                        return Ok(Some(found));
                    }
                }
                _ => {}
            }
            self.at += 1;
        }
        match parentheses.pop() {
            Some(open) => Err(SyntaxError::new(self.text, open, "`(` is not closed")),
            None => Ok(None),
        }
    }

    /// Reads an operator of signs; a single `=` or `!` inside a key is none.
    fn sign(&self) -> Result<Option<(&'t str, Operator)>, SyntaxError> {
        let rest = &self.text[self.at..];
        let Some((sign, operator)) = SIGNS.iter().find(|(sign, _)| rest.starts_with(sign)) else {
            let is_mistaken = rest.starts_with('=') && ends_sign(&rest[1..]);
            return match is_mistaken {
                true => Err(self.error("`=` is not an operator").hint("write `==`")),
                false => Ok(None),
            };
        };
        if !ends_sign(&rest[sign.len()..]) {
            return Err(self.error(format!("`{sign}` needs a blank or a quote behind it")).hint(format!(
                "put blanks around `{sign}`, or write a backslash before it when it is part of a key"
            )));
        }
        Ok(Some((sign, *operator)))
    }

    /// Reads `in` or `not in` between a blank and a parenthesis.
    fn word(&self) -> Option<(&'t str, Operator)> {
        let before = self.text[..self.at].chars().next_back()?;
        if !is_blank(before) {
            return None;
        }
        let rest = &self.text[self.at..];
        let (words, expected) = match rest.strip_prefix("not") {
            Some(after) if after.starts_with(is_blank) => {
                (after.trim_start_matches(is_blank), false)
            }
            _ => (rest, true),
        };
        let list = words.strip_prefix("in")?;
        let is_list = list.trim_start_matches(is_blank).starts_with('(');
        let written = &rest[..rest.len() - list.len()];
        is_list.then_some((written, Operator::In(expected)))
    }

    fn right_side(&mut self, sign: &str, operator: Operator) -> Result<Test, SyntaxError> {
        self.skip_blanks();
        match operator {
            Operator::Compare(test) => Ok(test(self.value(sign, false)?)),
            Operator::Match(expected) => {
                let regex = self.regex(sign)?;
                Ok(Test::Match(Box::new(regex), expected))
            }
            Operator::In(expected) => Ok(Test::In(self.list()?, expected)),
        }
    }

    fn list(&mut self) -> Result<Box<[Literal]>, SyntaxError> {
        let open = self.at;
        self.at += 1;
        let mut values = Vec::new();
        loop {
            self.skip_blanks();
            values.push(self.value("in", true)?);
            if self.take(")") {
                return Ok(values.into());
            }
            if !self.take(",") {
                return match self.peek() {
                    None => Err(SyntaxError::new(self.text, open, "`(` is not closed")),
                    Some(_) => Err(self
                        .error("`,` or `)` is expected")
                        .hint("put a value that holds blanks in quotes")),
                };
            }
        }
    }

    fn value(&mut self, sign: &str, in_list: bool) -> Result<Literal, SyntaxError> {
        if let Some(b'"' | b'\'') = self.peek() {
            let inside = self.quoted()?;
            return Ok(Literal::quoted(&unquote(inside)));
        }
        let start = self.at;
        while let Some(character) = self.text[self.at..].chars().next() {
            let is_end = is_blank(character)
                || character == ')'
                || (in_list && character == ',')
                || self.is_connective();
            if is_end {
                break;
            }
            self.at += character.len_utf8();
        }
        let written = &self.text[start..self.at];
        let problem = |message: String| SyntaxError::new(self.text, start, message);
        if written.is_empty() {
            return Err(problem(format!("a value is expected after `{sign}`"))
                .hint("write `''` for the empty text"));
        }
        if written.starts_with("$.") || written.starts_with("$[") {
            return Err(problem("the right side is a value, not a path".into())
                .hint(format!("write '{written}' in quotes if it is a text")));
        }
        Ok(Literal::bare(written))
    }

    fn quoted(&mut self) -> Result<&'t str, SyntaxError> {
        let Some(end) = closing_quote(self.text, self.at) else {
            return Err(self.error("the quote is not closed"));
        };
        let inside = &self.text[self.at + 1..end];
        self.at = end + 1;
        Ok(inside)
    }

    fn regex(&mut self, sign: &str) -> Result<regex::Regex, SyntaxError> {
        let start = self.at;
        let quote = match self.peek() {
            Some(b'\'') => "'",
            Some(b'"') => "\"",
            _ => {
                return Err(self.error(format!("a regex in quotes is expected after `{sign}`")));
            }
        };
        let pattern = self.quoted()?.replace(&format!("\\{quote}"), quote);
        self.regexes += 1;
        if self.regexes > REGEX_COUNT_MAX {
            let message = format!("there are more than {REGEX_COUNT_MAX} regexes");
            return Err(SyntaxError::new(self.text, start, message));
        }
        let built = RegexBuilder::new(&pattern).size_limit(REGEX_BYTES_MAX).build();
        built.map_err(|error| {
            // The last line of the message says what is wrong, the ones before draw the pattern.
            let message = error.to_string();
            let reason = message.lines().last().unwrap_or_default();
            let reason = reason.strip_prefix("error: ").unwrap_or(reason);
            SyntaxError::new(self.text, start, format!("the regex is not valid: {reason}"))
        })
    }

    fn is_connective(&self) -> bool {
        let rest = &self.text.as_bytes()[self.at..];
        rest.starts_with(b"&&") || rest.starts_with(b"||")
    }

    /// Takes a sign, with blanks before it, if it stands here.
    fn take(&mut self, sign: &str) -> bool {
        self.skip_blanks();
        let is_here = self.text[self.at..].starts_with(sign);
        if is_here {
            self.at += sign.len();
        }
        is_here
    }

    fn skip_blanks(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start_matches(is_blank).len();
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn error(&self, message: impl Into<String>) -> SyntaxError {
        SyntaxError::new(self.text, self.at, message)
    }

    fn unexpected(&self) -> SyntaxError {
        self.error("`&&`, `||` or the end is expected")
            .hint("put a value that holds blanks in quotes")
    }
}

fn one_or(mut parts: Vec<Expr>, many: fn(Box<[Expr]>) -> Expr) -> Expr {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        last => {
            parts.extend(last);
            many(parts.into())
        }
    }
}

/// Tells whether an operator may end here: before a blank, a quote, or nothing at all.
fn ends_sign(rest: &str) -> bool {
    match rest.chars().next() {
        Some(next) => is_blank(next) || matches!(next, '"' | '\'' | ')'),
        None => true,
    }
}

fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\r')
}
