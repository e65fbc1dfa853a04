//! Names and text in SQL.

/// Appends an identifier with its quotes; quotes inside it are doubled.
pub(crate) fn push_identifier(sql: &mut Vec<u8>, name: &str) {
    push_quoted(sql, name, b'"');
}

/// Appends a text literal; quotes inside it are doubled, and nothing else has a meaning in it.
pub(crate) fn push_text(sql: &mut Vec<u8>, text: &str) {
    push_quoted(sql, text, b'\'');
}

fn push_quoted(sql: &mut Vec<u8>, text: &str, quote: u8) {
    sql.push(quote);
    let mut rest = text.as_bytes();
    while let Some(at) = memchr::memchr(quote, rest) {
        sql.extend_from_slice(&rest[..=at]);
        sql.push(quote);
        rest = &rest[at + 1..];
    }
    sql.extend_from_slice(rest);
    sql.push(quote);
}

/// A table and where it is.
#[derive(Clone, Debug)]
pub(crate) struct TableName {
    pub(crate) catalog: String,
    pub(crate) schema: String,
    pub(crate) table: String,
}

// === impl TableName ===

impl TableName {
    /// Appends the three names, each quoted.
    pub(crate) fn push(&self, sql: &mut Vec<u8>) {
        push_identifier(sql, &self.catalog);
        sql.push(b'.');
        push_identifier(sql, &self.schema);
        sql.push(b'.');
        push_identifier(sql, &self.table);
    }

    /// Gives the statement that lists the columns and their types; no row: there is no such table.
    ///
    /// Names are kept in lower case there.
    pub(crate) fn columns_sql(&self) -> Vec<u8> {
        let mut sql = b"SELECT column_name, data_type FROM ".to_vec();
        push_identifier(&mut sql, &self.catalog);
        sql.extend_from_slice(b".information_schema.columns WHERE table_schema = ");
        push_text(&mut sql, &self.schema.to_lowercase());
        sql.extend_from_slice(b" AND table_name = ");
        push_text(&mut sql, &self.table.to_lowercase());
        sql.extend_from_slice(b" ORDER BY ordinal_position");
        sql
    }
}

impl std::fmt::Display for TableName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.catalog, self.schema, self.table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_breaks_out_of_quotes() {
        for (text, expected) in [
            ("a", "'a'"),
            ("", "''"),
            ("it's", "'it''s'"),
            ("''", "''''''"),
            ("\\'; DROP TABLE t; --", "'\\''; DROP TABLE t; --'"),
            ("é\n\"", "'é\n\"'"),
        ] {
            let mut sql = Vec::new();
            push_text(&mut sql, text);
            assert_eq!(String::from_utf8_lossy(&sql), expected);
        }
        let mut sql = Vec::new();
        let name = |name: &str| name.to_owned();
        TableName { catalog: name("a\"b"), schema: name("s"), table: name("t; --") }.push(&mut sql);
        assert_eq!(String::from_utf8_lossy(&sql), "\"a\"\"b\".\"s\".\"t; --\"");
    }
}
