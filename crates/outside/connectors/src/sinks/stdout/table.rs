//! Records as rows of a table, for people.

use levada_condition::path::Path;
use levada_model::RecordBatch;

/// The widest cell, in characters; longer values end in `…`.
const CELL_CHARS_MAX: usize = 40;
/// Columns that are chosen from the first record when none are named.
const COLUMNS_MAX: usize = 12;
const GAP: &str = "  ";

/// Lays records out in columns; the width of a column only grows.
#[derive(Debug, Default)]
pub(super) struct Table {
    columns: Vec<Column>,
    is_started: bool,
}

#[derive(Debug)]
struct Column {
    title: String,
    path: Path,
    width: usize,
}

impl Table {
    /// Makes a table with these columns; with none, the members of the first record are the columns.
    ///
    /// Errors: a column is no path; says which and why.
    pub(super) fn new(columns: &[String]) -> Result<Self, String> {
        let columns = columns.iter().map(|written| {
            let path = Path::compile(written).map_err(|error| format!("`{written}`: {error}"))?;
            let title = path.last_key().to_uppercase();
            Ok(Column { width: title.chars().count(), title, path })
        });
        Ok(Table { columns: columns.collect::<Result<_, String>>()?, is_started: false })
    }

    /// Appends the header before the first rows; gives its length in bytes.
    pub(super) fn header(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> usize {
        if self.is_started || batch.is_empty() {
            return 0;
        }
        self.is_started = true;
        let mut copy = Parsed::default();
        if self.columns.is_empty() {
            self.choose(batch, &mut copy);
        }
        for index in 0..batch.len() {
            for at in 0..self.columns.len() {
                let (cell, _) = copy.cell(batch, index, &self.columns[at].path);
                let width = cell.chars().count();
                let column = &mut self.columns[at];
                column.width = column.width.max(width);
            }
        }
        let before = out.len();
        for (at, column) in self.columns.iter().enumerate() {
            put(out, &column.title, column.width, false, at + 1 == self.columns.len());
        }
        out.push(b'\n');
        out.len() - before
    }

    /// Appends one row per record, in order.
    pub(super) fn rows(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) {
        let mut copy = Parsed::default();
        for index in 0..batch.len() {
            if !copy.is_json(batch, index) {
                out.extend_from_slice(
                    shown(&String::from_utf8_lossy(&batch.payload(index))).as_bytes(),
                );
                out.push(b'\n');
                continue;
            }
            for at in 0..self.columns.len() {
                let (cell, is_number) = copy.cell(batch, index, &self.columns[at].path);
                let column = &mut self.columns[at];
                column.width = column.width.max(cell.chars().count());
                put(out, &cell, column.width, is_number, at + 1 == self.columns.len());
            }
            out.push(b'\n');
        }
    }

    fn choose(&mut self, batch: &RecordBatch, copy: &mut Parsed) {
        let Some(names) = (0..batch.len()).find_map(|index| copy.members(batch, index)) else {
            return;
        };
        for name in names.into_iter().take(COLUMNS_MAX) {
            let quoted = format!("['{}']", name.replace('\\', "\\\\").replace('\'', "\\'"));
            if let Ok(path) = Path::compile(&quoted) {
                let title = shown(&name).to_uppercase();
                self.columns.push(Column { width: title.chars().count(), title, path });
            }
        }
    }
}

/// A record of a shared batch, parsed in a batch of its own: a sink may not change what it writes.
#[derive(Default)]
struct Parsed {
    own: RecordBatch,
    index: Option<usize>,
}

impl Parsed {
    fn load(&mut self, batch: &RecordBatch, index: usize) {
        if self.index != Some(index) {
            self.own.clear();
            self.own.push_origin("".into(), serde_json::Value::Null);
            self.own.push(&batch.payload(index), 0, 0);
            self.index = Some(index);
        }
    }

    fn is_json(&mut self, batch: &RecordBatch, index: usize) -> bool {
        self.load(batch, index);
        self.own.document(0).is_some()
    }

    fn members(&mut self, batch: &RecordBatch, index: usize) -> Option<Vec<String>> {
        self.load(batch, index);
        let root = self.own.document(0)?;
        let (text, tree) = (&self.own.text, &self.own.tree);
        let names: Vec<String> = tree
            .children(root)
            .filter_map(|member| tree.key(text, member).map(std::borrow::Cow::into_owned))
            .collect();
        (!names.is_empty()).then_some(names)
    }

    /// Gives the text of a cell, and whether it is a number.
    fn cell(&mut self, batch: &RecordBatch, index: usize, path: &Path) -> (String, bool) {
        self.load(batch, index);
        let Some(root) = self.own.document(0) else { return (String::new(), false) };
        let (text, tree) = (&self.own.text, &self.own.tree);
        let found = path.find(text, tree, root);
        let is_number =
            found.node().is_some_and(|node| tree.kind(node) == levada_model::NodeKind::Number);
        (shown(&found.compare_text(text, tree)), is_number)
    }
}

/// Gives a text for a terminal: no control characters, not too long.
fn shown(text: &str) -> String {
    let mut short: String =
        text.chars().take(CELL_CHARS_MAX).map(|c| if c.is_control() { '·' } else { c }).collect();
    if text.chars().nth(CELL_CHARS_MAX).is_some() {
        short.pop();
        short.push('…');
    }
    short
}

fn put(out: &mut Vec<u8>, text: &str, width: usize, to_the_right: bool, is_last: bool) {
    let padding = width.saturating_sub(text.chars().count());
    if to_the_right {
        out.resize(out.len() + padding, b' ');
    }
    out.extend_from_slice(text.as_bytes());
    if !is_last {
        if !to_the_right {
            out.resize(out.len() + padding, b' ');
        }
        out.extend_from_slice(GAP.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn check(columns: &[&str], records: &[&str], expected: &str) {
        let columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
        let mut table = Table::new(&columns).unwrap();
        let mut batch = RecordBatch::new();
        batch.push_origin("".into(), serde_json::Value::Null);
        for record in records {
            batch.push(record.as_bytes(), 0, 0);
        }
        let mut out = Vec::new();
        let header = table.header(&batch, &mut out);
        assert_eq!(header, out.len());
        table.rows(&batch, &mut out);
        assert_eq!(table.header(&batch, &mut out), 0, "one header is enough");
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn rows_stand_under_their_titles() {
        check(
            &["tags.core", "$.usage"],
            &[r#"{"tags":{"core":"total"},"usage":9.5}"#, r#"{"usage":100}"#, "no json\t"],
            "CORE   USAGE\ntotal    9.5\n         100\nno json·\n",
        );
    }

    #[test]
    fn the_first_record_gives_the_columns() {
        check(&[], &[r#"{"a.b":1,"c":{"d":[2]}}"#], "A.B  C\n  1  {\"d\":[2]}\n");
        let long = format!("{{\"x\":\"{}\"}}", "y".repeat(50));
        check(&[], &[&long], &format!("X\n{}…\n", "y".repeat(39)));
    }
}
