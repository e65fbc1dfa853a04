//! Values of options: what they may be, and what counts as the same.

use levada_alert::services::OptionDefault;
use levada_settings::Duration;
use serde_json::{Map, Value, json};

/// Reads a value as the type of an option; texts become numbers, booleans and durations where those are needed.
///
/// - Errors: what was expected; never the value, which may be a secret.
pub(super) fn read(value: &Value, kind: OptionDefault) -> Result<Value, &'static str> {
    match kind {
        OptionDefault::Text(_) => match value {
            Value::String(_) => Ok(value.clone()),
            _ => Err("expected a text"),
        },
        OptionDefault::Bool(_) => match value {
            Value::Bool(_) => Ok(value.clone()),
            Value::String(text) => {
                parse_bool(text).map(Value::Bool).ok_or("expected true or false")
            }
            _ => Err("expected true or false"),
        },
        OptionDefault::Int(_) => integer(value).map(Value::from).ok_or("expected a whole number"),
        OptionDefault::Float(_) => number(value).map(Value::from).ok_or("expected a number"),
        OptionDefault::Duration(_) => {
            let duration = match value {
                Value::String(text) => text.parse::<Duration>().ok(),
                // Go's own: nanoseconds.
                Value::Number(number) => number
                    .as_u64()
                    .filter(|nanos| i64::try_from(*nanos).is_ok())
                    .map(|nanos| std::time::Duration::from_nanos(nanos).into()),
                _ => None,
            };
            duration
                .map(|duration| Value::String(duration.to_string()))
                .ok_or("expected a duration such as `10s`")
        }
        OptionDefault::Texts(_) => texts(value),
        OptionDefault::Table(_) => {
            const EXPECTED: &str = "expected keys with texts";
            let Value::Object(entries) = value else { return Err(EXPECTED) };
            match entries.values().all(|value| value.is_string() || value.is_number()) {
                true => Ok(value.clone()),
                false => Err(EXPECTED),
            }
        }
        OptionDefault::Lists(_) => {
            let Value::Object(entries) = value else {
                return Err("expected keys with lists of texts");
            };
            let lists = entries.iter().map(|(key, value)| Ok((key.clone(), texts(value)?)));
            lists.collect::<Result<Map<_, _>, _>>().map(Value::Object)
        }
    }
}

/// Gives the name of a type as Go says it.
pub(super) fn go_type(kind: OptionDefault) -> &'static str {
    match kind {
        OptionDefault::Text(_) | OptionDefault::Texts(_) => "string",
        OptionDefault::Table(_) | OptionDefault::Lists(_) => "string",
        OptionDefault::Bool(_) => "bool",
        OptionDefault::Int(_) => "int64",
        OptionDefault::Float(_) => "float64",
        OptionDefault::Duration(_) => "toml.Duration",
    }
}

/// Gives the name of the type of a value as Go says it.
pub(super) fn go_type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// Tells whether a value says anything, for those that are not shown.
pub(super) fn is_set(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => items.iter().any(is_set),
        Value::Object(entries) => entries.values().any(is_set),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

/// Puts the value of an environment variable into the value that is there: `path` is the rest of its name, `0` or `key`.
///
/// - Errors: the place cannot be set.
pub(super) fn put(
    current: &Value,
    kind: OptionDefault,
    path: &str,
    text: &str,
) -> Result<Value, &'static str> {
    let value = Value::String(text.to_owned());
    match kind {
        OptionDefault::Texts(_) => put_item(current, path, value),
        OptionDefault::Table(_) => {
            if path.is_empty() {
                return Err("the key is missing");
            }
            let mut entries = current.as_object().cloned().unwrap_or_default();
            let known = entries.keys().find(|key| is_like(key, path)).cloned();
            entries.insert(known.unwrap_or_else(|| path.to_owned()), value);
            Ok(Value::Object(entries))
        }
        OptionDefault::Lists(_) => {
            let (key, index) = path.rsplit_once('_').ok_or("the key or the index is missing")?;
            let mut entries = current.as_object().cloned().unwrap_or_default();
            let list = entries.get(key).cloned().unwrap_or_else(|| json!([]));
            entries.insert(key.to_owned(), put_item(&list, index, value)?);
            Ok(Value::Object(entries))
        }
        _ if !path.is_empty() => Err("it has no parts"),
        kind => read(&value, kind),
    }
}

