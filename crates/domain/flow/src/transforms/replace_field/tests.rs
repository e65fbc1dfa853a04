#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use serde_json::{Map, Value};

use super::super::testing::{
    NOT_JSON, NOT_OBJECTS, batch_of, check, check_problems, check_unchanged, run, step,
};
use super::*;

#[test]
fn include_keeps_nesting_and_bytes() {
    let input = r#"{ "id": 10.0, "user": {"name":"n", "email" : "e","geo":{"lat":1}}, "x":1 }"#;
    check::<Spec>("include: [id]", input, &[r#"{ "id": 10.0 }"#]);
    check::<Spec>(
        "include: [user.email, id]",
        input,
        &[r#"{ "id": 10.0, "user": { "email" : "e"} }"#],
    );
    check::<Spec>("include: [$.user.geo.lat]", input, &[r#"{ "user": {"geo":{"lat":1}} }"#]);
    check::<Spec>(
        "include: [user]",
        input,
        &[r#"{ "user": {"name":"n", "email" : "e","geo":{"lat":1}} }"#],
    );
    check::<Spec>(
        "include: [user, user.name]",
        input,
        &[r#"{ "user": {"name":"n", "email" : "e","geo":{"lat":1}} }"#],
    );
    check::<Spec>("include: [user.name.x, id.y, none, user.none.z]", input, &["{ }"]);
    check::<Spec>("include: [a, b]", r#"{"a":1,"b":[]}"#, &[r#"{"a":1,"b":[]}"#]);
    check::<Spec>("include: [a, b]", r#"{"a":null,"b":{},"c":3}"#, &[r#"{"a":null,"b":{}}"#]);
    check::<Spec>(
        "include: ['a\\.b', \"['c.d'].e\"]",
        r#"{"a.b":1,"a":{"b":2},"c.d":{"e":3,"f":4}}"#,
        &[r#"{"a.b":1,"c.d":{"e":3}}"#],
    );
    check::<Spec>(
        "include: [ключ, a.$x]",
        r#"{"ключ":"é","a":{"$x":1,"y":2}}"#,
        &[r#"{"ключ":"é","a":{"$x":1}}"#],
    );
}

#[test]
fn include_keeps_indexes() {
    check::<Spec>(
        "include: [l.1.a]",
        r#"{"l":[{"a":1},{"a":2,"b":3},{"a":4}]}"#,
        &[r#"{"l":[null,{"a":2}]}"#],
    );
    check::<Spec>("include: ['l[0]', 'l[2]']", r#"{"l":[1,2,3,4]}"#, &[r#"{"l":[1,null,3]}"#]);
    check::<Spec>("include: [l.7, l.0.x]", r#"{"l":[1,2]}"#, &["{}"]);
    check::<Spec>("include: [o.0]", r#"{"o":{"0":1,"1":2}}"#, &[r#"{"o":{"0":1}}"#]);
}

#[test]
fn of_duplicate_keys_the_last_counts() {
    check::<Spec>(
        "include: [a.b]",
        r#"{"a":{"b":1,"secret":2},"a":{"b":3,"c":4}}"#,
        &[r#"{"a":{"b":3}}"#],
    );
    check::<Spec>("include: [a.b]", r#"{"a":{"b":1},"a":5}"#, &["{}"]);
    check::<Spec>("exclude: [a]", r#"{"a":1,"b":2,"a":3}"#, &[r#"{"b":2}"#]);
    check::<Spec>("renames: ['a:b']", r#"{"a":1,"a":3}"#, &[r#"{"b":3}"#]);
    check::<Spec>("renames: ['a:b']", r#"{"b":1,"a":2,"b":3}"#, &[r#"{"b":2}"#]);
    check::<Spec>("renames: ['a:x.b']", r#"{"a":1,"a":3}"#, &[r#"{"x":{"b":3}}"#]);
}

#[test]
fn exclude_prunes_empty_parents() {
    check::<Spec>(
        "exclude: [user.ssn, x]",
        r#"{"id":1, "user":{"ssn":"1","n":2.0} ,"x":[1]}"#,
        &[r#"{"id":1, "user":{"n":2.0}}"#],
    );
    check::<Spec>("exclude: [a.b.c]", r#"{"a":{"b":{"c":1}},"d":2}"#, &[r#"{"d":2}"#]);
    check::<Spec>("exclude: [a.b.c]", r#"{"a":{"b":{"c":1},"e":{}}}"#, &[r#"{"a":{"e":{}}}"#]);
    check::<Spec>("exclude: [a]", r#"{"a":1}"#, &["{}"]);
    check::<Spec>("exclude: [a.b, a.c]", r#"{"a":{"b":1,"c":2}}"#, &["{}"]);
    // What was empty before is not ours.
    check::<Spec>("exclude: [a.b]", r#"{"a":{}}"#, &[r#"{"a":{}}"#]);
    check::<Spec>("exclude: [l.0.a]", r#"{"l":[{"a":1},{"b":2}]}"#, &[r#"{"l":[{},{"b":2}]}"#]);
    check::<Spec>("exclude: [l.0]", r#"{"l":[1]}"#, &[r#"{"l":[]}"#]);
    check::<Spec>(
        "exclude: ['l.#.a', 'm.*']",
        r#"{"l":[{"a":1,"b":2},{"a":3}],"m":{"x":1}}"#,
        &[r#"{"l":[{"b":2},{}],"m":{}}"#],
    );
    check::<Spec>("exclude: [none, a.none, b.c]", r#"{"a":1, "b":[2]}"#, &[r#"{"a":1, "b":[2]}"#]);
}

#[test]
fn renames_keep_the_place() {
    check::<Spec>(
        "renames: ['b:x']",
        r#"{"a":1, "b": 2.0 ,"c":3}"#,
        &[r#"{"a":1,"x":2.0 ,"c":3}"#],
    );
    check::<Spec>("renames: ['a.b:a.x']", r#"{"a":{"b":1,"c":2}}"#, &[r#"{"a":{"x":1,"c":2}}"#]);
    check::<Spec>("renames: ['a.b:a.0']", r#"{"a":{"b":1}}"#, &[r#"{"a":{"0":1}}"#]);
    check::<Spec>("renames: ['a:é\"']", r#"{"a":{"b":[1]}}"#, &[r#"{"é\"":{"b":[1]}}"#]);
}

#[test]
fn renames_move_between_levels() {
    check::<Spec>(
        "renames: ['user.email:email']",
        r#"{"id":1,"user":{"email":"e","n":2}}"#,
        &[r#"{"id":1,"user":{"n":2},"email":"e"}"#],
    );
    check::<Spec>(
        "renames: ['user.email:email']",
        r#"{"user":{"email":"e"}}"#,
        &[r#"{"email":"e"}"#],
    );
    check::<Spec>(
        "renames: ['id:key.id', 'n:key.n']",
        r#"{"id":12345678901234567890,"n":{"x" : 1}}"#,
        &[r#"{"key":{"id":12345678901234567890,"n":{"x" : 1}}}"#],
    );
    check::<Spec>("renames: ['a:a.b']", r#"{"a":{"c":1}}"#, &[r#"{"a":{"b":{"c":1}}}"#]);
    check::<Spec>("renames: ['a.b:a']", r#"{"a":{"b":{"c":1},"d":2}}"#, &[r#"{"a":{"c":1}}"#]);
    check::<Spec>("renames: ['a.b:a']", r#"{"a":{"b":1}}"#, &[r#"{"a":1}"#]);
    check::<Spec>(
        "renames: ['l.0:first']",
        r#"{"l":[{"x":1},2]}"#,
        &[r#"{"l":[2],"first":{"x":1}}"#],
    );
    check::<Spec>("renames: ['a:l.0', 'b:l.-1']", r#"{"a":1,"b":2}"#, &[r#"{"l":[1,2]}"#]);
}

#[test]
fn renames_replace_skip_and_follow_each_other() {
    check::<Spec>("renames: ['a:b']", r#"{"a":1,"b":{"x":2},"c":3}"#, &[r#"{"b":1,"c":3}"#]);
    check::<Spec>("renames: ['a:a', 'x:y']", r#"{"a": 1}"#, &[r#"{"a": 1}"#]);
    check::<Spec>("renames: ['$.a:a']", r#"{"a": 1}"#, &[r#"{"a": 1}"#]);
    check::<Spec>("renames: ['a:b', 'b:c']", r#"{"a":1}"#, &[r#"{"c":1}"#]);
    check::<Spec>("renames: ['a:t', 'b:a', 't:b']", r#"{"a":1,"b":2}"#, &[r#"{"b":1,"a":2}"#]);
    check::<Spec>("renames: ['a\\:b:c\\:d']", r#"{"a:b":1}"#, &[r#"{"c:d":1}"#]);
    check::<Spec>("renames: ['a\\.b:c\\.d']", r#"{"a.b":1}"#, &[r#"{"c.d":1}"#]);
    check::<Spec>("renames: ['a:x']", r#"{"a":null}"#, &[r#"{"x":null}"#]);
}

#[test]
fn include_comes_before_renames() {
    check::<Spec>(
        "{renames: ['user.email:email', 'x:y'], include: [id, user.email]}",
        r#"{"id":1.0,"user":{"email":"e","n":1},"x":1}"#,
        &[r#"{"id":1.0,"email":"e"}"#],
    );
    check::<Spec>("{renames: ['a:b'], exclude: [a]}", r#"{"a":1,"c":2}"#, &[r#"{"c":2}"#]);
}

#[test]
fn a_refused_rename_changes_nothing() {
    let config = "{exclude: [c], renames: ['a:x', 'b:l.n']}";
    let input = r#"{"a":1, "b":2,"l":[1],"c":3}"#;
    let error =
        "error: replaceField: `n` in path `l.n` meets an array: use an index, or `-1` to append";
    check::<Spec>(config, input, &[error]);
    let mut batch = batch_of(input);
    let root = batch.document(0).unwrap();
    let a = batch.tree.member(&batch.text, root, b"a").unwrap();
    batch.tree.touch(root);
    batch.tree.set_string(&mut batch.text, a, "new");
    let before = batch.payload(0).into_owned();
    run(&mut *step::<Spec>(config, &TransformContext::default()), &mut batch).unwrap_err();
    assert_eq!(batch.payload(0), before);
}

#[test]
fn other_payloads_stay() {
    for config in ["include: [a]", "exclude: [a]", "renames: ['a:b']"] {
        check_unchanged::<Spec>(config, NOT_JSON);
        check_unchanged::<Spec>(config, NOT_OBJECTS);
        check_unchanged::<Spec>(config, &[b"null", b"{}"]);
    }
}

#[test]
fn settings() {
    check_problems::<Spec>(
        "{}",
        &["config: Required value: at least one of renames, include or exclude is required"],
    );
    check_problems::<Spec>(
        "{include: [a, 'b.#', 'c.-1'], exclude: ['@this', 'x.*']}",
        &[
            "config.exclude: Forbidden: include and exclude are mutually exclusive",
            "config.include[1]: Invalid value: \"b.#\": syntax error at column 1: path `b.#`: `#` is a length and cannot be written; write `#.key` for a member of every element",
            "config.include[2]: Invalid value: \"c.-1\": path `c.-1`: `-1` addresses no existing value",
            "config.exclude[0]: Invalid value: \"@this\": syntax error at column 1: path `@this`: a modifier gives a new value, which cannot be written",
        ],
    );
    check_problems::<Spec>(
        "renames: [a, ':b', 'a:b.*', 'a..b:c', 'ok:fine']",
        &[
            "config.renames[0]: Invalid value: \"a\": rename must be in oldPath:newPath format",
            "config.renames[1]: Invalid value: \":b\": rename must be in oldPath:newPath format",
            "config.renames[2]: Invalid value: \"a:b.*\": syntax error at column 1: path `b.*`: only keys and indexes say where a new value goes",
            "config.renames[3]: Invalid value: \"a..b:c\": syntax error at column 3: a key is expected; `..` is not supported; write `['']` for the empty key",
        ],
    );
}

// The naive way: paths of plain keys and indexes over serde_json's values.

type Steps = Vec<&'static str>;

fn get<'v>(value: &'v Value, steps: &[&str]) -> Option<&'v Value> {
    steps.iter().try_fold(value, |value, step| match value {
        Value::Object(members) => members.get(*step),
        Value::Array(items) => items.get(step.parse::<usize>().ok()?),
        _ => None,
    })
}

fn set(value: &mut Value, steps: &[&str], new: Value) -> bool {
    let Some((step, rest)) = steps.split_first() else {
        *value = new;
        return true;
    };
    let index = step.parse::<usize>().ok();
    if !value.is_object() && !value.is_array() {
        *value = if index.is_some() { Value::Array(Vec::new()) } else { Map::new().into() };
    }
    match (value, index) {
        (Value::Object(members), _) => set(members.entry(*step).or_insert(Value::Null), rest, new),
        (Value::Array(items), Some(index)) => {
            if items.len() <= index {
                items.resize(index + 1, Value::Null);
            }
            set(&mut items[index], rest, new)
        }
        _ => false,
    }
}

/// Tells whether something was taken out; prunes members that have become empty objects.
fn remove(value: &mut Value, steps: &[&str]) -> bool {
    take(value, steps, true)
}

fn take(value: &mut Value, steps: &[&str], prunes: bool) -> bool {
    let (last, above) = steps.split_last().unwrap();
    let mut holder = &mut *value;
    for step in above {
        holder = match holder {
            Value::Object(members) => match members.get_mut(*step) {
                Some(next) => next,
                None => return false,
            },
            Value::Array(items) => {
                match step.parse::<usize>().ok().and_then(|index| items.get_mut(index)) {
                    Some(next) => next,
                    None => return false,
                }
            }
            _ => return false,
        };
    }
    let is_removed = match holder {
        Value::Object(members) => members.shift_remove(*last).is_some(),
        Value::Array(items) => match last.parse::<usize>() {
            Ok(index) if index < items.len() => {
                items.remove(index);
                true
            }
            _ => false,
        },
        _ => false,
    };
    let is_empty = *holder == Value::Object(Map::new());
    if is_removed && is_empty && prunes && !above.is_empty() {
        let (_, upper) = above.split_last().unwrap();
        if get(value, upper).is_some_and(Value::is_object) {
            remove(value, above);
        }
    }
    is_removed
}

/// Keeps what the paths name; order follows from the document, so it is compared apart.
fn include(value: &Value, paths: &[Steps]) -> Value {
    let mut out = Value::Object(Map::new());
    for steps in paths {
        // An object keeps the key `0`, where writing anew would make an array.
        let Some(found) = get(value, steps) else {
            continue;
        };
        let found = found.clone();
        for depth in 1..steps.len() {
            if get(&out, &steps[..depth]).is_none_or(Value::is_null) {
                let empty = match get(value, &steps[..depth]) {
                    Some(Value::Array(_)) => Value::Array(Vec::new()),
                    _ => Value::Object(Map::new()),
                };
                assert!(set(&mut out, &steps[..depth], empty));
            }
        }
        assert!(set(&mut out, steps, found));
    }
    out
}

fn path() -> impl Strategy<Value = Steps> {
    let step = prop::sample::select(vec!["a", "b", "c", "a", "b", "0", "1", "é"]);
    prop::collection::vec(step, 1..4)
}

fn list(paths: &[Steps]) -> String {
    let quoted: Vec<String> = paths.iter().map(|steps| format!("'{}'", steps.join("."))).collect();
    format!("[{}]", quoted.join(", "))
}

fn outcome(config: &str, document: &Value, seed: u64) -> Option<Value> {
    let mut step = step::<Spec>(config, &TransformContext::default());
    let text = super::super::sample::written(document, seed);
    let mut batch = batch_of(&text);
    match run(&mut *step, &mut batch) {
        Ok(out) => Some(serde_json::from_slice(&out.concat()).unwrap()),
        Err(_) => {
            assert_eq!(&*batch.payload(0), text.as_bytes());
            None
        }
    }
}

proptest! {
    #[test]
    fn include_equals_the_naive_way(
        document in super::super::sample::object(),
        seed: u64,
        paths in prop::collection::vec(path(), 1..5),
    ) {
        let got = outcome(&format!("include: {}", list(&paths)), &document, seed);
        prop_assert_eq!(got, Some(include(&document, &paths)));
    }

    #[test]
    fn exclude_equals_the_naive_way(
        document in super::super::sample::object(),
        seed: u64,
        paths in prop::collection::vec(path(), 1..5),
    ) {
        let got = outcome(&format!("exclude: {}", list(&paths)), &document, seed);
        let mut expected = document;
        for steps in &paths {
            remove(&mut expected, steps);
        }
        prop_assert_eq!(got, Some(expected));
    }

    #[test]
    fn renames_equal_the_naive_way(
        document in super::super::sample::object(),
        seed: u64,
        pairs in prop::collection::vec((path(), path()), 1..4),
    ) {
        let renames: Vec<String> = pairs
            .iter()
            .map(|(old, new)| format!("'{}:{}'", old.join("."), new.join(".")))
            .collect();
        let got = outcome(&format!("renames: [{}]", renames.join(", ")), &document, seed);
        let mut expected = Some(document);
        for (old, new) in pairs.iter().filter(|(old, new)| old != new) {
            expected = expected.and_then(|mut value| {
                let Some(found) = get(&value, old).cloned() else { return Some(value) };
                // Where only the name changes, the object above stays, also when it has no other member.
                let is_in_place = old[..old.len() - 1] == new[..new.len() - 1];
                take(&mut value, old, !is_in_place);
                set(&mut value, new, found).then_some(value)
            });
        }
        prop_assert_eq!(got, expected);
    }
}
