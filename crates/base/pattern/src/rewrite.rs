//! Rewrites a pattern so that it means to the engine what it means in Go.

use std::iter::Peekable;
use std::str::CharIndices;

/// Most repetitions that `{n,m}` may ask for.
const REPEAT_MAX: u32 = 1_000;

/// Go's code of an error and the part of the pattern it shows.
pub(crate) type Refusal<'a> = (&'static str, &'a str);

type Chars<'a> = Peekable<CharIndices<'a>>;

/// Gives the pattern in the dialect of the engine.
pub(crate) fn rewrite(pattern: &str) -> Result<String, Refusal<'_>> {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut chars = pattern.char_indices().peekable();
    // Where the repetition right before this place begins; two in a row are refused.
    let mut repeat: Option<usize> = None;
    let mut has_operand = false;
    while let Some((at, c)) = chars.next() {
        let before = repeat.take();
        let had_operand = std::mem::replace(&mut has_operand, !matches!(c, '(' | '|'));
        match c {
            '\\' => escape(pattern, at, &mut chars, &mut out)?,
            '[' => class(pattern, at, &mut chars, &mut out)?,
            '(' => group(pattern, at, &mut chars, &mut out)?,
            '*' | '+' | '?' => {
                out.push(c);
                lazy(&mut chars, &mut out);
                repeat = Some(at);
            }
            '{' => match counted(&pattern[at..]) {
                Some((length, low, high)) => {
                    let written = &pattern[at..at + length];
                    if low > REPEAT_MAX || high.is_some_and(|high| high > REPEAT_MAX || high < low)
                    {
                        return Err(("invalid repeat count", written));
                    }
                    out.push_str(written);
                    skip_to(&mut chars, at + length);
                    lazy(&mut chars, &mut out);
                    repeat = Some(at);
                }
                None => out.push_str("\\{"),
            },
            c => out.push(c),
        }
        let end = chars.peek().map_or(pattern.len(), |(next, _)| *next);
        match (before, repeat) {
            (Some(first), Some(_)) => {
                return Err(("invalid nested repetition operator", &pattern[first..end]));
            }
            (None, Some(_)) if !had_operand => {
                return Err(("missing argument to repetition operator", &pattern[at..end]));
            }
            _ => {}
        }
    }
    Ok(out)
}

fn lazy(chars: &mut Chars<'_>, out: &mut String) {
    if chars.next_if(|(_, c)| *c == '?').is_some() {
        out.push('?');
    }
}

/// Reads `{n}`, `{n,}` or `{n,m}` at the beginning of `text`: its length and the two numbers.
fn counted(text: &str) -> Option<(usize, u32, Option<u32>)> {
    let inner = &text[1..text.find('}')?];
    let number = |text: &str| {
        let is_plain = !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_digit())
            && (text.len() == 1 || !text.starts_with('0'));
        // More digits than fit are a number, only too large a one.
        is_plain.then(|| text.parse().unwrap_or(u32::MAX))
    };
    let (low, high) = match inner.split_once(',') {
        None => (number(inner)?, None),
        Some((low, "")) => (number(low)?, None),
        Some((low, high)) => (number(low)?, Some(number(high)?)),
    };
    Some((inner.len() + 2, low, high))
}

fn skip_to(chars: &mut Chars<'_>, end: usize) {
    while chars.next_if(|(at, _)| *at < end).is_some() {}
}

/// Rewrites `(`, `(?flags)`, `(?flags:` or the beginning of a named group.
fn group<'a>(
    pattern: &'a str,
    at: usize,
    chars: &mut Chars<'_>,
    out: &mut String,
) -> Result<(), Refusal<'a>> {
    const UNSUPPORTED: &str = "invalid or unsupported Perl syntax";
    let rest = &pattern[at..];
    let Some(inside) = rest.strip_prefix("(?") else {
        out.push('(');
        return Ok(());
    };
    let is_lookbehind = inside.starts_with("<=") || inside.starts_with("<!");
    if let Some(named) = ["P<", "<"].into_iter().find(|named| inside.starts_with(named))
        && !is_lookbehind
    {
        out.push_str("(?P<");
        skip_to(chars, at + 2 + named.len());
        return Ok(());
    }
    for (offset, c) in inside.char_indices() {
        match c {
            'i' | 'm' | 's' | 'U' | '-' => {}
            ':' | ')' => {
                let end = 2 + offset + 1;
                out.push_str(&rest[..end]);
                skip_to(chars, at + end);
                return Ok(());
            }
            c => return Err((UNSUPPORTED, &rest[..2 + offset + c.len_utf8()])),
        }
    }
    Err(("missing closing )", pattern))
}

