//! What must hold of the first-generation steps for any document: each does what a naive version on
//! `serde_json::Value` does, and what it does not touch keeps its bytes.

#![expect(clippy::unwrap_used, reason = "tests")]

use levada_model::RecordBatch;
use proptest::prelude::*;
use serde_json::{Map, Value};

use super::testing::{self, run};
use super::{
    Scope, Transform, TransformContext, camel_case, filter, flatten, mask, remove, select,
    snake_case, timestamp,
};

/// A document as it is written: duplicate keys, escapes, number forms, white space.
#[derive(Clone, Debug)]
enum Doc {
    Scalar(String),
    Array(Vec<Doc>),
    Object(Vec<(String, Doc)>),
}

const KEYS: &[&str] =
    &["a", "b", "c", r"\u0061", "userId", "user_id", "UserID", "é", r#"q\"x"#, ""];
const SCALARS: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "-1",
    "12345678901234567890",
    "1e21",
    "10.0",
    "12.50",
    r#""""#,
    r#""text""#,
    r#""\u00e9\n\"<&>""#,
    r#""пароль""#,
    r#""false""#,
    "\"12345\"",
];

fn docs() -> impl Strategy<Value = Doc> {
    let scalar = prop::sample::select(SCALARS).prop_map(|text| Doc::Scalar(text.to_owned()));
    scalar.prop_recursive(4, 40, 5, |inner| {
        let key = prop::sample::select(KEYS).prop_map(str::to_owned);
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..4).prop_map(Doc::Array),
            3 => prop::collection::vec((key, inner), 0..6).prop_map(Doc::Object),
        ]
    })
}

/// Several documents and a seed for their white space: they share a batch and a step.
fn batches() -> impl Strategy<Value = Vec<(Doc, String)>> {
    let written = (docs(), any::<u64>()).prop_map(|(doc, seed)| {
        let text = doc.written(seed);
        (doc, text)
    });
    prop::collection::vec(written, 1..4)
}

impl Doc {
    fn written(&self, seed: u64) -> String {
        let mut out = String::new();
        self.write(&mut { seed }, &mut out);
        out
    }

    fn write(&self, seed: &mut u64, out: &mut String) {
        match self {
            Doc::Scalar(text) => out.push_str(text),
            Doc::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    space(seed, out);
                    item.write(seed, out);
                    space(seed, out);
                }
                out.push(']');
            }
            Doc::Object(members) => {
                out.push('{');
                for (index, (key, value)) in members.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    space(seed, out);
                    out.push_str(&format!("\"{key}\""));
                    space(seed, out);
                    out.push(':');
                    space(seed, out);
                    value.write(seed, out);
                    space(seed, out);
                }
                out.push('}');
            }
        }
    }

    /// The value, with the last of duplicate keys, names spelt by `spell` down to `depth`.
    fn value(&self, spell: &dyn Fn(&str) -> String, depth: usize) -> Value {
        match self {
            Doc::Scalar(text) => serde_json::from_str(text).unwrap(),
            Doc::Array(items) => {
                let depth = if depth > 1 { depth } else { 0 };
                Value::Array(items.iter().map(|item| item.value(spell, depth)).collect())
            }
            Doc::Object(members) => {
                let mut map = Map::new();
                for (key, value) in members {
                    let key: String = serde_json::from_str(&format!("\"{key}\"")).unwrap();
                    let key = if depth > 0 { spell(&key) } else { key };
                    map.insert(key, value.value(spell, depth.saturating_sub(1)));
                }
                Value::Object(map)
            }
        }
    }

    fn plain(&self) -> Value {
        self.value(&|name| name.to_owned(), 0)
    }
}

fn space(seed: &mut u64, out: &mut String) {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    out.push_str(["", "", " ", "\n\t"][(*seed >> 62) as usize]);
}

// --- naive steps ---

fn at<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(value, |value, key| match value {
        Value::Object(map) => map.get(key),
        Value::Array(items) => items.get(key.parse::<usize>().ok()?),
        _ => None,
    })
}

fn at_mut<'v>(value: &'v mut Value, path: &str) -> Option<&'v mut Value> {
    path.split('.').try_fold(value, |value, key| match value {
        Value::Object(map) => map.get_mut(key),
        Value::Array(items) => items.get_mut(key.parse::<usize>().ok()?),
        _ => None,
    })
}

fn naive_remove(value: &mut Value, path: &str) {
    let (parent, last) = match path.rsplit_once('.') {
        Some((parent, last)) => (at_mut(value, parent), last),
        None => (Some(value), path),
    };
    match parent {
        Some(Value::Object(map)) => {
            map.shift_remove(last);
        }
        Some(Value::Array(items)) => {
            if let Some(index) = last.parse().ok().filter(|&index: &usize| index < items.len()) {
                items.remove(index);
            }
        }
        _ => {}
    }
}

