//! Tables and columns: what there is, and what rows need.

use std::collections::HashSet;

use levada_model::{NodeId, NodeKind, Tree};

use crate::clickhouse::{Table, quoted};

/// Columns that a sample of rows needs, in the order in which they were seen.
#[derive(Default)]
pub(super) struct Sample {
    columns: Vec<(String, Seen)>,
    tree: Tree,
}

/// What values of a column looked like.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    booleans: bool,
    integers: bool,
    negative: bool,
    /// Above the 64-bit integers that have a sign.
    unsigned: bool,
    /// Numbers with a point or an exponent.
    fractions: bool,
    /// Numbers with an exponent, whose digits do not say how many there are.
    exponents: bool,
    /// The most digits before and behind a point.
    whole: usize,
    scale: usize,
    /// The most digits of one number.
    digits: usize,
    times: bool,
    /// The most digits of a fraction of a second.
    time_scale: usize,
    texts: bool,
}

/// A table that is to be made.
pub(super) struct Design<'d> {
    pub(super) table: &'d Table,
    pub(super) engine: &'d str,
    /// The column that identifies a row; empty: none.
    pub(super) key: &'d str,
    /// The column that tells which of two rows is newer; empty: none.
    pub(super) version: &'d str,
    /// Columns whose type is known.
    pub(super) fixed: &'d [(&'d str, &'d str)],
}

/// Digits that a double surely keeps.
const DOUBLE_DIGITS: usize = 15;

// === impl Sample ===

impl Sample {
    /// Looks at a row, an object; leaves out columns that are known.
    pub(super) fn add(&mut self, row: &[u8], known: &HashSet<String>) {
        self.tree.clear();
        let Ok(root) = self.tree.parse(row, 0, row.len() as u32) else { return };
        for member in self.tree.children(root) {
            let Some(key) = self.tree.key(row, member) else { continue };
            if known.contains(&*key) {
                continue;
            }
            let seen = match self.columns.iter().position(|(name, _)| *name == *key) {
                Some(at) => &mut self.columns[at].1,
                None => {
                    self.columns.push((key.into_owned(), Seen::default()));
                    let last = self.columns.len() - 1;
                    &mut self.columns[last].1
                }
            };
            seen.add(&self.tree, row, member);
        }
    }

    /// Gives the columns and their types.
    pub(super) fn columns(&self) -> impl Iterator<Item = (&str, String)> {
        self.columns.iter().map(|(name, seen)| (&**name, seen.column_type()))
    }

    /// Gives the statement that makes a table of what was seen; nothing when a key was not seen.
    pub(super) fn create(&self, design: &Design<'_>) -> Result<String, String> {
        if self.columns.is_empty() && design.fixed.is_empty() {
            return Err("no record of the first batch has a field".into());
        }
        let keys: Vec<&str> =
            [design.key, design.version].into_iter().filter(|key| !key.is_empty()).collect();
        for key in &keys {
            let is_there = self.columns.iter().any(|(name, _)| name == key)
                || design.fixed.iter().any(|(name, _)| name == key);
            if !is_there {
                return Err(format!("no record of the first batch has the column `{key}`"));
            }
        }
        let mut columns: Vec<String> = Vec::new();
        for (name, kind) in self.columns() {
            if design.fixed.iter().any(|(known, _)| *known == name) {
                continue;
            }
            // What a table is ordered by cannot be null.
            let kind = if keys.contains(&name) { kind } else { format!("Nullable({kind})") };
            columns.push(format!("{} {kind}", quoted(name)));
        }
        columns.extend(design.fixed.iter().map(|(name, kind)| format!("{} {kind}", quoted(name))));
        let version = if design.engine == "ReplacingMergeTree" && !design.version.is_empty() {
            quoted(design.version)
        } else {
            String::new()
        };
        let order = match design.key {
            "" => "tuple()".to_owned(),
            key => quoted(key),
        };
        let (table, columns, engine) = (design.table.sql(), columns.join(", "), design.engine);
        Ok(format!(
            "CREATE TABLE IF NOT EXISTS {table} ({columns}) ENGINE = {engine}({version}) ORDER BY {order}"
        ))
    }
}

// === impl Seen ===

impl Seen {
    fn add(&mut self, tree: &Tree, text: &[u8], node: NodeId) {
        match tree.kind(node) {
            NodeKind::Null => {}
            NodeKind::True | NodeKind::False => self.booleans = true,
            NodeKind::Number => self.add_number(tree.literal(text, node).unwrap_or_default()),
            NodeKind::String => match tree.string(text, node) {
                Some(value) if is_time(&value) => {
                    self.times = true;
                    let fraction = value.split_once('.').map_or("", |(_, rest)| rest);
                    let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
                    self.time_scale = self.time_scale.max(digits);
                }
                _ => self.texts = true,
            },
            NodeKind::Array | NodeKind::Object => self.texts = true,
        }
    }