/// Rewrites an escape outside of a class; the backslash is taken already.
fn escape<'a>(
    pattern: &'a str,
    at: usize,
    chars: &mut Chars<'_>,
    out: &mut String,
) -> Result<(), Refusal<'a>> {
    match chars.peek().map(|(_, c)| *c) {
        Some(c @ ('A' | 'z')) => {
            chars.next();
            out.extend(['\\', c]);
        }
        Some('b') => {
            chars.next();
            out.push_str(r"(?-u:\b)");
        }
        Some('B') => {
            chars.next();
            out.push_str(r"(?-u:\B)");
        }
        Some('Q') => {
            chars.next();
            let literal = &pattern[at + 2..];
            let length = literal.find("\\E").unwrap_or(literal.len());
            out.push_str(&regex_syntax::escape(&literal[..length]));
            skip_to(chars, at + 2 + length + 2);
        }
        _ => {
            if !perl_class(pattern, at, chars, out)? {
                push_char(out, escaped_char(pattern, at, chars)?);
            }
        }
    }
    Ok(())
}

/// Rewrites `\d`, `\s`, `\w`, `\p{…}` and their opposites, if one stands here.
fn perl_class<'a>(
    pattern: &'a str,
    at: usize,
    chars: &mut Chars<'_>,
    out: &mut String,
) -> Result<bool, Refusal<'a>> {
    let rewritten = match chars.peek().map(|(_, c)| *c) {
        Some('d') => "[0-9]",
        Some('D') => "[^0-9]",
        Some('s') => r"[\t\n\x0c\r ]",
        Some('S') => r"[^\t\n\x0c\r ]",
        Some('w') => "[0-9A-Za-z_]",
        Some('W') => "[^0-9A-Za-z_]",
        Some(c @ ('p' | 'P')) => {
            let rest = &pattern[at + 2..];
            let length = match rest.chars().next() {
                Some('{') => rest.find('}').map(|close| close + 1),
                Some(c) => Some(c.len_utf8()),
                None => None,
            };
            let length = length.ok_or(("invalid character class range", &pattern[at..]))?;
            let name = rest[..length].trim_start_matches('{').trim_end_matches('}');
            let (is_negated, name) = match name.strip_prefix('^') {
                Some(name) => (c == 'p', name),
                None => (c == 'P', name),
            };
            let whole = &pattern[at..at + 2 + length];
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                return Err(("invalid character class range", whole));
            }
            let rewritten = format!("\\{}{{{name}}}", if is_negated { 'P' } else { 'p' });
            if regex_syntax::parse(&rewritten).is_err() {
                return Err(("invalid character class range", whole));
            }
            out.push_str(&rewritten);
            skip_to(chars, at + 2 + length);
            return Ok(true);
        }
        _ => return Ok(false),
    };
    chars.next();
    out.push_str(rewritten);
    Ok(true)
}

