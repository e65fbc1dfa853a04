//! JSON values, compared member by member.

use serde_json::Value as Json;

/// Adds a line for every place where `got` is not what is expected; `at` names the whole.
///
/// - Of an object, members that are not expected do not count, unless `is_exact`.
pub(super) fn values(
    at: &str,
    expected: &Json,
    got: &Json,
    is_exact: bool,
    differences: &mut Vec<String>,
) {
    compare(&format!("{at}: "), "", expected, got, is_exact, differences);
}

fn compare(
    at: &str,
    path: &str,
    expected: &Json,
    got: &Json,
    is_exact: bool,
    differences: &mut Vec<String>,
) {
    let mut differ = |path: &str, text: String| {
        let colon = if path.is_empty() { "" } else { ": " };
        differences.push(format!("{at}{path}{colon}{text}"));
    };
    match (expected, got) {
        (Json::Object(expected), Json::Object(members)) => {
            if is_exact {
                for (name, value) in members {
                    if !expected.contains_key(name) {
                        differ(
                            &member(path, name),
                            format!("expected no such member, got {value}"),
                        );
                    }
                }
            }
            for (name, value) in expected {
                let path = member(path, name);
                match members.get(name) {
                    Some(got) => compare(at, &path, value, got, is_exact, differences),
                    None => {
                        differences.push(format!("{at}{path}: expected {value}, got nothing"));
                    }
                }
            }
        }
        (Json::Array(expected), Json::Array(items)) => {
            if expected.len() != items.len() {
                let text = format!("expected {} items, got {}", expected.len(), items.len());
                differ(path, text);
            }
            for (index, (expected, got)) in expected.iter().zip(items).enumerate() {
                compare(at, &format!("{path}[{index}]"), expected, got, is_exact, differences);
            }
        }
        (Json::Number(a), Json::Number(b)) if same_number(&a.to_string(), &b.to_string()) => {}
        _ if expected == got => {}
        _ => differ(path, format!("expected {expected}, got {got}")),
    }
}

fn member(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Compares numbers by value: integers to the last digit, others as floats.
fn same_number(a: &str, b: &str) -> bool {
    if let (Ok(a), Ok(b)) = (a.parse::<i128>(), b.parse::<i128>()) {
        return a == b;
    }
    a == b || matches!((a.parse::<f64>(), b.parse::<f64>()), (Ok(a), Ok(b)) if a == b)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(expected: Json, got: Json, is_exact: bool, wanted: &[&str]) {
        let mut differences = Vec::new();
        values("effect 0", &expected, &got, is_exact, &mut differences);
        assert_eq!(differences, wanted, "{expected} and {got}");
    }

    #[test]
    fn places_are_named() {
        let got = json!({"kind": "alert", "data": {"level": "OK", "v": [1, {"a": 1, "b": 2}]}});
        check(json!({"data": {"level": "OK"}}), got.clone(), false, &[]);
        check(got.clone(), got.clone(), true, &[]);
        check(
            json!({"data": {"level": "INFO", "id": "x", "v": [1.0, {"a": 2}]}}),
            got.clone(),
            false,
            &[
                r#"effect 0: data.level: expected "INFO", got "OK""#,
                r#"effect 0: data.id: expected "x", got nothing"#,
                "effect 0: data.v[1].a: expected 2, got 1",
            ],
        );
        check(
            json!({"data": {"v": [1]}}),
            got,
            true,
            &[
                r#"effect 0: kind: expected no such member, got "alert""#,
                r#"effect 0: data.level: expected no such member, got "OK""#,
                "effect 0: data.v: expected 1 items, got 2",
            ],
        );
        check(json!({"a": null}), json!({}), false, &["effect 0: a: expected null, got nothing"]);
        check(json!(1), json!("1"), false, &[r#"effect 0: expected 1, got "1""#]);
    }

    #[test]
    fn numbers_are_compared_by_value() {
        for (a, b, is_same) in [
            ("1", "1.0", true),
            ("1e3", "1000", true),
            ("12345678901234567890", "12345678901234567891", false),
            ("0.1", "0.10", true),
            ("1", "2", false),
        ] {
            assert_eq!(same_number(a, b), is_same, "{a} {b}");
        }
    }
}
