//! Wildcards: `*` is any text, `?` is one character.

/// A pattern over text; matching takes at most (text × pattern) steps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Glob {
    tokens: Vec<Token>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Many,
    One,
    Byte(u8),
}

// === impl Glob ===

impl Glob {
    /// Makes a pattern of a text in which a backslash takes the meaning of the next character.
    pub(crate) fn new(pattern: &str) -> Self {
        let mut glob = Glob::default();
        let mut characters = pattern.chars();
        while let Some(character) = characters.next() {
            match character {
                '*' => glob.push_many(),
                '?' => glob.push_one(),
                '\\' => glob.push_char(characters.next().unwrap_or('\\')),
                other => glob.push_char(other),
            }
        }
        glob
    }

    pub(crate) fn push_many(&mut self) {
        if self.tokens.last() != Some(&Token::Many) {
            self.tokens.push(Token::Many);
        }
    }

    pub(crate) fn push_one(&mut self) {
        self.tokens.push(Token::One);
    }

    pub(crate) fn push_char(&mut self, character: char) {
        let mut buffer = [0; 4];
        let bytes = character.encode_utf8(&mut buffer).bytes();
        self.tokens.extend(bytes.map(Token::Byte));
    }

    /// Tells whether the whole text fits.
    ///
    /// Only the last `*` is ever moved: what an earlier one could gain, the last one can as well.
    pub(crate) fn matches(&self, text: &[u8]) -> bool {
        let (mut token, mut at) = (0, 0);
        let mut star: Option<(usize, usize)> = None;
        loop {
            let step = match self.tokens.get(token) {
                Some(Token::Many) => {
                    star = Some((token, at));
                    token += 1;
                    continue;
                }
                Some(Token::One) => character_len(text, at),
                Some(Token::Byte(byte)) => (text.get(at) == Some(byte)).then_some(1),
                None if at == text.len() => return true,
                None => None,
            };
            match (step, star) {
                (Some(len), _) => {
                    token += 1;
                    at += len;
                }
                (None, Some((many, taken))) if taken < text.len() => {
                    star = Some((many, taken + 1));
                    token = many + 1;
                    at = taken + 1;
                }
                (None, _) => return false,
            }
        }
    }
}

fn character_len(text: &[u8], at: usize) -> Option<usize> {
    let rest = text.get(at + 1..)?;
    let tail = rest.iter().take_while(|&&byte| byte & 0xc0 == 0x80).count();
    Some(1 + tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, text: &str, expected: bool) {
        let glob = Glob::new(pattern);
        assert_eq!(glob.matches(text.as_bytes()), expected, "{pattern} {text}");
    }

    #[test]
    fn wildcards_cover_the_whole_text() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("a*c", "abcd", false),
            ("*b*", "abc", true),
            ("**?", "", false),
            ("?", "é", true),
            ("??", "é", false),
            ("*??", "é", false),
            ("*é", "éé", true),
            (r"\*", "*", true),
            (r"\*", "x", false),
            (r"a\?", "a?", true),
        ] {
            check(pattern, text, expected);
        }
    }

    #[test]
    fn a_pattern_that_backtracks_a_lot_is_still_bounded() {
        let pattern = format!("{}b", "*a".repeat(200));
        check(&pattern, &"a".repeat(5_000), false);
    }
}