fn naive_mask(mut value: Value, paths: &[&str]) -> Value {
    for path in paths {
        if let Some(value) = at_mut(&mut value, path) {
            *value = "***".into();
        }
    }
    value
}

fn naive_select(value: &Value, paths: &[&str]) -> Value {
    let found = paths.iter().filter_map(|path| {
        let name = path.rsplit('.').next().unwrap();
        Some((name.to_owned(), at(value, path)?.clone()))
    });
    Value::Object(found.collect())
}

/// `None`: the step fails.
fn naive_timestamp(mut value: Value, path: &str, time: &str) -> Option<Value> {
    if value.is_null() {
        value = Value::Object(Map::new());
    }
    if !value.is_object() {
        return Some(value);
    }
    let mut place = &mut value;
    for key in path.split('.') {
        if place.is_array() {
            return None;
        }
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        place = place.as_object_mut().unwrap().entry(key).or_insert(Value::Null);
    }
    *place = time.into();
    Some(value)
}

fn naive_flatten(value: Value, path: &str) -> Vec<Value> {
    let array = match at(&value, path) {
        Some(Value::Array(items)) => Some(items),
        Some(Value::Object(map)) => map.get("array").and_then(Value::as_array),
        _ => None,
    };
    let Some(items) = array.filter(|_| value.is_object()).cloned() else {
        return vec![value];
    };
    let mut parent = value;
    naive_remove(&mut parent, path);
    if items.is_empty() {
        return vec![parent];
    }
    let name = path.rsplit('.').next().unwrap();
    let children = items.into_iter().map(|item| {
        let mut child = parent.clone();
        let map = child.as_object_mut().unwrap();
        match item {
            Value::Object(members) => map.extend(members),
            other => {
                map.insert(name.to_owned(), other);
            }
        }
        child
    });
    children.collect()
}

fn naive_truthy(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => false,
        Some(Value::Bool(value)) => *value,
        Some(Value::String(text)) => !text.is_empty() && text != "false",
        Some(Value::Number(number)) => number.as_f64() != Some(0.0),
        Some(_) => true,
    }
}

fn naive_snake(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut out = String::new();
    for (index, &letter) in letters.iter().enumerate() {
        let before = index.checked_sub(1).map(|index| letters[index]);
        let after = letters.get(index + 1);
        if letter.is_uppercase() {
            let ends = before.is_some_and(|before| {
                before.is_lowercase()
                    || before.is_numeric()
                    || (before.is_uppercase() && after.is_some_and(|after| after.is_lowercase()))
            });
            if ends {
                out.push('_');
            }
        }
        out.push_str(&letter.to_lowercase().to_string());
    }
    out
}

fn naive_camel(name: &str) -> String {
    let mut out = String::new();
    for part in name.split('_').filter(|part| !part.is_empty()) {
        let first = part.chars().next().unwrap();
        out.push_str(&first.to_uppercase().to_string());
        out.push_str(&part[first.len_utf8()..]);
    }
    if out.is_empty() { name.to_owned() } else { out }
}

// --- laws ---

/// Does as [`check`] for a step that edits in place: what keeps its value keeps its bytes.
fn check_in_place(
    mut step: Box<dyn Transform>,
    docs: &[(Doc, String)],
    naive: impl Fn(&Doc) -> Option<Vec<Value>>,
) -> Result<(), TestCaseError> {
    check(&mut *step, docs, naive)?;
    for (doc, text) in docs {
        if let Ok([payload]) = run(&mut *step, &mut testing::batch_of(text)).as_deref() {
            same_bytes(doc, text, payload)?;
        }
    }
    Ok(())
}

/// Runs one step over documents that share it and compares with `naive`; `None` is a failure.
fn check(
    step: &mut dyn Transform,
    docs: &[(Doc, String)],
    naive: impl Fn(&Doc) -> Option<Vec<Value>>,
) -> Result<(), TestCaseError> {
    for (doc, text) in docs {
        let mut batch = testing::batch_of(text);
        match (run(step, &mut batch), naive(doc)) {
            (Ok(payloads), Some(expected)) => {
                let got: Vec<Value> =
                    payloads.iter().map(|text| serde_json::from_slice(text).unwrap()).collect();
                prop_assert_eq!(got, expected, "{}", text);
            }
            (Err(_), None) => {
                let after: Value = serde_json::from_slice(&batch.payload(0)).unwrap();
                prop_assert_eq!(after, doc.plain(), "{}", text);
            }
            (got, expected) => prop_assert!(false, "{text}: got {got:?}, expected {expected:?}"),
        }
    }
    Ok(())
}

