//! How literal text changes the context within JavaScript.

use crate::html::context::{Context, Slash, State};
use crate::html::transition::{Step, quoted};

/// The ends of lines, within which `//` comments and strings end.
const LINE_ENDS: [char; 4] = ['\n', '\r', '\u{2028}', '\u{2029}'];

/// Words after which a slash begins a regular expression.
const REGEXP_WORDS: [&str; 14] = [
    "break",
    "case",
    "continue",
    "delete",
    "do",
    "else",
    "finally",
    "in",
    "instanceof",
    "return",
    "throw",
    "try",
    "typeof",
    "void",
];

/// Reads up to the next change of context.
pub(crate) fn step(context: &Context, text: &str) -> Step {
    let state = context.state;
    match state {
        State::Js => code(context, text),
        State::JsDouble => literal(context, text, '"'),
        State::JsSingle => literal(context, text, '\''),
        State::JsRegexp => literal(context, text, '/'),
        State::JsTemplate => template_literal(context, text),
        State::JsBlockComment => Ok(match text.find("*/") {
            Some(end) => (Context { state: State::Js, ..context.clone() }, end + 2),
            None => (context.clone(), text.len()),
        }),
        // Also the comments that HTML knows end with the line.
        _ => Ok(match text.find(LINE_ENDS) {
            // The end of the line itself belongs to the code.
            Some(end) => (Context { state: State::Js, ..context.clone() }, end),
            None => (context.clone(), text.len()),
        }),
    }
}

/// Says whether a `type` of `script` is one of a script language.
pub(crate) fn is_script_type(text: &str) -> bool {
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    matches!(
        essence.as_str(),
        "application/ecmascript"
            | "application/javascript"
            | "application/json"
            | "application/ld+json"
            | "application/x-ecmascript"
            | "application/x-javascript"
            | "module"
            | "text/ecmascript"
            | "text/javascript"
            | "text/javascript1.0"
            | "text/javascript1.1"
            | "text/javascript1.2"
            | "text/javascript1.3"
            | "text/javascript1.4"
            | "text/javascript1.5"
            | "text/jscript"
            | "text/livescript"
            | "text/x-ecmascript"
            | "text/x-javascript"
    )
}

fn code(context: &Context, text: &str) -> Step {
    let mut next = context.clone();
    let Some(at) = text.find(['"', '`', '\'', '/', '{', '}', '<', '-', '#']) else {
        next.slash = slash_after(text, context.slash);
        return Ok((next, text.len()));
    };
    next.slash = slash_after(&text[..at], context.slash);
    let rest = &text[at..];
    let mut read = at + 1;
    match rest.as_bytes()[0] {
        b'"' => (next.state, next.slash) = (State::JsDouble, Slash::Regexp),
        b'\'' => (next.state, next.slash) = (State::JsSingle, Slash::Regexp),
        b'`' => (next.state, next.slash) = (State::JsTemplate, Slash::Regexp),
        b'/' if rest.starts_with("//") => {
            next.state = State::JsLineComment;
            read += 1;
        }
        b'/' if rest.starts_with("/*") => {
            next.state = State::JsBlockComment;
            read += 1;
        }
        b'/' => match next.slash {
            Slash::Regexp => next.state = State::JsRegexp,
            Slash::Division => next.slash = Slash::Regexp,
            Slash::Unknown => {
                let cut: String = rest.chars().take(32).collect();
                let shown = quoted(&cut);
                return Err(format!("'/' could start a division or regexp: {shown}"));
            }
        },
        b'<' if rest.starts_with("<!--") => {
            next.state = State::JsHtmlOpenComment;
            read += 3;
        }
        b'-' if rest.starts_with("-->") => {
            next.state = State::JsHtmlCloseComment;
            read += 2;
        }
        b'#' if rest.starts_with("#!") => {
            next.state = State::JsLineComment;
            read += 1;
        }
        b'{' => {
            if let Some(open) = next.braces.last_mut() {
                *open += 1;
            }
            next.slash = Slash::Regexp;
        }
        b'}' => match next.braces.last_mut() {
            Some(0) => {
                next.braces.pop();
                next.state = State::JsTemplate;
            }
            Some(open) => {
                *open -= 1;
                next.slash = Slash::Regexp;
            }
            None => next.slash = Slash::Regexp,
        },
        // Upstream does not look at `<`, `-` and `#` themselves.
        _ => {}
    }
    Ok((next, read))
}

/// Says what a slash begins after some code.
fn slash_after(code: &str, before: Slash) -> Slash {
    let code = code.trim_end_matches(['\t', '\n', '\u{c}', '\r', ' ', '\u{2028}', '\u{2029}']);
    let Some(last) = code.chars().next_back() else {
        return before;
    };
    match last {
        '+' | '-' => {
            // An odd number is a binary or prefix operator, an even one a postfix operator.
            let count = code.chars().rev().take_while(|c| *c == last).count();
            if count % 2 == 1 { Slash::Regexp } else { Slash::Division }
        }
        '.' => {
            let before = code.chars().rev().nth(1);
            if before.is_some_and(|c| c.is_ascii_digit()) { Slash::Division } else { Slash::Regexp }
        }
        ',' | '<' | '>' | '=' | '*' | '%' | '&' | '|' | '^' | '?' | '!' | '~' | '(' | '[' | ':'
        | ';' | '{' | '}' => Slash::Regexp,
        _ => {
            let start = code
                .char_indices()
                .rev()
                .take_while(|(_, c)| *c == '$' || *c == '_' || c.is_ascii_alphanumeric())
                .last()
                .map_or(code.len(), |(at, _)| at);
            let word = &code[start..];
            if REGEXP_WORDS.contains(&word) { Slash::Regexp } else { Slash::Division }
        }
    }
}

fn unfinished(text: &str) -> String {
    format!("unfinished escape sequence in JS string: {}", quoted(text))
}

/// Says whether a slash belongs to `</script`.
fn is_end_tag(text: &str, slash: usize) -> bool {
    let start = slash.wrapping_sub(1);
    let found = text.as_bytes().get(start..start.wrapping_add(8));
    found.is_some_and(|found| found.eq_ignore_ascii_case(b"</script"))
}

fn literal(context: &Context, text: &str, end: char) -> Step {
    let mut in_set = false;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => {
                chars.next().ok_or_else(|| unfinished(text))?;
            }
            // An end tag within a regular expression is no end of either.
            '/' if end == '/' && is_end_tag(text, at) => {}
            '[' if end == '/' => in_set = true,
            ']' if end == '/' => in_set = false,
            c if c == end && !in_set => {
                let next = Context { state: State::Js, slash: Slash::Division, ..context.clone() };
                return Ok((next, at + 1));
            }
            _ => {}
        }
    }
    if in_set {
        let shown = quoted(text);
        return Err(format!("unfinished JS regexp charset: {shown}"));
    }
    Ok((context.clone(), text.len()))
}

fn template_literal(context: &Context, text: &str) -> Step {
    let mut next = context.clone();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => {
                chars.next().ok_or_else(|| unfinished(text))?;
            }
            '$' if text[at + 1..].starts_with('{') => {
                next.braces.push(0);
                next.state = State::Js;
                next.slash = Slash::Regexp;
                return Ok((next, at + 2));
            }
            '`' => {
                next.state = State::Js;
                next.slash = Slash::Division;
                return Ok((next, at + 1));
            }
            _ => {}
        }
    }
    Ok((next, text.len()))
}
