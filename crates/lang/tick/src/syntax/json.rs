//! Trees as JSON: objects with `typeOf`.
//!
//! Differs: `func` holds the name of a call, which the original leaves out; `comment`, `parens`, `multiLine`, `triple`
//! and `literal` are there when they are needed to write the script again as it was.

use serde_json::{Value as Json, json};

use super::ast::{Call, CallKind, Comment, Kind, Node};
use super::duration::format_duration;
use crate::vars::float_to_json;

mod read;

pub use read::from_json;

/// Writes a tree.
pub fn to_json(node: &Node) -> Json {
    // Chains and rows of operators lean to the left; they are walked, not recursed into.
    let mut row = Vec::new();
    let mut first = node;
    while let Kind::Chain { left, .. } | Kind::Binary { left, .. } = &first.kind {
        row.push(first);
        first = left;
    }
    let mut written = leaf(first);
    for node in row.into_iter().rev() {
        written = match &node.kind {
            Kind::Chain { operator, right, .. } => json!({
                "typeOf": "chain",
                "operator": operator.text(),
                "left": written,
                "right": to_json(right),
            }),
            Kind::Binary { operator, right, in_parens, is_multi_line, .. } => {
                let mut object = json!({
                    "typeOf": "binary",
                    "operator": operator.text(),
                    "left": written,
                    "right": to_json(right),
                });
                flag(&mut object, "parens", *in_parens);
                flag(&mut object, "multiLine", *is_multi_line);
                object
            }
            _ => written,
        };
        add_comment(&mut written, node.comment.as_deref());
    }
    written
}

fn leaf(node: &Node) -> Json {
    let mut written = match &node.kind {
        Kind::Program(statements) => {
            let mut nodes = list(statements);
            nodes.extend(node.comment.as_deref().map(comment));
            return json!({"typeOf": "program", "nodes": nodes});
        }
        Kind::Declaration { name, value } => json!({
            "typeOf": "declaration", "left": to_json(name), "right": to_json(value),
        }),
        Kind::TypeDeclaration { name, type_name } => json!({
            "typeOf": "typeDeclaration", "node": to_json(name), "type": to_json(type_name),
        }),
        Kind::Dbrp { database, retention } => json!({
            "typeOf": "dbrp", "db": &**database, "rp": &**retention,
        }),
        Kind::Call(call) => func(call),
        Kind::Lambda(body) => json!({"typeOf": "lambda", "expression": to_json(body)}),
        Kind::List(items) => json!({"typeOf": "list", "nodes": list(items)}),
        Kind::Unary { operator, operand } => json!({
            "typeOf": "unary", "operator": operator.text(), "node": to_json(operand),
        }),
        Kind::Int { value, is_octal } => json!({
            "typeOf": "number", "isint": true, "isfloat": false,
            "int64": value, "float64": 0, "base": if *is_octal { 8 } else { 10 },
        }),
        Kind::Float(value) => json!({
            "typeOf": "number", "isint": false, "isfloat": true,
            "int64": 0, "float64": float_to_json(*value), "base": 0,
        }),
        Kind::Duration { nanos, literal } => {
            let text = format_duration(*nanos);
            let mut object = json!({"typeOf": "duration", "duration": text});
            if !literal.is_empty() && **literal != *text {
                object["literal"] = Json::from(&**literal);
            }
            object
        }
        Kind::Bool(value) => json!({"typeOf": "bool", "bool": value}),
        Kind::String { value, is_triple } => {
            let mut object = json!({"typeOf": "string", "literal": &**value});
            flag(&mut object, "triple", *is_triple);
            object
        }
        Kind::Reference(name) => json!({"typeOf": "reference", "reference": &**name}),
        Kind::Regex(regex) => json!({"typeOf": "regex", "regex": &*regex.pattern}),
        Kind::Star => json!({"typeOf": "star"}),
        Kind::Identifier(name) => json!({"typeOf": "identifier", "ident": &**name}),
        Kind::Chain { .. } | Kind::Binary { .. } => Json::Null,
    };
    add_comment(&mut written, node.comment.as_deref());
    written
}

fn func(call: &Call) -> Json {
    let function_type = match call.kind {
        CallKind::Global => "global",
        CallKind::Chain => "chain",
        CallKind::Property => "property",
        CallKind::Dynamic => "dynamic",
    };
    let mut object = json!({
        "typeOf": "func",
        "functionType": function_type,
        "func": &*call.name,
        "args": list(&call.args),
    });
    flag(&mut object, "multiLine", call.is_multi_line);
    object
}

fn list(nodes: &[Node]) -> Vec<Json> {
    nodes.iter().map(to_json).collect()
}

fn comment(comment: &Comment) -> Json {
    let lines: Vec<&str> = comment.lines.iter().map(|line| &**line).collect();
    json!({"typeOf": "comment", "comments": lines})
}

fn add_comment(object: &mut Json, own: Option<&Comment>) {
    if let Some(own) = own {
        object["comment"] = comment(own);
    }
}

fn flag(object: &mut Json, key: &str, is_set: bool) {
    if is_set {
        object[key] = Json::from(true);
    }
}
