//! Escapes of whole texts: HTML, JavaScript strings and queries of URLs.

use crate::go::quote;

/// Writes a text so that HTML shows it as it is; the function `html` of templates.
pub(crate) fn html(out: &mut String, text: &str) {
    replace(out, text, |c| match c {
        '"' => Some("&#34;"),
        '\'' => Some("&#39;"),
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        '\0' => Some("\u{fffd}"),
        _ => None,
    });
}

/// Writes the inside of a JavaScript string; the function `js` of templates.
pub(crate) fn js(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '"' => out.push_str("\\\""),
            '<' | '>' | '&' | '=' => out.push_str(&format!("\\u{:04X}", c as u32)),
            c if c < ' ' => out.push_str(&format!("\\u{:04X}", c as u32)),
            c if c.is_ascii() || quote::is_print(c) => out.push(c),
            c => out.push_str(&format!("\\u{:04X}", c as u32)),
        }
    }
}

/// Writes a text for the query of a URL; the function `urlquery` of templates.
pub(crate) fn urlquery(out: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
}

/// Writes a text with some of its characters replaced.
pub(crate) fn replace(out: &mut String, text: &str, with: impl Fn(char) -> Option<&'static str>) {
    let mut plain = 0;
    for (at, c) in text.char_indices() {
        if let Some(replacement) = with(c) {
            out.push_str(&text[plain..at]);
            out.push_str(replacement);
            plain = at + c.len_utf8();
        }
    }
    out.push_str(&text[plain..]);
}
