//! How literal text changes the context within style sheets.

use crate::html::context::{Context, State};
use crate::html::transition::{Step, in_url, quoted};

const SPACES: [char; 5] = ['\t', '\n', '\u{c}', '\r', ' '];

/// Reads up to the next change of context.
pub(crate) fn step(context: &Context, text: &str) -> Step {
    let state = context.state;
    match state {
        State::Css => Ok(sheet(context, text)),
        State::CssDouble | State::CssDoubleUrl => string(context, text, &['\\', '"']),
        State::CssSingle | State::CssSingleUrl => string(context, text, &['\\', '\'']),
        State::CssUrl => string(context, text, &['\\', '\t', '\n', '\u{c}', '\r', ' ', ')']),
        State::CssBlockComment => Ok(match text.find("*/") {
            Some(end) => (Context { state: State::Css, ..context.clone() }, end + 2),
            None => (context.clone(), text.len()),
        }),
        _ => Ok(match text.find(['\n', '\u{c}', '\r']) {
            Some(end) => (Context { state: State::Css, ..context.clone() }, end),
            None => (context.clone(), text.len()),
        }),
    }
}

fn sheet(context: &Context, text: &str) -> (Context, usize) {
    let enter = |state| Context { state, ..context.clone() };
    let mut from = 0;
    while let Some(found) = text[from..].find(['(', '"', '\'', '/']) {
        let at = from + found;
        let rest = &text[at..];
        match rest.as_bytes()[0] {
            b'(' if ends_with_url(text[..at].trim_end_matches(SPACES)) => {
                let inner = rest[1..].trim_start_matches(SPACES);
                let start = text.len() - inner.len();
                return match inner.as_bytes().first() {
                    Some(b'"') => (enter(State::CssDoubleUrl), start + 1),
                    Some(b'\'') => (enter(State::CssSingleUrl), start + 1),
                    _ => (enter(State::CssUrl), start),
                };
            }
            b'/' if rest.starts_with("//") => return (enter(State::CssLineComment), at + 2),
            b'/' if rest.starts_with("/*") => return (enter(State::CssBlockComment), at + 2),
            b'"' => return (enter(State::CssDouble), at + 1),
            b'\'' => return (enter(State::CssSingle), at + 1),
            _ => {}
        }
        from = at + 1;
    }
    (context.clone(), text.len())
}

/// Says whether the last word is `url`, also with escapes in it.
fn ends_with_url(text: &str) -> bool {
    let start = text
        .char_indices()
        .rev()
        .take_while(|(_, c)| is_name(*c) || *c == '\\')
        .last()
        .map_or(text.len(), |(at, _)| at);
    decode(&text[start..]).eq_ignore_ascii_case("url")
}

pub(crate) fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_' || !c.is_ascii()
}

fn string(context: &Context, text: &str, ends: &[char]) -> Step {
    let mut next = context.clone();
    let mut looked_at = 0;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        if c == '\\' {
            if chars.next().is_none() {
                let shown = quoted(text);
                return Err(format!("unfinished escape sequence in CSS string: {shown}"));
            }
            // Upstream looks for parts of a URL at each escape and at the end of the text.
            let after = chars.offset();
            next = in_url(&next, &decode(&text[looked_at..after]));
            looked_at = after;
        } else if ends.contains(&c) {
            return Ok((Context { state: State::Css, ..next }, at + c.len_utf8()));
        }
    }
    Ok((in_url(&next, &decode(&text[looked_at..])), text.len()))
}

/// Resolves the escapes of a text.
pub(crate) fn decode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let digits = rest.bytes().take(6).take_while(u8::is_ascii_hexdigit).count();
        if digits == 0 {
            let Some(c) = rest.chars().next() else {
                break;
            };
            // The escaped character stands for itself.
            out.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        }
        let code = u32::from_str_radix(&rest[..digits], 16).unwrap_or(0);
        out.push(char::from_u32(code).unwrap_or('\u{fffd}'));
        rest = &rest[digits..];
        if let Some(after) = rest.strip_prefix("\r\n").or_else(|| rest.strip_prefix(SPACES)) {
            rest = after;
        }
    }
    out.push_str(rest);
    out
}
