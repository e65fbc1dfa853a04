//! JSON as Go's `encoding/json` lays it out: four spaces or none, `<`, `>` and `&` escaped, floats with the fewest digits.

use std::io;

use levada_alert::json::write_float;
use serde::Serialize;
use serde_json::ser::{CharEscape, CompactFormatter, Formatter, PrettyFormatter};

/// Writes a value over lines, indented with four spaces, without a line feed at the end.
pub fn pretty(value: &impl Serialize) -> Vec<u8> {
    write(value, PrettyFormatter::with_indent(b"    "))
}

/// Writes a value on one line, without a line feed at the end.
pub fn compact(value: &impl Serialize) -> Vec<u8> {
    write(value, CompactFormatter)
}

fn write(value: &impl Serialize, layout: impl Formatter) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, Go(layout));
    match value.serialize(&mut serializer) {
        Ok(()) => out,
        // Only maps whose keys are no texts get here, and no answer has one.
        Err(error) => format!("{{\"error\":{:?}}}", error.to_string()).into_bytes(),
    }
}

/// A layout with Go's texts and floats.
struct Go<F>(F);

/// Passes what is not ours on to the layout inside.
macro_rules! pass {
    ($($name:ident($($argument:ident: $type:ty),*);)*) => {$(
        fn $name<W: ?Sized + io::Write>(&mut self, writer: &mut W $(, $argument: $type)*) -> io::Result<()> {
            self.0.$name(writer $(, $argument)*)
        }
    )*};
}

impl<F: Formatter> Formatter for Go<F> {
    pass! {
        begin_array();
        end_array();
        begin_array_value(first: bool);
        end_array_value();
        begin_object();
        end_object();
        begin_object_key(first: bool);
        end_object_key();
        begin_object_value();
        end_object_value();
    }

    fn write_f64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        let mut text = Vec::with_capacity(24);
        write_float(value, &mut text);
        writer.write_all(&text)
    }

    /// A number that was read, or was part of a tree: a float among them is written as any other.
    fn write_number_str<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        text: &str,
    ) -> io::Result<()> {
        let float = text.contains(['.', 'e', 'E']).then(|| text.parse::<f64>().ok()).flatten();
        match float.filter(|value| value.is_finite()) {
            Some(value) => self.write_f64(writer, value),
            None => writer.write_all(text.as_bytes()),
        }
    }

    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(['<', '>', '&', '\u{2028}', '\u{2029}', '\u{7f}']) {
            let (before, from) = rest.split_at(at);
            writer.write_all(before.as_bytes())?;
            let Some(character) = from.chars().next() else { break };
            match character {
                '\u{7f}' => writer.write_all(b"\x7f")?,
                _ => write!(writer, "\\u{:04x}", u32::from(character))?,
            }
            rest = &from[character.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }

    fn write_char_escape<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        match escape {
            // Go knows these two by their numbers only before version 1.22, which the original is built with.
            CharEscape::Backspace => writer.write_all(b"\\u0008"),
            CharEscape::FormFeed => writer.write_all(b"\\u000c"),
            other => self.0.write_char_escape(writer, other),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    #[test]
    fn values_look_as_go_writes_them() {
        let value = json!({"a": [1, {"b": "<&>"}], "c": [], "d": {}});
        let pretty = String::from_utf8(pretty(&value)).unwrap();
        let expected = "{\n    \"a\": [\n        1,\n        {\n            \"b\": \"\\u003c\\u0026\\u003e\"\n        }\n    ],\n    \"c\": [],\n    \"d\": {}\n}";
        assert_eq!(pretty, expected);
        let floats = (1.0, 0.1, 1e21, 1e-7, -0.0, 123_456_789.0);
        assert_eq!(compact(&floats), b"[1,0.1,1e+21,1e-7,-0,123456789]");
        let tree: serde_json::Value =
            serde_json::from_str("[1.0, 2e3, 18446744073709551616, 1e400, 0.50]").unwrap();
        assert_eq!(compact(&tree), b"[1,2000,18446744073709551616,1e+400,0.5]");
        assert_eq!(compact(&json!([1.0, 0.0])), b"[1,0]");
        assert_eq!(compact(&"a\u{8}\u{c}\n\u{2028}\"\\"), br#""a\u0008\u000c\n\u2028\"\\""#);
    }
}
