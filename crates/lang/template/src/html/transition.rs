//! How literal text changes the context: tags, attributes and URLs.

use crate::go::quote;
use crate::html::attribute;
use crate::html::context::{Attr, Context, Delim, Element, Slash, State, UrlPart};
use crate::html::{css, script};

/// The context after a piece of text, and how much of it was read.
pub(crate) type Step = Result<(Context, usize), String>;

const HTML_SPACES: [char; 5] = [' ', '\t', '\n', '\u{c}', '\r'];

/// Reads up to the next change of context; `tag_end` is where the element ends within `text`.
pub(crate) fn step(context: &Context, text: &str, tag_end: Option<usize>) -> Step {
    if context.delim == Delim::None {
        let ignored = context.element == Element::Script
            && (context.state.is_script_literal() || context.state.is_comment());
        let end = tag_end.filter(|_| !ignored && context.element.end_tag().is_some());
        if end == Some(0) {
            return Ok((Context::default(), 0));
        }
        let end = end.unwrap_or(text.len());
        return within(context, &text[..end]);
    }
    attribute_value(context, text)
}

/// Finds where the end tag of the element begins.
pub(crate) fn tag_end(element: Element, text: &str) -> Option<usize> {
    let tag = element.end_tag()?.as_bytes();
    let bytes = text.as_bytes();
    (0..bytes.len().checked_sub(tag.len())?).find(|at| {
        bytes[*at] == b'<'
            && bytes[*at..*at + tag.len()].eq_ignore_ascii_case(tag)
            && b"> \t\n\x0c/".contains(&bytes[*at + tag.len()])
    })
}

fn attribute_value(context: &Context, text: &str) -> Step {
    let ends: &[char] = match context.delim {
        Delim::Double => &['"'],
        Delim::Single => &['\''],
        _ => &[' ', '\t', '\n', '\u{c}', '\r', '>'],
    };
    let end = text.find(ends).unwrap_or(text.len());
    if context.delim == Delim::SpaceOrTagEnd
        && let Some(at) = text[..end].find(['"', '\'', '<', '=', '`'])
    {
        let (found, value) = (quoted(&text[at..at + 1]), quoted(&text[..end]));
        return Err(format!("{found} in unquoted attr: {value}"));
    }
    if end == text.len() {
        let decoded = attribute::unescape(text);
        let mut rest = decoded.as_str();
        let mut context = context.clone();
        while !rest.is_empty() {
            let (next, read) = within(&context, rest)?;
            rest = &rest[read..];
            context = next;
        }
        return Ok((context, text.len()));
    }
    let mut element = context.element;
    if context.state == State::Attr
        && element == Element::Script
        && context.attr == Attr::ScriptType
        && !script::is_script_type(&text[..end])
    {
        element = Element::None;
    }
    let quote = usize::from(context.delim != Delim::SpaceOrTagEnd);
    Ok((Context { element, ..Context::of(State::Tag) }, end + quote))
}

fn within(context: &Context, text: &str) -> Step {
    match context.state {
        State::Text => Ok(in_text(context, text)),
        State::Tag => in_tag(context, text),
        State::AttrName => {
            let end = attribute_name(text)?;
            let state = if end == text.len() { State::AttrName } else { State::AfterName };
            Ok((Context { state, ..context.clone() }, end))
        }
        State::AfterName => Ok(after_name(context, text)),
        State::BeforeValue => Ok(before_value(context, text)),
        State::HtmlComment => Ok(match text.find("-->") {
            Some(end) => (Context::default(), end + 3),
            None => (context.clone(), text.len()),
        }),
        State::MetaContent | State::MetaContentUrl => Ok(meta_content(context, text)),
        State::RcData | State::Attr | State::Dead => Ok((context.clone(), text.len())),
        State::Url | State::Srcset => Ok((in_url(context, text), text.len())),
        State::Js
        | State::JsDouble
        | State::JsSingle
        | State::JsTemplate
        | State::JsRegexp
        | State::JsBlockComment
        | State::JsLineComment
        | State::JsHtmlOpenComment
        | State::JsHtmlCloseComment => script::step(context, text),
        _ => css::step(context, text),
    }
}

fn in_text(context: &Context, text: &str) -> (Context, usize) {
    let bytes = text.as_bytes();
    let mut from = 0;
    while let Some(found) = text[from..].find('<') {
        let mut at = from + found;
        if text[at..].starts_with("<!--") {
            return (Context::of(State::HtmlComment), at + 4);
        }
        at += 1;
        let closes = bytes.get(at) == Some(&b'/');
        at += usize::from(closes);
        let end = tag_name(text, at);
        if end != at {
            let element = if closes { Element::None } else { Element::named(&text[at..end]) };
            return (Context { element, ..Context::of(State::Tag) }, end);
        }
        from = end.min(text.len());
    }
    (context.clone(), text.len())
}

