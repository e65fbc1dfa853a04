//! Tables that are made for the records of the first batch.
//!
//! | values of a field | column |
//! |---|---|
//! | whole numbers that fit | bigint |
//! | other numbers of up to 15 digits | double |
//! | other numbers | decimal(38,s), or varchar when that is too short |
//! | booleans | boolean |
//! | text, objects, arrays, or a mixture | varchar |
//!
//! Fields of all records count, not only of the first. Source: dataflow-operator.md §10.6.

use levada_model::{NodeId, NodeKind, RecordBatch, Tree};

use super::layout::{DATA, METADATA, Style};
use crate::trino::number::{Number, integer};
use crate::trino::sql::{TableName, push_identifier};

/// Columns of a table that is made. Ours: a batch of wild records makes no table of thousands.
const COLUMNS_MAX: usize = 1000;

/// Digits that a double keeps.
const DOUBLE_DIGITS_MAX: usize = 15;

/// What was seen of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Nothing,
    Bigint,
    Double,
    /// Digits before and behind the point.
    Decimal(usize, usize),
    Boolean,
    Varchar,
}

/// The columns that records ask for.
#[derive(Debug, Default)]
pub(super) struct Draft {
    columns: Vec<(String, Seen)>,
}

// === impl Draft ===

impl Draft {
    /// Looks at some records of a batch.
    pub(super) fn of(batch: &RecordBatch, wanted: &[usize], style: &Style) -> Draft {
        let mut draft = Draft::default();
        let (mut text, mut tree) = (Vec::new(), Tree::default());
        if style.is_raw {
            draft.columns.push((DATA.to_owned(), Seen::Varchar));
        }
        for &index in wanted {
            text.clear();
            tree.clear();
            let prefix = match (&style.prefix, style.is_raw) {
                (Some(prefix), true) => {
                    if let Some(meta) = batch.meta(index) {
                        meta.write_json(&mut text);
                    }
                    prefix.as_str()
                }
                (None, true) => break,
                _ => {
                    batch.print(index, &mut text);
                    ""
                }
            };
            let Ok(end) = u32::try_from(text.len()) else { continue };
            // Records that are no JSON objects are rejected later, one by one.
            if std::str::from_utf8(&text).is_err() {
                continue;
            }
            let Ok(root) = tree.parse(&text, 0, end) else { continue };
            if tree.kind(root) == NodeKind::Object {
                draft.look(&tree, &text, root, prefix);
            }
        }
        if style.is_raw && style.prefix.is_none() {
            draft.columns.push((METADATA.to_owned(), Seen::Varchar));
        }
        draft
    }

    /// Tells whether there is no column.
    pub(super) fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    fn look(&mut self, tree: &Tree, text: &[u8], root: NodeId, prefix: &str) {
        for child in tree.children(root) {
            let name = tree.key(text, child).unwrap_or_default();
            if name.is_empty() {
                continue;
            }
            let name = format!("{prefix}{name}").to_lowercase();
            let seen = seen(tree, text, child);
            if let Some((_, before)) = self.columns.iter_mut().find(|(known, _)| *known == name) {
                *before = both(*before, seen);
            } else if self.columns.len() < COLUMNS_MAX {
                self.columns.push((name, seen));
            }
        }
    }

    /// Gives the statement that makes the table.
    pub(super) fn sql(&self, table: &TableName) -> Vec<u8> {
        let mut sql = b"CREATE TABLE IF NOT EXISTS ".to_vec();
        table.push(&mut sql);
        sql.extend_from_slice(b" (");
        for (place, (name, seen)) in self.columns.iter().enumerate() {
            if place > 0 {
                sql.push(b',');
            }
            push_identifier(&mut sql, name);
            sql.push(b' ');
            let ty = match *seen {
                Seen::Bigint => "bigint".to_owned(),
                Seen::Double => "double".to_owned(),
                Seen::Decimal(whole, fraction) if whole + fraction <= 38 => {
                    format!("decimal(38,{fraction})")
                }
                Seen::Boolean => "boolean".to_owned(),
                Seen::Nothing | Seen::Varchar | Seen::Decimal(..) => "varchar".to_owned(),
            };
            sql.extend_from_slice(ty.as_bytes());
        }
        sql.push(b')');
        sql
    }
}

