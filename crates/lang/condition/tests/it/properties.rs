//! Random documents and paths against a naive implementation on `serde_json::Value`.

use levada_condition::Path;
use proptest::prelude::*;
use serde_json::Value;

use crate::Document;

const KEYS: &[&str] = &["a", "b", "c.d", "é", "0", "1", "-1", "q\"\\x", "#", "x*"];

fn document() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-c\"\\\\\n]{0,4}".prop_map(Value::from),
    ];
    scalar.prop_recursive(5, 60, 5, |inner| {
        let members = prop::collection::vec((prop::sample::select(KEYS), inner.clone()), 0..5);
        prop_oneof![
            prop::collection::vec(inner, 0..5).prop_map(Value::from),
            members.prop_map(|members| members
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect()),
        ]
    })
}

fn keys() -> impl Strategy<Value = Vec<&'static str>> {
    prop::collection::vec(prop::sample::select(KEYS), 1..6)
}

/// Writes the keys as a path, every special character escaped or in quotes.
fn written(keys: &[&str], quote: bool) -> String {
    let mut path = String::new();
    for (index, key) in keys.iter().enumerate() {
        if quote && key.parse::<i32>().is_err() {
            path.push_str(&format!("['{}']", key.replace('\\', "\\\\")));
            continue;
        }
        if index > 0 {
            path.push('.');
        }
        for character in key.chars() {
            if ".*\"\\#".contains(character) {
                path.push('\\');
            }
            path.push(character);
        }
    }
    path
}

fn naive<'v>(value: &'v Value, keys: &[&str]) -> Option<&'v Value> {
    keys.iter().try_fold(value, |value, key| match value {
        Value::Object(members) => members.get(*key),
        Value::Array(items) => items.get(key.parse::<usize>().ok()?),
        _ => None,
    })
}

fn naive_remove(value: &mut Value, keys: &[&str]) -> bool {
    let Some((last, parents)) = keys.split_last() else {
        return false;
    };
    let mut at = value;
    for key in parents {
        let next = match at {
            Value::Object(members) => members.get_mut(*key),
            Value::Array(items) => key.parse::<usize>().ok().and_then(|index| items.get_mut(index)),
            _ => None,
        };
        match next {
            Some(next) => at = next,
            None => return false,
        }
    }
    match at {
        Value::Object(members) => members.shift_remove(*last).is_some(),
        Value::Array(items) if *last == "-1" => items.pop().is_some(),
        Value::Array(items) => match last.parse::<usize>() {
            Ok(index) if index < items.len() => {
                items.remove(index);
                true
            }
            _ => false,
        },
        _ => false,
    }
}

proptest! {
    #[test]
    fn simple_paths_read_as_the_naive_implementation(value in document(), keys in keys(), quote: bool, pretty: bool) {
        let json = if pretty { format!("{value:#}") } else { value.to_string() };
        let document = Document::new(&json);
        let path = written(&keys, quote);
        let read = document.read(&path);
        let expected = naive(&value, &keys);
        let read: Option<Value> = (!read.is_empty()).then(|| serde_json::from_str(&read).unwrap());
        prop_assert_eq!(read.as_ref(), expected, "{} of {}", path, json);
    }

    #[test]
    fn what_is_written_is_read(value in document(), keys in keys(), quote: bool) {
        let mut document = Document::new(&value.to_string());
        let written = written(&keys, quote);
        let path = Path::compile(&written).unwrap();
        if let Ok(node) = path.ensure(&mut document.text, &mut document.tree, document.root) {
            document.tree.set_string(&mut document.text, node, "w\n");
            let printed = document.printed();
            if path.is_simple() {
                prop_assert_eq!(document.read(&written), "\"w\\n\"");
                prop_assert_eq!(Document::new(&printed).read(&written), "\"w\\n\"", "{}", printed);
            } else {
                prop_assert!(printed.contains("\"w\\n\""));
            }
        } else {
            prop_assert_eq!(document.printed(), value.to_string());
        }
    }

    #[test]
    fn what_is_removed_is_missing(value in document(), keys in keys(), quote: bool) {
        let mut document = Document::new(&value.to_string());
        let written = written(&keys, quote);
        let path = Path::compile(&written).unwrap();
        let count = path.remove(&document.text, &mut document.tree, document.root);
        let mut expected = value.clone();
        prop_assert_eq!(count == 1, naive_remove(&mut expected, &keys), "{} of {}", written, value);
        prop_assert_eq!(document.printed(), expected.to_string());
        let is_last_key = matches!(keys.last(), Some(key) if key.parse::<i32>().is_err());
        if is_last_key {
            prop_assert_eq!(document.read(&written), "");
        }
    }

    #[test]
    fn existing_gives_what_find_gives(value in document(), keys in keys()) {
        let mut document = Document::new(&value.to_string());
        let path = Path::compile(&written(&keys, false)).unwrap();
        let found = path.find(&document.text, &document.tree, document.root);
        let mut nodes = Vec::new();
        path.existing(&document.text, &mut document.tree, document.root, &mut nodes);
        prop_assert_eq!(found.node().into_iter().collect::<Vec<_>>(), nodes);
        prop_assert_eq!(document.printed(), value.to_string());
    }
}
