//! Random documents as values, and as people and machines write them.

use proptest::prelude::*;
use serde_json::Value;

const KEYS: &[&str] =
    &["a", "b", "c", "a", "b", "c", "userId", "user_id", "éa", "x\"y", "0", "a.b", ""];

const SCALARS: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "-1",
    "12",
    "10.0",
    "12.50",
    "1e3",
    "0.0",
    "12345678901234567890",
    "1e400",
    "\"\"",
    "\"text\"",
    "\"12\"",
    "\"1.5\"",
    "\"false\"",
    "\"TRUE\"",
    "\"ключ \\\" \\\\ \\n<&>\"",
];

fn key() -> impl Strategy<Value = String> {
    prop::sample::select(KEYS).prop_map(str::to_owned)
}

/// Gives any value, a few levels deep.
pub(crate) fn value() -> impl Strategy<Value = Value> {
    let scalar =
        prop::sample::select(SCALARS).prop_map(|text| serde_json::from_str::<Value>(text).unwrap());
    scalar.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            3 => prop::collection::vec((key(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Gives objects mostly, as records are.
pub(crate) fn record() -> impl Strategy<Value = Value> {
    let object = prop::collection::vec((key(), value()), 0..8)
        .prop_map(|members| Value::Object(members.into_iter().collect()));
    prop_oneof![9 => object, 1 => value()]
}

/// Writes a value with white space, escapes in keys, and members that a later one hides.
pub(crate) fn written(value: &Value, seed: u64) -> String {
    let mut out = String::new();
    let mut pen = Pen { seed, hides: true };
    pen.write(value, &mut out);
    out
}

/// Does as [`written`] without hidden members.
pub(crate) fn written_once(value: &Value, seed: u64) -> String {
    let mut out = String::new();
    let mut pen = Pen { seed, hides: false };
    pen.write(value, &mut out);
    out
}

struct Pen {
    seed: u64,
    hides: bool,
}

impl Pen {
    fn below(&mut self, bound: u64) -> u64 {
        self.seed = self
            .seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % bound
    }

    fn space(&mut self, out: &mut String) {
        out.push_str(["", "", " ", "\n\t"][self.below(4) as usize]);
    }

    fn write(&mut self, value: &Value, out: &mut String) {
        match value {
            Value::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    out.push_str(if index > 0 { "," } else { "" });
                    self.space(out);
                    self.write(item, out);
                    self.space(out);
                }
                out.push(']');
            }
            Value::Object(members) => {
                out.push('{');
                for (index, (key, value)) in members.iter().enumerate() {
                    out.push_str(if index > 0 { "," } else { "" });
                    self.space(out);
                    let key = match (key.strip_prefix('a'), self.below(4)) {
                        (Some(rest), 0) => {
                            format!("\"\\u0061{}", &Value::from(rest).to_string()[1..])
                        }
                        _ => Value::from(key.as_str()).to_string(),
                    };
                    if self.hides && self.below(8) == 0 {
                        out.push_str(&format!("{key}: {{\"a\":[0],\"b\":\"hidden\"}},"));
                    }
                    out.push_str(&key);
                    self.space(out);
                    out.push(':');
                    self.space(out);
                    self.write(value, out);
                    self.space(out);
                }
                out.push('}');
            }
            scalar => out.push_str(&scalar.to_string()),
        }
    }
}
