//! Words to a tree.
//!
//! Two bounds keep every later walk over the tree safe, however it recurses: [`NESTING_MAX`] for what stands inside
//! each other in the text, [`DEPTH_MAX`] for the tree as a whole, where a chain or a sum of n parts is n levels deep.

use std::sync::Arc;

use levada_model::Str;

use super::ast::{Call, CallKind, Comment, Kind, Node, Operator, Position};
use super::error::ParseError;
use super::hint;
use super::lexer::Lexer;
use super::literal;
use super::token::{Token, TokenKind};

/// Longest script, bytes: a thousand times what people write.
pub const SCRIPT_BYTES_MAX: usize = 1 << 20;

/// Most parentheses, calls, lists, signs and lambdas inside each other.
pub const NESTING_MAX: u32 = 200;

/// Deepest tree: most steps of a chain or operators in a row, with what stands inside of them.
pub const DEPTH_MAX: u32 = 1_000;

/// Reads a script.
///
/// - Errors: with the text of the original, the place and, where there is one, a hint.
pub fn parse(text: &str) -> Result<Node, ParseError> {
    Parser::new(text)?.program()
}

/// Reads what stands behind `lambda:`, as the values of variables hold it.
///
/// The node is the expression itself, not a [`Kind::Lambda`].
pub fn parse_lambda(text: &str) -> Result<Node, ParseError> {
    let mut parser = Parser::new(text)?;
    let built = parser.primary_expression()?;
    match parser.peek() {
        TokenKind::Eof => Ok(built.node),
        _ => Err(parser.unexpected(&["EOF"])),
    }
}

/// Most patterns in a script; compiling one may take milliseconds.
pub const PATTERNS_MAX: u32 = 1_000;

/// What every primary may begin with, as messages list it.
const PRIMARY: [&str; 10] =
    ["number", "string", "duration", "identifier", "TRUE", "FALSE", "==", "(", "-", "!"];

const LIST_ITEM: [&str; 3] = ["identifier", "string", "*"];

/// Most bytes that a message shows on either side of a mistake.
const CONTEXT_BYTES: usize = 10;

struct Parser<'a> {
    text: &'a str,
    lexer: Lexer<'a>,
    /// The next word that is no comment.
    token: Token,
    /// Comments before `token` that belong to no node yet.
    comments: Option<Box<Comment>>,
    /// Offsets at which lines begin.
    lines: Vec<u32>,
    nesting: u32,
    patterns: u32,
    /// Open parentheses and brackets, for hints.
    open: Vec<Position>,
}

/// A node and how many levels it has.
struct Built {
    node: Node,
    depth: u32,
}

type Parsed = Result<Built, ParseError>;

