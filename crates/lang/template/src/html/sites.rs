//! What is done to a value at its place.

use crate::go::{json, print};
use crate::html::context::{Attr, State};
use crate::html::{attribute, css, text};
use crate::value::Value;

/// What stands where a value is not safe; people search for it.
const UNSAFE: &str = "ZgotmplZ";

/// One step of escaping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Escape {
    Attribute,
    Comment,
    Css,
    CssValue,
    Html,
    HtmlName,
    JsRegexp,
    JsString,
    JsTemplate,
    JsValue,
    NoSpace,
    RcData,
    Srcset,
    Url,
    UrlFilter,
    UrlNormal,
    /// The function `html`, as the template itself calls it.
    CalledHtml,
    /// The function `urlquery`, as the template itself calls it.
    CalledUrlQuery,
}

impl Escape {
    /// Gives the name that error messages of upstream show.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Escape::Attribute => "_html_template_attrescaper",
            Escape::Comment => "_html_template_commentescaper",
            Escape::Css => "_html_template_cssescaper",
            Escape::CssValue => "_html_template_cssvaluefilter",
            Escape::Html => "_html_template_htmlescaper",
            Escape::HtmlName => "_html_template_htmlnamefilter",
            Escape::JsRegexp => "_html_template_jsregexpescaper",
            Escape::JsString => "_html_template_jsstrescaper",
            Escape::JsTemplate => "_html_template_jstmpllitescaper",
            Escape::JsValue => "_html_template_jsvalescaper",
            Escape::NoSpace => "_html_template_nospaceescaper",
            Escape::RcData => "_html_template_rcdataescaper",
            Escape::Srcset => "_html_template_srcsetescaper",
            Escape::Url => "_html_template_urlescaper",
            Escape::UrlFilter => "_html_template_urlfilter",
            Escape::UrlNormal => "_html_template_urlnormalizer",
            Escape::CalledHtml => "html",
            Escape::CalledUrlQuery => "urlquery",
        }
    }

    /// Says which function of templates does the same.
    pub(crate) fn function(self) -> Option<(&'static str, Escape)> {
        match self {
            Escape::Attribute | Escape::Html | Escape::RcData => Some(("html", Escape::CalledHtml)),
            Escape::Url | Escape::UrlNormal => Some(("urlquery", Escape::CalledUrlQuery)),
            _ => None,
        }
    }

    fn apply(self, content: &str, out: &mut String) {
        match self {
            Escape::Attribute | Escape::Html | Escape::RcData => html(out, content),
            Escape::Comment => {}
            Escape::Css => escape_css(out, content),
            Escape::CssValue => css_value(out, content),
            Escape::HtmlName => html_name(out, content),
            Escape::JsRegexp => js_regexp(out, content),
            Escape::JsString => text::replace(out, content, js_string),
            Escape::JsTemplate => text::replace(out, content, |c| match c {
                '$' => Some("\\u0024"),
                '{' => Some("\\u007b"),
                '}' => Some("\\u007d"),
                c => js_string(c),
            }),
            // Only the first step sees a value; later ones see its text.
            Escape::JsValue => js_value(out, &Value::from(content)),
            Escape::NoSpace => no_space(out, content),
            Escape::Srcset => srcset(out, content),
            Escape::Url => url(out, content, false),
            Escape::UrlFilter if is_safe_url(content) => out.push_str(content),
            Escape::UrlFilter => {
                out.push('#');
                out.push_str(UNSAFE);
            }
            Escape::UrlNormal => url(out, content, true),
            Escape::CalledHtml => text::html(out, content),
            Escape::CalledUrlQuery => text::urlquery(out, content),
        }
    }
}

/// Writes a value through all steps; nothing writes nothing, but `null` in JavaScript.
pub(crate) fn escape(steps: &[Escape], value: &Value<'_>, scratch: &mut String, out: &mut String) {
    let mut rest = steps;
    match (steps.first(), value) {
        (Some(Escape::JsValue), value) => {
            js_value(scratch, value);
            rest = &steps[1..];
        }
        (Some(Escape::CalledHtml | Escape::CalledUrlQuery), Value::Nil) => {
            scratch.push_str("<no value>");
        }
        (_, Value::Nil) => {}
        (_, value) => print::value(scratch, value),
    }
    let Some((last, before)) = rest.split_last() else {
        return out.push_str(scratch);
    };
    for step in before {
        let mut next = String::with_capacity(scratch.len());
        step.apply(scratch, &mut next);
        *scratch = next;
    }
    last.apply(scratch, out);
}

