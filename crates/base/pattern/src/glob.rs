//! The globs of list routes: the rules of Go's `path.Match`.

/// A glob: `*` any text without `/`, `?` any character but `/`, `[a-z]` and `[^a-z]` classes, `\` takes the meaning of what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(Option<Vec<Token>>);

/// A glob that is malformed; the text is Go's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadGlob;

impl std::fmt::Display for BadGlob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("syntax error in pattern")
    }
}

impl std::error::Error for BadGlob {}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Many,
    One,
    Char(char),
    Class { is_negated: bool, ranges: Vec<(char, char)> },
}

// === impl Glob ===

impl Glob {
    /// Reads a glob; an empty one matches every name.
    ///
    /// - Errors: a class without an end, or with an empty part; a backslash at the end.
    pub fn parse(text: &str) -> Result<Self, BadGlob> {
        let mut tokens = Vec::new();
        let mut rest = text.chars().peekable();
        while let Some(character) = rest.next() {
            tokens.push(match character {
                // Two stars are one.
                '*' if tokens.last() == Some(&Token::Many) => continue,
                '*' => Token::Many,
                '?' => Token::One,
                '\\' => Token::Char(rest.next().ok_or(BadGlob)?),
                '[' => class(&mut rest)?,
                other => Token::Char(other),
            });
        }
        Ok(Glob(Some(tokens)))
    }

    /// Reads a glob; a malformed one matches no name.
    pub fn lenient(text: &str) -> Self {
        Self::parse(text).unwrap_or(Glob(None))
    }

    /// Tells whether it matches every name because it is empty.
    pub fn is_empty(&self) -> bool {
        self.0.as_ref().is_some_and(Vec::is_empty)
    }

    /// Tells whether a whole name is like the glob. Takes at most (name × glob) steps.
    pub fn matches(&self, name: &str) -> bool {
        let Some(tokens) = &self.0 else { return false };
        if tokens.is_empty() {
            return true;
        }
        let name: Vec<char> = name.chars().collect();
        let (mut at, mut token) = (0, 0);
        // Where to go on when it does not fit: the last star takes one character more.
        let mut star: Option<(usize, usize)> = None;
        while at < name.len() || token < tokens.len() {
            if tokens.get(token) == Some(&Token::Many) {
                star = Some((at, token));
                token += 1;
                continue;
            }
            let is_fit =
                at < name.len() && tokens.get(token).is_some_and(|token| token.takes(name[at]));
            if is_fit {
                (at, token) = (at + 1, token + 1);
                continue;
            }
            match star {
                Some((from, of)) if from < name.len() && name[from] != '/' => {
                    star = Some((from + 1, of));
                    (at, token) = (from + 1, of + 1);
                }
                _ => return false,
            }
        }
        true
    }
}

impl Token {
    fn takes(&self, found: char) -> bool {
        match self {
            Token::Many => false,
            Token::One => found != '/',
            Token::Char(character) => *character == found,
            Token::Class { is_negated, ranges } => {
                // Differs from shells as Go does: a class may take a slash.
                let is_in = ranges.iter().any(|(first, last)| (*first..=*last).contains(&found));
                is_in != *is_negated
            }
        }
    }
}

fn class(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Token, BadGlob> {
    let is_negated = rest.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        if !ranges.is_empty() && rest.next_if_eq(&']').is_some() {
            return Ok(Token::Class { is_negated, ranges });
        }
        let first = bound(rest)?;
        let last = match rest.next_if_eq(&'-') {
            Some(_) => bound(rest)?,
            None => first,
        };
        ranges.push((first, last));
    }
}

fn bound(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<char, BadGlob> {
    match rest.next().ok_or(BadGlob)? {
        '-' | ']' => Err(BadGlob),
        '\\' => rest.next().ok_or(BadGlob),
        other => Ok(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_as_in_go() {
        let cases = [
            ("", "anything", true),
            ("", "a/b", true),
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*", "a", true),
            ("a*", "ab/c", false),
            ("a*/b", "abc/b", true),
            ("a*b*c*d*e*/f", "axbxcxdxe/f", true),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", false),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[^e-g]", "abc", true),
            ("ab[^b-d]", "abc", false),
            ("a\\*b", "a*b", true),
            ("a?b", "aäb", true),
            ("a?b", "a/b", false),
            ("a[^a]b", "a☺b", true),
            ("[\\]a]", "]", true),
            ("**a", "bba", true),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(
                Glob::parse(pattern).map(|it| it.matches(name)),
                Ok(expected),
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn malformed_ones_are_refused() {
        for pattern in ["[", "[a", "[]a]", "[-x]", "[a-b-c]", "a[", "\\", "[^", "[x-]"] {
            assert_eq!(Glob::parse(pattern), Err(BadGlob), "{pattern}");
            assert!(!Glob::lenient(pattern).matches(pattern), "{pattern}");
        }
    }
}
