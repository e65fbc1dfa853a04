use levada_condition::path::PAD_MAX;
use levada_condition::{Path, WriteError};

use crate::Document;

/// Puts `"X"` on everything that exists under the path, as a mask does.
fn masked(json: &str, path: &str) -> String {
    let mut document = Document::new(json);
    let path = Path::compile(path).unwrap();
    path.check_writable().unwrap();
    let mut nodes = Vec::new();
    path.existing(&document.text, &mut document.tree, document.root, &mut nodes);
    for node in nodes {
        document.tree.set_string(&mut document.text, node, "X");
    }
    document.printed()
}

fn removed(json: &str, path: &str) -> (usize, String) {
    let mut document = Document::new(json);
    let path = Path::compile(path).unwrap();
    path.check_writable().unwrap();
    let count = path.remove(&document.text, &mut document.tree, document.root);
    (count, document.printed())
}

fn set(json: &str, path: &str) -> Result<String, WriteError> {
    let mut document = Document::new(json);
    let path = Path::compile(path).unwrap();
    let node = path.ensure(&mut document.text, &mut document.tree, document.root)?;
    document.tree.set_string(&mut document.text, node, "X");
    Ok(document.printed())
}

const LIST: &str = r#"{"l":[{"b":1,"x":"1"},{"x":"2"},{"b":3,"x":"1"}], "m":{"ab":1,"ac":2}}"#;