fn html(out: &mut String, content: &str) {
    text::replace(out, content, |c| match c {
        '"' => Some("&#34;"),
        '&' => Some("&amp;"),
        '\'' => Some("&#39;"),
        '+' => Some("&#43;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        '\0' => Some("\u{fffd}"),
        _ => None,
    });
}

/// Writes the value of an attribute that has no quotes.
fn no_space(out: &mut String, content: &str) {
    if content.is_empty() {
        return out.push_str(UNSAFE);
    }
    text::replace(out, content, |c| match c {
        '\0' => Some("&#xfffd;"),
        '\t' => Some("&#9;"),
        '\n' => Some("&#10;"),
        '\u{b}' => Some("&#11;"),
        '\u{c}' => Some("&#12;"),
        '\r' => Some("&#13;"),
        ' ' => Some("&#32;"),
        '"' => Some("&#34;"),
        '&' => Some("&amp;"),
        '\'' => Some("&#39;"),
        '+' => Some("&#43;"),
        '<' => Some("&lt;"),
        '=' => Some("&#61;"),
        '>' => Some("&gt;"),
        '`' => Some("&#96;"),
        _ => None,
    });
}

/// Writes the name of an attribute, if data may choose it.
fn html_name(out: &mut String, content: &str) {
    let name = content.to_ascii_lowercase();
    let plain = !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && attribute::kind(&name) == Attr::None
        && !attribute::is_unsafe(&name);
    out.push_str(if plain { &name } else { UNSAFE });
}

// JavaScript

fn js_string(c: char) -> Option<&'static str> {
    Some(match c {
        '\0' => "\\u0000",
        '\t' => "\\t",
        '\n' => "\\n",
        '\u{b}' => "\\u000b",
        '\u{c}' => "\\f",
        '\r' => "\\r",
        '"' => "\\u0022",
        '`' => "\\u0060",
        '&' => "\\u0026",
        '\'' => "\\u0027",
        '+' => "\\u002b",
        '/' => "\\/",
        '<' => "\\u003c",
        '>' => "\\u003e",
        '\\' => "\\\\",
        '\u{2028}' => "\\u2028",
        '\u{2029}' => "\\u2029",
        _ => return None,
    })
}

fn js_regexp(out: &mut String, content: &str) {
    if content.is_empty() {
        // An empty regular expression would begin a comment.
        return out.push_str("(?:)");
    }
    text::replace(out, content, |c| {
        Some(match c {
            '$' => "\\$",
            '(' => "\\(",
            ')' => "\\)",
            '*' => "\\*",
            '-' => "\\-",
            '.' => "\\.",
            '?' => "\\?",
            '[' => "\\[",
            ']' => "\\]",
            '^' => "\\^",
            '{' => "\\{",
            '|' => "\\|",
            '}' => "\\}",
            '`' => return None,
            c => return js_string(c),
        })
    });
}

/// Writes a value as a JavaScript expression; what could join a word before or after it gets spaces.
fn js_value(out: &mut String, value: &Value<'_>) {
    let mut content = String::new();
    match value {
        Value::Duration(_) | Value::Month(_) | Value::Weekday(_) | Value::Location(_) => {
            let mut shown = String::new();
            print::value(&mut shown, value);
            json::string(&mut content, &shown);
        }
        value => json::write(&mut content, value),
    }
    let is_part = |c: char| c == '$' || c == '_' || c.is_ascii_alphanumeric();
    let pads = content.starts_with(is_part) || content.ends_with(is_part);
    if pads {
        out.push(' ');
    }
    out.push_str(&content);
    if pads {
        out.push(' ');
    }
}

// Style sheets

