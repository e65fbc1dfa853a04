//! JSON string text: escapes in, escapes out.

use std::borrow::Cow;

use crate::scan::string_stop;

/// Decodes the bytes between the quotes of a JSON string that was parsed.
///
/// A lone surrogate becomes U+FFFD. Bytes that are not UTF-8 cannot occur after a parse; should they,
/// they become U+FFFD too.
pub fn decode(raw: &[u8], escaped: bool) -> Cow<'_, str> {
    if !escaped {
        return match std::str::from_utf8(raw) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => String::from_utf8_lossy(raw),
        };
    }
    let mut out = Vec::with_capacity(raw.len());
    let mut at = 0;
    while at < raw.len() {
        if raw[at] != b'\\' {
            out.push(raw[at]);
            at += 1;
            continue;
        }
        at += 1;
        let simple = match raw.get(at) {
            Some(b'b') => 0x08,
            Some(b'f') => 0x0c,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => {
                at = decode_unicode(raw, at + 1, &mut out);
                continue;
            }
            Some(&other) => other,
            None => break,
        };
        out.push(simple);
        at += 1;
    }
    Cow::Owned(match String::from_utf8(out) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    })
}

/// Decodes `XXXX` at `at`, and a low surrogate escape behind it; gives where it ends.
fn decode_unicode(raw: &[u8], at: usize, out: &mut Vec<u8>) -> usize {
    let Some(first) = hex4(raw, at) else {
        out.extend_from_slice("\u{fffd}".as_bytes());
        return raw.len().min(at + 4);
    };
    let mut end = at + 4;
    let mut code = first;
    if (0xd800..0xdc00).contains(&first)
        && raw.get(end..end + 2) == Some(b"\\u")
        && let Some(low @ 0xdc00..=0xdfff) = hex4(raw, end + 2)
    {
        code = 0x10000 + ((first - 0xd800) << 10) + (low - 0xdc00);
        end += 6;
    }
    let mut buffer = [0u8; 4];
    let character = char::from_u32(code).unwrap_or('\u{fffd}');
    out.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
    end
}

fn hex4(raw: &[u8], at: usize) -> Option<u32> {
    let digits = std::str::from_utf8(raw.get(at..at + 4)?).ok()?;
    u32::from_str_radix(digits, 16).ok()
}

/// Tells whether a text cannot stand between quotes as it is.
pub fn needs_escape(text: &[u8]) -> bool {
    string_stop(text, 0) < text.len()
}

/// Appends a text as a JSON string with quotes; only what must be escaped is.
pub fn encode_string(text: &str, out: &mut Vec<u8>) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    encode_content(text.as_bytes(), out);
    out.push(b'"');
}

/// Appends a text as what stands between the quotes of a JSON string; see [`encode_string`].
pub fn encode_content(text: &[u8], out: &mut Vec<u8>) {
    let mut copied = 0;
    loop {
        let at = string_stop(text, copied);
        out.extend_from_slice(&text[copied..at]);
        let Some(&byte) = text.get(at) else { return };
        encode_byte(byte, out);
        copied = at + 1;
    }
}

/// Appends the escape of an ASCII character, whether it needs one or not: `\n` or `\u003c`.
#[inline]
pub fn encode_byte(byte: u8, out: &mut Vec<u8>) {
    debug_assert!(byte.is_ascii());
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        0x08 => out.extend_from_slice(b"\\b"),
        0x0c => out.extend_from_slice(b"\\f"),
        _ => {
            let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
        }
    }
}

/// Appends a JSON text without the white space between its tokens, so that it fits on one line.
///
/// The text must be valid JSON; other bytes are copied as they are.
pub fn compact_json(json: &[u8], out: &mut Vec<u8>) {
    let mut in_string = false;
    let mut is_escaped = false;
    for &byte in json {
        if in_string {
            in_string = is_escaped || byte != b'"';
            is_escaped = !is_escaped && byte == b'\\';
        } else if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            continue;
        } else {
            in_string = byte == b'"';
        }
        out.push(byte);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn check(raw: &str, expected: &str) {
        assert_eq!(decode(raw.as_bytes(), raw.contains('\\')), expected, "{raw}");
    }

    #[test]
    fn escapes_decode() {
        check("plain", "plain");
        check(r#"a\"b\\c\/d"#, "a\"b\\c/d");
        check(r"\n\t\r\b\f", "\n\t\r\u{8}\u{c}");
        check(r"\u0041\u00e9", "Aé");
        check(r"\ud83d\ude00!", "😀!");
        check(r"\ud83d!", "\u{fffd}!");
        check(r"\ude00\ud83d", "\u{fffd}\u{fffd}");
    }

    #[test]
    fn compact_json_keeps_white_space_inside_strings() {
        let mut out = Vec::new();
        compact_json(b"{ \"a b\" :\n [ 1 , \"\\\" c\" ] }", &mut out);
        assert_eq!(out, b"{\"a b\":[1,\"\\\" c\"]}");
    }

    fn encoded(text: &str) -> String {
        let mut out = Vec::new();
        encode_string(text, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn strings_escape_what_json_demands_and_nothing_else() {
        assert_eq!(encoded("a\"b\\c"), r#""a\"b\\c""#);
        assert_eq!(encoded("\n\r\t\u{8}\u{c}\0\u{1f}"), r#""\n\r\t\b\f\u0000\u001f""#);
        assert_eq!(encoded("<a href='x'>&\u{7f}é\u{2028}"), "\"<a href='x'>&\u{7f}é\u{2028}\"");
        assert_eq!(encoded(""), "\"\"");
    }

    #[test]
    fn a_special_byte_is_found_at_every_position() {
        for special in ["\"", "\\", "\n", "\0", "\u{1f}"] {
            for before in 0..40 {
                for after in [0, 1, 9] {
                    let text = format!("{}{special}{}", "é!".repeat(before), " ".repeat(after));
                    let back: String = serde_json::from_str(&encoded(&text)).unwrap();
                    assert_eq!(back, text);
                }
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_encoded_decodes_to_itself(text in ".*") {
            let mut out = Vec::new();
            encode_string(&text, &mut out);
            let inner = &out[1..out.len() - 1];
            proptest::prop_assert_eq!(decode(inner, inner.contains(&b'\\')), text.as_str());
            proptest::prop_assert_eq!(serde_json::from_slice::<String>(&out).ok(), Some(text));
        }
    }
}
