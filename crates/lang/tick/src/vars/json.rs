//! Variables as JSON: `{"x": {"type": "float", "value": 4.5, "description": "text"}}`.

use serde_json::{Map, Number, Value as Json, json};

use super::{Var, Vars};
use crate::script::{Type, Value};
use crate::syntax::ast::Regex;
use crate::syntax::{format_lambda, parse_duration, parse_lambda};

/// Most lists inside each other.
const LIST_LEVELS_MAX: u32 = 16;

/// Reads variables.
///
/// - Errors: the texts of the original, without the name of the variable but for those that begin with `invalid var`.
pub fn from_json(json: &Json) -> Result<Vars, String> {
    let entries = match json {
        Json::Null => return Ok(Vars::new()),
        Json::Object(entries) => entries,
        _ => return Err("expected an object of vars".to_owned()),
    };
    entries
        .iter()
        .map(|(name, entry)| Ok((name.clone(), var_from_json(entry, LIST_LEVELS_MAX)?)))
        .collect()
}

/// Writes variables. Durations become nanoseconds, lambdas and patterns their text.
pub fn to_json(vars: &Vars) -> Json {
    let entries = vars.iter().map(|(name, var)| {
        let value = var.value.as_ref().map_or(Json::Null, value_to_json);
        let entry = json!({
            "type": var.kind.word(),
            "value": value,
            "description": &*var.description,
        });
        (name.clone(), entry)
    });
    Json::Object(entries.collect())
}

/// Writes a number as JSON that reads as the same number: floats without a needless fraction.
pub(crate) fn float_to_json(value: f64) -> Json {
    if value.fract() == 0.0
        && value.abs() < 1e21
        && let Ok(number) = value.to_string().parse::<Number>()
    {
        return Json::Number(number);
    }
    match Number::from_f64(value) {
        Some(number) => Json::Number(number),
        // JSON has no infinity; a text is better than nothing.
        None if value.is_nan() => Json::from("NaN"),
        None if value > 0.0 => Json::from("+Inf"),
        None => Json::from("-Inf"),
    }
}

fn value_to_json(value: &Value) -> Json {
    match value {
        Value::Bool(value) => Json::from(*value),
        Value::Int(value) => Json::from(*value),
        Value::Float(value) => float_to_json(*value),
        Value::Str(value) => Json::from(&**value),
        Value::Regex(regex) => Json::from(&*regex.pattern),
        Value::Duration(nanos) => Json::from(*nanos),
        Value::Lambda(body) => Json::from(format_lambda(body)),
        Value::List(items) => items.iter().filter_map(element_to_json).collect(),
        Value::Nil
        | Value::Star
        | Value::Reference(_)
        | Value::TimeDimension { .. }
        | Value::Object(_) => Json::Null,
    }
}

fn element_to_json(value: &Value) -> Option<Json> {
    let kind = value.basic_type()?;
    Some(json!({"type": kind.word(), "value": value_to_json(value)}))
}

fn var_from_json(json: &Json, levels: u32) -> Result<Var, String> {
    let empty = Map::new();
    let entry = match json {
        Json::Object(entry) => entry,
        _ => &empty,
    };
    let word = match entry.get("type") {
        Some(Json::String(word)) => word.as_str(),
        _ => "",
    };
    let kind = Type::from_word(word).ok_or_else(|| format!("unknown VarType {word}"))?;
    let value = entry.get("value").unwrap_or(&Json::Null);
    let description = entry.get("description").and_then(Json::as_str).unwrap_or_default();
    let about = || format!("{{{word} {} {description}}}", shown(value));
    let value = match (kind, value) {
        (Type::Star, _) => Some(Value::Star),
        (_, Json::Null) => None,
        (Type::List, value) => Some(list_from_json(value, &about(), levels)?),
        (kind, value) => Some(scalar_from_json(kind, value, &about())?),
    };
    Ok(Var { kind, value, description: description.into() })
}

fn scalar_from_json(kind: Type, json: &Json, about: &str) -> Result<Value, String> {
    let word = kind.word();
    let value = match (kind, json) {
        (Type::Bool, Json::Bool(value)) => Some(Value::Bool(*value)),
        (Type::Int, Json::Number(number)) => number.as_i64().map(Value::Int),
        (Type::Float, Json::Number(number)) => {
            number.as_f64().filter(|value| value.is_finite()).map(Value::Float)
        }
        (Type::Float, Json::String(text)) if ["NaN", "+Inf", "-Inf"].contains(&text.as_str()) => {
            text.parse().ok().map(Value::Float)
        }
        (Type::Duration, Json::Number(number)) => match number.as_i64() {
            Some(nanos) => Some(Value::Duration(nanos)),
            None => return Err(format!("invalid var {about}: expected int or string value")),
        },
        (Type::Duration, Json::String(text)) => Some(Value::Duration(parse_duration(text)?)),
        (Type::Duration, _) => {
            return Err(format!("invalid var {about}: expected int or string value"));
        }
        (Type::String, Json::String(text)) => Some(Value::Str(text.as_str().into())),
        (Type::Regex, Json::String(pattern)) => {
            let regex = Regex::compile(pattern)
                .map_err(|error| format!("invalid regex pattern: {error}"))?;
            Some(Value::Regex(regex.into()))
        }
        (Type::Lambda, Json::String(text)) => {
            let body = parse_lambda(text)
                .map_err(|error| format!("invalid lambda expression: {error}"))?;
            Some(Value::Lambda(body.into()))
        }
        (_, Json::String(_)) => {
            return Err(format!("unexpected var type {word}, value is a string"));
        }
        _ => None,
    };
    value.ok_or_else(|| format!("mismatched type and value: {} {word}", shown(json)))
}

fn list_from_json(json: &Json, about: &str, levels: u32) -> Result<Value, String> {
    let refused = |text: &str| Err(format!("invalid var {about}: {text}"));
    let Json::Array(elements) = json else { return refused("expected list of vars") };
    let Some(levels) = levels.checked_sub(1) else {
        return refused("too many lists inside each other");
    };
    let mut items = Vec::with_capacity(elements.len());
    for element in elements {
        let Json::Object(entry) = element else { return refused("expected list of vars") };
        if !entry.contains_key("type") {
            return refused("expected list type key in object");
        }
        if !entry.contains_key("value") {
            return refused("expected list value key in object");
        }
        match var_from_json(element, levels)?.value {
            Some(item) => items.push(item),
            None => return refused("expected list of vars"),
        }
    }
    Ok(Value::List(items))
}

/// Writes JSON as Go's `%v` does, shortened.
fn shown(json: &Json) -> String {
    const SHOWN_MAX: usize = 64;
    let text = match json {
        Json::Null => "<nil>".to_owned(),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    };
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
