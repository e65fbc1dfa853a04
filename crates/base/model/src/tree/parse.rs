//! The strict JSON parser: one pass, no recursion, a node per value.
//!
//! Positions are plain numbers that go in and come back, and the parser itself never changes, so that
//! everything stays in registers. What is read of the text is passed on and not read again.

use thiserror::Error;

use super::{
    DIRTY, ESCAPED, KEY_ESCAPED, MAX_DEPTH, NONE, Node, NodeId, NodeKind, Tree, key_head_in,
};
use crate::scan::{Stops, digits_stop, string_stop};

/// Why a text is not one JSON value.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ParseError {
    /// A byte stands where it may not.
    #[error("invalid JSON at byte {at}: expected {expected}")]
    Unexpected {
        /// Offset in the payload, from zero.
        at: u32,
        /// What would have been right.
        expected: &'static str,
    },
    /// The text ends too early.
    #[error("invalid JSON: the text ends at byte {at} where {expected} is expected")]
    Truncated {
        /// Offset in the payload, from zero.
        at: u32,
        /// What is missing.
        expected: &'static str,
    },
    /// Too many nested arrays and objects.
    #[error("invalid JSON at byte {at}: nesting is deeper than {MAX_DEPTH} levels")]
    TooDeep {
        /// Offset in the payload, from zero.
        at: u32,
    },
    /// The bytes are not UTF-8.
    #[error("invalid JSON: not UTF-8 from byte {at} on")]
    NotUtf8 {
        /// Offset in the payload, from zero.
        at: u32,
    },
}

impl Tree {
    /// Parses `text[start..end]` as one JSON value and gives its root.
    ///
    /// The bytes must be UTF-8 already (see [`crate::RecordBatch::parse`]); everything else about
    /// them is checked here. Offsets in errors count from `start`. After an error the tree is as before.
    pub fn parse(&mut self, text: &[u8], start: u32, end: u32) -> Result<NodeId, ParseError> {
        let root = self.nodes.len();
        self.stack.clear();
        let parser = Parser { text: &text[..end as usize], beyond: text, origin: start };
        match parser.document(&mut self.nodes, &mut self.stack) {
            Ok(()) => Ok(NodeId(root as u32)),
            Err(fault) => {
                self.nodes.truncate(root);
                Err(fault)
            }
        }
    }

    /// Parses a literal that was appended to the text and makes it the value of `id`.
    ///
    /// Key, place and gap of the node stay. Source of the literal: a configuration that was checked
    /// when the flow was built, or the printed form of another node; an error leaves the node alone.
    pub(crate) fn adopt(
        &mut self,
        text: &[u8],
        id: NodeId,
        start: u32,
        end: u32,
    ) -> Result<(), ParseError> {
        let root = self.parse(text, start, end)?;
        let parsed = self.nodes[root.0 as usize];
        let node = &mut self.nodes[id.0 as usize];
        node.kind = parsed.kind;
        node.start = parsed.start;
        node.end = parsed.end;
        node.child = parsed.child;
        node.flags =
            (node.flags & !(ESCAPED | DIRTY | super::SYNTHETIC)) | (parsed.flags & ESCAPED);
        Ok(())
    }
}

struct Parser<'t> {
    /// The text up to the end of the record.
    text: &'t [u8],
    /// The same with what stands behind the record.
    beyond: &'t [u8],
    /// Where the record begins.
    origin: u32,
}

/// The beginning of a value: a scalar whole, of a container its bracket.
struct Token {
    kind: NodeKind,
    flags: u8,
    end: usize,
}

impl<'t> Parser<'t> {
    fn document(&self, nodes: &mut Vec<Node>, stack: &mut Vec<u32>) -> Result<(), ParseError> {
        let mut stops = Stops::new(self.beyond, self.origin as usize);
        let (start, byte) = self.next(self.origin as usize);
        let token = self.value(start, byte, &mut stops)?;
        let root = nodes.len() as u32;
        nodes.push(node(Key::NONE, start, &token));
        let mut at = token.end;
        if is_container(token.kind) {
            let is_object = token.kind == NodeKind::Object;
            at = self.members(nodes, stack, (root, is_object), at, &mut stops)?;
        }
        at = self.next(at).0;
        if at < self.text.len() {
            return Err(self.unexpected(at, "the end of the text"));
        }
        Ok(())
    }