fn escape_css(out: &mut String, content: &str) {
    let mut chars = content.chars().peekable();
    while let Some(c) = chars.next() {
        let code = match c {
            '\\' => {
                out.push_str("\\\\");
                continue;
            }
            '\0' | '\t' | '\n' | '\u{c}' | '\r' | '"' | '&' | '\'' | '(' | ')' | '+' | '/'
            | ':' | ';' | '<' | '>' | '{' | '}' => c as u32,
            c => {
                out.push(c);
                continue;
            }
        };
        out.push_str(&format!("\\{code:x}"));
        // A space ends the escape where the next character could belong to it.
        let joins = |next: &char| next.is_ascii_hexdigit() || " \t\n\u{c}\r".contains(*next);
        if chars.peek().is_none_or(joins) {
            out.push(' ');
        }
    }
}

fn css_value(out: &mut String, content: &str) {
    let decoded = css::decode(content);
    let mut name = String::new();
    let mut before = ' ';
    for c in decoded.chars() {
        let bad = match c {
            '\0' | '"' | '\'' | '(' | ')' | '/' | ';' | '@' | '[' | '\\' | ']' | '`' | '{'
            | '}' | '<' | '>' => true,
            // `--` could end a comment or name a variable.
            '-' => before == '-',
            _ => false,
        };
        if bad {
            return out.push_str(UNSAFE);
        }
        if c.is_ascii_alphanumeric() || c == '-' || c == '_' {
            name.push(c.to_ascii_lowercase());
        }
        before = c;
    }
    if name.contains("expression") || name.contains("mozbinding") {
        return out.push_str(UNSAFE);
    }
    out.push_str(&decoded);
}

// URLs

/// Says whether a URL cannot run code: it has no scheme, or a harmless one.
fn is_safe_url(content: &str) -> bool {
    match content.split_once(':') {
        Some((scheme, _)) if !scheme.contains('/') => {
            ["http", "https", "mailto"].iter().any(|safe| scheme.eq_ignore_ascii_case(safe))
        }
        _ => true,
    }
}

/// Writes a URL with its odd bytes encoded; `whole` keeps the characters that structure it.
fn url(out: &mut String, content: &str, whole: bool) {
    let bytes = content.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        let kept = match byte {
            b'-' | b'.' | b'_' | b'~' => true,
            b'!' | b'#' | b'$' | b'&' | b'*' | b'+' | b',' | b'/' | b':' | b';' | b'=' | b'?'
            | b'@' | b'[' | b']' => whole,
            // What is encoded already stays so.
            b'%' => {
                whole
                    && bytes
                        .get(at + 1..at + 3)
                        .is_some_and(|next| next.iter().all(u8::is_ascii_hexdigit))
            }
            byte => byte.is_ascii_alphanumeric(),
        };
        if kept {
            out.push(char::from(*byte));
        } else {
            out.push_str(&format!("%{byte:02x}"));
        }
    }
}

/// Writes the candidates of a `srcset`, those that are not safe filtered out.
fn srcset(out: &mut String, content: &str) {
    const SPACES: [char; 5] = [' ', '\t', '\n', '\u{c}', '\r'];
    for (index, candidate) in content.split(',').enumerate() {
        if index > 0 {
            out.push(',');
        }
        let trimmed = candidate.trim_start_matches(SPACES);
        let address = trimmed.split(SPACES).next().unwrap_or_default();
        let rest = &trimmed[address.len()..];
        let plain =
            rest.chars().all(|c| SPACES.contains(&c) || c == '.' || c.is_ascii_alphanumeric());
        if is_safe_url(address) && plain {
            out.push_str(&candidate[..candidate.len() - trimmed.len()]);
            url(out, address, true);
            out.push_str(rest);
        } else {
            out.push('#');
            out.push_str(UNSAFE);
        }
    }
}

/// Gives the steps for a state, before those of the quotes around it.
pub(crate) fn steps_of(state: State) -> &'static [Escape] {
    match state {
        State::Js => &[Escape::JsValue],
        State::JsDouble | State::JsSingle => &[Escape::JsString],
        State::JsTemplate => &[Escape::JsTemplate],
        State::JsRegexp => &[Escape::JsRegexp],
        State::Css => &[Escape::CssValue],
        State::Text => &[Escape::Html],
        State::RcData => &[Escape::RcData],
        State::Tag | State::AttrName => &[Escape::HtmlName],
        State::Srcset => &[Escape::Srcset],
        State::MetaContentUrl => &[Escape::UrlFilter],
        state if state.is_comment() => &[Escape::Comment],
        _ => &[],
    }
}
