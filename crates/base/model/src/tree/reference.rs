//! A second parser, byte by byte and without tricks, that the one in use is compared with.

use super::{MAX_DEPTH, NONE, NodeKind, ParseError};

/// A value in document order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) kind: NodeKind,
    pub(super) is_escaped: bool,
    pub(super) is_key_escaped: bool,
    pub(super) key: u32,
    pub(super) key_end: u32,
    pub(super) start: u32,
    pub(super) end: u32,
}

/// Parses `text[start..end]`.
pub(super) fn parse(text: &[u8], start: u32, end: u32) -> Result<Vec<Seen>, ParseError> {
    let mut parser = Parser { text: &text[..end as usize], at: start as usize, origin: start };
    let (mut nodes, mut stack) = (Vec::new(), Vec::new());
    parser.document(&mut nodes, &mut stack)?;
    Ok(nodes)
}

/// Byte classes of the tokenizer.
const SPACE: u8 = 1;
const DIGIT: u8 = 2;
/// Ends the fast run inside a string: a quote, a backslash or a control character.
const STOP: u8 = 4;

static CLASS: [u8; 256] = {
    let mut table = [0u8; 256];
    let mut byte = 0;
    while byte < 256 {
        let class = match byte as u8 {
            b' ' | b'\t' | b'\n' | b'\r' => SPACE,
            b'0'..=b'9' => DIGIT,
            _ => 0,
        };
        let stop = if byte < 0x20 || byte == 0x22 || byte == 0x5c { STOP } else { 0 };
        table[byte] = class | stop;
        byte += 1;
    }
    table
};

struct Parser<'t> {
    text: &'t [u8],
    at: usize,
    origin: u32,
}

