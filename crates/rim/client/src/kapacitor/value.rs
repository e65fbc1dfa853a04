//! Values of the API as the tables show them.

use levada_template::go;
use serde_json::Value;

use super::objects::text;

/// Gives databases and retention policies, as `["telegraf"."autogen" "a"."b"]`.
pub(super) fn dbrps(object: &Value) -> String {
    let list = object.get("dbrps").and_then(Value::as_array);
    let all: Vec<String> = list
        .into_iter()
        .flatten()
        .map(|dbrp| format!("{}.{}", quoted(text(dbrp, "db")), quoted(text(dbrp, "rp"))))
        .collect();
    format!("[{}]", all.join(" "))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\\\""))
}

/// Gives the value of a variable; none when it has none.
pub(super) fn var(var: &Value) -> Option<String> {
    let value = var.get("value").unwrap_or(&Value::Null);
    match (text(var, "type"), value) {
        ("star", _) => Some("*".to_owned()),
        (_, Value::Null) => None,
        ("duration", Value::Number(nanos)) if nanos.as_i64().is_some() => {
            nanos.as_i64().map(go::duration::text)
        }
        ("float", Value::Number(number)) => number.as_f64().map(|number| {
            let mut shown = String::new();
            go::float::print(&mut shown, number);
            shown
        }),
        (_, Value::Array(list)) => {
            let shown: Vec<String> =
                list.iter().map(|element| self::var(element).unwrap_or_default()).collect();
            Some(format!("[{}]", shown.join(", ")))
        }
        (_, Value::String(text)) => Some(text.clone()),
        (_, other) => Some(other.to_string()),
    }
}

/// Gives the variables of an object, sorted by name.
pub(super) fn vars(object: &Value) -> Vec<(&str, &Value)> {
    let map = object.get("vars").and_then(Value::as_object);
    let mut all: Vec<(&str, &Value)> =
        map.into_iter().flatten().map(|(name, var)| (name.as_str(), var)).collect();
    all.sort_by_key(|(name, _)| *name);
    all
}

/// Gives a value as Go prints it: a text without quotes.
pub(super) fn plain(object: &Value, key: &str) -> String {
    match object.get(key) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn variables_are_shown_as_go_prints_them() {
        for (object, shown) in [
            (json!({"type": "duration", "value": 600000000000u64}), "10m0s"),
            (json!({"type": "float", "value": 1e21}), "1e+21"),
            (json!({"type": "float", "value": 90.0}), "90"),
            (json!({"type": "int", "value": 5}), "5"),
            (json!({"type": "bool", "value": true}), "true"),
            (json!({"type": "lambda", "value": "\"a\" > 1"}), "\"a\" > 1"),
            (json!({"type": "star", "value": null}), "*"),
            (
                json!({"type": "list", "value": [{"type": "string", "value": "a"}, {"type": "star"}]}),
                "[a, *]",
            ),
        ] {
            assert_eq!(var(&object).as_deref(), Some(shown));
        }
        assert_eq!(var(&json!({"type": "int", "value": null})), None);
    }

    #[test]
    fn names_of_databases_are_quoted() {
        let object = json!({"dbrps": [{"db": "a", "rp": "b"}, {"db": "c\"d", "rp": ""}]});
        assert_eq!(dbrps(&object), "[\"a\".\"b\" \"c\\\"d\".\"\"]");
        assert_eq!(dbrps(&json!({})), "[]");
    }
}
