//! Handlers as topic handlers write them: a `kind` and an object of `options`.
//!
//! - Source: reference (server) §4.4: unknown keys and other types are errors.
//! - Differs: durations may be texts (`5m`) as well as nanoseconds; `exactly-once` is read as well as `exactly-one`.

use std::sync::Arc;

use levada_model::ErrorKind;
use serde_json::{Map, Value, json};
use thiserror::Error;

use super::kind::{Kind, Rule, Shape};
use super::spec::{Arg, HandlerSpec};

/// The words of the quality of service; the third one as upstream reads it.
const QUALITIES: [&str; 3] = ["at-most-once", "at-least-once", "exactly-one"];

/// The word that upstream writes for the third quality, and does not read.
const EXACTLY_ONCE: &str = "exactly-once";

/// Options that a kind does not take; all of them.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("failed to decode options into *{kind}.HandlerConfig: {} error(s) decoding:\n\n{}", problems.len(), list(problems))]
pub struct OptionsError {
    /// The kind.
    pub kind: &'static str,
    /// What is wrong, sorted.
    pub problems: Vec<String>,
}

fn list(problems: &[String]) -> String {
    let lines: Vec<String> = problems.iter().map(|problem| format!("* {problem}")).collect();
    lines.join("\n")
}

// === impl OptionsError ===

impl OptionsError {
    /// Gives the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

// === impl HandlerSpec ===

impl HandlerSpec {
    /// Reads the options of a topic handler.
    ///
    /// Errors: every unknown key and every value of another type.
    pub fn from_options(
        kind: &'static Kind,
        options: &Map<String, Value>,
    ) -> Result<Self, OptionsError> {
        let mut spec = HandlerSpec::new(kind);
        let mut problems = Vec::new();
        let mut unknown: Vec<&str> = Vec::new();
        for (key, value) in options {
            let Some(rule) = kind.rules.iter().find(|rule| rule.is_option(key)) else {
                unknown.push(key);
                continue;
            };
            if value.is_null() {
                continue;
            }
            let calls = calls(rule.shape, key, value);
            let pushed = calls.and_then(|calls| {
                calls.into_iter().try_for_each(|args| {
                    spec.push(rule, args).map_err(|error| format!("'{key}': {error}"))
                })
            });
            problems.extend(pushed.err());
        }
        problems.sort();
        if !unknown.is_empty() {
            unknown.sort_unstable();
            problems.push(format!("'' has invalid keys: {}", unknown.join(", ")));
        }
        match problems.is_empty() {
            true => Ok(spec),
            false => Err(OptionsError { kind: kind.option_kind, problems }),
        }
    }

    /// Gives the options that read back as this handler, but for the order of different properties.
    pub fn to_options(&self) -> Map<String, Value> {
        let mut options = Map::new();
        for rule in self.kind.rules {
            if self.last(rule.name).is_some() {
                options.insert(rule.option.to_owned(), self.option(rule));
            }
        }
        options
    }

    fn option(&self, rule: &Rule) -> Value {
        let one = || self.last(rule.name).and_then(|args| args.first());
        match rule.shape {
            Shape::Flag | Shape::Bool => Value::Bool(self.flag(rule.name)),
            Shape::Qos => match self.int(rule.name) {
                Some(2) => EXACTLY_ONCE.into(),
                Some(quality @ 0..=1) => QUALITIES[quality as usize].into(),
                other => other.into(),
            },
            Shape::Text | Shape::Int | Shape::Duration => one().map_or(Value::Null, to_json),
            Shape::Texts => self.all(rule.name).flatten().map(to_json).collect(),
            Shape::Pair => {
                let pairs = self.pairs(rule.name).into_iter();
                Value::Object(pairs.map(|(key, text)| (key.to_string(), json!(&**text))).collect())
            }
            Shape::Entry => {
                let entries = self.entries(rule.name).into_iter();
                Value::Object(entries.map(|(key, arg)| (key.to_string(), to_json(arg))).collect())
            }
            Shape::Link => self.objects(rule.name, &["href", "text"]),
            Shape::SnmpData => self.objects(rule.name, &["oid", "type", "value"]),
        }
    }