fn seen(tree: &Tree, text: &[u8], node: NodeId) -> Seen {
    match tree.kind(node) {
        NodeKind::Null => Seen::Nothing,
        NodeKind::True | NodeKind::False => Seen::Boolean,
        NodeKind::Number => number(tree.literal(text, node).unwrap_or_default()),
        NodeKind::String | NodeKind::Array | NodeKind::Object => Seen::Varchar,
    }
}

fn number(text: &str) -> Seen {
    if !text.contains(['.', 'e', 'E']) && integer(text).is_some() {
        return Seen::Bigint;
    }
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).count();
    if digits <= DOUBLE_DIGITS_MAX {
        return Seen::Double;
    }
    let places = |text: &str| {
        let fraction = mantissa.split_once('.').map_or(0, |(_, fraction)| fraction.len());
        let whole = Number::parse(text)?.push_fixed(fraction, &mut Vec::new())?;
        Some(Seen::Decimal(whole, fraction))
    };
    // Long numbers with an exponent are measured ones.
    if mantissa.len() == text.len() { places(text).unwrap_or(Seen::Double) } else { Seen::Double }
}

/// Gives what holds the values of both.
fn both(one: Seen, other: Seen) -> Seen {
    match (one, other) {
        (Seen::Nothing, seen) | (seen, Seen::Nothing) => seen,
        (Seen::Decimal(a, b), Seen::Decimal(c, d)) => Seen::Decimal(a.max(c), b.max(d)),
        (Seen::Decimal(a, b), Seen::Bigint) | (Seen::Bigint, Seen::Decimal(a, b)) => {
            Seen::Decimal(a.max(19), b)
        }
        // Up to 15 digits stand anywhere around the point.
        (Seen::Decimal(..), Seen::Double) | (Seen::Double, Seen::Decimal(..)) => Seen::Varchar,
        (Seen::Double, Seen::Bigint) | (Seen::Bigint, Seen::Double) => Seen::Double,
        (one, other) if one == other => one,
        _ => Seen::Varchar,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn created(records: &[&str]) -> String {
        let mut batch = RecordBatch::new();
        for record in records {
            batch.push(record.as_bytes(), 0, 0);
        }
        let wanted: Vec<usize> = (0..batch.len()).collect();
        let style = Style { is_raw: false, prefix: None, is_strict: false, conflict_key: None };
        let draft = Draft::of(&batch, &wanted, &style);
        if draft.is_empty() {
            return String::new();
        }
        let name = |name: &str| name.to_owned();
        let table = TableName { catalog: name("c"), schema: name("s"), table: name("t") };
        let sql = String::from_utf8_lossy(&draft.sql(&table)).into_owned();
        sql.replace("CREATE TABLE IF NOT EXISTS \"c\".\"s\".\"t\" ", "")
    }

    #[test]
    fn every_record_counts() {
        let records = [
            r#"{"i":1,"f":1,"s":"x","b":true,"o":{"a":1},"n":null,"d":1.2345678901234567,"A\"b":1}"#,
            r#"{"i":9223372036854775807,"f":1.5,"s":2,"b":false,"o":[],"d":12}"#,
            "not json",
            "[1]",
        ];
        assert_eq!(
            created(&records),
            "(\"i\" bigint,\"f\" double,\"s\" varchar,\"b\" boolean,\"o\" varchar,\"n\" varchar,\
             \"d\" decimal(38,16),\"a\"\"b\" bigint)"
        );
        assert_eq!(created(&["{\"i\":9223372036854775808}"]), "(\"i\" decimal(38,0))");
        assert_eq!(created(&["[]", "{}", "{\"\":1}"]), "");
    }

    #[test]
    fn a_metadata_key_never_changes_the_column_of_the_record() {
        let style = Style {
            is_raw: true,
            prefix: Some(String::new()),
            is_strict: false,
            conflict_key: None,
        };
        let mut batch = RecordBatch::new();
        batch.push(b"1", 0, 0);
        batch.meta_mut(0).set("Data", levada_model::Value::Int(7));
        batch.meta_mut(0).set("offset", levada_model::Value::Int(7));
        let draft = Draft::of(&batch, &[0], &style);
        let wanted = [("data".to_owned(), Seen::Varchar), ("offset".to_owned(), Seen::Bigint)];
        assert_eq!(draft.columns, wanted);
    }
}