/// What a step left as it was as a value is also the same text, unless a duplicate key went.
fn same_bytes(doc: &Doc, text: &str, payload: &[u8]) -> Result<(), TestCaseError> {
    let after: Value = serde_json::from_slice(payload).unwrap();
    let keys = text.matches(':').count();
    let kept = String::from_utf8_lossy(payload).matches(':').count();
    if after == doc.plain() && keys == kept {
        prop_assert_eq!(String::from_utf8_lossy(payload), text);
    }
    Ok(())
}

fn step<T: super::TransformSpec>(config: &str) -> Box<dyn Transform> {
    testing::step::<T>(config, &TransformContext::default())
}

const PATHS: &[&str] = &["a", "b.c", "a.0", "c.a.b", "userId", "b.1.a"];
const LIST: &str = "{fields: [a, b.c, a.0, c.a.b, userId, b.1.a]}";

proptest! {
    #[test]
    fn mask_does_as_the_naive_one(docs in batches()) {
        check_in_place(step::<mask::Spec>(LIST), &docs, |doc| Some(vec![naive_mask(doc.plain(), PATHS)]))?;
    }

    #[test]
    fn remove_does_as_the_naive_one(docs in batches()) {
        check_in_place(step::<remove::Spec>(LIST), &docs, |doc| {
            let mut value = doc.plain();
            PATHS.iter().for_each(|path| naive_remove(&mut value, path));
            Some(vec![value])
        })?;
    }

    #[test]
    fn select_does_as_the_naive_one(docs in batches()) {
        check(&mut *step::<select::Spec>(LIST), &docs, |doc| {
            Some(vec![naive_select(&doc.plain(), PATHS)])
        })?;
    }

    #[test]
    fn timestamp_does_as_the_naive_one(docs in batches()) {
        for path in ["a", "b.c", "é.new.b"] {
            let config = format!("{{fieldName: {path}, format: DateOnly}}");
            check_in_place(step::<timestamp::Spec>(&config), &docs, |doc| {
                Some(vec![naive_timestamp(doc.plain(), path, "2026-02-07")?])
            })?;
        }
    }

    #[test]
    fn flatten_does_as_the_naive_one(docs in batches()) {
        for path in ["a", "b.c", "a.0", "userId"] {
            let config = format!("{{field: {path}}}");
            check_in_place(step::<flatten::Spec>(&config), &docs, |doc| {
                Some(naive_flatten(doc.plain(), path))
            })?;
        }
    }

    #[test]
    fn filter_does_as_the_naive_one(docs in batches()) {
        for path in PATHS {
            check_in_place(step::<filter::Spec>(&format!("{{condition: {path}}}")), &docs, |doc| {
                let value = doc.plain();
                let passes = naive_truthy(at(&value, path));
                Some(if passes { vec![value] } else { vec![] })
            })?;
        }
    }

    #[test]
    fn spelling_does_as_the_naive_one(docs in batches()) {
        let deep = |doc: &Doc, spell| Some(vec![doc.value(spell, usize::MAX)]);
        let flat = |doc: &Doc, spell| Some(vec![doc.value(spell, 1)]);
        check(&mut *step::<snake_case::Spec>("{deep: true}"), &docs, |doc| deep(doc, &naive_snake))?;
        check(&mut *step::<camel_case::Spec>("{deep: true}"), &docs, |doc| deep(doc, &naive_camel))?;
        check(&mut *step::<snake_case::Spec>("{}"), &docs, |doc| flat(doc, &naive_snake))?;
        check(&mut *step::<camel_case::Spec>("{}"), &docs, |doc| flat(doc, &naive_camel))?;
    }

    /// Members that no path points at come out byte for byte and in their order.
    #[test]
    fn untouched_members_keep_their_bytes(doc in docs(), seed: u64) {
        let untouched = doc.written(seed);
        let text = format!(" {{ \"x\" : {untouched} ,\n\"secret\": [1, 2],\t\"y\":{untouched}}}");
        let kept = [format!("\"x\" : {untouched}"), format!("\"y\":{untouched}")];
        let steps = [
            step::<mask::Spec>("{fields: [secret]}"),
            step::<mask::Spec>("{fields: [secret.1], keepLength: true}"),
            step::<remove::Spec>("{fields: [$.secret, missing.b]}"),
            step::<timestamp::Spec>("{fieldName: secret}"),
            step::<timestamp::Spec>("{}"),
        ];
        for mut step in steps {
            let mut batch = testing::batch_of(&text);
            let payloads = run(&mut *step, &mut batch).unwrap();
            let payload = String::from_utf8_lossy(&payloads[0]).into_owned();
            let mut from = 0;
            for part in &kept {
                let found = payload[from..].find(part.as_str());
                prop_assert!(found.is_some(), "{} in {}", part, payload);
                from += found.unwrap() + part.len();
            }
        }
    }

    /// What a record becomes does not depend on the others of its batch.
    #[test]
    fn records_of_a_batch_do_not_disturb_each_other(docs in batches()) {
        let steps = || [
            step::<snake_case::Spec>("{deep: true}"),
            step::<mask::Spec>("{fields: [user_id, b.c], mode: partial, keepLength: true}"),
            step::<timestamp::Spec>("{fieldName: c}"),
            step::<remove::Spec>("{fields: [b.0, é]}"),
            step::<select::Spec>("{fields: [c, user_id, b, b.c, a]}"),
            step::<flatten::Spec>("{field: a}"),
        ];
        let mut batch = RecordBatch::new();
        let origin = batch.push_origin("test".into(), 0.into());
        for (_, text) in &docs {
            batch.push(text.as_bytes(), origin, 0);
        }
        let mut scope = Scope { now: testing::NOW, ..Scope::default() };
        for mut step in steps() {
            for index in 0..docs.len() {
                step.record(&mut batch, index, &mut scope).unwrap();
            }
        }
        batch.records.append(&mut scope.children);
        let mut children = docs.len();
        for (index, (_, text)) in docs.iter().enumerate() {
            let mut alone = testing::batch_of(text);
            let mut expected = Vec::new();
            for mut step in steps() {
                expected = run(&mut *step, &mut alone).unwrap();
            }
            let is_split = alone.records.len() > 1;
            for payload in expected {
                let at = if is_split { children } else { index };
                prop_assert_eq!(&*batch.payload(at), &*payload, "{}", text);
                children += usize::from(is_split);
            }
        }
        prop_assert_eq!(children, batch.records.len());
    }

    /// No payload makes a step panic, and what is not JSON leaves as it came.
    #[test]
    fn any_bytes_are_survived(payload in prop::collection::vec(any::<u8>(), 0..40)) {
        let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(&payload).is_ok();
        let steps = [
            step::<mask::Spec>(LIST),
            step::<remove::Spec>(LIST),
            step::<select::Spec>(LIST),
            step::<timestamp::Spec>("{}"),
            step::<flatten::Spec>("{field: a}"),
            step::<snake_case::Spec>("{deep: true}"),
            step::<camel_case::Spec>("{}"),
        ];
        for mut step in steps {
            let got = run(&mut *step, &mut testing::batch_of(&payload));
            if !is_json {
                prop_assert_eq!(got, Ok(vec![payload.clone()]));
            }
        }
    }
}

