//! JSON patches: RFC 6902.

use serde::Deserialize;
use serde_json::Value;

/// Bytes that a document may have after each operation. Ours: copies of copies double it every time.
const DOCUMENT_BYTES_MAX: usize = 1 << 20;

/// The most operations. Ours.
const OPERATIONS_MAX: usize = 1_000;

/// One operation.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub(super) enum Operation {
    Add { path: String, value: Value },
    Remove { path: String },
    Replace { path: String, value: Value },
    Move { from: String, path: String },
    Copy { from: String, path: String },
    Test { path: String, value: Value },
}

/// Applies operations in their order.
///
/// - Errors: the first that does not work; the document is to be thrown away then.
pub(super) fn apply(document: &mut Value, operations: &[Operation]) -> Result<(), String> {
    if operations.len() > OPERATIONS_MAX {
        return Err(format!("more than {OPERATIONS_MAX} operations"));
    }
    for operation in operations {
        match operation {
            Operation::Add { path, value } => add(document, path, value.clone())?,
            Operation::Remove { path } => drop(remove(document, path)?),
            Operation::Replace { path, value } => *find(document, path)? = value.clone(),
            Operation::Move { from, path } if path.starts_with(&format!("{from}/")) => {
                return Err(format!("{from:?} cannot be moved into itself"));
            }
            Operation::Move { from, path } => {
                let value = remove(document, from)?;
                add(document, path, value)?;
            }
            Operation::Copy { from, path } => {
                let value = find(document, from)?.clone();
                add(document, path, value)?;
                if size(document) > DOCUMENT_BYTES_MAX {
                    return Err(format!("the result is larger than {DOCUMENT_BYTES_MAX} bytes"));
                }
            }
            Operation::Test { path, value } => {
                if find(document, path)? != value {
                    return Err(format!("testing value {path} failed"));
                }
            }
        }
    }
    Ok(())
}

fn size(value: &Value) -> usize {
    match value {
        Value::Object(map) => map.iter().map(|(key, value)| key.len() + size(value) + 8).sum(),
        Value::Array(items) => items.iter().map(|item| size(item) + 8).sum(),
        Value::String(text) => text.len(),
        _ => 8,
    }
}

fn missing(path: &str) -> String {
    format!("missing path: {path:?}")
}

fn find<'v>(document: &'v mut Value, path: &str) -> Result<&'v mut Value, String> {
    document.pointer_mut(path).ok_or_else(|| missing(path))
}

/// Gives what holds the last part of a path, and that part.
fn parent<'v>(document: &'v mut Value, path: &str) -> Result<(&'v mut Value, String), String> {
    let (before, last) = path.rsplit_once('/').ok_or_else(|| missing(path))?;
    let parent = find(document, before)?;
    Ok((parent, last.replace("~1", "/").replace("~0", "~")))
}

fn add(document: &mut Value, path: &str, value: Value) -> Result<(), String> {
    if path.is_empty() {
        *document = value;
        return Ok(());
    }
    match parent(document, path)? {
        (Value::Object(map), key) => drop(map.insert(key, value)),
        (Value::Array(items), index) => {
            let at = if index == "-" { items.len() } else { place(&index, path)? };
            if at > items.len() {
                return Err(missing(path));
            }
            items.insert(at, value);
        }
        _ => return Err(missing(path)),
    }
    Ok(())
}

fn remove(document: &mut Value, path: &str) -> Result<Value, String> {
    match parent(document, path)? {
        (Value::Object(map), key) => map.shift_remove(&key).ok_or_else(|| missing(path)),
        (Value::Array(items), index) => {
            let at = place(&index, path)?;
            if at >= items.len() {
                return Err(missing(path));
            }
            Ok(items.remove(at))
        }
        _ => Err(missing(path)),
    }
}

fn place(index: &str, path: &str) -> Result<usize, String> {
    index.parse().map_err(|_| missing(path))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    fn check(operations: Value) -> Result<Value, String> {
        let mut document = json!({"kind": "slack", "options": {"a/b": [1, 2], "m~n": 1}});
        let operations: Vec<Operation> =
            serde_json::from_value(operations).map_err(|error| error.to_string())?;
        apply(&mut document, &operations)?;
        Ok(document)
    }

    #[test]
    fn operations_of_the_rfc() {
        let cases = [
            (
                json!([{"op": "replace", "path": "/kind", "value": "log"}]),
                json!({"kind": "log", "options": {"a/b": [1, 2], "m~n": 1}}),
            ),
            (
                json!([{"op": "add", "path": "/options/a~1b/1", "value": 9}]),
                json!({"kind": "slack", "options": {"a/b": [1, 9, 2], "m~n": 1}}),
            ),
            (
                json!([{"op": "add", "path": "/options/a~1b/-", "value": 9}]),
                json!({"kind": "slack", "options": {"a/b": [1, 2, 9], "m~n": 1}}),
            ),
            (
                json!([{"op": "remove", "path": "/options/m~0n"}, {"op": "remove", "path": "/options/a~1b/0"}]),
                json!({"kind": "slack", "options": {"a/b": [2]}}),
            ),
            (
                json!([{"op": "move", "from": "/options/m~0n", "path": "/x"}]),
                json!({"kind": "slack", "options": {"a/b": [1, 2]}, "x": 1}),
            ),
            (
                json!([{"op": "copy", "from": "/kind", "path": "/options/m~0n"}]),
                json!({"kind": "slack", "options": {"a/b": [1, 2], "m~n": "slack"}}),
            ),
            (
                json!([{"op": "test", "path": "/kind", "value": "slack"}, {"op": "remove", "path": "/options"}]),
                json!({"kind": "slack"}),
            ),
        ];
        for (operations, expected) in cases {
            assert_eq!(check(operations.clone()).unwrap(), expected, "{operations}");
        }
    }

    #[test]
    fn what_does_not_work_is_named() {
        let cases = [
            (json!([{"op": "replace", "path": "/nope", "value": 1}]), "missing path: \"/nope\""),
            (
                json!([{"op": "remove", "path": "/options/a~1b/2"}]),
                "missing path: \"/options/a~1b/2\"",
            ),
            (
                json!([{"op": "add", "path": "/options/a~1b/7", "value": 1}]),
                "missing path: \"/options/a~1b/7\"",
            ),
            (
                json!([{"op": "test", "path": "/kind", "value": "log"}]),
                "testing value /kind failed",
            ),
            (
                json!([{"op": "move", "from": "/options", "path": "/options/x"}]),
                "\"/options\" cannot be moved into itself",
            ),
        ];
        for (operations, expected) in cases {
            assert_eq!(check(operations.clone()).unwrap_err(), expected);
        }
        let doubling = |n| json!({"op": "copy", "from": "", "path": format!("/x{n}")});
        let many = Value::Array((0..60).map(doubling).collect());
        assert!(check(many).unwrap_err().contains("larger than"));
    }
}
