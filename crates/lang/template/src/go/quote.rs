//! Quoted texts and runes, as `%q` writes them.

/// Writes a text in double quotes with the escapes of Go source; `ascii` escapes everything beyond.
pub fn quote(out: &mut String, text: &str, ascii: bool) {
    out.push('"');
    for c in text.chars() {
        push_escaped(out, c, '"', ascii);
    }
    out.push('"');
}

/// Writes a rune in single quotes.
pub fn quote_rune(out: &mut String, c: char, ascii: bool) {
    out.push('\'');
    push_escaped(out, c, '\'', ascii);
    out.push('\'');
}

/// Says whether a text can stand between backquotes as it is.
pub fn can_backquote(text: &str) -> bool {
    !text.chars().any(|c| {
        c == '`' || c == '\u{feff}' || c == '\u{7f}' || (c < ' ' && c != '\t') || c == '\u{fffd}'
    })
}

/// Says whether a character has a shape of its own; of the spaces only the ASCII one does.
///
/// Source: categories L, M, N, P, S and U+0020. Rust's `Debug` escapes nearly the same set
/// (it escapes combining marks, too, which are told apart here).
pub fn is_print(c: char) -> bool {
    if c < '\u{7f}' {
        return c >= ' ';
    }
    let mut escaped = c.escape_debug();
    let plain = escaped.next() == Some(c);
    plain || is_mark(c)
}

fn is_mark(c: char) -> bool {
    // Combining marks, the characters that `escape_debug` escapes though they print.
    let joined: String = ['a', c].iter().collect();
    !joined.escape_debug().to_string().contains('{')
}

fn push_escaped(out: &mut String, c: char, quote: char, ascii: bool) {
    if c == quote || c == '\\' {
        out.push('\\');
        return out.push(c);
    }
    if (c.is_ascii() || !ascii) && is_print(c) {
        return out.push(c);
    }
    match c {
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{b}' => out.push_str("\\v"),
        c if c < ' ' || c == '\u{7f}' => out.push_str(&format!("\\x{:02x}", c as u32)),
        c if (c as u32) < 0x1_0000 => out.push_str(&format!("\\u{:04x}", c as u32)),
        c => out.push_str(&format!("\\U{:08x}", c as u32)),
    }
}

/// Reads a Go string or rune literal, quotes included; nothing when it is malformed.
pub fn unquote(literal: &str) -> Option<String> {
    let quote = literal.chars().next()?;
    if literal.len() < 2 || !literal.ends_with(quote) {
        return None;
    }
    let inner = &literal[1..literal.len() - 1];
    match quote {
        '`' => (!inner.contains('`')).then(|| inner.replace('\r', "")),
        '"' | '\'' => unescape(inner, quote),
        _ => None,
    }
}

fn unescape(inner: &str, quote: char) -> Option<String> {
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner.chars();
    while let Some(c) = rest.next() {
        if c == quote || c == '\n' {
            return None;
        }
        if c != '\\' {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let escape = rest.next()?;
        let simple = match escape {
            'a' => 7,
            'b' => 8,
            'f' => 12,
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            'v' => 11,
            '\\' => b'\\',
            '\'' | '"' if escape == quote => escape as u8,
            'x' => u8::try_from(digits(&mut rest, 2, 16, 0)?).ok()?,
            '0'..='7' => u8::try_from(digits(&mut rest, 2, 8, escape.to_digit(8)?)?).ok()?,
            'u' | 'U' => {
                let code = digits(&mut rest, if escape == 'u' { 4 } else { 8 }, 16, 0)?;
                let c = char::from_u32(code)?;
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            _ => return None,
        };
        bytes.push(simple);
    }
    // Differs: bytes that are no UTF-8 become U+FFFD, since texts are UTF-8 here.
    Some(match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    })
}

fn digits(rest: &mut std::str::Chars<'_>, count: u32, radix: u32, start: u32) -> Option<u32> {
    let mut value = start;
    for _ in 0..count {
        value = value.checked_mul(radix)?.checked_add(rest.next()?.to_digit(radix)?)?;
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_and_reading_are_inverse() {
        for (text, quoted) in [
            ("", r#""""#),
            ("a\"b\\", r#""a\"b\\""#),
            ("tab\tnl\n", r#""tab\tnl\n""#),
            ("é☃", "\"é☃\""),
            ("\u{1}\u{7f}\u{a0}", r#""\x01\x7f\u00a0""#),
            ("\u{e000}", r#""\ue000""#),
            ("e\u{301}", "\"e\u{301}\""),
        ] {
            let mut out = String::new();
            quote(&mut out, text, false);
            assert_eq!(out, quoted);
            assert_eq!(unquote(&out).as_deref(), Some(text));
        }
        let mut out = String::new();
        quote(&mut out, "é\u{1f600}", true);
        assert_eq!(out, r#""\u00e9\U0001f600""#);
    }

    #[test]
    fn malformed_literals_are_nothing() {
        for literal in ["", "\"", "\"a", "\"\\", "\"\\x1\"", "\"\\q\"", "\"a\nb\"", "'\\\"'", "`a"]
        {
            assert_eq!(unquote(literal), None, "{literal}");
        }
        assert_eq!(unquote("`a\\n`").as_deref(), Some("a\\n"));
        assert_eq!(unquote(r#""\101\x41A""#).as_deref(), Some("AAA"));
    }
}
