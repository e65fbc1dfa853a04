//! Takes a filter apart into words.
//!
//! Brackets are counted here: what is left open at the end of the text, and a `)` too many, are errors of this stage
//! and are reported beside an error of the grammar, as upstream does.

use super::error::Problem;
use super::token::{Operator, Token, Word, keyword, quoted, quoted_character};

/// Reads words from left to right; after an error there is nothing more to read.
#[derive(Debug)]
pub(super) struct Lexer<'t> {
    text: &'t str,
    at: usize,
    has_not_in: bool,
    braces: isize,
    parentheses: isize,
    brackets: isize,
}

// === impl Lexer ===

impl<'t> Lexer<'t> {
    pub(super) fn new(text: &'t str, has_not_in: bool) -> Self {
        Lexer { text, at: 0, has_not_in, braces: 0, parentheses: 0, brackets: 0 }
    }

    /// Reads the next word; at the end of the text it is [`Word::End`].
    pub(super) fn next(&mut self) -> Result<Token<'t>, Problem> {
        self.skip_blanks();
        let start = self.at;
        let Some(first) = self.rest().chars().next() else { return self.end() };
        self.at += first.len_utf8();
        let word = match first {
            '{' | '}' | '(' | ')' | '[' | ']' => self.bracket(first)?,
            ',' | ';' | '.' | '*' => Word::Sign(first),
            '=' => Word::Operator(Operator::Equal),
            '+' => Word::Operator(Operator::Add),
            '-' => Word::Operator(Operator::Subtract),
            '/' => Word::Operator(Operator::Divide),
            '%' => Word::Operator(Operator::Modulo),
            '^' => Word::Operator(Operator::Power),
            '<' if self.take('=') => Word::Operator(Operator::LessEqual),
            '<' => Word::Operator(Operator::Less),
            '>' if self.take('=') => Word::Operator(Operator::GreaterEqual),
            '>' => Word::Operator(Operator::Greater),
            '!' if self.take('=') => Word::Operator(Operator::NotEqual),
            '&' if self.take('&') => Word::Operator(Operator::And),
            '|' if self.take('|') => Word::Operator(Operator::Or),
            '!' => {
                // Go shows the end of the text as the character that stands for none.
                let behind = self.rest().chars().next().unwrap_or('\u{fffd}');
                return Err(self.lonely(start, behind));
            }
            '&' | '|' => return Err(self.lonely(start, first)),
            '\'' | '"' => Word::Text(self.quoted_text(start, first)?),
            '`' => self.raw_text(start)?,
            '0'..='9' => self.number(start)?,
            'a'..='z' | 'A'..='Z' | '_' => {
                self.skip_while(is_name_byte);
                let name = &self.text[start..self.at];
                keyword(name, self.has_not_in).unwrap_or(Word::Name(name))
            }
            _ => {
                let message = format!("unexpected character: {}", quoted_character(first));
                return Err(Problem::new(self.text, start, message));
            }
        };
        Ok(Token { word, text: &self.text[start..self.at], at: start })
    }

    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn skip_blanks(&mut self) {
        loop {
            self.skip_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
            if !self.take('#') {
                return;
            }
            self.skip_while(|byte| byte != b'\n');
        }
    }

    fn skip_while(&mut self, is_wanted: impl Fn(u8) -> bool) {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().take_while(|byte| is_wanted(**byte)).count();
    }

    /// Takes an ASCII character if it stands here.
    fn take(&mut self, expected: char) -> bool {
        let is_here = self.rest().starts_with(expected);
        self.at += usize::from(is_here);
        is_here
    }

    fn bracket(&mut self, bracket: char) -> Result<Word<'t>, Problem> {
        match bracket {
            '{' => self.braces += 1,
            '}' => self.braces -= 1,
            '[' => self.brackets += 1,
            ']' => self.brackets -= 1,
            '(' => self.parentheses += 1,
            _ => {
                self.parentheses -= 1;
                if self.parentheses < 0 {
                    // Upstream notices behind the parenthesis.
                    let message = "unexpected right parenthesis ')'";
                    return Err(Problem::new(self.text, self.at, message));
                }
            }
        }
        Ok(Word::Sign(bracket))
    }

    fn end(&self) -> Result<Token<'t>, Problem> {
        let open = match (self.parentheses, self.brackets, self.braces) {
            (1.., _, _) => "parenthesis",
            (_, 1.., _) => "bracket",
            (_, _, 1..) => "brace",
            _ => return Ok(Token { word: Word::End, text: "", at: self.at }),
        };
        Err(Problem::new(self.text, self.at, format!("unclosed left {open}")))
    }

    /// The message names `!` whatever the sign is, as upstream's does.
    fn lonely(&self, start: usize, shown: char) -> Problem {
        let shown = quoted_character(shown);
        Problem::new(self.text, start, format!("unexpected character `{shown}' after `!'"))
    }

    fn raw_text(&mut self, start: usize) -> Result<Word<'t>, Problem> {
        let rest = self.rest();
        let Some(length) = rest.find('`') else {
            return Err(Problem::new(self.text, start, "unterminated raw string"));
        };
        self.at += length + 1;
        Ok(Word::Quoted(&rest[..length]))
    }

    fn quoted_text(&mut self, start: usize, quote: char) -> Result<Box<str>, Problem> {
        let refused = |message: &str| Problem::new(self.text, start, message);
        let mut bytes: Vec<u8> = Vec::new();
        let mut characters = self.text[self.at..].char_indices();
        loop {
            let Some((at, character)) = characters.next() else {
                return Err(refused("unterminated quoted string"));
            };
            match character {
                '\n' => return Err(refused("unterminated quoted string")),
                '\\' => {
                    append_escape(&mut characters, &mut bytes).map_err(|text| refused(&text))?
                }
                _ if character == quote => {
                    self.at += at + 1;
                    let text = String::from_utf8(bytes);
                    return match text {
                        Ok(text) => Ok(text.into()),
                        Err(_) => Err(Problem::new(self.text, start, "string is not valid UTF-8")),
                    };
                }
                _ => bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
    }

    fn number(&mut self, start: usize) -> Result<Word<'t>, Problem> {
        let is_hex = self.text[start..].starts_with("0x") || self.text[start..].starts_with("0X");
        if is_hex {
            self.at += 1;
            self.skip_while(|byte| byte.is_ascii_hexdigit());
        } else {
            self.skip_while(|byte| byte.is_ascii_digit());
            if self.take('.') {
                self.skip_while(|byte| byte.is_ascii_digit());
            }
            self.exponent();
        }
        let is_whole = !is_hex || self.at > start + 2;
        if is_whole && !self.is_in_name() {
            return Ok(Word::Number);
        }
        if !is_hex && self.unit() {
            return Ok(Word::Duration);
        }
        let shown = quoted(&self.text[start..self.at], 64);
        Err(Problem::new(self.text, start, format!("bad duration: {shown}")))
    }

    /// Takes an exponent, if a whole one stands here.
    fn exponent(&mut self) {
        let before = self.at;
        if self.take('e') || self.take('E') {
            let _signed = self.take('+') || self.take('-');
            let digits = self.at;
            self.skip_while(|byte| byte.is_ascii_digit());
            if self.at == digits {
                self.at = before;
            }
        }
    }

    /// Takes the units of a duration, if nothing else follows.
    fn unit(&mut self) -> bool {
        const UNITS: [&str; 9] = ["ns", "us", "ms", "s", "m", "h", "d", "w", "y"];
        while let Some(unit) = UNITS.into_iter().find(|unit| self.rest().starts_with(unit)) {
            self.at += unit.len();
            if !self.is_in_name() {
                return true;
            }
            self.skip_while(|byte| byte.is_ascii_digit());
        }
        false
    }

    fn is_in_name(&self) -> bool {
        self.text.as_bytes().get(self.at).is_some_and(|byte| is_name_byte(*byte))
    }
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

const OPEN: &str = "escape sequence not terminated";

/// Reads an escape whose backslash is taken already, and adds what it stands for.
///
/// Differs: upstream refuses an octal, hexadecimal or Unicode escape right before the closing quote (B18).
fn append_escape(
    characters: &mut std::str::CharIndices<'_>,
    bytes: &mut Vec<u8>,
) -> Result<(), String> {
    let (_, character) = characters.next().ok_or(OPEN)?;
    let byte = match character {
        'a' => 0x07,
        'b' => 0x08,
        'f' => 0x0c,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 0x0b,
        '\\' => b'\\',
        '\'' => b'\'',
        '"' => b'"',
        _ => return append_code(character, characters, bytes),
    };
    bytes.push(byte);
    Ok(())
}

/// Reads an escape that names a byte or a character by its number.
fn append_code(
    first: char,
    characters: &mut std::str::CharIndices<'_>,
    bytes: &mut Vec<u8>,
) -> Result<(), String> {
    let (digits, base) = match first {
        '0'..='7' => (3, 8),
        'x' => (2, 16),
        'u' => (4, 16),
        'U' => (8, 16),
        _ => return Err(format!("unknown escape sequence {}", code_point(first))),
    };
    let mut code: u32 = 0;
    let mut taken = 0;
    if let Some(first) = first.to_digit(8).filter(|_| base == 8) {
        (code, taken) = (first, 1);
    }
    while taken < digits {
        let (_, character) = characters.next().ok_or(OPEN)?;
        let Some(digit) = character.to_digit(base) else {
            return Err(format!("illegal character {} in escape sequence", code_point(character)));
        };
        code = code.saturating_mul(base).saturating_add(digit);
        taken += 1;
    }
    match (digits, u8::try_from(code), char::from_u32(code)) {
        // These name a byte, the others a character.
        (2 | 3, Ok(byte), _) => bytes.push(byte),
        (4 | 8, _, Some(character)) => {
            bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        _ => return Err("escape sequence is an invalid Unicode code point".into()),
    }
    Ok(())
}

/// Gives a character as Go's `%#U` prints it.
fn code_point(character: char) -> String {
    let code = u32::from(character);
    match character.is_control() {
        true => format!("U+{code:04X}"),
        false => format!("U+{code:04X} '{character}'"),
    }
}
