//! Rows as Trino writes them, as JSON objects.
//!
//! Numbers keep every digit: decimals come as text and become numbers. Timestamps become RFC 3339 text, rows
//! with names objects, `json` the JSON that it holds.

use levada_model::{NodeId, NodeKind, Tree};

use super::literal::Column;
use super::temporal::push_rfc3339;
use super::types::Type;

/// How the rows of a query are written.
#[derive(Clone, Debug)]
pub(crate) struct RowWriter {
    columns: Vec<Field>,
}

#[derive(Clone, Debug)]
struct Field {
    /// `{"name":` or `,"name":`.
    head: Vec<u8>,
    ty: Type,
    is_copied: bool,
}

// === impl RowWriter ===

impl RowWriter {
    /// Prepares the names of columns.
    pub(crate) fn new(columns: &[Column]) -> Self {
        let field = |(index, column): (usize, &Column)| {
            let mut head = vec![if index == 0 { b'{' } else { b',' }];
            levada_model::text::encode_string(&column.name, &mut head);
            head.push(b':');
            Field { head, is_copied: is_copied(&column.ty), ty: column.ty.clone() }
        };
        RowWriter { columns: columns.iter().enumerate().map(field).collect() }
    }

    /// Appends a row, an array of the answer, as an object; columns beyond the prepared ones are left out.
    pub(crate) fn push(&self, tree: &Tree, text: &[u8], row: NodeId, out: &mut Vec<u8>) {
        let mut values = tree.children(row);
        for field in &self.columns {
            out.extend_from_slice(&field.head);
            match values.next() {
                Some(value) if field.is_copied => push_copy(tree, text, value, out),
                Some(value) => push_value(tree, text, value, &field.ty, out),
                None => out.extend_from_slice(b"null"),
            }
        }
        out.extend_from_slice(if self.columns.is_empty() { b"{}" } else { b"}" });
    }
}

/// Tells whether values look the same in the answer and in a record.
fn is_copied(ty: &Type) -> bool {
    match ty {
        Type::Decimal(..) | Type::Json | Type::Timestamp { .. } | Type::Row(_) => false,
        Type::Array(element) => is_copied(element),
        Type::Map(_, value) => is_copied(value),
        _ => true,
    }
}

fn push_copy(tree: &Tree, text: &[u8], value: NodeId, out: &mut Vec<u8>) {
    tree.print(text, value, out);
}

fn push_value(tree: &Tree, text: &[u8], value: NodeId, ty: &Type, out: &mut Vec<u8>) {
    let kind = tree.kind(value);
    match (ty, kind) {
        (Type::Decimal(..), NodeKind::String) => match tree.string(text, value) {
            Some(number) if is_json_number(&number) => out.extend_from_slice(number.as_bytes()),
            _ => push_copy(tree, text, value, out),
        },
        (Type::Json, NodeKind::String) => {
            let json = tree.string(text, value).unwrap_or_default();
            out.extend_from_slice(json.as_bytes());
        }
        (Type::Timestamp { .. }, NodeKind::String) => {
            let time = tree.string(text, value).unwrap_or_default();
            out.push(b'"');
            push_rfc3339(&time, out);
            out.push(b'"');
        }
        (Type::Array(element), NodeKind::Array) => {
            out.push(b'[');
            for (index, child) in tree.children(value).enumerate() {
                separate(index, out);
                push_value(tree, text, child, element, out);
            }
            out.push(b']');
        }
        (Type::Map(_, element), NodeKind::Object) => {
            out.push(b'{');
            for (index, child) in tree.children(value).enumerate() {
                separate(index, out);
                out.push(b'"');
                out.extend_from_slice(tree.raw_key(text, child));
                out.extend_from_slice(b"\":");
                push_value(tree, text, child, element, out);
            }
            out.push(b'}');
        }
        (Type::Row(fields), NodeKind::Array) => push_row(tree, text, value, fields, out),
        _ => push_copy(tree, text, value, out),
    }
}

/// Rows whose fields all have names are objects, others arrays.
fn push_row(
    tree: &Tree,
    text: &[u8],
    row: NodeId,
    fields: &[(Option<String>, Type)],
    out: &mut Vec<u8>,
) {
    let is_named = |(index, (name, _)): (usize, &(Option<String>, Type))| {
        name.is_some() && fields[..index].iter().all(|(earlier, _)| earlier != name)
    };
    let is_object = fields.iter().enumerate().all(is_named);
    out.push(if is_object { b'{' } else { b'[' });
    for (index, (child, (name, ty))) in tree.children(row).zip(fields).enumerate() {
        separate(index, out);
        if let (true, Some(name)) = (is_object, name) {
            levada_model::text::encode_string(name, out);
            out.push(b':');
        }
        push_value(tree, text, child, ty, out);
    }
    out.push(if is_object { b'}' } else { b']' });
}

fn separate(index: usize, out: &mut Vec<u8>) {
    if index > 0 {
        out.push(b',');
    }
}

/// Tells whether a text can stand in JSON as a number.
fn is_json_number(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_digits(whole) && is_digits(fraction) && (whole == "0" || !whole.starts_with('0'))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn rows_become_objects() {
        let columns = [
            ("a", "bigint", "9223372036854775807", "9223372036854775807"),
            ("d", "decimal(38,10)", "\"-0.0123456789\"", "-0.0123456789"),
            ("n", "double", "\"NaN\"", "\"NaN\""),
            ("t", "timestamp(6)", "\"2024-01-01 00:00:00.123456\"", {
                "\"2024-01-01T00:00:00.123456\""
            }),
            ("z\"", "timestamp(3) with time zone", "\"2024-01-01 00:00:00.5 UTC\"", {
                "\"2024-01-01T00:00:00.5Z\""
            }),
            ("j", "json", "\"{\\\"a\\\":[1.0]}\"", "{\"a\":[1.0]}"),
            ("b", "varbinary", "\"AP8=\"", "\"AP8=\""),
            ("l", "array(decimal(3,1))", "[\"1.0\",null]", "[1.0,null]"),
            ("m", "map(varchar, json)", "{\"k\\n\":\"{}\"}", "{\"k\\n\":{}}"),
            ("r", "row(x bigint, y row(decimal(2,0)))", "[1,[\"5\"]]", "{\"x\":1,\"y\":[5]}"),
            ("e", "row(x bigint, x bigint)", "[1,2]", "[1,2]"),
            ("s", "varchar", "\"é\\u0000\"", "\"é\\u0000\""),
            ("u", "decimal(2,0)", "null", "null"),
        ];
        let values: Vec<&str> = columns.iter().map(|(_, _, value, _)| *value).collect();
        let text = format!("[{}]", values.join(","));
        let mut tree = Tree::default();
        let row = tree.parse(text.as_bytes(), 0, text.len() as u32).unwrap();
        let column =
            |(name, ty, ..): &(&str, &str, _, _)| Column::new((*name).into(), (*ty).into());
        let writer = RowWriter::new(&columns.iter().map(column).collect::<Vec<_>>());
        let mut out = Vec::new();
        writer.push(&tree, text.as_bytes(), row, &mut out);
        let member = |(name, _, _, value): &(&str, _, _, &str)| {
            format!("{}:{value}", serde_json::to_string(name).unwrap())
        };
        let expected: Vec<String> = columns.iter().map(member).collect();
        assert_eq!(String::from_utf8(out).unwrap(), format!("{{{}}}", expected.join(",")));
    }
}