/// Reads an escape that stands for one character; the backslash is taken already.
fn escaped_char<'a>(
    pattern: &'a str,
    at: usize,
    chars: &mut Chars<'_>,
) -> Result<char, Refusal<'a>> {
    const INVALID: &str = "invalid escape sequence";
    let Some((_, c)) = chars.next() else {
        return Err(("trailing backslash at end of expression", ""));
    };
    let rest = &pattern[at + 1..];
    let octal = rest.bytes().take(3).take_while(|byte| (b'0'..=b'7').contains(byte)).count();
    match c {
        'a' => Ok('\x07'),
        'f' => Ok('\x0c'),
        'n' => Ok('\n'),
        'r' => Ok('\r'),
        't' => Ok('\t'),
        'v' => Ok('\x0b'),
        // A single digit would be a back reference.
        '0'..='7' if c == '0' || octal > 1 => {
            skip_to(chars, at + 1 + octal);
            let code = u32::from_str_radix(&rest[..octal], 8).ok().and_then(char::from_u32);
            code.ok_or((INVALID, &pattern[at..at + 1 + octal]))
        }
        'x' => {
            let (digits, length) = match rest[1..].strip_prefix('{') {
                Some(inside) => {
                    let close = inside.find('}').ok_or((INVALID, &pattern[at..]))?;
                    (&inside[..close], close + 3)
                }
                None => (rest.get(1..3).ok_or((INVALID, &pattern[at..]))?, 3),
            };
            skip_to(chars, at + 1 + length);
            let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            let code = is_hex.then(|| u32::from_str_radix(digits, 16).ok()).flatten();
            code.and_then(char::from_u32).ok_or((INVALID, &pattern[at..at + 1 + length]))
        }
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => Ok(c),
        c => Err((INVALID, &pattern[at..at + 1 + c.len_utf8()])),
    }
}

/// Rewrites a class; its `[` is taken already.
fn class<'a>(
    pattern: &'a str,
    at: usize,
    chars: &mut Chars<'_>,
    out: &mut String,
) -> Result<(), Refusal<'a>> {
    let open = ("missing closing ]", &pattern[at..]);
    out.push('[');
    if chars.next_if(|(_, c)| *c == '^').is_some() {
        out.push('^');
    }
    let mut is_first = true;
    loop {
        let (start, c) = *chars.peek().ok_or(open)?;
        if c == ']' && !is_first {
            chars.next();
            out.push(']');
            return Ok(());
        }
        is_first = false;
        if let Some(length) = posix(pattern, start)? {
            out.push_str(&pattern[start..start + length]);
            skip_to(chars, start + length);
            continue;
        }
        if c == '\\' {
            let mut behind = chars.clone();
            behind.next();
            if perl_class(pattern, start, &mut behind, out)? {
                *chars = behind;
                continue;
            }
        }
        let low = class_char(pattern, chars, open)?;
        let mut behind = chars.clone();
        let is_range = behind.next_if(|(_, c)| *c == '-').is_some()
            && behind.peek().is_some_and(|(_, c)| *c != ']');
        push_char(out, low);
        if is_range {
            *chars = behind;
            let high = class_char(pattern, chars, open)?;
            if high < low {
                let end = chars.peek().map_or(pattern.len(), |(next, _)| *next);
                return Err(("invalid character class range", &pattern[start..end]));
            }
            out.push('-');
            push_char(out, high);
        }
    }
}

fn class_char<'a>(
    pattern: &'a str,
    chars: &mut Chars<'_>,
    open: Refusal<'a>,
) -> Result<char, Refusal<'a>> {
    let (at, c) = chars.next().ok_or(open)?;
    if c == '\\' { escaped_char(pattern, at, chars) } else { Ok(c) }
}

/// Gives the length of `[:name:]` at `at`, if one stands there.
fn posix(pattern: &str, at: usize) -> Result<Option<usize>, Refusal<'_>> {
    const NAMES: [&str; 14] = [
        "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
        "space", "upper", "word", "xdigit",
    ];
    let Some(inside) = pattern[at..].strip_prefix("[:") else { return Ok(None) };
    let Some(length) = inside.find(":]") else { return Ok(None) };
    let name = &inside[..length];
    if !NAMES.contains(&name.strip_prefix('^').unwrap_or(name)) {
        return Err(("invalid character class range", &pattern[at..at + length + 4]));
    }
    Ok(Some(length + 4))
}

/// Writes a character that stands for itself, in or outside of a class.
fn push_char(out: &mut String, c: char) {
    if c.is_alphanumeric() && c.is_ascii() {
        out.push(c);
    } else {
        out.push_str(&format!("\\x{{{:X}}}", c as u32));
    }
}