#[test]
fn existing_values_are_replaced_in_place() {
    for (path, expected) in [
        ("l.0.b", r#"{"l":[{"b":"X","x":"1"},{"x":"2"},{"b":3,"x":"1"}], "m":{"ab":1,"ac":2}}"#),
        ("$.l[2].b", r#"{"l":[{"b":1,"x":"1"},{"x":"2"},{"b":"X","x":"1"}], "m":{"ab":1,"ac":2}}"#),
        ("l.#.b", r#"{"l":[{"b":"X","x":"1"},{"x":"2"},{"b":"X","x":"1"}], "m":{"ab":1,"ac":2}}"#),
        (
            r#"l.#(x=="1").b"#,
            r#"{"l":[{"b":"X","x":"1"},{"x":"2"},{"b":3,"x":"1"}], "m":{"ab":1,"ac":2}}"#,
        ),
        (
            r#"l.#(x=="1")#.b"#,
            r#"{"l":[{"b":"X","x":"1"},{"x":"2"},{"b":"X","x":"1"}], "m":{"ab":1,"ac":2}}"#,
        ),
        ("m.a?", r#"{"l":[{"b":1,"x":"1"},{"x":"2"},{"b":3,"x":"1"}], "m":{"ab":"X","ac":"X"}}"#),
        ("l.-1", LIST),
        ("missing.x", LIST),
        ("l.9.b", LIST),
        ("m.ab.c", LIST),
    ] {
        assert_eq!(masked(LIST, path), expected, "{path}");
    }
    assert_eq!(
        masked(r#"{"users":[{"email":"a"},{"email":"b"}]}"#, "users.#.email"),
        r#"{"users":[{"email":"X"},{"email":"X"}]}"#
    );
    assert_eq!(
        masked(r#"{"password":"abc","$ref":1}"#, "$.password"),
        r#"{"password":"X","$ref":1}"#
    );
    assert_eq!(masked(r#"{"a":1,"$ref":1}"#, "$ref"), r#"{"a":1,"$ref":"X"}"#);
}

#[test]
fn nothing_is_marked_when_nothing_is_found() {
    let mut document = Document::new(LIST);
    for path in ["missing", "l.#.zz", "m.b*", "l.#(x==9)#.b", "l.9", "m.ab.c"] {
        let path = Path::compile(path).unwrap();
        path.existing(&document.text, &mut document.tree, document.root, &mut Vec::new());
        assert_eq!(path.remove(&document.text, &mut document.tree, document.root), 0);
    }
    assert!(!document.tree.is_dirty(document.root));
}

/// A reader that takes the first of duplicate keys must not see what was masked or removed.
#[test]
fn stale_duplicates_do_not_leak() {
    let json = r#"{"a":"secret","b":1,"a":"y"}"#;
    assert_eq!(masked(json, "a"), r#"{"b":1,"a":"X"}"#);
    assert_eq!(removed(json, "a"), (1, r#"{"b":1}"#.into()));
    assert_eq!(set(json, "a").unwrap(), r#"{"b":1,"a":"X"}"#);
    let json = r#"{"u":{"p":"secret"},"u":{"q":1},"u":{"p":2}}"#;
    assert_eq!(masked(json, "u.p"), r#"{"u":{"p":"X"}}"#);
    assert_eq!(masked(r#"{"u":{"p":"secret"},"u":5}"#, "u.p"), r#"{"u":5}"#);
    assert_eq!(masked(r#"{"pa":"secret","pa":1}"#, "p*"), r#"{"pa":"X","pa":"X"}"#);
    assert_eq!(removed(r#"{"pa":"secret","pa":1,"b":2}"#, "p*"), (2, r#"{"b":2}"#.into()));
}

#[test]
fn values_are_removed() {
    for (json, path, count, expected) in [
        (r#"{"id":1,"password":"p"}"#, "$.password", 1, r#"{"id":1}"#),
        (r#"{"user":{"ssn":"1","n":2}}"#, "user.ssn", 1, r#"{"user":{"n":2}}"#),
        (r#"{"l":[1,2,3]}"#, "l.1", 1, r#"{"l":[1,3]}"#),
        (r#"{"l":[1,2,3]}"#, "l.-1", 1, r#"{"l":[1,2]}"#),
        (r#"{"l":[]}"#, "l.-1", 0, r#"{"l":[]}"#),
        (r#"{"-1":0,"a":1}"#, "-1", 1, r#"{"a":1}"#),
        (r#"{"l":[{"b":1},{"c":2},{"b":3}]}"#, "l.#.b", 2, r#"{"l":[{},{"c":2},{}]}"#),
        (r#"{"l":[1,5,9]}"#, "l.#(>3)#", 2, r#"{"l":[1]}"#),
        (r#"{"l":[1,5,9]}"#, "l.#(>3)", 1, r#"{"l":[1,9]}"#),
        (r#"{"a":{"x1":1,"x2":2,"y":3}}"#, "a.x?", 2, r#"{"a":{"y":3}}"#),
        (r#"{"a":1}"#, "a.b", 0, r#"{"a":1}"#),
    ] {
        assert_eq!(removed(json, path), (count, expected.into()), "{path} of {json}");
    }
    let mut document = Document::new("{}");
    let root = Path::compile("$").unwrap();
    assert_eq!(root.remove(&document.text, &mut document.tree, document.root), 0);
}

#[test]
fn missing_parents_are_made() {
    for (json, path, expected) in [
        (r#"{"id":1}"#, "ts", r#"{"id":1,"ts":"X"}"#),
        (r#"{"id":1}"#, "$.meta.ts", r#"{"id":1,"meta":{"ts":"X"}}"#),
        (r#"{"meta":{"a":1}}"#, "meta.ts", r#"{"meta":{"a":1,"ts":"X"}}"#),
        (r#"{"a":5}"#, "a.b.c", r#"{"a":{"b":{"c":"X"}}}"#),
        (r#"{"a":null}"#, "a.b", r#"{"a":{"b":"X"}}"#),
        (r#"{"l":[1]}"#, "l.0", r#"{"l":["X"]}"#),
        (r#"{"l":[1]}"#, "l.3", r#"{"l":[1,null,null,"X"]}"#),
        (r#"{"l":[1]}"#, "l.-1", r#"{"l":[1,"X"]}"#),
        (r#"{"l":[1]}"#, "l[1].b", r#"{"l":[1,{"b":"X"}]}"#),
        ("{}", "l.1", r#"{"l":[null,"X"]}"#),
        ("{}", "l.-1.a", r#"{"l":[{"a":"X"}]}"#),
        ("{}", "l['0']", r#"{"l":{"0":"X"}}"#),
        (r#"{"l":{}}"#, "l.0", r#"{"l":{"0":"X"}}"#),
        ("null", "a", r#"{"a":"X"}"#),
        ("{}", r"a\.b", r#"{"a.b":"X"}"#),
        ("{}", r#"a\"b"#, r#"{"a\"b":"X"}"#),
    ] {
        assert_eq!(set(json, path).unwrap(), expected, "{path} of {json}");
    }
}

#[test]
fn what_cannot_be_made_leaves_the_document_alone() {
    for (json, path, message) in [
        (
            r#"{"l":[1]}"#,
            "l.x",
            "`x` in path `l.x` meets an array: use an index, or `-1` to append",
        ),
        (
            r#"{"l":[1]}"#,
            "l['0']",
            "`0` in path `l['0']` meets an array: use an index, or `-1` to append",
        ),
        (
            "{}",
            "a.b.10001",
            "index 10001 in path `a.b.10001` lies too far beyond the end of an array of 0: at most 10000 elements are filled with `null`",
        ),
        (
            "{}",
            "a.#.b",
            "path `a.#.b` cannot be created: only keys and indexes say where a new value goes",
        ),
        (
            "{}",
            "a.*",
            "path `a.*` cannot be created: only keys and indexes say where a new value goes",
        ),
    ] {
        let mut document = Document::new(json);
        let compiled = Path::compile(path).unwrap();
        let result = compiled.ensure(&mut document.text, &mut document.tree, document.root);
        assert_eq!(result.unwrap_err().to_string(), message);
        assert!(!document.tree.is_dirty(document.root), "{path}");
    }
    assert!(set("{}", &format!("a.{PAD_MAX}")).is_ok());
    assert!(set(r#"{"a":[0]}"#, &format!("a.{}", PAD_MAX + 1)).is_ok());
    assert!(set(r#"{"a":[0]}"#, &format!("a.{}", PAD_MAX + 2)).is_err());
}

#[test]
fn paths_that_cannot_be_written_are_refused() {
    for (path, writable, settable) in [
        ("a.b.0", true, true),
        ("a.-1", true, true),
        ("a.#.b", true, false),
        ("a.#(x==1)#", true, false),
        ("a.*", true, false),
        ("a.#", false, false),
        ("a.@this", false, false),
        ("a|b", false, false),
        ("$", false, false),
    ] {
        let compiled = Path::compile(path).unwrap();
        assert_eq!(compiled.check_writable().is_ok(), writable, "{path}");
        assert_eq!(compiled.check_settable().is_ok(), settable, "{path}");
    }
    let error = Path::compile("a.#").unwrap().check_writable().unwrap_err();
    assert_eq!(
        error.to_string(),
        "syntax error at column 1: path `a.#`: `#` is a length and cannot be written; write `#.key` for a member of every element"
    );
}