    fn objects(&self, name: &str, keys: &[&str]) -> Value {
        let object = |args: &[Arg]| {
            let entries = keys.iter().zip(args);
            Value::Object(entries.map(|(key, arg)| ((*key).to_owned(), to_json(arg))).collect())
        };
        self.all(name).map(object).collect()
    }
}

// === impl Rule ===

impl Rule {
    /// Says whether it is meant by a key of options; case does not count.
    fn is_option(&self, key: &str) -> bool {
        self.option.eq_ignore_ascii_case(key)
            || self.option_alias.is_some_and(|alias| alias.eq_ignore_ascii_case(key))
    }
}

fn to_json(arg: &Arg) -> Value {
    match arg {
        Arg::Bool(value) => (*value).into(),
        Arg::Int(number) | Arg::Duration(number) => (*number).into(),
        Arg::Float(number) => (*number).into(),
        Arg::Str(text) => (&**text).into(),
        Arg::List(items) => items.iter().map(to_json).collect(),
    }
}

/// Gives the calls of a property method that an option stands for.
fn calls(shape: Shape, key: &str, value: &Value) -> Result<Vec<Vec<Arg>>, String> {
    Ok(match shape {
        // A flag that is not set was never called.
        Shape::Flag => match boolean(key, value)? {
            true => vec![Vec::new()],
            false => Vec::new(),
        },
        Shape::Bool => vec![vec![Arg::Bool(boolean(key, value)?)]],
        Shape::Text => vec![vec![text(key, value)?]],
        Shape::Int => {
            let number = value.as_i64().ok_or_else(|| mismatch(key, "int64", value))?;
            vec![vec![Arg::Int(number)]]
        }
        Shape::Qos => vec![vec![quality(key, value)?]],
        Shape::Duration => vec![vec![duration(key, value)?]],
        Shape::Texts => {
            let items = array(key, "[]string", value)?;
            let texts = items.iter().enumerate();
            let texts: Result<Vec<Arg>, String> =
                texts.map(|(index, item)| text(&format!("{key}[{index}]"), item)).collect();
            vec![texts?]
        }
        Shape::Pair => {
            let map = value.as_object();
            let map = map.ok_or_else(|| mismatch(key, "map[string]string", value))?;
            let pairs = map.iter().map(|(name, item)| {
                Ok(vec![Arg::from(&**name), text(&format!("{key}[{name}]"), item)?])
            });
            pairs.collect::<Result<_, String>>()?
        }
        Shape::Entry => {
            let map = value.as_object();
            let map = map.ok_or_else(|| mismatch(key, "map[string]interface {}", value))?;
            let entries = map.iter().map(|(name, item)| {
                Ok(vec![Arg::from(&**name), any(&format!("{key}[{name}]"), item)?])
            });
            entries.collect::<Result<_, String>>()?
        }
        Shape::Link => objects(key, value, &["href", "text"], 1)?,
        Shape::SnmpData => objects(key, value, &["oid", "type", "value"], 3)?,
    })
}

fn objects(
    key: &str,
    value: &Value,
    names: &[&str],
    least: usize,
) -> Result<Vec<Vec<Arg>>, String> {
    let mut calls = Vec::new();
    for (index, item) in array(key, "[]map[string]string", value)?.iter().enumerate() {
        let place = format!("{key}[{index}]");
        let object = item.as_object().ok_or_else(|| mismatch(&place, "map[string]string", item))?;
        if let Some(unknown) = object.keys().find(|name| !names.contains(&&***name)) {
            return Err(format!("'{place}' has invalid keys: {unknown}"));
        }
        let mut args = Vec::new();
        for (at, name) in names.iter().enumerate() {
            match object.get(*name) {
                Some(part) => args.push(text(&format!("{place}.{name}"), part)?),
                None if at < least => args.push(Arg::from("")),
                None => {}
            }
        }
        calls.push(args);
    }
    Ok(calls)
}

fn text(key: &str, value: &Value) -> Result<Arg, String> {
    let text = value.as_str().ok_or_else(|| mismatch(key, "string", value))?;
    Ok(Arg::Str(Arc::from(text)))
}

/// Reads a value of any type. Ours: an object inside must be written as a text.
fn any(key: &str, value: &Value) -> Result<Arg, String> {
    Ok(match value {
        Value::Bool(value) => Arg::Bool(*value),
        Value::Number(number) => match number.as_i64() {
            Some(number) => Arg::Int(number),
            None => Arg::Float(number.as_f64().ok_or_else(|| mismatch(key, "float64", value))?),
        },
        Value::String(text) => Arg::Str(Arc::from(&**text)),
        Value::Array(items) => {
            let items = items.iter().enumerate();
            let items = items.map(|(index, item)| any(&format!("{key}[{index}]"), item));
            Arg::List(items.collect::<Result<_, _>>()?)
        }
        Value::Null | Value::Object(_) => return Err(mismatch(key, "string", value)),
    })
}

fn boolean(key: &str, value: &Value) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| mismatch(key, "bool", value))
}

fn array<'v>(key: &str, wanted: &str, value: &'v Value) -> Result<&'v Vec<Value>, String> {
    value.as_array().ok_or_else(|| mismatch(key, wanted, value))
}

fn quality(key: &str, value: &Value) -> Result<Arg, String> {
    let word = value.as_str().ok_or_else(|| mismatch(key, "mqtt.QoSLevel", value))?;
    let word = if word == EXACTLY_ONCE { QUALITIES[2] } else { word };
    let known = QUALITIES.iter().position(|known| *known == word);
    let quality = known.ok_or_else(|| {
        format!("'{key}': unknown QoS level {word:?}; known: {}", QUALITIES.join(", "))
    })?;
    Ok(Arg::Int(quality as i64))
}

fn duration(key: &str, value: &Value) -> Result<Arg, String> {
    if let Some(nanos) = value.as_i64() {
        return Ok(Arg::Duration(nanos));
    }
    let text = value.as_str().ok_or_else(|| mismatch(key, "time.Duration", value))?;
    let parsed: levada_settings::Duration =
        text.parse().map_err(|error| format!("'{key}': {error}"))?;
    let nanos = i64::try_from(parsed.get().as_nanos()).unwrap_or(i64::MAX);
    Ok(Arg::Duration(nanos))
}

fn mismatch(key: &str, wanted: &str, value: &Value) -> String {
    let got = match value {
        Value::Null => "nil",
        Value::Bool(_) => "bool",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    };
    format!("'{key}' expected type '{wanted}', got unconvertible type '{got}'")
}
