//! JSON as `encoding/json` writes it: sorted keys, HTML-safe strings, its own rule for floats.

use crate::go::float;
use crate::value::Value;

/// Writes a value without spaces and without a newline.
///
/// NaN and infinities become `null`, where upstream fails.
pub fn write(out: &mut String, value: &Value<'_>) {
    let mut buffer = itoa::Buffer::new();
    match value {
        Value::Nil => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Float(value) if value.is_finite() => float::json(out, *value),
        Value::Float(_) => out.push_str("null"),
        Value::Str(text) => string(out, text),
        Value::Time(time) => {
            out.push('"');
            time.json(out);
            out.push('"');
        }
        Value::Location(_) => out.push_str("{}"),
        Value::List(list) => {
            let mut first = true;
            out.push('[');
            for item in list.iter() {
                separate(out, &mut first);
                write(out, &item);
            }
            out.push(']');
        }
        Value::Map(map) => {
            let mut first = true;
            out.push('{');
            for index in 0..map.len() {
                let (key, value) = map.entry(index);
                member(out, &mut first, key, &value);
            }
            out.push('}');
        }
        Value::Struct(data) => {
            let mut first = true;
            out.push('{');
            for field in data.fields() {
                if let Some(key) = data.json_key(field) {
                    member(out, &mut first, key, &data.field(field).unwrap_or_default());
                }
            }
            out.push('}');
        }
        Value::Uint64(value) => out.push_str(buffer.format(*value)),
        Value::Byte(value) => out.push_str(buffer.format(*value)),
        value => out.push_str(buffer.format(value.as_int().unwrap_or_default())),
    }
}

/// Writes a string in quotes; `<`, `>`, `&`, U+2028 and U+2029 are escaped, so that the text can
/// stand in HTML and JavaScript.
pub fn string(out: &mut String, text: &str) {
    out.push('"');
    let mut plain = 0;
    for (at, c) in text.char_indices() {
        let escape = match c {
            '"' => "\\\"",
            '\\' => "\\\\",
            '\n' => "\\n",
            '\r' => "\\r",
            '\t' => "\\t",
            '\u{8}' => "\\b",
            '\u{c}' => "\\f",
            '<' => "\\u003c",
            '>' => "\\u003e",
            '&' => "\\u0026",
            '\u{2028}' => "\\u2028",
            '\u{2029}' => "\\u2029",
            c if c < ' ' => "",
            _ => continue,
        };
        out.push_str(&text[plain..at]);
        plain = at + c.len_utf8();
        if escape.is_empty() {
            out.push_str(&format!("\\u{:04x}", c as u32));
        } else {
            out.push_str(escape);
        }
    }
    out.push_str(&text[plain..]);
    out.push('"');
}

fn separate(out: &mut String, first: &mut bool) {
    if !std::mem::take(first) {
        out.push(',');
    }
}

fn member(out: &mut String, first: &mut bool, key: &str, value: &Value<'_>) {
    separate(out, first);
    string(out, key);
    out.push(':');
    write(out, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_safe_in_html() {
        let mut out = String::new();
        string(&mut out, "a<b>&\"\\\n\u{1}\u{2028}é\u{7f}");
        assert_eq!(out, "\"a\\u003cb\\u003e\\u0026\\\"\\\\\\n\\u0001\\u2028é\u{7f}\"");
    }
}