impl Parser<'_> {
    fn document(
        &mut self,
        nodes: &mut Vec<Seen>,
        stack: &mut Vec<(u32, u32)>,
    ) -> Result<(), ParseError> {
        self.skip_space();
        let root = self.open_value(nodes, NONE, 0, 0)?;
        if is_open(nodes, root) {
            stack.push((root, NONE));
            self.containers(nodes, stack)?;
        }
        self.skip_space();
        if self.at < self.text.len() {
            return Err(self.unexpected("the end of the text"));
        }
        Ok(())
    }

    /// Parses until every container on the stack is closed.
    fn containers(
        &mut self,
        nodes: &mut Vec<Seen>,
        stack: &mut Vec<(u32, u32)>,
    ) -> Result<(), ParseError> {
        while let Some(&(container, last)) = stack.last() {
            let is_object = nodes[container as usize].kind == NodeKind::Object;
            self.skip_space();
            let close = if is_object { b'}' } else { b']' };
            match self.text.get(self.at) {
                Some(&byte) if byte == close => {
                    self.at += 1;
                    let end = self.at as u32;
                    let node = &mut nodes[container as usize];
                    node.end = end;
                    stack.pop();
                    continue;
                }
                Some(b',') if last != NONE => {
                    self.at += 1;
                    self.skip_space();
                }
                Some(_) if last == NONE => {}
                Some(_) if is_object => return Err(self.unexpected("`,` or `}`")),
                Some(_) => return Err(self.unexpected("`,` or `]`")),
                None if is_object => return Err(self.truncated("`}`")),
                None => return Err(self.truncated("`]`")),
            }
            let (key, key_end, key_flag) =
                if is_object { self.member_key()? } else { (NONE, 0, 0) };
            let child = self.open_value(nodes, key, key_end, key_flag)?;
            if let Some(top) = stack.last_mut() {
                top.1 = child;
            }
            if is_open(nodes, child) {
                if stack.len() >= MAX_DEPTH {
                    return Err(ParseError::TooDeep { at: self.offset() });
                }
                stack.push((child, NONE));
            }
        }
        Ok(())
    }

    fn member_key(&mut self) -> Result<(u32, u32, u8), ParseError> {
        match self.text.get(self.at) {
            Some(b'"') => {}
            Some(_) => return Err(self.unexpected("a member name in quotes")),
            None => return Err(self.truncated("a member name")),
        }
        let key = self.at as u32;
        let escaped = self.string()?;
        let key_end = self.at as u32;
        self.skip_space();
        match self.text.get(self.at) {
            Some(b':') => self.at += 1,
            Some(_) => return Err(self.unexpected("`:`")),
            None => return Err(self.truncated("`:`")),
        }
        self.skip_space();
        Ok((key, key_end, if escaped { 2 } else { 0 }))
    }

    /// Parses a scalar, or only the opening bracket of a container (its `end` is 0 until it closes).
    fn open_value(
        &mut self,
        nodes: &mut Vec<Seen>,
        key: u32,
        key_end: u32,
        key_flag: u8,
    ) -> Result<u32, ParseError> {
        let start = self.at as u32;
        let mut flags = key_flag;
        let kind = match self.text.get(self.at) {
            Some(b'"') => {
                if self.string()? {
                    flags |= 1;
                }
                NodeKind::String
            }
            Some(b'{') => {
                self.at += 1;
                NodeKind::Object
            }
            Some(b'[') => {
                self.at += 1;
                NodeKind::Array
            }
            Some(b't') => self.word(b"true", NodeKind::True)?,
            Some(b'f') => self.word(b"false", NodeKind::False)?,
            Some(b'n') => self.word(b"null", NodeKind::Null)?,
            Some(b'-' | b'0'..=b'9') => {
                self.number()?;
                NodeKind::Number
            }
            Some(_) => return Err(self.unexpected("a value")),
            None => return Err(self.truncated("a value")),
        };
        let end = match kind {
            NodeKind::Object | NodeKind::Array => 0,
            _ => self.at as u32,
        };
        let id = nodes.len() as u32;
        nodes.push(Seen {
            kind,
            is_escaped: flags & 1 != 0,
            is_key_escaped: flags & 2 != 0,
            key,
            key_end,
            start,
            end,
        });
        Ok(id)
    }

    /// Skips a string from its opening quote on; tells whether it holds escapes.
    fn string(&mut self) -> Result<bool, ParseError> {
        let mut at = self.at + 1;
        let mut escaped = false;
        loop {
            at = self.plain_run(at);
            match self.text.get(at) {
                Some(b'"') => {
                    self.at = at + 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    at = self.escape(at)?;
                }
                Some(_) => {
                    self.at = at;
                    return Err(self.unexpected("no control character inside a string"));
                }
                None => {
                    self.at = at;
                    return Err(self.truncated("the closing quote of a string"));
                }
            }
        }
    }

    fn escape(&mut self, at: usize) -> Result<usize, ParseError> {
        self.at = at;
        match self.text.get(at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
            Some(b'u') => match self.text.get(at + 2..at + 6) {
                Some(hex) if hex.iter().all(u8::is_ascii_hexdigit) => Ok(at + 6),
                Some(_) => Err(self.unexpected("four hexadecimal digits after `\\u`")),
                None => Err(self.truncated("four hexadecimal digits")),
            },
            Some(_) => Err(self.unexpected("a valid escape after the backslash")),
            None => Err(self.truncated("an escape")),
        }
    }

    fn number(&mut self) -> Result<(), ParseError> {
        if self.text[self.at] == b'-' {
            self.at += 1;
        }
        match self.text.get(self.at) {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            Some(_) => return Err(self.unexpected("a digit")),
            None => return Err(self.truncated("a digit")),
        }
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.some_digits()?;
        }
        if let Some(b'e' | b'E') = self.text.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = self.text.get(self.at) {
                self.at += 1;
            }
            self.some_digits()?;
        }
        Ok(())
    }

    fn plain_run(&self, mut at: usize) -> usize {
        while at < self.text.len() && CLASS[self.text[at] as usize] & STOP == 0 {
            at += 1;
        }
        at
    }

    fn digits(&mut self) {
        while self.at < self.text.len() && CLASS[self.text[self.at] as usize] & DIGIT != 0 {
            self.at += 1;
        }
    }

    fn some_digits(&mut self) -> Result<(), ParseError> {
        let before = self.at;
        self.digits();
        match self.at > before {
            true => Ok(()),
            false if self.at < self.text.len() => Err(self.unexpected("a digit")),
            false => Err(self.truncated("a digit")),
        }
    }

    fn word(&mut self, word: &'static [u8], kind: NodeKind) -> Result<NodeKind, ParseError> {
        if self.text[self.at..].starts_with(word) {
            self.at += word.len();
            return Ok(kind);
        }
        Err(self.unexpected("a value (`true`, `false` or `null`)"))
    }

    fn skip_space(&mut self) {
        while self.at < self.text.len() && CLASS[self.text[self.at] as usize] & SPACE != 0 {
            self.at += 1;
        }
    }

    fn offset(&self) -> u32 {
        self.at as u32 - self.origin
    }

    fn unexpected(&self, expected: &'static str) -> ParseError {
        ParseError::Unexpected { at: self.offset(), expected }
    }

    fn truncated(&self, expected: &'static str) -> ParseError {
        ParseError::Truncated { at: self.offset(), expected }
    }
}

fn is_open(nodes: &[Seen], id: u32) -> bool {
    let node = &nodes[id as usize];
    node.end == 0 && matches!(node.kind, NodeKind::Object | NodeKind::Array)
}