    fn add_number(&mut self, literal: &str) {
        let digits = literal.trim_start_matches('-');
        self.negative |= digits.len() < literal.len();
        if literal.contains(['e', 'E']) {
            self.fractions = true;
            self.exponents = true;
            return;
        }
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        self.whole = self.whole.max(whole.len());
        self.scale = self.scale.max(fraction.len());
        self.digits = self.digits.max(whole.len() + fraction.len());
        if digits.contains('.') {
            self.fractions = true;
        } else if literal.parse::<i64>().is_ok() {
            self.integers = true;
        } else if literal.parse::<u64>().is_ok() {
            self.unsigned = true;
        } else {
            self.fractions = true;
        }
    }

    /// Gives the type that holds every value that was seen, and surely others like them.
    fn column_type(&self) -> String {
        let has_numbers = self.integers || self.unsigned || self.fractions;
        let kinds = [self.booleans, has_numbers, self.times];
        if self.texts || kinds.into_iter().filter(|&is| is).count() != 1 {
            return "String".into();
        }
        if self.booleans {
            return "Bool".into();
        }
        if self.times {
            let scale = match self.time_scale {
                0..=3 => 3,
                4..=6 => 6,
                _ => 9,
            };
            return format!("DateTime64({scale}, 'UTC')");
        }
        if self.fractions {
            // More digits than a double keeps.
            return match self.whole + self.scale {
                _ if self.exponents || self.digits <= DOUBLE_DIGITS => "Float64".into(),
                ..=38 => format!("Decimal(38, {})", self.scale),
                39..=76 => format!("Decimal(76, {})", self.scale),
                _ => "String".into(),
            };
        }
        match (self.unsigned, self.negative) {
            (false, _) => "Int64",
            (true, false) => "UInt64",
            (true, true) => "Int128",
        }
        .into()
    }
}

/// Tells whether a text is a point in time as RFC 3339 has it.
fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    (20..=40).contains(&bytes.len())
        && bytes[4] == b'-'
        && matches!(bytes[10], b'T' | b't')
        && text.parse::<jiff::Timestamp>().is_ok()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn types(rows: &[&str]) -> Vec<String> {
        let mut sample = Sample::default();
        rows.iter().for_each(|row| sample.add(row.as_bytes(), &HashSet::new()));
        sample.columns().map(|(name, kind)| format!("{name} {kind}")).collect()
    }

    #[test]
    fn every_row_of_the_sample_counts() {
        let rows = [
            r#"{"i":1,"u":1,"m":-1,"f":1,"d":1.5,"b":true,"t":"2026-02-07T10:30:00Z","s":"x","n":null,"o":{"a":1}}"#,
            r#"{"i":-2,"u":18446744073709551615,"m":18446744073709551615,"f":2.5,"d":12345678901234567.891,
                "b":null,"t":"2026-02-07T10:30:00.1234Z","s":1,"mix":true}"#,
            r#"{"mix":1,"e":1e3,"big":123456789012345678901234567890}"#,
        ];
        assert_eq!(
            types(&rows),
            [
                "i Int64",
                "u UInt64",
                "m Int128",
                "f Float64",
                "d Decimal(38, 3)",
                "b Bool",
                "t DateTime64(6, 'UTC')",
                "s String",
                "n String",
                "o String",
                "mix String",
                "e Float64",
                "big Decimal(38, 0)",
            ]
        );
        assert_eq!(
            types(&[r#"{"d":"2026-02-07","t":"2026-02-07 10:30:00"}"#]),
            ["d String", "t String"]
        );
    }

    #[test]
    fn tables_are_made_with_their_key() {
        let mut sample = Sample::default();
        sample.add(br#"{"id":1,"ver":2,"a`b":"x"}"#, &HashSet::new());
        let table = Table::parse("db.t");
        let design = Design {
            table: &table,
            engine: "ReplacingMergeTree",
            key: "id",
            version: "ver",
            fixed: &[],
        };
        assert_eq!(
            sample.create(&design).unwrap(),
            "CREATE TABLE IF NOT EXISTS `db`.`t` (`id` Int64, `ver` Int64, `a\\`b` Nullable(String)) \
             ENGINE = ReplacingMergeTree(`ver`) ORDER BY `id`"
        );
        let missing = sample.create(&Design { key: "nope", ..design });
        assert_eq!(missing.unwrap_err(), "no record of the first batch has the column `nope`");
        let raw = Design {
            table: &table,
            engine: "MergeTree",
            key: "",
            version: "",
            fixed: &[("a`b", "String"), ("created_at", "DateTime DEFAULT now()")],
        };
        assert_eq!(
            sample.create(&raw).unwrap(),
            "CREATE TABLE IF NOT EXISTS `db`.`t` (`id` Nullable(Int64), `ver` Nullable(Int64), `a\\`b` String, \
             `created_at` DateTime DEFAULT now()) ENGINE = MergeTree() ORDER BY tuple()"
        );
    }
}
