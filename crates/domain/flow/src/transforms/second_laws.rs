//! What must hold of the second-generation steps for any document: each does what a naive version on
//! `serde_json::Value` does, whatever earlier steps did to the document, and a refused record is untouched.
//!
//! `replaceField`, `structFlatten` and `debeziumUnwrap` have their naive versions beside them.

#![allow(clippy::unwrap_used, reason = "tests")]

use levada_model::tree::{NodeId, Tree};
use levada_model::{RecordBatch, Str};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::testing::{self, batch_of, run};
use super::{
    Transform, TransformContext, TransformSpec, cast, debezium_unwrap, extract_field,
    headers_to_payload, hoist_field, insert_field, replace_field, sample, struct_flatten, timezone,
};

fn step<T: TransformSpec>(config: &str) -> Box<dyn Transform> {
    testing::step::<T>(config, &TransformContext::default())
}

/// Marks every container as changed, as edits of earlier steps would.
fn touch_all(tree: &mut Tree, node: NodeId) {
    let children: Vec<NodeId> = tree.children(node).collect();
    for child in children {
        touch_all(tree, child);
    }
    if matches!(tree.kind(node).name(), "array" | "object") {
        tree.touch(node);
    }
}

fn headers(batch: &mut RecordBatch) {
    let headers =
        vec![(Str::from("h"), "x\"y".into()), (Str::from("n"), levada_model::Value::Int(5))];
    batch.meta_mut(0).set("headers", levada_model::Value::Map(headers));
}

/// Runs a step on a document as it was read and as earlier steps leave it; both do the same.
fn outcome(step: &mut dyn Transform, text: &str) -> Result<Option<Value>, TestCaseError> {
    let mut fresh = batch_of(text);
    let mut edited = batch_of(text);
    headers(&mut fresh);
    headers(&mut edited);
    let root = edited.document(0).unwrap();
    touch_all(&mut edited.tree, root);
    let (one, other) = (run(step, &mut fresh), run(step, &mut edited));
    prop_assert_eq!(&one, &other, "{}", text);
    match one {
        Ok(payloads) => Ok(Some(serde_json::from_slice(&payloads[0]).unwrap())),
        Err(_) => {
            prop_assert_eq!(&*fresh.payload(0), text.as_bytes());
            prop_assert_eq!(&*edited.payload(0), text.as_bytes());
            Ok(None)
        }
    }
}

fn get<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(value, |value, key| match value {
        Value::Object(members) => members.get(key),
        Value::Array(items) => items.get(key.parse::<usize>().ok()?),
        _ => None,
    })
}

fn get_mut<'v>(value: &'v mut Value, path: &str) -> Option<&'v mut Value> {
    path.split('.').try_fold(value, |value, key| match value {
        Value::Object(members) => members.get_mut(key),
        Value::Array(items) => items.get_mut(key.parse::<usize>().ok()?),
        _ => None,
    })
}

/// Sets a value below keys; `None` when an array is in the way.
fn set(value: &mut Value, path: &[&str], new: Value) -> Option<()> {
    let Some((key, rest)) = path.split_first() else {
        *value = new;
        return Some(());
    };
    if value.is_array() {
        return None;
    }
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    set(value.as_object_mut()?.entry(*key).or_insert(Value::Null), rest, new)
}

fn naive_number(value: &Value) -> Option<String> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        _ => return None,
    };
    let is_number = text.parse::<f64>().is_ok_and(f64::is_finite);
    is_number.then_some(text)
}

/// `None`: the cast fails.
fn naive_cast(value: &Value, wanted: &str) -> Option<Value> {
    Some(match (wanted, value) {
        ("null", _) => Value::Null,
        ("string", Value::String(_)) | ("bool", Value::Bool(_)) => value.clone(),
        ("string", Value::Number(_) | Value::Bool(_)) => value.to_string().into(),
        ("int64", _) => {
            let text = naive_number(value)?;
            if let Ok(number) = text.parse::<i64>() {
                return Some(number.into());
            }
            let number = text.parse::<f64>().unwrap();
            let is_whole = number.fract() == 0.0 && number.abs() < 9.2e18;
            is_whole.then_some(number as i64)?.into()
        }
        ("float64", _) => {
            let text = naive_number(value)?;
            serde_json::from_str(text.trim_start_matches('+')).unwrap()
        }
        ("bool", Value::Number(_)) => match naive_number(value)?.parse::<f64>().unwrap() {
            0.0 => false.into(),
            1.0 => true.into(),
            _ => return None,
        },
        ("bool", Value::String(text)) => match text.to_lowercase().as_str() {
            "true" | "1" => true.into(),
            "false" | "0" => false.into(),
            _ => return None,
        },
        _ => return None,
    })
}