/// Compares a key with the upper case that variables have.
pub(super) fn is_like(key: &str, upper: &str) -> bool {
    key.len() == upper.len()
        && key.chars().zip(upper.chars()).all(|(one, other)| match one {
            '-' => other == '_',
            one => one.eq_ignore_ascii_case(&other),
        })
}

fn put_item(list: &Value, index: &str, value: Value) -> Result<Value, &'static str> {
    let mut items = list.as_array().cloned().unwrap_or_default();
    let at: usize = index.parse().map_err(|_| "the index is missing")?;
    // Differs: one more than there are is added; upstream ignores it.
    match at.cmp(&items.len()) {
        std::cmp::Ordering::Less => items[at] = value,
        std::cmp::Ordering::Equal => items.push(value),
        std::cmp::Ordering::Greater => return Err("an index before it is missing"),
    }
    Ok(Value::Array(items))
}

fn texts(value: &Value) -> Result<Value, &'static str> {
    match value {
        // Go's empty list.
        Value::Null => Ok(json!([])),
        Value::Array(items) if items.iter().all(Value::is_string) => Ok(value.clone()),
        _ => Err("expected a list of texts"),
    }
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| {
            // Beyond 2^53 a float does not say which integer it is.
            let float = number.as_f64()?;
            (float.fract() == 0.0 && float.abs() <= 9_007_199_254_740_992.0).then_some(float as i64)
        }),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    number.filter(|number| number.is_finite())
}

/// Source: the words of Go's `strconv.ParseBool`.
fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_become_what_an_option_needs() {
        let (text, flag, int) =
            (OptionDefault::Text(""), OptionDefault::Bool(false), OptionDefault::Int(0));
        let (duration, float) = (OptionDefault::Duration("0s"), OptionDefault::Float(0.0));
        let (table, lists) = (OptionDefault::Table(&[]), OptionDefault::Lists(&[]));
        let list = OptionDefault::Texts(&[]);
        let cases = [
            (json!("a"), text, Ok(json!("a"))),
            (json!(1), text, Err("expected a text")),
            (json!(true), flag, Ok(json!(true))),
            (json!("1"), flag, Ok(json!(true))),
            (json!("yes"), flag, Err("expected true or false")),
            (json!(1), flag, Err("expected true or false")),
            (json!("25"), int, Ok(json!(25))),
            (json!(25.0), int, Ok(json!(25))),
            (json!(2.5), int, Err("expected a whole number")),
            (json!("9223372036854775808"), int, Err("expected a whole number")),
            (json!("0.5"), float, Ok(json!(0.5))),
            (json!("inf"), float, Err("expected a number")),
            (json!("90s"), duration, Ok(json!("1m30s"))),
            (json!(1_000_000_000), duration, Ok(json!("1s"))),
            (json!(-1), duration, Err("expected a duration such as `10s`")),
            (json!(u64::MAX), duration, Err("expected a duration such as `10s`")),
            (json!(null), list, Ok(json!([]))),
            (json!(["a"]), list, Ok(json!(["a"]))),
            (json!([1]), list, Err("expected a list of texts")),
            (json!("a"), list, Err("expected a list of texts")),
            (json!({"a": "b", "c": 1}), table, Ok(json!({"a": "b", "c": 1}))),
            (json!({"a": []}), table, Err("expected keys with texts")),
            (json!({"a": ["b"], "c": null}), lists, Ok(json!({"a": ["b"], "c": []}))),
            (json!([]), lists, Err("expected keys with lists of texts")),
        ];
        for (value, kind, expected) in cases {
            assert_eq!(read(&value, kind), expected, "{value} {kind:?}");
        }
    }
}