    /// Parses from behind the opening bracket of the root to behind the closing one.
    #[inline(always)]
    fn members(
        &self,
        nodes: &mut Vec<Node>,
        stack: &mut Vec<u32>,
        (mut container, mut is_object): (u32, bool),
        mut at: usize,
        stops: &mut Stops<'t>,
    ) -> Result<usize, ParseError> {
        let mut last = NONE;
        loop {
            let mut byte;
            (at, byte) = self.next(at);
            if byte == b',' && last != NONE {
                (at, byte) = self.next(at + 1);
            } else if byte == if is_object { b'}' } else { b']' } {
                at += 1;
                let node = &mut nodes[container as usize];
                node.end = at as u32;
                node.gap_end = at as u32;
                let Some(outer) = stack.pop() else { return Ok(at) };
                last = container;
                container = outer;
                is_object = nodes[outer as usize].kind == NodeKind::Object;
                continue;
            } else if last != NONE || at >= self.text.len() {
                return Err(self.unclosed(at, is_object));
            }
            let mut key = Key::NONE;
            if is_object {
                if byte != b'"' {
                    return Err(self.missing(at, "a member name in quotes"));
                }
                key = self.key(at, stops)?;
                (at, byte) = self.next(key.end as usize);
                if byte != b':' {
                    return Err(self.missing(at, "`:`"));
                }
                (at, byte) = self.next(at + 1);
            }
            let token = self.value(at, byte, stops)?;
            let child = nodes.len() as u32;
            nodes.push(node(key, at, &token));
            at = token.end;
            match last {
                NONE => nodes[container as usize].child = child,
                last => nodes[last as usize].next = child,
            }
            last = child;
            if is_container(token.kind) {
                if stack.len() + 1 >= MAX_DEPTH {
                    return Err(ParseError::TooDeep { at: at as u32 - self.origin });
                }
                stack.push(container);
                container = child;
                last = NONE;
                is_object = token.kind == NodeKind::Object;
            }
        }
    }

    /// Gives the byte at `at`; zero, which begins nothing and ends everything, at the end of the record.
    #[inline(always)]
    fn byte(&self, at: usize) -> u8 {
        self.text.get(at).copied().unwrap_or(0)
    }

    /// Gives the place of the next byte that is no white space, and the byte.
    #[inline(always)]
    fn next(&self, at: usize) -> (usize, u8) {
        let byte = self.byte(at);
        if byte > b' ' {
            return (at, byte);
        }
        let at = self.skip_some_space(at);
        (at, self.byte(at))
    }

    #[inline(never)]
    fn skip_some_space(&self, mut at: usize) -> usize {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.text.get(at) {
            at += 1;
        }
        at
    }

    #[inline(always)]
    fn key(&self, at: usize, stops: &mut Stops<'t>) -> Result<Key, ParseError> {
        let (end, is_escaped) = self.string(at, stops)?;
        Ok(Key {
            start: at as u32,
            end: end as u32,
            flags: if is_escaped { KEY_ESCAPED } else { 0 },
            head: key_head_in(self.beyond, at + 1, end - 1),
        })
    }

    /// Parses the value that begins with `byte`.
    #[inline(always)]
    fn value(&self, at: usize, byte: u8, stops: &mut Stops<'t>) -> Result<Token, ParseError> {
        if byte == b'"' {
            let (end, is_escaped) = self.string(at, stops)?;
            let flags = if is_escaped { ESCAPED } else { 0 };
            return Ok(Token { kind: NodeKind::String, flags, end });
        }
        if byte == b'-' || byte.is_ascii_digit() {
            return Ok(Token { kind: NodeKind::Number, flags: 0, end: self.number(at, byte)? });
        }
        let (kind, end) = match byte {
            b'{' => (NodeKind::Object, at + 1),
            b'[' => (NodeKind::Array, at + 1),
            b't' => (NodeKind::True, self.word(at, b"true")?),
            b'f' => (NodeKind::False, self.word(at, b"false")?),
            b'n' => (NodeKind::Null, self.word(at, b"null")?),
            _ => return Err(self.missing(at, "a value")),
        };
        Ok(Token { kind, flags: 0, end })
    }

    /// Skips a string from its opening quote on; tells whether it holds escapes.
    #[inline(always)]
    fn string(&self, at: usize, stops: &mut Stops<'t>) -> Result<(usize, bool), ParseError> {
        let stop = stops.find(at + 1);
        if self.byte(stop) == b'"' { Ok((stop + 1, false)) } else { self.odd_string(stop) }
    }

