//! From text to steps.

use super::query::{Operator, Query};
use super::{Index, Modifier, Path, QUERY_DEPTH_MAX, STEPS_MAX, Step, TEXT_MAX};
use crate::error::SyntaxError;
use crate::glob::Glob;

const MODIFIERS: &[(&str, Modifier)] = &[
    ("this", Modifier::This),
    ("values", Modifier::Values),
    ("keys", Modifier::Keys),
    ("reverse", Modifier::Reverse),
    ("flatten", Modifier::Flatten { deep: false }),
    ("tostr", Modifier::ToStr),
];

/// What gjson knows and we do not. Another word behind `@` is a key, as it is there: `@timestamp`.
const REFUSED: &[&str] = &["pretty", "ugly", "join", "valid", "fromstr", "group", "dig"];

pub(super) fn compile(text: &str) -> Result<Path, SyntaxError> {
    if text.len() > TEXT_MAX {
        let message = format!("the path is longer than {TEXT_MAX} bytes");
        return Err(SyntaxError::new(text, 0, message));
    }
    if text.trim().is_empty() {
        return Err(SyntaxError::new(text, 0, "a path is required")
            .hint("write `@this` for the whole document"));
    }
    let mut parser = Parser { text, at: 0, depth: 0, last: 0 };
    let steps = parser.path()?;
    let last_key = match steps.last() {
        Some(Step::Key { name, .. }) => name.clone(),
        _ => text[parser.last..].into(),
    };
    Ok(Path {
        text: text.into(),
        is_plain: steps.iter().all(|step| matches!(step, Step::Key { .. })),
        steps: steps.into(),
        last_key,
    })
}

/// Takes the backslash off an escaped quote or backslash; other backslashes stay.
pub(crate) fn unquote(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let escaped = match character {
            '\\' => characters.next_if(|next| matches!(next, '\\' | '\'' | '"')),
            _ => None,
        };
        out.push(escaped.unwrap_or(character));
    }
    out
}

/// Gives where a quoted text ends: the offset of the closing quote of the one that opens at `open`.
pub(crate) fn closing_quote(text: &str, open: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let quote = bytes[open];
    let mut at = open + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            byte if byte == quote => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

struct Parser<'t> {
    text: &'t str,
    /// Always at the start of a character.
    at: usize,
    /// How many queries are open.
    depth: usize,
    /// Where the last step began.
    last: usize,
}