/// Gives the end of the tag name at a place: letters and digits, `:` and `-` between them.
fn tag_name(text: &str, at: usize) -> usize {
    let bytes = text.as_bytes();
    if !bytes.get(at).is_some_and(u8::is_ascii_alphabetic) {
        return at;
    }
    let mut end = at + 1;
    while let Some(byte) = bytes.get(end) {
        let joins = matches!(byte, b':' | b'-')
            && bytes.get(end + 1).is_some_and(u8::is_ascii_alphanumeric);
        if !byte.is_ascii_alphanumeric() && !joins {
            break;
        }
        end += 1 + usize::from(joins);
    }
    end
}

fn skip_spaces(text: &str) -> usize {
    text.len() - text.trim_start_matches(HTML_SPACES).len()
}

fn in_tag(context: &Context, text: &str) -> Step {
    let start = skip_spaces(text);
    if start == text.len() {
        return Ok((context.clone(), start));
    }
    if text[start..].starts_with('>') {
        let next =
            Context { element: context.element, ..Context::of(context.element.content_state()) };
        return Ok((next, start + 1));
    }
    let end = start + attribute_name_at(text, start)?;
    if end == start {
        let rest = quoted(&text[start..]);
        return Err(format!("expected space, attr name, or end of tag, but got {rest}"));
    }
    let name = text[start..end].to_ascii_lowercase();
    let attr = match (context.element, name.as_str()) {
        (Element::Script, "type") => Attr::ScriptType,
        (Element::Meta, "content") => Attr::MetaContent,
        _ => attribute::kind(&name),
    };
    let state = if end == text.len() { State::AttrName } else { State::AfterName };
    Ok((Context { attr, element: context.element, ..Context::of(state) }, end))
}

/// Finds the address that `content` of `meta` sends the browser to.
fn meta_content(context: &Context, text: &str) -> (Context, usize) {
    let bytes = text.as_bytes();
    let (found, state) = match context.state {
        State::MetaContent => (address_in_meta(bytes), State::MetaContentUrl),
        _ => (text.find(';').map(|at| at + 1), State::MetaContent),
    };
    match found {
        Some(read) => (Context { state, ..context.clone() }, read),
        None => (context.clone(), text.len()),
    }
}

/// Finds the end of `url =`.
fn address_in_meta(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(found) = bytes[from..].windows(3).position(|w| w.eq_ignore_ascii_case(b"url")) {
        let mut at = from + found + 3;
        while bytes.get(at).is_some_and(|byte| b" \t\n\x0c\r".contains(byte)) {
            at += 1;
        }
        if bytes.get(at) == Some(&b'=') {
            return Some(at + 1);
        }
        from = at;
    }
    None
}

fn attribute_name(text: &str) -> Result<usize, String> {
    attribute_name_at(text, 0)
}

fn attribute_name_at(text: &str, start: usize) -> Result<usize, String> {
    for (at, c) in text[start..].char_indices() {
        match c {
            ' ' | '\t' | '\n' | '\u{c}' | '\r' | '=' | '>' => return Ok(at),
            '\'' | '"' | '<' => {
                let cut: String = text.chars().take(32).collect();
                let (found, rest) = (quoted(&c.to_string()), quoted(&cut));
                return Err(format!("{found} in attribute name: {rest}"));
            }
            _ => {}
        }
    }
    Ok(text.len() - start)
}

fn after_name(context: &Context, text: &str) -> (Context, usize) {
    let start = skip_spaces(text);
    if start == text.len() {
        return (context.clone(), start);
    }
    if text[start..].starts_with('=') {
        return (Context { state: State::BeforeValue, ..context.clone() }, start + 1);
    }
    (Context { state: State::Tag, ..context.clone() }, start)
}

fn before_value(context: &Context, text: &str) -> (Context, usize) {
    let start = skip_spaces(text);
    let (delim, quote) = match text[start..].chars().next() {
        None => return (context.clone(), start),
        Some('"') => (Delim::Double, 1),
        Some('\'') => (Delim::Single, 1),
        Some(_) => (Delim::SpaceOrTagEnd, 0),
    };
    let state = context.attr.value_state();
    (Context { state, delim, ..context.clone() }, start + quote)
}

/// Gives the context after a piece of a URL.
pub(crate) fn in_url(context: &Context, text: &str) -> Context {
    let mut next = context.clone();
    if text.contains(['#', '?']) {
        next.url = UrlPart::QueryOrFragment;
    } else if skip_spaces(text) != text.len() && context.url == UrlPart::None {
        next.url = UrlPart::PreQuery;
    }
    next
}

/// Gives the context after an action: a value stands where it was.
pub(crate) fn after_value(context: &Context) -> Context {
    let mut next = context.clone();
    match context.state {
        State::Js => next.slash = Slash::Division,
        State::Tag => next.state = State::AttrName,
        _ => {}
    }
    next
}

pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::new();
    quote::quote(&mut out, text, false);
    out
}