const FIELDS: &[&str] = &["a", "b", "a.b", "c.0", "b.a.c", "é"];
const TYPES: &[&str] = &["string", "int64", "float64", "bool", "null"];

fn casts() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    let types = prop::collection::vec(prop::sample::select(TYPES), FIELDS.len());
    let fields = prop::sample::subsequence(FIELDS, 1..=FIELDS.len()).prop_shuffle();
    (fields, types).prop_map(|(fields, types)| fields.into_iter().zip(types).collect())
}

proptest! {
    #[test]
    fn cast_does_as_the_naive_one(document in sample::object(), seed: u64, casts in casts()) {
        let entries: Vec<String> = casts.iter().map(|(path, wanted)| format!("{path}: {wanted}")).collect();
        let mut step = step::<cast::Spec>(&format!("spec: {{{}}}", entries.join(", ")));
        let got = outcome(&mut *step, &sample::written(&document, seed))?;
        let mut expected = Some(document);
        for (path, wanted) in casts {
            expected = expected.and_then(|mut value| {
                if let Some(place) = get_mut(&mut value, path) {
                    *place = naive_cast(place, wanted)?;
                }
                Some(value)
            });
        }
        prop_assert_eq!(got, expected);
    }

    #[test]
    fn cast_does_as_the_naive_one_on_scalars(value in sample::scalar(), wanted in prop::sample::select(TYPES)) {
        let mut step = step::<cast::Spec>(&format!("spec: {{v: {wanted}}}"));
        let got = outcome(&mut *step, &json!({"v": value}).to_string())?;
        prop_assert_eq!(got, naive_cast(&value, wanted).map(|value| json!({"v": value})));
    }

    #[test]
    fn insert_field_does_as_the_naive_one(document in sample::object(), seed: u64) {
        let config = "fields: {a: text, b.c: 'json:[1.0, {\"x\":null}]', é.new.b: 'json:12.50', c: '${now}', b.d: '${metadata.none}'}";
        let got = outcome(&mut *step::<insert_field::Spec>(config), &sample::written(&document, seed))?;
        let mut value = document;
        let mut put = |path: &[&str], new: &str| {
            set(&mut value, path, serde_json::from_str(new).unwrap())
        };
        let is_done = put(&["a"], "\"text\"")
            .and_then(|()| put(&["b", "c"], "[1.0,{\"x\":null}]"))
            .and_then(|()| put(&["é", "new", "b"], "12.50"))
            .and_then(|()| put(&["c"], "\"2026-02-07T10:30:00Z\""))
            .and_then(|()| put(&["b", "d"], "\"\""));
        prop_assert_eq!(got, is_done.map(|()| value));
    }

    #[test]
    fn headers_to_payload_does_as_the_naive_one(document in sample::object(), seed: u64) {
        let mut step = step::<headers_to_payload::Spec>("mappings: ['h:a', 'none:b', 'n:b.c']");
        let got = outcome(&mut *step, &sample::written(&document, seed))?;
        let mut value = document;
        let is_done = set(&mut value, &["a"], "x\"y".into())
            .and_then(|()| set(&mut value, &["b", "c"], "5".into()));
        prop_assert_eq!(got, is_done.map(|()| value));
    }

    #[test]
    fn extract_field_does_as_the_naive_one(document in sample::value(), seed: u64) {
        for path in FIELDS {
            let mut step = step::<extract_field::Spec>(&format!("field: {path}"));
            let got = outcome(&mut *step, &sample::written(&document, seed))?;
            prop_assert_eq!(got.as_ref(), Some(get(&document, path).unwrap_or(&document)));
        }
    }

    #[test]
    fn hoist_field_does_as_the_naive_one(document in sample::value(), seed: u64) {
        let got = outcome(&mut *step::<hoist_field::Spec>("field: é"), &sample::written(&document, seed))?;
        prop_assert_eq!(got, Some(json!({"é": document})));
    }

    #[test]
    fn timezone_does_as_the_naive_one(document in sample::object(), seed: u64) {
        let paths = ["a", "b.c", "c.0"];
        let config = "{timezone: UTC, fields: [a, b.c, c.0], format: UnixMilli}";
        let got = outcome(&mut *step::<timezone::Spec>(config), &sample::written(&document, seed))?;
        let mut expected = Some(document);
        for path in paths {
            expected = expected.and_then(|mut value| {
                match get_mut(&mut value, path) {
                    None | Some(Value::Null) => {}
                    Some(place) => {
                        // Of the texts and numbers of the sample, these are times.
                        let text = place.as_str().map_or_else(|| place.to_string(), str::to_owned);
                        let is_scalar = place.is_string() || place.is_number();
                        *place = match text.as_str() {
                            _ if !is_scalar => return None,
                            "0" | "-0" => 0.into(),
                            "1" => 1000.into(),
                            "10.0" => 10_000.into(),
                            "1e3" | "1e+3" => 1_000_000.into(),
                            "1.5" => 1500.into(),
                            "12" => 12_000.into(),
                            "+7" => 7000.into(),
                            "0.10" => 100.into(),
                            "1770460200500" => 1_770_460_200_500_i64.into(),
                            "1770460200" | "2026-02-07T10:30:00Z" => 1_770_460_200_000_i64.into(),
                            "2026-02-07 10:30:00.25" => 1_770_460_200_250_i64.into(),
                            _ => return None,
                        };
                    }
                }
                Some(value)
            });
        }
        prop_assert_eq!(got, expected);
    }

    /// No payload makes a step panic, and what is not JSON leaves as it came or is refused.
    #[test]
    fn any_bytes_are_survived(payload in prop::collection::vec(any::<u8>(), 1..40)) {
        let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(&payload).is_ok();
        let mut unwrap = step::<debezium_unwrap::Spec>("{}");
        let mut batch = batch_of(&payload);
        prop_assert_eq!(run(&mut *unwrap, &mut batch).is_ok(), false);
        prop_assert_eq!(&*batch.payload(0), &*payload);
        for mut step in steps() {
            let mut batch = batch_of(&payload);
            headers(&mut batch);
            let got = run(&mut *step, &mut batch);
            if !is_json {
                prop_assert_eq!(got, Ok(vec![payload.clone()]));
            }
        }
    }

    /// Edits of one step are what the next one sees, as if the record had been written and read between them.
    #[test]
    fn a_chain_does_as_steps_apart(document in sample::object(), seed: u64) {
        let text = sample::written(&document, seed);
        let mut together = batch_of(&text);
        headers(&mut together);
        let mut apart = text.into_bytes();
        for mut step in steps() {
            let mut batch = batch_of(&apart);
            headers(&mut batch);
            let (one, other) = (run(&mut *step, &mut together), run(&mut *step, &mut batch));
            prop_assert_eq!(one.as_ref().err(), other.as_ref().err());
            apart = batch.payload(0).into_owned();
            let values = [together.payload(0), (&*apart).into()]
                .map(|payload| serde_json::from_slice::<Value>(&payload).unwrap());
            prop_assert_eq!(&values[0], &values[1]);
        }
    }
}

fn steps() -> Vec<Box<dyn Transform>> {
    vec![
        step::<replace_field::Spec>(
            "{exclude: [b.a, 'c.#.b'], renames: ['a:b.x', 'c.0:a', 'é:0']}",
        ),
        step::<cast::Spec>("spec: {a: string, b.x: null, a.b: bool}"),
        step::<insert_field::Spec>("fields: {b.n: 'json:{\"q\":{\"r\":1}}', x.y.z: '1'}"),
        step::<headers_to_payload::Spec>("mappings: ['h:b.n.h']"),
        step::<timezone::Spec>("{timezone: Europe/Berlin, fields: [c, b.n.q.r]}"),
        step::<replace_field::Spec>("{include: [b, x.y, a.0.b, c], renames: ['b.n:n']}"),
        step::<hoist_field::Spec>("field: top"),
        step::<struct_flatten::Spec>("{}"),
        step::<hoist_field::Spec>("field: top"),
        step::<extract_field::Spec>("field: top"),
        step::<extract_field::Spec>("field: 'top\\.n'"),
        step::<replace_field::Spec>("renames: ['top\\.b:top.b.a', 'top\\.x\\.y\\.z:top.z']"),
    ]
}
