//! Whether what is there is what should be.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::kapacitor::objects::text;
use crate::times;

/// Gives the keys of a definition that differ from what is there, with the values that should be.
///
/// - `status` is left out: it is brought over at the end.
/// - Errors: the API cannot bring this about.
pub(super) fn changes(
    wanted: &Map<String, Value>,
    there: &Value,
) -> Result<Map<String, Value>, String> {
    let mut changes = Map::new();
    for (key, value) in wanted {
        let now = there.get(key).unwrap_or(&Value::Null);
        let is_same = match key.as_str() {
            "id" | "status" => true,
            "vars" => vars(value) == vars(now),
            "dbrps" => set(value) == set(now),
            _ => value == now,
        };
        if is_same {
            continue;
        }
        let is_empty = match value {
            Value::Object(map) => map.is_empty(),
            Value::Array(list) => list.is_empty(),
            _ => false,
        };
        if is_empty {
            return Err(format!(
                "{key} should be empty, which the API cannot bring about: delete it and import again"
            ));
        }
        changes.insert(key.clone(), value.clone());
    }
    let had_template = !text(there, "template-id").is_empty();
    if had_template && wanted.contains_key("script") && !wanted.contains_key("template-id") {
        return Err(format!(
            "it is made of the template {} here and of a script there: delete it and import again",
            text(there, "template-id")
        ));
    }
    Ok(changes)
}

/// Gives the events whose state should be brought over, and how many are there already.
///
/// - An event that is OK and unknown here says nothing and is left out.
/// - A state that is as new here, or newer, stays.
pub(super) fn events(wanted: &[Value], there: &[Value]) -> (Vec<Value>, usize) {
    let mut missing = Vec::new();
    let mut known = 0;
    for event in wanted {
        let here = there.iter().find(|here| text(here, "id") == text(event, "id"));
        let state = &event["state"];
        let is_wanted = match here {
            None => text(state, "level") != "OK",
            Some(here) => {
                known += 1;
                moment(&here["state"]) < moment(state)
            }
        };
        if is_wanted {
            missing.push(event.clone());
        }
    }
    (missing, known)
}

fn moment(state: &Value) -> Option<Timestamp> {
    text(state, "time").parse().ok()
}

/// Gives variables in one form: sorted by name, without descriptions, durations and floats as numbers.
fn vars(vars: &Value) -> Vec<(&str, &str, Value)> {
    let map = vars.as_object();
    let mut all: Vec<(&str, &str, Value)> = map
        .into_iter()
        .flatten()
        .map(|(name, var)| (name.as_str(), text(var, "type"), var_value(var)))
        .collect();
    all.sort_by_key(|(name, ..)| *name);
    all
}

fn var_value(var: &Value) -> Value {
    let value = var.get("value").unwrap_or(&Value::Null);
    match (text(var, "type"), value) {
        ("star", _) => Value::Null,
        ("duration", Value::String(text)) => {
            times::duration_nanos(text).map_or_else(|_| value.clone(), Value::from)
        }
        ("float", Value::Number(number)) => number.as_f64().map_or(Value::Null, Value::from),
        ("list", Value::Array(list)) => {
            let element =
                |element: &Value| Value::from(vec![element["type"].clone(), var_value(element)]);
            list.iter().map(element).collect()
        }
        _ => value.clone(),
    }
}

fn set(dbrps: &Value) -> Vec<(&str, &str)> {
    let list = dbrps.as_array().into_iter().flatten();
    let mut all: Vec<(&str, &str)> =
        list.map(|dbrp| (text(dbrp, "db"), text(dbrp, "rp"))).collect();
    all.sort_unstable();
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(wanted: Value, there: Value) -> Result<Value, String> {
        let Value::Object(wanted) = wanted else { panic!("an object") };
        changes(&wanted, &there).map(Value::Object)
    }

    #[test]
    fn forms_of_one_definition_are_the_same() {
        let wanted = json!({
            "id": "a", "status": "enabled", "script": "s",
            "dbrps": [{"db": "a", "rp": "b"}, {"db": "c", "rp": "d"}],
            "vars": {
                "d": {"type": "duration", "value": "10s"},
                "f": {"type": "float", "value": 5},
                "l": {"type": "list", "value": [{"type": "star"}, {"type": "string", "value": "x"}]},
            },
        });
        let there = json!({
            "id": "a", "status": "disabled", "script": "s", "template-id": "",
            "dbrps": [{"db": "c", "rp": "d"}, {"db": "a", "rp": "b"}],
            "vars": {
                "f": {"type": "float", "value": 5.0, "description": "x"},
                "d": {"type": "duration", "value": 10000000000u64, "description": ""},
                "l": {"type": "list", "value": [{"type": "star", "value": null}, {"type": "string", "value": "x"}]},
            },
        });
        assert_eq!(check(wanted, there), Ok(json!({})));
    }

    #[test]
    fn differences_are_what_is_sent() {
        let there = json!({"script": "a", "vars": {"x": {"type": "int", "value": 1}}});
        assert_eq!(
            check(
                json!({"script": "b", "vars": {"x": {"type": "int", "value": 1}}}),
                there.clone()
            ),
            Ok(json!({"script": "b"}))
        );
        let vars = json!({"vars": {"x": {"type": "int", "value": 2}}});
        assert_eq!(check(vars.clone(), there.clone()), Ok(vars));
        assert!(check(json!({"vars": {}}), there).unwrap_err().starts_with("vars should be empty"));
        let templated = json!({"template-id": "t", "script": "b"});
        assert!(check(json!({"script": "b"}), templated).unwrap_err().contains("template t here"));
    }

    #[test]
    fn newer_states_stay_and_unknown_oks_are_left_out() {
        let event = |id: &str, time: &str, level: &str| json!({"id": id, "state": {"time": time, "level": level}});
        let wanted = [
            event("new", "2026-03-01T10:00:00Z", "CRITICAL"),
            event("ok", "2026-03-01T10:00:00Z", "OK"),
            event("older", "2026-03-01T10:00:00Z", "WARNING"),
            event("same", "2026-03-01T10:00:00Z", "WARNING"),
            event("recovered", "2026-03-01T10:00:00.5Z", "OK"),
        ];
        let there = [
            event("older", "2026-03-01T10:00:01Z", "OK"),
            event("same", "2026-03-01T11:00:00+01:00", "WARNING"),
            event("recovered", "2026-03-01T10:00:00Z", "CRITICAL"),
        ];
        let (missing, known) = events(&wanted, &there);
        let ids: Vec<&str> = missing.iter().map(|event| text(event, "id")).collect();
        assert_eq!(ids, ["new", "recovered"]);
        assert_eq!(known, 3);
    }
}
