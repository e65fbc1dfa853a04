//! Random documents for the tests of the steps: few names, so that paths meet something.

use proptest::prelude::*;
use serde_json::Value;

/// Gives names that repeat, some with what paths and delimiters are made of.
pub(crate) fn key() -> impl Strategy<Value = String> {
    let rare = ["ab", "a.b", "0", "1", "é", "x\"y", ""];
    let key = prop_oneof![
        3 => prop::sample::select(vec!["a", "b", "c"]),
        2 => prop::sample::select(rare.to_vec()),
    ];
    key.prop_map(str::to_owned)
}

/// Gives values without members.
pub(crate) fn scalar() -> impl Strategy<Value = Value> {
    let numbers = [
        "0",
        "-0",
        "1",
        "10.0",
        "1e3",
        "1.5",
        "12345678901234567890",
        "-9223372036854775808",
        "9223372036854775808",
        "1e400",
        "1770460200500",
        "0.10",
    ];
    let texts = [
        "",
        "true",
        "FALSE",
        "12",
        "1.5",
        "+7",
        "x\n",
        "ключ",
        "2026-02-07T10:30:00Z",
        "2026-02-07 10:30:00.25",
        "1770460200",
    ];
    prop_oneof![
        prop::sample::select(numbers.to_vec())
            .prop_map(|number| Value::Number(serde_json::from_str(number).unwrap_or(0.into()))),
        prop::sample::select(texts.to_vec()).prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
    ]
}

/// Gives any value, a few levels deep.
pub(crate) fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key(), inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Gives an object.
pub(crate) fn object() -> impl Strategy<Value = Value> {
    prop::collection::vec((key(), value()), 0..7)
        .prop_map(|members| Value::Object(members.into_iter().collect()))
}

/// Writes a document as people and machines do: with white space, escapes, and members that a later one hides.
pub(crate) fn written(value: &Value, seed: u64) -> String {
    let mut out = String::new();
    write(value, &mut { seed }, &mut out);
    out
}

fn write(value: &Value, seed: &mut u64, out: &mut String) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                space(seed, out);
                write(item, seed, out);
                space(seed, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (index, (key, value)) in members.iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                space(seed, out);
                let key = match (next(seed) % 4, key.strip_prefix('a')) {
                    (0, Some(rest)) => format!("\"\\u0061{}", &Value::from(rest).to_string()[1..]),
                    _ => Value::from(key.as_str()).to_string(),
                };
                if next(seed).is_multiple_of(8) {
                    out.push_str(&format!("{key}:{{\"a\":[0],\"b\": \"hidden\"}},"));
                }
                out.push_str(&key);
                space(seed, out);
                out.push(':');
                space(seed, out);
                write(value, seed, out);
                space(seed, out);
            }
            out.push('}');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

fn space(seed: &mut u64, out: &mut String) {
    out.push_str(["", "", " ", "\n\t"][next(seed) % 4]);
}

fn next(seed: &mut u64) -> usize {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 40) as usize
}
