//! Bodies of requests, written as Go's encoder does.

use std::collections::BTreeMap;

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
    fn values_are_written_as_go_does() {
        let list = Arg::List(vec![Arg::Float(1e21), Arg::Bool(true), Arg::Duration(5)]);
        assert_eq!(shown(arg(&list)), "[1e+21,true,5]");
        let nested = json!({"b": [1, "<", null], "a": {"d": 1.5, "c": false}});
        assert_eq!(shown(value(&nested)), r#"{"a":{"c":false,"d":1.5},"b":[1,"\u003c",null]}"#);
    }
}
