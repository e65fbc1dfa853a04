//! Trees as JSON: objects with `typeOf`.
//!
//! Differs: `func` holds the name of a call, which the original leaves out; `comment`, `parens`, `multiLine`, `triple`
//! and `literal` are there when they are needed to write the script again as it was.

use serde_json::{Map, Value as Json};

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
        let (type_of, operator, right) = match &node.kind {
            Kind::Chain { operator, right, .. } => ("chain", operator, right),
            Kind::Binary { operator, right, .. } => ("binary", operator, right),
            _ => continue,
        };
        written = object(
            type_of,
            [("operator", operator.text().into()), ("left", written), ("right", to_json(right))],
        );
        if let Kind::Binary { in_parens, is_multi_line, .. } = &node.kind {
            flag(&mut written, "parens", *in_parens);
            flag(&mut written, "multiLine", *is_multi_line);
        }
        add_comment(&mut written, node.comment.as_deref());
    }
    written
}

fn leaf(node: &Node) -> Json {
    let mut written = match &node.kind {
        Kind::Program(statements) => {
            let mut nodes = list(statements);
            nodes.extend(node.comment.as_deref().map(comment));
            return object("program", [("nodes", Json::Array(nodes))]);
        }
        Kind::Declaration { name, value } => {
            object("declaration", [("left", to_json(name)), ("right", to_json(value))])
        }
        Kind::TypeDeclaration { name, type_name } => {
            object("typeDeclaration", [("node", to_json(name)), ("type", to_json(type_name))])
        }
        Kind::Dbrp { database, retention } => {
            object("dbrp", [("db", text(database)), ("rp", text(retention))])
        }
        Kind::Call(call) => func(call),
        Kind::Lambda(body) => object("lambda", [("expression", to_json(body))]),
        Kind::List(items) => object("list", [("nodes", list(items).into())]),
        Kind::Unary { operator, operand } => {
            object("unary", [("operator", operator.text().into()), ("node", to_json(operand))])
        }
        Kind::Int { value, is_octal } => {
            number(true, *value, 0.into(), if *is_octal { 8 } else { 10 })
        }
        Kind::Float(value) => number(false, 0, float_to_json(*value), 0),
        Kind::Duration { nanos, literal } => {
            let canonical = format_duration(*nanos);
            let has_own_form = !literal.is_empty() && **literal != *canonical;
            let mut written = object("duration", [("duration", canonical.into())]);
            if has_own_form {
                written["literal"] = text(literal);
            }
            written
        }
        Kind::Bool(value) => object("bool", [("bool", (*value).into())]),
        Kind::String { value, is_triple } => {
            let mut written = object("string", [("literal", text(value))]);
            flag(&mut written, "triple", *is_triple);
            written
        }
        Kind::Reference(name) => object("reference", [("reference", text(name))]),
        Kind::Regex(regex) => object("regex", [("regex", text(&regex.pattern))]),
        Kind::Star => object("star", []),
        Kind::Identifier(name) => object("identifier", [("ident", text(name))]),
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
    let mut written = object(
        "func",
        [
            ("functionType", function_type.into()),
            ("func", text(&call.name)),
            ("args", list(&call.args).into()),
        ],
    );
    flag(&mut written, "multiLine", call.is_multi_line);
    written
}

fn number(is_int: bool, int: i64, float: Json, base: u8) -> Json {
    object(
        "number",
        [
            ("isint", is_int.into()),
            ("isfloat", (!is_int).into()),
            ("int64", int.into()),
            ("float64", float),
            ("base", base.into()),
        ],
    )
}

fn list(nodes: &[Node]) -> Vec<Json> {
    nodes.iter().map(to_json).collect()
}

fn comment(comment: &Comment) -> Json {
    let lines: Vec<Json> = comment.lines.iter().map(|line| text(line)).collect();
    object("comment", [("comments", lines.into())])
}

/// Makes an object; unlike the macro, it moves its parts instead of copying them.
fn object<const N: usize>(type_of: &str, parts: [(&str, Json); N]) -> Json {
    let mut object = Map::with_capacity(N + 1);
    object.insert("typeOf".to_owned(), type_of.into());
    object.extend(parts.into_iter().map(|(key, part)| (key.to_owned(), part)));
    Json::Object(object)
}

fn text(text: &str) -> Json {
    Json::from(text)
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
