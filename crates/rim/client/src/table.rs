//! Tables as Go's `fmt` pads them: by characters, and a text that is longer than its column is not cut.

/// A table.
#[derive(Debug, Default)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    head: &'static str,
    width: Width,
    is_right: bool,
}

#[derive(Clone, Copy, Debug)]
enum Width {
    Fixed(usize),
    /// One more than the longest text, and at least this.
    Longest(usize),
}

/// Makes a column with a fixed width; 0 pads nothing.
pub(crate) const fn fixed(head: &'static str, width: usize) -> Column {
    Column { head, width: Width::Fixed(width), is_right: false }
}

/// Makes a column that stands at the right of its width.
pub(crate) const fn right(head: &'static str, width: usize) -> Column {
    Column { head, width: Width::Fixed(width), is_right: true }
}

/// Makes a column one wider than its longest text, the head included.
pub(crate) const fn longest(head: &'static str) -> Column {
    Column { head, width: Width::Longest(0), is_right: false }
}

/// Makes a column as [`longest`] does, and at least so wide.
pub(crate) const fn at_least(head: &'static str, width: usize) -> Column {
    Column { head, width: Width::Longest(width), is_right: false }
}

/// Gives a text followed by blanks up to a width.
pub(crate) fn left(text: &str, width: usize) -> String {
    format!("{text:<width$}")
}

/// Gives a size in powers of 1,000, with one decimal below ten.
///
/// Source: the sizes that Kapacitor's client lists, such as `1.3 kB` and `83 MB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 10 {
        return format!("{bytes} B");
    }
    let exponent = (1..UNITS.len()).take_while(|at| bytes >= 1000u64.pow(*at as u32)).count();
    let tenths = bytes as f64 / 1000f64.powi(exponent as i32) * 10.0;
    let value = (tenths + 0.5).floor() / 10.0;
    let unit = UNITS[exponent];
    if value < 10.0 { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") }
}

// === impl Table ===

impl Table {
    /// Makes a table without rows.
    pub(crate) fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        Table { columns: columns.into_iter().collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Gives the head and the rows, a line each.
    pub(crate) fn render(&self) -> String {
        let head: Vec<String> = self.columns.iter().map(|column| column.head.to_owned()).collect();
        let widths: Vec<usize> = (0..self.columns.len()).map(|at| self.width(at, &head)).collect();
        let mut text = String::new();
        for row in std::iter::once(&head).chain(&self.rows) {
            for ((cell, column), &width) in row.iter().zip(&self.columns).zip(&widths) {
                match column.is_right {
                    true => text.push_str(&format!("{cell:>width$}")),
                    false => text.push_str(&format!("{cell:<width$}")),
                }
            }
            text.push('\n');
        }
        text
    }

    fn width(&self, at: usize, head: &[String]) -> usize {
        match self.columns[at].width {
            Width::Fixed(width) => width,
            Width::Longest(least) => {
                let texts = self
                    .rows
                    .iter()
                    .chain(std::iter::once(&head.to_vec()))
                    .map(|row| row.get(at).map_or(0, |cell| cell.chars().count()))
                    .max();
                (texts.unwrap_or(0) + 1).max(least)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_padded_by_characters_and_never_cut() {
        let mut table = Table::new([longest("ID"), fixed("Type", 5), right("N", 3), fixed("X", 0)]);
        table.row(["äöü", "stream", "7", "y z"].map(str::to_owned));
        assert_eq!(table.render(), "ID  Type   NX\näöü stream  7y z\n");
        assert_eq!(Table::new([at_least("ID", 4), fixed("T", 2)]).render(), "ID  T \n");
    }

    #[test]
    fn sizes_have_units_of_a_thousand() {
        for (bytes, text) in [
            (0, "0 B"),
            (9, "9 B"),
            (10, "10 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (1_320, "1.3 kB"),
            (9_999, "10 kB"),
            (82_854_982, "83 MB"),
            (u64::MAX, "18 EB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