// === impl Parser ===

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Result<Self, ParseError> {
        if text.len() > SCRIPT_BYTES_MAX {
            return Err(ParseError {
                position: Position { offset: 0, line: 1, column: 1 },
                end: 0,
                message: format!("parser: script is longer than {SCRIPT_BYTES_MAX} bytes"),
                hint: None,
            });
        }
        let newlines = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let mut parser = Parser {
            text,
            lexer: Lexer::new(text),
            token: Token { kind: TokenKind::Eof, start: 0, end: 0 },
            comments: None,
            lines: std::iter::once(0).chain(newlines.map(|(at, _)| at as u32 + 1)).collect(),
            nesting: 0,
            patterns: 0,
            open: Vec::new(),
        };
        parser.advance();
        Ok(parser)
    }

    fn program(mut self) -> Result<Node, ParseError> {
        let position = self.position_at(0);
        let mut statements = Vec::new();
        while self.token.kind != TokenKind::Eof {
            let statement = match self.peek() {
                TokenKind::Var => self.declaration()?,
                TokenKind::Dbrp => self.dbrp()?,
                _ => self.expression()?,
            };
            statements.push(statement.node);
        }
        let comment = self.comments.take();
        Ok(Node { position, comment, kind: Kind::Program(statements) })
    }

    fn declaration(&mut self) -> Parsed {
        let comment = self.comments.take();
        let position = self.take().0;
        let name = self.identifier()?;
        let (kind, depth) = match self.peek() {
            TokenKind::Assign => {
                self.take();
                let value = self.expression()?;
                let value_node = Box::new(value.node);
                (Kind::Declaration { name: Box::new(name), value: value_node }, value.depth)
            }
            _ => {
                let type_name = Box::new(self.identifier()?);
                (Kind::TypeDeclaration { name: Box::new(name), type_name }, 1)
            }
        };
        self.built(Node { position, comment, kind }, depth)
    }

    fn dbrp(&mut self) -> Parsed {
        let mut comment = self.comments.take();
        let position = self.take().0;
        let database = self.reference_text(&mut comment)?;
        self.expect(TokenKind::Operator(Operator::Dot))?;
        let retention = self.reference_text(&mut comment)?;
        self.built(Node { position, comment, kind: Kind::Dbrp { database, retention } }, 0)
    }

    fn expression(&mut self) -> Parsed {
        self.nested(|parser| match parser.peek() {
            TokenKind::Identifier => {
                let first = parser.name_or_call(CallKind::Global, Self::expression)?;
                match parser.peek() {
                    TokenKind::Operator(Operator::Pipe | Operator::Dot | Operator::At) => {
                        parser.chain(first)
                    }
                    _ => parser.binary(first, 0),
                }
            }
            TokenKind::Lambda => {
                let comment = parser.comments.take();
                let position = parser.take().0;
                let body = parser.primary_expression()?;
                let kind = Kind::Lambda(Arc::new(body.node));
                parser.built(Node { position, comment, kind }, body.depth)
            }
            TokenKind::BracketOpen => parser.list(),
            _ => parser.primary_expression(),
        })
    }

    fn chain(&mut self, first: Built) -> Parsed {
        let mut left = first;
        loop {
            let (operator, kind) = match self.peek() {
                TokenKind::Operator(Operator::Pipe) => (Operator::Pipe, CallKind::Chain),
                TokenKind::Operator(Operator::Dot) => (Operator::Dot, CallKind::Property),
                TokenKind::Operator(Operator::At) => (Operator::At, CallKind::Dynamic),
                _ => return Ok(left),
            };
            let comment = self.comments.take();
            let position = self.take().0;
            let right = self.name_or_call(kind, Self::expression)?;
            if operator == Operator::Pipe && !matches!(right.node.kind, Kind::Call(_)) {
                return Err(self.unexpected(&["("]));
            }
            let depth = left.depth.max(right.depth);
            let kind =
                Kind::Chain { operator, left: Box::new(left.node), right: Box::new(right.node) };
            left = self.built(Node { position, comment, kind }, depth)?;
        }
    }

    /// Reads a name and, if parentheses follow, its arguments by `argument`.
    fn name_or_call(&mut self, kind: CallKind, argument: fn(&mut Self) -> Parsed) -> Parsed {
        let mut node = self.identifier()?;
        if self.token.kind != TokenKind::ParenOpen {
            // `a@udf` without parentheses calls as well; the evaluator knows.
            return self.built(node, 0);
        }
        let Kind::Identifier(name) = node.kind else { return self.built(node, 0) };
        let mut depth = 0;
        let mut is_multi_line = false;
        let mut args = Vec::new();
        let inside = self.comments.take();
        add_comment(&mut node.comment, inside);
        self.take_open();
        while self.token.kind != TokenKind::ParenClose {
            let first = self.position();
            let built = argument(self)?;
            is_multi_line |= first.line > node.position.line;
            depth = depth.max(built.depth);
            args.push(built.node);
            if self.token.kind != TokenKind::Comma {
                break;
            }
            self.take();
        }
        let inside = self.comments.take();
        let close = self.expect(TokenKind::ParenClose)?;
        self.open.pop();
        // What is said before the closing parenthesis is said about the call.
        add_comment(&mut node.comment, inside);
        is_multi_line |= close.line > node.position.line;
        node.kind = Kind::Call(Call { kind, name, args, is_multi_line });
        self.built(node, depth)
    }

    fn list(&mut self) -> Parsed {
        let mut comment = self.comments.take();
        let position = self.take_open();
        let mut items = Vec::new();
        while self.token.kind != TokenKind::BracketClose {
            let item = match self.peek() {
                TokenKind::Identifier => self.identifier()?,
                TokenKind::String | TokenKind::Star => self.primary()?.node,
                _ => return Err(self.unexpected(&LIST_ITEM)),
            };
            items.push(item);
            if self.token.kind != TokenKind::Comma {
                break;
            }
            self.take();
        }
        let inside = self.comments.take();
        self.expect(TokenKind::BracketClose)?;
        self.open.pop();
        add_comment(&mut comment, inside);
        self.built(Node { position, comment, kind: Kind::List(items) }, 1)
    }

    fn primary_expression(&mut self) -> Parsed {
        self.nested(|parser| {
            let first = parser.primary()?;
            parser.binary(first, 0)
        })
    }

    /// Reads operators that bind at least as tightly as `least`, and their right operands.
    fn binary(&mut self, first: Built, least: u8) -> Parsed {
        let mut left = first;
        while let TokenKind::Operator(operator) = self.token.kind {
            let Some(precedence) = operator.precedence().filter(|own| *own >= least) else { break };
            let comment = self.comments.take();
            let position = self.take().0;
            let mut right = self.primary()?;
            while let TokenKind::Operator(next) = self.token.kind
                && let Some(tighter) = next.precedence().filter(|next| *next > precedence)
            {
                right = self.binary(right, tighter)?;
            }
            let depth = left.depth.max(right.depth);
            let is_multi_line = right.node.position.line > left.node.position.line
                // Its right side will stand on a line of its own, and this one below.
                || matches!(left.node.kind, Kind::Binary { is_multi_line: true, .. });
            let kind = Kind::Binary {
                operator,
                left: Box::new(left.node),
                right: Box::new(right.node),
                in_parens: false,
                is_multi_line,
            };
            left = self.built(Node { position, comment, kind }, depth)?;
        }
        Ok(left)
    }

    fn primary(&mut self) -> Parsed {
        match self.peek() {
            TokenKind::ParenOpen => self.parenthesized(),
            TokenKind::Operator(operator @ (Operator::Minus | Operator::Not)) => {
                let operator = *operator;
                self.nested(|parser| {
                    let comment = parser.comments.take();
                    let position = parser.take().0;
                    let operand = parser.primary()?;
                    let kind = Kind::Unary { operator, operand: Box::new(operand.node) };
                    parser.built(Node { position, comment, kind }, operand.depth)
                })
            }
            TokenKind::Identifier => self.name_or_call(CallKind::Global, Self::primary_expression),
            _ => self.literal(),
        }
    }

    fn parenthesized(&mut self) -> Parsed {
        let before = self.comments.take();
        self.take_open();
        let mut built = self.primary_expression()?;
        let inside = self.comments.take();
        self.expect(TokenKind::ParenClose)?;
        self.open.pop();
        if let Kind::Binary { in_parens, .. } = &mut built.node.kind {
            *in_parens = true;
        }
        let own = std::mem::replace(&mut built.node.comment, before);
        add_comment(&mut built.node.comment, own);
        add_comment(&mut built.node.comment, inside);
        Ok(built)
    }

    fn literal(&mut self) -> Parsed {
        let written = &self.text[self.token.start..self.token.end];
        let kind = match self.peek() {
            TokenKind::Number => literal::number(written),
            TokenKind::Duration => literal::duration(written),
            TokenKind::Regex if self.patterns == PATTERNS_MAX => {
                Err(format!("more than {PATTERNS_MAX} patterns"))
            }
            TokenKind::Regex => literal::regex(written),
            TokenKind::String => Ok(literal::string(written)),
            TokenKind::Reference => Ok(Kind::Reference(literal::reference(written))),
            TokenKind::True => Ok(Kind::Bool(true)),
            TokenKind::False => Ok(Kind::Bool(false)),
            TokenKind::Star => Ok(Kind::Star),
            _ => return Err(self.unexpected(&PRIMARY)),
        };
        let kind = kind.map_err(|cause| self.error(format!("parser: {cause}"), None))?;
        self.patterns += u32::from(matches!(kind, Kind::Regex(_)));
        let comment = self.comments.take();
        let position = self.take().0;
        self.built(Node { position, comment, kind }, 0)
    }

    fn identifier(&mut self) -> Result<Node, ParseError> {
        if self.token.kind != TokenKind::Identifier {
            return Err(self.unexpected(&["identifier"]));
        }
        let comment = self.comments.take();
        let (position, written) = self.take();
        Ok(Node { position, comment, kind: Kind::Identifier(written.into()) })
    }

    fn reference_text(&mut self, comment: &mut Option<Box<Comment>>) -> Result<Str, ParseError> {
        if self.token.kind != TokenKind::Reference {
            return Err(self.unexpected(&["reference"]));
        }
        add_comment(comment, self.comments.take());
        Ok(literal::reference(self.take().1))
    }

    /// Runs `parse` one level deeper.
    fn nested(&mut self, parse: impl FnOnce(&mut Self) -> Parsed) -> Parsed {
        if self.nesting == NESTING_MAX {
            return Err(self.too_deep(NESTING_MAX));
        }
        self.nesting += 1;
        let built = parse(self);
        self.nesting -= 1;
        built
    }

    /// Finishes a node above others that are `below` levels deep.
    fn built(&self, node: Node, below: u32) -> Parsed {
        if below >= DEPTH_MAX {
            return Err(self.too_deep(DEPTH_MAX));
        }
        Ok(Built { node, depth: below + 1 })
    }

    // --- words ---

    fn peek(&self) -> &TokenKind {
        &self.token.kind
    }

    fn expect(&mut self, kind: TokenKind) -> Result<Position, ParseError> {
        if self.token.kind != kind {
            return Err(self.unexpected(&[kind.name()]));
        }
        Ok(self.take().0)
    }

    /// Takes the opening parenthesis or bracket at hand.
    fn take_open(&mut self) -> Position {
        let position = self.take().0;
        self.open.push(position);
        position
    }

    /// Gives place and text of the word at hand and goes to the next one.
    fn take(&mut self) -> (Position, &'a str) {
        let position = self.position();
        let written = &self.text[self.token.start..self.token.end];
        self.advance();
        (position, written)
    }

    fn advance(&mut self) {
        loop {
            self.token = self.lexer.next();
            if self.token.kind != TokenKind::Comment {
                return;
            }
            let written = &self.text[self.token.start..self.token.end];
            let lines = written.lines().map(str::trim);
            let lines = lines.map(|line| line.strip_prefix("//").unwrap_or(line));
            let comment =
                Comment { position: self.position(), lines: lines.map(Str::from).collect() };
            add_comment(&mut self.comments, Some(Box::new(comment)));
        }
    }

    fn position(&self) -> Position {
        self.position_at(self.token.start)
    }

    fn position_at(&self, offset: usize) -> Position {
        let offset = offset as u32;
        let line = self.lines.partition_point(|start| *start <= offset);
        let start = self.lines[line - 1];
        Position { offset, line: line as u32, column: offset - start + 1 }
    }

    // --- mistakes ---

    fn unexpected(&self, expected: &[&str]) -> ParseError {
        let position = self.position();
        let list: Vec<String> = expected.iter().map(|name| format!("\"{name}\"")).collect();
        let message = format!(
            "parser: unexpected {} line {} char {} in \"{}\". expected: {}",
            self.token.kind.name(),
            position.line,
            position.column,
            self.context(),
            list.join(",")
        );
        let hint = hint::of(self.text, &self.token, expected, self.open.last().copied());
        self.error(message, hint)
    }

    fn too_deep(&self, most: u32) -> ParseError {
        let Position { line, column, .. } = self.position();
        self.error(
            format!("parser: more than {most} levels line {line} char {column}"),
            Some("split the expression or the chain with `var`".to_owned()),
        )
    }

    fn error(&self, message: String, hint: Option<String>) -> ParseError {
        ParseError { position: self.position(), end: self.token.end as u32, message, hint }
    }

    /// Gives the bytes around the word at hand; a letter that is cut shows as U+FFFD.
    fn context(&self) -> String {
        let bytes = self.text.as_bytes();
        let at = self.token.start;
        let before = &bytes[at.saturating_sub(CONTEXT_BYTES)..at];
        let before = before.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        let behind = &bytes[at..(at + CONTEXT_BYTES).min(bytes.len())];
        let behind = behind.split(|byte| *byte == b'\n').next().unwrap_or_default();
        String::from_utf8_lossy(&[before, behind].concat()).into_owned()
    }
}

/// Appends a comment to one that may be there already, as a block of its own.
fn add_comment(target: &mut Option<Box<Comment>>, more: Option<Box<Comment>>) {
    let Some(more) = more else { return };
    match target {
        Some(comment) => {
            comment.lines.push(Comment::BLOCK_END.into());
            comment.lines.extend(more.lines);
        }
        None => *target = Some(more),
    }
}

#[cfg(test)]
mod tests;