impl Parser<'_> {
    fn path(&mut self) -> Result<Vec<Step>, SyntaxError> {
        let mut steps = Vec::new();
        match &self.text.as_bytes()[self.at..] {
            [b'$'] => {
                self.at += 1;
                return Ok(steps);
            }
            [b'$', b'.', ..] => self.at += 2,
            [b'$', b'[', ..] => self.at += 1,
            _ => {}
        }
        loop {
            self.last = self.at;
            let step = self.step()?;
            steps.push(step);
            if steps.len() > STEPS_MAX {
                return Err(self.error(format!("the path has more than {STEPS_MAX} steps")));
            }
            if self.is_end() {
                return Ok(steps);
            }
            match self.peek() {
                Some(b'.') => self.at += 1,
                Some(b'|') => {
                    self.at += 1;
                    steps.push(Step::Pipe);
                }
                Some(b'[') => {}
                _ => return Err(self.error("`.` or the end of the path is expected")),
            }
        }
    }

    fn step(&mut self) -> Result<Step, SyntaxError> {
        match self.peek() {
            _ if self.is_end() => Err(self.empty_step()),
            Some(b'.' | b'|') => Err(self.empty_step()),
            Some(b'[') => self.bracket(),
            Some(b'#') => self.hash(),
            Some(b'@') => self.modifier(),
            Some(first @ (b'{' | b'!')) => {
                let first = char::from(first);
                Err(self.error(format!("a step cannot begin with `{first}`")).hint(format!(
                    "write `\\{first}` for a key that begins with it; documents made of several paths are not supported"
                )))
            }
            _ => self.key(),
        }
    }

    fn empty_step(&self) -> SyntaxError {
        self.error("a key is expected")
            .hint("`..` is not supported; write `['']` for the empty key")
    }

    /// Reads a key up to the next separator that is not escaped.
    fn key(&mut self) -> Result<Step, SyntaxError> {
        let mut name = String::new();
        let mut glob = Glob::default();
        let (mut is_glob, mut is_escaped) = (false, false);
        while let Some(character) = self.text[self.at..].chars().next() {
            if matches!(character, '.' | '|' | '[') || self.is_end() {
                break;
            }
            self.at += character.len_utf8();
            match character {
                '\\' => {
                    let Some(escaped) = self.text[self.at..].chars().next() else {
                        self.at -= 1;
                        return Err(self.error("a character is expected after the backslash"));
                    };
                    self.at += escaped.len_utf8();
                    is_escaped = true;
                    name.push(escaped);
                    glob.push_char(escaped);
                }
                ' ' | '\t' | '\n' | '\r' => {
                    // Blanks inside a key count; the whole run at once, because `is_end` looks past it.
                    let start = self.at - 1;
                    self.skip_blanks();
                    let blanks = &self.text[start..self.at];
                    name.push_str(blanks);
                    blanks.chars().for_each(|blank| glob.push_char(blank));
                }
                '*' => {
                    is_glob = true;
                    glob.push_many();
                }
                '?' => {
                    is_glob = true;
                    glob.push_one();
                }
                other => {
                    name.push(other);
                    glob.push_char(other);
                }
            }
        }
        if is_glob {
            return Ok(Step::Glob(glob));
        }
        let index = if is_escaped { Index::None } else { index(&name) };
        let name = name.into();
        Ok(Step::Key { name, index })
    }

    /// Reads `[0]`, `['key']` or `["key"]`.
    fn bracket(&mut self) -> Result<Step, SyntaxError> {
        let open = self.at;
        self.at += 1;
        let step = match self.peek() {
            Some(b'"' | b'\'') => {
                let name = self.quoted()?.into();
                Step::Key { name, index: Index::None }
            }
            _ => {
                let rest = &self.text[self.at..];
                let written = &rest[..rest.find(']').unwrap_or(rest.len())];
                let index = index(written);
                if index == Index::None {
                    return Err(SyntaxError::new(self.text, open, "`[` takes an index or a quoted key").hint(
                        "write `#.` for every element, `#(…)` for a query, `\\[` for a key with a bracket in it",
                    ));
                }
                self.at += written.len();
                let name = written.into();
                Step::Key { name, index }
            }
        };
        self.take(b']')?;
        Ok(step)
    }

    /// Reads `#`, `#(query)` or `#(query)#`.
    fn hash(&mut self) -> Result<Step, SyntaxError> {
        match self.text.as_bytes().get(self.at + 1) {
            Some(b'.') => {
                self.at += 1;
                Ok(Step::Each)
            }
            Some(b'(') => {
                self.at += 2;
                let query = Box::new(self.query()?);
                if self.peek() == Some(b'#') {
                    self.at += 1;
                    return Ok(Step::All(query));
                }
                Ok(Step::First(query))
            }
            Some(b'[') => {
                self.at += 1;
                Err(self
                    .error("`[` after `#` is not supported")
                    .hint("write `#.0` for the first of every element, `#(…)` for a query"))
            }
            next => {
                let next = next.copied();
                self.at += 1;
                if next.is_none() || next == Some(b'|') || self.is_end() {
                    return Ok(Step::Length);
                }
                self.at -= 1;
                self.key()
            }
        }
    }

    fn modifier(&mut self) -> Result<Step, SyntaxError> {
        let rest = &self.text[self.at + 1..];
        let len = rest.find(|character: char| !character.is_ascii_alphabetic());
        let name = &rest[..len.unwrap_or(rest.len())];
        let end = self.at + 1 + name.len();
        let after = self.text.as_bytes().get(end).copied();
        let is_word = match after {
            None | Some(b'.' | b'|' | b':' | b'[') => true,
            Some(byte) => self.depth > 0 && (is_blank(byte) || b")=!<>%".contains(&byte)),
        };
        let known = MODIFIERS.iter().find(|(known, _)| *known == name);
        match known {
            Some((_, modifier)) if is_word => {
                self.at = end;
                if after == Some(b':') {
                    return self.modifier_argument(*modifier);
                }
                Ok(Step::Modifier(*modifier))
            }
            None if is_word && REFUSED.contains(&name) => {
                let known: Vec<_> =
                    MODIFIERS.iter().map(|(name, _)| format!("`@{name}`")).collect();
                Err(self
                    .error(format!(
                        "modifier `@{name}` is not supported; known: {}",
                        known.join(", ")
                    ))
                    .hint(format!("write `\\@{name}` for a key of that name")))
            }
            _ => self.key(),
        }
    }

    fn modifier_argument(&mut self, modifier: Modifier) -> Result<Step, SyntaxError> {
        const DEEP: &str = ":{\"deep\":true}";
        if matches!(modifier, Modifier::Flatten { .. }) && self.text[self.at..].starts_with(DEEP) {
            self.at += DEEP.len();
            return Ok(Step::Modifier(Modifier::Flatten { deep: true }));
        }
        Err(self
            .error("this modifier takes no such argument")
            .hint(format!("only `@flatten{DEEP}` takes one")))
    }

    /// Reads the inside of `#(…)` and its closing parenthesis.
    fn query(&mut self) -> Result<Query, SyntaxError> {
        let open = self.at - 1;
        self.depth += 1;
        if self.depth > QUERY_DEPTH_MAX {
            return Err(
                self.error(format!("queries are nested deeper than {QUERY_DEPTH_MAX} levels"))
            );
        }
        self.skip_blanks();
        let last = self.last;
        let steps = if self.is_end() { Vec::new() } else { self.path()? };
        self.last = last;
        self.skip_blanks();
        let operator = self.operator()?;
        let query = match operator {
            None if steps.is_empty() => {
                return Err(SyntaxError::new(self.text, open, "the query is empty")
                    .hint("write `#` for the length, `#.` for every element"));
            }
            None => Query::exists(steps),
            Some(operator) => {
                self.skip_blanks();
                let value = self.query_value()?;
                Query::compare(steps, operator, &value)
            }
        };
        self.skip_blanks();
        self.take(b')')?;
        self.depth -= 1;
        Ok(query)
    }

    fn operator(&mut self) -> Result<Option<Operator>, SyntaxError> {
        let rest = &self.text[self.at..];
        let known = [
            ("==", Operator::Equal),
            ("=", Operator::Equal),
            ("!=", Operator::NotEqual),
            ("!%", Operator::Unlike),
            ("<=", Operator::AtMost),
            ("<", Operator::Below),
            (">=", Operator::AtLeast),
            (">", Operator::Above),
            ("%", Operator::Like),
        ];
        let found = known.iter().find(|(written, _)| rest.starts_with(written));
        if let Some((written, operator)) = found {
            self.at += written.len();
            return Ok(Some(*operator));
        }
        match self.peek() {
            Some(b')') => Ok(None),
            None => Err(self.error("`)` is expected")),
            Some(_) => Err(self
                .error("an operator or `)` is expected")
                .hint("queries know `==`, `!=`, `<`, `<=`, `>`, `>=`, `%` and `!%`")),
        }
    }

    fn query_value(&mut self) -> Result<String, SyntaxError> {
        match self.peek() {
            Some(b'"' | b'\'') => self.quoted(),
            Some(b'~') => Err(self
                .error("`~` is not supported in queries")
                .hint("put a value that begins with it in quotes")),
            _ => {
                let rest = &self.text[self.at..];
                let value = &rest[..rest.find(')').unwrap_or(rest.len())];
                if value.trim().is_empty() {
                    return Err(self
                        .error("a value is expected")
                        .hint("write `\"\"` for the empty text"));
                }
                self.at += value.len();
                Ok(value.trim_end().to_owned())
            }
        }
    }

    fn quoted(&mut self) -> Result<String, SyntaxError> {
        let Some(end) = closing_quote(self.text, self.at) else {
            return Err(self.error("the quote is not closed"));
        };
        let inside = unquote(&self.text[self.at + 1..end]);
        self.at = end + 1;
        Ok(inside)
    }

    /// Tells whether the path ends here: at the end of the text, or in a query at blanks and what follows.
    fn is_end(&self) -> bool {
        let rest = &self.text.as_bytes()[self.at..];
        if self.depth == 0 {
            return rest.is_empty();
        }
        let blanks = rest.iter().take_while(|byte| is_blank(**byte)).count();
        matches!(
            &rest[blanks..],
            [] | [b')' | b'=' | b'<' | b'>' | b'%', ..] | [b'!', b'=' | b'%', ..]
        )
    }

    fn skip_blanks(&mut self) {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().take_while(|byte| is_blank(**byte)).count();
    }

    fn take(&mut self, expected: u8) -> Result<(), SyntaxError> {
        if self.peek() != Some(expected) {
            return Err(self.error(format!("`{}` is expected", char::from(expected))));
        }
        self.at += 1;
        Ok(())
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn error(&self, message: impl Into<String>) -> SyntaxError {
        SyntaxError::new(self.text, self.at, message)
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Reads a key as an index; nine digits are more than any document holds.
fn index(name: &str) -> Index {
    if name == "-1" {
        return Index::End;
    }
    let is_index = (1..=9).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_digit());
    match name.parse() {
        Ok(index) if is_index => Index::At(index),
        _ => Index::None,
    }
}
