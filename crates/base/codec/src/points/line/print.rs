//! Points as lines.

use super::super::{Point, Value};
use crate::line_protocol::append_text;
use crate::points::json;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Appends a point and a line end: tags, then fields, each sorted by key; the time in nanoseconds.
///
/// Gives whether there is a line: a point without a field has none, and then `out` is as before. What a line cannot
/// carry is changed: line ends in names become blanks, backslashes at the end of names go; fields that are not finite,
/// or nothing, and tags without a text are left out. A map is written as a text of JSON.
pub fn write_point(point: &Point<'_>, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let name = point.name.trim_start_matches(['\t', '\0', '\r']);
    match name.strip_prefix('#') {
        Some(rest) => {
            out.push(b'_');
            append_name(rest, b", ", out);
        }
        None => append_name(name, b", ", out),
    }
    if out.len() == start {
        out.extend_from_slice(b"__default");
    }
    let mut order: Vec<usize> = (0..point.entries.len()).collect();
    order.sort_by(|one, other| {
        let key = |at: &usize| {
            let entry = &point.entries[*at];
            (!entry.is_tag, &entry.key)
        };
        key(one).cmp(&key(other))
    });
    let mut has_field = false;
    for at in order {
        let entry = &point.entries[at];
        if entry.value.is_nothing() {
            continue;
        }
        let before = out.len();
        out.push(if entry.is_tag || has_field { b',' } else { b' ' });
        let key = entry.key.trim_start_matches(['\t', '\0', '\r']);
        let key_start = out.len();
        append_name(key, b",= ", out);
        let is_named = out.len() > key_start;
        out.push(b'=');
        let value_start = out.len();
        if entry.is_tag {
            if let Value::Str(text) = &entry.value {
                append_name(text, b",= ", out);
            }
        } else {
            append_value(&entry.value, out);
        }
        if !is_named || out.len() == value_start {
            out.truncate(before);
            continue;
        }
        has_field |= !entry.is_tag;
    }
    if !has_field {
        out.truncate(start);
        return false;
    }
    out.push(b' ');
    out.extend_from_slice(itoa::Buffer::new().format(point.time.0).as_bytes());
    out.push(b'\n');
    true
}

fn append_name(text: &str, escaped: &[u8], out: &mut Vec<u8>) {
    for &byte in text.trim_end_matches('\\').as_bytes() {
        match byte {
            b'\n' | b'\r' => {
                out.push(b'\\');
                out.push(b' ');
            }
            _ => {
                if escaped.contains(&byte) {
                    out.push(b'\\');
                }
                out.push(byte);
            }
        }
    }
}

fn append_value(value: &Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Nil => {}
        Value::Float(number) => append_float(*number, out),
        Value::Int(number) => {
            out.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes());
            out.push(b'i');
        }
        Value::UInt(number) => {
            out.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes());
            out.push(b'u');
        }
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Str(text) => append_text(out, text),
        Value::Bytes(bytes) => {
            out.push(b'"');
            out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
            out.extend_from_slice(b"\"b");
        }
        Value::Array(items) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                append_value(item, out);
            }
            out.push(b']');
        }
        Value::Map(_) => {
            let mut text = Vec::new();
            json::write_value(value, &mut text);
            append_text(out, &String::from_utf8_lossy(&text));
        }
    }
}

/// Appends a float in its shortest form without an exponent; nothing when it is not finite.
fn append_float(number: f64, out: &mut Vec<u8>) {
    use std::io::Write as _;
    if number.is_finite() {
        write!(out, "{number}").expect("a vector takes everything");
    }
}
