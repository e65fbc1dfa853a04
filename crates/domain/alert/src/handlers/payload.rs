//! Bodies of requests, written as Go's encoder does.

use std::collections::BTreeMap;

use levada_model::Timestamp;
use serde_json::Value;

use super::spec::Arg;
use crate::json::{write_float, write_int, write_key, write_text};

/// An object that is being written, in the order of the calls.
pub(super) struct Object(Vec<u8>);

// === impl Object ===

impl Object {
    pub(super) fn new() -> Self {
        Object(vec![b'{'])
    }

    /// Writes a text.
    pub(super) fn text(mut self, key: &str, text: &str) -> Self {
        self.key(key);
        write_text(text, &mut self.0);
        self
    }

    /// Writes a text unless it is empty.
    pub(super) fn text_if(self, key: &str, text: &str) -> Self {
        if text.is_empty() { self } else { self.text(key, text) }
    }

    /// Writes an integer.
    pub(super) fn int(mut self, key: &str, number: i64) -> Self {
        self.key(key);
        write_int(number, &mut self.0);
        self
    }

    /// Writes `true` when it is.
    pub(super) fn flag_if(self, key: &str, value: bool) -> Self {
        if value { self.raw(key, b"true") } else { self }
    }

    /// Writes what is JSON already.
    pub(super) fn raw(mut self, key: &str, json: &[u8]) -> Self {
        self.key(key);
        self.0.extend_from_slice(json);
        self
    }

    /// Writes a list of texts.
    pub(super) fn texts<'t>(self, key: &str, texts: impl IntoIterator<Item = &'t str>) -> Self {
        let json = list(texts.into_iter().map(text));
        self.raw(key, &json)
    }

    /// Writes all entries.
    pub(super) fn entries(self, entries: &BTreeMap<String, Vec<u8>>) -> Self {
        entries.iter().fold(self, |object, (key, json)| object.raw(key, json))
    }

    pub(super) fn done(mut self) -> Vec<u8> {
        self.0.push(b'}');
        self.0
    }

    fn key(&mut self, key: &str) {
        // Only the object itself ends with a brace that opens.
        if self.0.last() != Some(&b'{') {
            self.0.push(b',');
        }
        write_key(key, &mut self.0);
    }
}

/// Gives a list of what is JSON already.
pub(super) fn list(items: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let mut out = vec![b'['];
    for item in items {
        if out.len() > 1 {
            out.push(b',');
        }
        out.extend(item);
    }
    out.push(b']');
    out
}

/// Gives a text with quotes.
pub(super) fn text(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    write_text(text, &mut out);
    out
}

/// Gives an argument; durations are nanoseconds.
pub(super) fn arg(arg: &Arg) -> Vec<u8> {
    let mut out = Vec::new();
    match arg {
        Arg::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        Arg::Int(number) | Arg::Duration(number) => write_int(*number, &mut out),
        Arg::Float(number) => write_float(*number, &mut out),
        Arg::Str(text) => write_text(text, &mut out),
        Arg::List(items) => out = list(items.iter().map(self::arg)),
    }
    out
}

/// Gives a value with the keys of its objects sorted.
pub(super) fn value(value: &Value) -> Vec<u8> {
    match value {
        Value::String(string) => text(string),
        Value::Array(items) => list(items.iter().map(self::value)),
        Value::Object(map) => {
            let sorted = map.iter().map(|(key, item)| (key.clone(), self::value(item))).collect();
            Object::new().entries(&sorted).done()
        }
        plain => plain.to_string().into_bytes(),
    }
}

/// Gives whole seconds since 1970.
pub(super) fn seconds(time: Timestamp) -> i64 {
    time.0.div_euclid(1_000_000_000)
}

/// Gives RFC 3339 UTC with all nine digits of the fraction.
pub(super) fn nine_digits(time: Timestamp) -> String {
    let whole = time.rfc3339();
    let whole = whole.strip_suffix('Z').unwrap_or(&whole);
    format!("{whole}.{:09}Z", time.0.rem_euclid(1_000_000_000))
}

/// Gives a text without the escapes that templates of HTML make; others stay.
pub(super) fn html_unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        match unescaped(rest) {
            Some((character, length)) => {
                out.push(character);
                rest = &rest[length..];
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// Gives the character of the escape at the start of a text, and the length of the escape.
fn unescaped(text: &str) -> Option<(char, usize)> {
    // The longest escape is `&#x10ffff;`.
    let end = text.bytes().take(10).position(|byte| byte == b';')?;
    let name = &text[1..end];
    let character = match name.strip_prefix('#') {
        Some(number) => {
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?)?
        }
        None => match name {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            _ => return None,
        },
    };
    Some((character, end + 1))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(json: Vec<u8>) -> String {
        String::from_utf8_lossy(&json).into_owned()
    }

    #[test]
    fn objects_keep_the_order_of_the_calls() {
        let object = Object::new()
            .text("b", "<{>")
            .text_if("x", "")
            .int("a", -1)
            .flag_if("no", false)
            .flag_if("yes", true)
            .raw("inner", &Object::new().done())
            .texts("list", ["p", "q"])
            .texts("none", []);
        assert_eq!(
            shown(object.done()),
            r#"{"b":"\u003c{\u003e","a":-1,"yes":true,"inner":{},"list":["p","q"],"none":[]}"#
        );
    }

    #[test]
    fn times_have_nine_digits() {
        let cases = [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (1_000_000_001, "1970-01-01T00:00:01.000000001Z"),
            (-1, "1969-12-31T23:59:59.999999999Z"),
        ];
        for (nanos, expected) in cases {
            assert_eq!(nine_digits(Timestamp(nanos)), expected);
        }
        assert_eq!((seconds(Timestamp(-1)), seconds(Timestamp(1_999_999_999))), (-1, 1));
    }

    #[test]
    fn escapes_of_html_are_undone() {
        let cases = [
            ("a &lt;b&gt; &amp;amp; &#34;c&#39; &quot;&apos;&#x2B;&#43;", "a <b> &amp; \"c' \"'++"),
            (
                "&nbsp; & &; &#; &#x; &#1114112; &#xd800; &lt",
                "&nbsp; & &; &#; &#x; &#1114112; &#xd800; &lt",
            ),
            ("é&#233;é &ééééééé;", "ééé &ééééééé;"),
            ("", ""),
        ];
        for (text, expected) in cases {
            assert_eq!(html_unescape(text), expected);
        }
    }

    #[test]
    fn values_are_written_as_go_does() {
        let list = Arg::List(vec![Arg::Float(1e21), Arg::Bool(true), Arg::Duration(5)]);
        assert_eq!(shown(arg(&list)), "[1e+21,true,5]");
        let nested = json!({"b": [1, "<", null], "a": {"d": 1.5, "c": false}});
        assert_eq!(shown(value(&nested)), r#"{"a":{"c":false,"d":1.5},"b":[1,"\u003c",null]}"#);
    }
}