    /// Goes on with a string at a byte that is no closing quote.
    #[inline(never)]
    fn odd_string(&self, mut at: usize) -> Result<(usize, bool), ParseError> {
        let mut is_escaped = false;
        loop {
            match self.text.get(at) {
                Some(b'"') => return Ok((at + 1, is_escaped)),
                Some(b'\\') => {
                    is_escaped = true;
                    at = self.escape(at)?;
                }
                Some(_) => {
                    return Err(self.unexpected(at, "no control character inside a string"));
                }
                None => return Err(self.truncated("the closing quote of a string")),
            }
            at = string_stop(self.beyond, at);
        }
    }

    #[inline(always)]
    fn escape(&self, at: usize) -> Result<usize, ParseError> {
        match self.text.get(at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
            Some(b'u') => match self.text.get(at + 2..at + 6) {
                Some(hex) if hex.iter().all(u8::is_ascii_hexdigit) => Ok(at + 6),
                Some(_) => Err(self.unexpected(at, "four hexadecimal digits after `\\u`")),
                None => Err(self.truncated_at(at, "four hexadecimal digits")),
            },
            Some(_) => Err(self.unexpected(at, "a valid escape after the backslash")),
            None => Err(self.truncated_at(at, "an escape")),
        }
    }

    #[inline(always)]
    fn number(&self, at: usize, mut byte: u8) -> Result<usize, ParseError> {
        let mut first = at;
        if byte == b'-' {
            first += 1;
            byte = self.byte(first);
        }
        let mut at = match byte {
            b'0' => first + 1,
            b'1'..=b'9' => self.digits(first + 1),
            _ => return Err(self.missing(first, "a digit")),
        };
        let mut byte = self.byte(at);
        if byte == b'.' {
            at = self.some_digits(at + 1)?;
            byte = self.byte(at);
        }
        if let b'e' | b'E' = byte {
            at += 1;
            at += usize::from(matches!(self.byte(at), b'+' | b'-'));
            at = self.some_digits(at)?;
        }
        Ok(at)
    }

    #[inline(always)]
    fn digits(&self, at: usize) -> usize {
        digits_stop(self.beyond, at).min(self.text.len())
    }

    #[inline(always)]
    fn some_digits(&self, at: usize) -> Result<usize, ParseError> {
        let end = self.digits(at);
        if end > at { Ok(end) } else { Err(self.missing(at, "a digit")) }
    }

    fn word(&self, at: usize, word: &'static [u8]) -> Result<usize, ParseError> {
        match self.text[at..].starts_with(word) {
            true => Ok(at + word.len()),
            false => Err(self.unexpected(at, "a value (`true`, `false` or `null`)")),
        }
    }

    /// Makes the error for something that is not there: because the text ends, or something else stands there.
    #[cold]
    fn missing(&self, at: usize, expected: &'static str) -> ParseError {
        if at < self.text.len() {
            return self.unexpected(at, expected);
        }
        let expected = match expected {
            "a member name in quotes" => "a member name",
            other => other,
        };
        self.truncated_at(at, expected)
    }

    #[cold]
    fn unclosed(&self, at: usize, is_object: bool) -> ParseError {
        match (at < self.text.len(), is_object) {
            (true, true) => self.unexpected(at, "`,` or `}`"),
            (true, false) => self.unexpected(at, "`,` or `]`"),
            (false, true) => self.truncated_at(at, "`}`"),
            (false, false) => self.truncated_at(at, "`]`"),
        }
    }

    #[cold]
    fn unexpected(&self, at: usize, expected: &'static str) -> ParseError {
        ParseError::Unexpected { at: at as u32 - self.origin, expected }
    }

    #[cold]
    fn truncated(&self, expected: &'static str) -> ParseError {
        self.truncated_at(self.text.len(), expected)
    }

    #[cold]
    fn truncated_at(&self, at: usize, expected: &'static str) -> ParseError {
        ParseError::Truncated { at: at as u32 - self.origin, expected }
    }
}

/// A member's key: its span with the quotes, flags and first bytes.
struct Key {
    start: u32,
    end: u32,
    flags: u8,
    head: u64,
}

impl Key {
    const NONE: Key = Key { start: NONE, end: 0, flags: 0, head: 0 };
}

#[inline(always)]
fn node(key: Key, start: usize, token: &Token) -> Node {
    // A container ends when its bracket is found.
    let end = if is_container(token.kind) { 0 } else { token.end as u32 };
    Node {
        kind: token.kind,
        flags: key.flags | token.flags,
        head: key.head,
        key: key.start,
        key_end: key.end,
        start: start as u32,
        end,
        original: start as u32,
        gap_end: end,
        next: NONE,
        child: NONE,
    }
}

#[inline(always)]
fn is_container(kind: NodeKind) -> bool {
    matches!(kind, NodeKind::Object | NodeKind::Array)
}
