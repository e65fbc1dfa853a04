//! Reads the words of a filter into its tree.
//!
//! ```text
//! statements = { ";" } [ where { ";" { ";" } [ where ] } ]
//! where      = "{" [ element ] { "," [ element ] } "}"          all of them
//! element    = binary | "(" expr ")"                            in strict mode also a call
//! expr       = operand | "(" expr ")" | binary | call { "." call }
//! binary     = expr operator expr | column list-operator "[" … "]"
//! ```
//! From loose to tight: `or`, `and`, comparisons, `+ -`, `* / %`, `^`; all from the left but `^`.
//!
//! After the first word that does not fit nothing more is understood, but the rest is still read for what is wrong
//! with the words themselves, such as a parenthesis that is left open; upstream reports both.

use super::DEPTH_MAX;
use super::ast::{Call, Kind, Literal, Node, Offset, Statements};
use super::error::Problem;
use super::lexer::Lexer;
use super::number::{self, Number};
use super::token::{ListOperator, Operator, Token, Word};
use super::{Compat, PROBLEMS_MAX};

/// Reads a filter.
///
/// - Errors: what is wrong with it is added to `problems`; the tree is there when nothing kept it from being read.
pub(super) fn parse(text: &str, compat: Compat, problems: &mut Vec<Problem>) -> Option<Statements> {
    let mut parser = Parser {
        text,
        lexer: Lexer::new(text, compat != Compat::Seed),
        token: None,
        depth: 0,
        is_strict: compat == Compat::Strict,
        problems,
    };
    let read = parser.advance().and_then(|()| parser.statements());
    if read.is_err() && parser.token.is_some() {
        parser.drain();
    }
    read.ok()
}

struct Parser<'t, 'p> {
    text: &'t str,
    lexer: Lexer<'t>,
    /// The next word; `None` behind a word that cannot be read.
    token: Option<Token<'t>>,
    depth: usize,
    is_strict: bool,
    problems: &'p mut Vec<Problem>,
}

/// Reading stopped; the problem is noted already.
struct Stopped;

type Read<T> = Result<T, Stopped>;

// === impl Parser ===

