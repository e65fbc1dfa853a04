//! `print` and `println`: values side by side.

use crate::bounds::OUTPUT_MAX;
use crate::go::{duration, float, printf};
use crate::value::Value;

/// Writes a value as `%v` does.
pub fn value(out: &mut String, value: &Value<'_>) {
    let mut buffer = itoa::Buffer::new();
    match value {
        Value::Nil => out.push_str("<nil>"),
        Value::Str(text) => out.push_str(text),
        Value::Int(value) | Value::Int64(value) => out.push_str(buffer.format(*value)),
        Value::Float(value) => float::print(out, *value),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Duration(value) => duration::print(out, *value),
        Value::Time(time) => time.print(out),
        other => printf::print_value(out, other),
    }
}

/// Writes values with a space between two that are no texts.
pub fn print(out: &mut String, values: &[Value<'_>]) {
    let mut text_before = true;
    for (index, item) in values.iter().enumerate() {
        if out.len() > OUTPUT_MAX {
            // The caller refuses what is so long.
            return;
        }
        let is_text = matches!(item, Value::Str(_));
        if index > 0 && !is_text && !text_before {
            out.push(' ');
        }
        value(out, item);
        text_before = is_text;
    }
}

/// Writes values with spaces between them and a newline.
pub fn println(out: &mut String, values: &[Value<'_>]) {
    for (index, item) in values.iter().enumerate() {
        if out.len() > OUTPUT_MAX {
            return;
        }
        if index > 0 {
            out.push(' ');
        }
        value(out, item);
    }
    out.push('\n');
}