#[test]
fn a_chain_of_steps_edits_one_document() {
    let mut steps = [
        step::<select::Spec>("{fields: [$.user.email, id, user]}"),
        step::<mask::Spec>("{fields: [$.email], keepLength: true}"),
        step::<timestamp::Spec>("{fieldName: user.seen, format: RFC3339Nano}"),
        step::<snake_case::Spec>("{deep: true}"),
        step::<remove::Spec>("{fields: [user.age]}"),
    ];
    let mut batch = testing::batch_of(
        r#"{"id":12345678901234567890,"user":{"email":"a@b","userName":"é", "age":1.0},"x":1}"#,
    );
    for step in &mut steps {
        run(&mut **step, &mut batch).unwrap();
    }
    let payload = String::from_utf8(batch.payload(0).into_owned()).unwrap();
    assert_eq!(
        payload,
        r#"{"email":"***","id":12345678901234567890,"user":{"email":"a@b","user_name":"é","seen":"2026-02-07T10:30:00.5Z"}}"#
    );
}

#[test]
fn flatten_sees_the_edits_of_earlier_steps() {
    let mut batch = testing::batch_of(r#"{"id":1,"aB":[{"secret":1,"x":2},7],"o":{"p":1}}"#);
    for mut step in [
        step::<snake_case::Spec>("{}"),
        step::<mask::Spec>("{fields: ['a_b.#.secret', o]}"),
        step::<remove::Spec>("{fields: [id]}"),
    ] {
        run(&mut *step, &mut batch).unwrap();
    }
    let children = run(&mut *step::<flatten::Spec>("{field: a_b}"), &mut batch).unwrap();
    let children: Vec<_> = children.iter().map(|child| String::from_utf8_lossy(child)).collect();
    assert_eq!(children, [r#"{"o":"***","secret":"***","x":2}"#, r#"{"o":"***","a_b":7}"#]);
}