impl<'t> Parser<'t, '_> {
    fn statements(&mut self) -> Read<Statements> {
        let is_late = self.is_sign(';');
        let mut list = Vec::new();
        loop {
            while self.take(';')? {}
            if self.word() == Some(&Word::End) {
                return Ok(Statements { is_late, list });
            }
            list.push(self.elements()?);
            if !self.is_sign(';') && self.word() != Some(&Word::End) {
                return Err(self.unexpected());
            }
        }
    }

    fn elements(&mut self) -> Read<Vec<Node>> {
        self.expect('{')?;
        let mut elements = Vec::new();
        loop {
            while self.take(',')? {}
            if self.take('}')? {
                return Ok(elements);
            }
            let element = self.expression(0)?;
            let is_whole = match &element.kind {
                Kind::Binary(..) | Kind::Chain(..) | Kind::List { .. } | Kind::Parentheses(_) => {
                    true
                }
                Kind::Calls(_) => self.is_strict,
                _ => false,
            };
            if !is_whole || !(self.is_sign(',') || self.is_sign('}')) {
                return Err(self.unexpected());
            }
            elements.push(element);
        }
    }

    /// Reads operands and the operators between them that bind more tightly than `above`.
    fn expression(&mut self, above: u8) -> Read<Node> {
        let mut left = self.operand()?;
        loop {
            let operator = match self.word() {
                Some(Word::Operator(operator)) => *operator,
                Some(Word::Sign('*')) => Operator::Multiply,
                _ => return Ok(left),
            };
            let precedence = operator.precedence();
            if precedence <= above {
                return Ok(left);
            }
            self.advance()?;
            let right = match operator {
                Operator::Power => self.nested(|parser| parser.expression(precedence - 1))?,
                _ => self.expression(precedence)?,
            };
            left = self.joined(operator, left, right)?;
        }
    }

    fn joined(&mut self, operator: Operator, left: Node, right: Node) -> Read<Node> {
        let at = left.at;
        let kind = match operator {
            Operator::And | Operator::Or => match left.kind {
                Kind::Chain(known, mut operands) if known == operator => {
                    let depth = left.depth.max(right.depth + 1);
                    operands.push(right);
                    let longer = Node { kind: Kind::Chain(known, operands), at, depth };
                    return self.bounded(longer);
                }
                _ => Kind::Chain(operator, vec![left, right]),
            },
            _ => {
                let is_zero = match &right.kind {
                    Kind::Literal(Literal::Int(number)) => *number == 0,
                    Kind::Literal(Literal::Float(number)) => *number == 0.0,
                    _ => false,
                };
                if is_zero && matches!(operator, Operator::Divide | Operator::Modulo) {
                    // Upstream notices when it has read one word more.
                    let at = self.token.as_ref().map_or(self.text.len(), |token| token.at);
                    self.note(at, "division or modulo by zero");
                }
                Kind::Binary(operator, Box::new([left, right]))
            }
        };
        self.node(kind, at)
    }

    fn operand(&mut self) -> Read<Node> {
        let Some(token) = self.token.clone() else { return Err(Stopped) };
        let at = token.at;
        match token.word {
            Word::Sign('(') => {
                self.advance()?;
                let inner = self.nested(|parser| parser.expression(0))?;
                self.expect(')')?;
                self.node(Kind::Parentheses(Box::new(inner)), at)
            }
            Word::Name(_) | Word::Quoted(_) | Word::Identifier => {
                let name = self.name()?;
                match token.word {
                    Word::Name(name) if self.is_sign('(') => self.calls(name, at),
                    _ => self.column(name, at),
                }
            }
            Word::Re => {
                let pattern = self.in_parentheses()?;
                self.node(Kind::Regex(pattern), at)
            }
            _ => match self.simple()? {
                Some(node) => Ok(node),
                None => Err(self.unexpected()),
            },
        }
    }

    /// Reads a literal or `*`, if one stands here.
    fn simple(&mut self) -> Read<Option<Node>> {
        let Some(token) = self.token.clone() else { return Err(Stopped) };
        let kind = match token.word {
            Word::Text(text) => Kind::Literal(Literal::Str(text)),
            Word::True => Kind::Literal(Literal::Bool(true)),
            Word::False => Kind::Literal(Literal::Bool(false)),
            Word::Nil => Kind::Literal(Literal::Nil),
            Word::Sign('*') => Kind::Star,
            Word::Number => Kind::Literal(self.number(&token, false)?),
            Word::Operator(sign @ (Operator::Add | Operator::Subtract)) => {
                self.advance()?;
                match self.token.clone() {
                    Some(token) if token.word == Word::Number => {
                        Kind::Literal(self.number(&token, sign == Operator::Subtract)?)
                    }
                    _ => return Err(self.unexpected()),
                }
            }
            _ => return Ok(None),
        };
        self.advance()?;
        self.node(kind, token.at).map(Some)
    }

    fn number(&mut self, token: &Token<'_>, is_negative: bool) -> Read<Literal> {
        match number::parse(token.text, is_negative) {
            Some(Number::Int(number)) => Ok(Literal::Int(number)),
            Some(Number::UInt(number)) => Ok(Literal::UInt(number)),
            Some(Number::Float(number)) => Ok(Literal::Float(number)),
            None => {
                self.note(token.at, &format!("number out of range: \"{}\"", token.text));
                Err(Stopped)
            }
        }
    }

    /// Reads what follows a key: more parts of it, or a list.
    fn column(&mut self, first: Box<str>, at: usize) -> Read<Node> {
        let column = self.key(first, at)?;
        match self.word() {
            Some(Word::ListOperator(operator)) => {
                let operator = *operator;
                self.advance()?;
                self.list(operator, column)
            }
            _ => Ok(column),
        }
    }

    /// Reads the parts of a key behind the first one, which is taken already.
    fn key(&mut self, first: Box<str>, at: usize) -> Read<Node> {
        let mut parts = vec![first];
        while self.take('.')? {
            parts.push(self.name()?);
        }
        let kind = match <[Box<str>; 1]>::try_from(parts) {
            Ok([name]) => Kind::Column(name),
            Err(parts) => Kind::Dotted(parts),
        };
        self.node(kind, at)
    }

    fn name(&mut self) -> Read<Box<str>> {
        let name = match self.word() {
            Some(Word::Name(name) | Word::Quoted(name)) => Box::from(*name),
            Some(Word::Identifier) => return self.in_parentheses(),
            _ => return Err(self.unexpected()),
        };
        self.advance()?;
        Ok(name)
    }

    fn list(&mut self, operator: ListOperator, column: Node) -> Read<Node> {
        self.expect('[')?;
        let mut items = Vec::new();
        if !self.is_strict && self.is_sign(',') {
            // The first item may be left out.
        } else if !self.is_sign(']') {
            items.push(self.item()?);
        }
        while self.take(',')? {
            if self.is_strict && self.is_sign(']') {
                break;
            }
            items.push(self.item()?);
        }
        if !self.is_sign(']') {
            return Err(self.unexpected());
        }
        let close = self.token.as_ref().map_or(0, |token| token.at);
        let mut strays = items.iter().filter_map(|item| match &item.kind {
            _ if !operator.takes_patterns() => None,
            Kind::Literal(Literal::Str(_)) => None,
            kind => Some(name_of(kind)),
        });
        if let Some(kind) = strays.next() {
            let message = format!("invalid element type in CONTAIN/NOT_CONTAIN list: {kind}");
            self.note(close, &message);
        }
        self.advance()?;
        let at = column.at;
        let column = Box::new(column);
        self.node(Kind::List { operator, column, items, close: Offset(close) }, at)
    }

    fn item(&mut self) -> Read<Node> {
        if let Some(item) = self.simple()? {
            return Ok(item);
        }
        let at = self.token.as_ref().map_or(0, |token| token.at);
        let first = self.name()?;
        self.key(first, at)
    }

    /// Reads `('text')` behind a word; a pattern may stand in back quotes as well.
    fn in_parentheses(&mut self) -> Read<Box<str>> {
        let is_pattern = self.word() == Some(&Word::Re);
        self.advance()?;
        self.expect('(')?;
        let text = match self.token.clone().map(|token| token.word) {
            Some(Word::Text(text)) => text,
            Some(Word::Quoted(text)) if is_pattern => text.into(),
            _ => return Err(self.unexpected()),
        };
        self.advance()?;
        self.expect(')')?;
        Ok(text)
    }

    /// Reads calls joined by dots; the name of the first is taken already.
    fn calls(&mut self, first: &'t str, at: usize) -> Read<Node> {
        let mut calls = Vec::new();
        let mut name = first;
        loop {
            let arguments = self.nested(Parser::arguments)?;
            calls.push(Call { name: name.into(), arguments });
            if !self.take('.')? {
                return self.node(Kind::Calls(calls), at);
            }
            name = match self.word() {
                Some(Word::Name(name)) => name,
                _ => return Err(self.unexpected()),
            };
            self.advance()?;
            if !self.is_sign('(') {
                return Err(self.unexpected());
            }
        }
    }

    fn arguments(&mut self) -> Read<Vec<Node>> {
        self.expect('(')?;
        let mut arguments = Vec::new();
        if self.take(')')? {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.expression(0)?);
            if !self.take(',')? {
                self.expect(')')?;
                return Ok(arguments);
            }
        }
    }

    /// Reads something one level further in.
    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Read<T>) -> Read<T> {
        if self.depth == DEPTH_MAX {
            return Err(self.too_deep(self.token.as_ref().map_or(0, |token| token.at)));
        }
        self.depth += 1;
        let read = read(self)?;
        self.depth -= 1;
        Ok(read)
    }

    fn node(&mut self, kind: Kind, at: usize) -> Read<Node> {
        self.bounded(Node::new(kind, at))
    }

    fn bounded(&mut self, node: Node) -> Read<Node> {
        if node.depth > DEPTH_MAX { Err(self.too_deep(node.at)) } else { Ok(node) }
    }

    fn too_deep(&mut self, at: usize) -> Stopped {
        self.note(at, &format!("nested too deeply: more than {DEPTH_MAX} levels"));
        Stopped
    }

    fn word(&self) -> Option<&Word<'t>> {
        self.token.as_ref().map(|token| &token.word)
    }

    fn is_sign(&self, sign: char) -> bool {
        self.word() == Some(&Word::Sign(sign))
    }

    fn take(&mut self, sign: char) -> Read<bool> {
        let is_here = self.is_sign(sign);
        if is_here {
            self.advance()?;
        }
        Ok(is_here)
    }

    fn expect(&mut self, sign: char) -> Read<()> {
        if self.take(sign)? { Ok(()) } else { Err(self.unexpected()) }
    }

    fn unexpected(&mut self) -> Stopped {
        if let Some(token) = &self.token {
            let message = format!("unexpected: {}", token.description());
            let at = token.at;
            self.note(at, &message);
        }
        Stopped
    }

    fn note(&mut self, at: usize, message: &str) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem::new(self.text, at, message));
        }
    }

    fn advance(&mut self) -> Read<()> {
        match self.lexer.next() {
            Ok(token) => {
                self.token = Some(token);
                Ok(())
            }
            Err(problem) => {
                self.token = None;
                self.problems.push(problem);
                Err(Stopped)
            }
        }
    }

    /// Reads the rest for what is wrong with its words.
    fn drain(&mut self) {
        while self.word().is_some_and(|word| *word != Word::End) && self.advance().is_ok() {}
    }
}

/// Gives what an error calls an item of a list.
fn name_of(kind: &Kind) -> &'static str {
    match kind {
        Kind::Literal(Literal::Int(_) | Literal::UInt(_) | Literal::Float(_)) => "number",
        Kind::Literal(Literal::Bool(_)) => "boolean",
        Kind::Literal(Literal::Nil) => "nil",
        Kind::Star => "star",
        _ => "identifier",
    }
}
