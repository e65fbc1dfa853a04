//! Names in SQL: always quoted, so that no name can end a statement.

use crate::blocks::identifier::is_identifier;

/// Bytes of a name at most; the server cuts longer ones, so that two could become one.
///
/// Source: PostgreSQL, `NAMEDATALEN` − 1.
pub(crate) const NAME_BYTES_MAX: usize = 63;

/// A table as it was written: `table` or `schema.table`, each part plain or between double quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableName {
    /// The schema, when one was written.
    pub(crate) schema: Option<Part>,
    /// The table.
    pub(crate) table: Part,
}

/// One part of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    /// The name as it was written, without quotes.
    pub(crate) exact: String,
    /// The name that the server makes of it where it stands without quotes.
    pub(crate) folded: String,
}

// === impl TableName ===

impl TableName {
    /// Reads a name.
    ///
    /// A plain word is looked for as it is and then, as SQL has it, in lower case. Everything else is one
    /// name, whatever it holds.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text.trim();
        loop {
            let (part, after) = part(rest)?;
            parts.push(part);
            match after.strip_prefix('.') {
                Some(after) => rest = after,
                None if after.is_empty() => break,
                None => return Err(format!("`{text}` is no table: text follows a quoted name")),
            }
        }
        let mut parts = parts.into_iter();
        let name = match (parts.next(), parts.next(), parts.next()) {
            (Some(table), None, None) => TableName { schema: None, table },
            (Some(schema), Some(table), None) => TableName { schema: Some(schema), table },
            _ => return Err(format!("`{text}` is no table: write table or schema.table")),
        };
        Ok(name)
    }

    /// Gives the name under which a table is created, quoted.
    pub(crate) fn to_create(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{}.{}", quoted(&schema.folded), quoted(&self.table.folded)),
            None => quoted(&self.table.folded),
        }
    }

    /// Gives the quoted schema with a dot, or nothing.
    pub(crate) fn schema_prefix(&self) -> String {
        self.schema.as_ref().map_or(String::new(), |schema| format!("{}.", quoted(&schema.folded)))
    }
}

/// Takes the first part of a name, and gives what follows it.
fn part(text: &str) -> Result<(Part, &str), String> {
    let missing = || "a part of the table's name is empty".to_owned();
    if let Some(inner) = text.strip_prefix('"') {
        let mut name = String::new();
        let mut rest = inner;
        loop {
            let end = rest.find('"').ok_or_else(|| format!("`{text}` lacks a closing quote"))?;
            name.push_str(&rest[..end]);
            rest = &rest[end + 1..];
            match rest.strip_prefix('"') {
                Some(after) => {
                    name.push('"');
                    rest = after;
                }
                None => break,
            }
        }
        if name.is_empty() {
            return Err(missing());
        }
        return checked(Part { exact: name.clone(), folded: name }).map(|part| (part, rest));
    }
    let end = text.find('.').unwrap_or(text.len());
    let name = &text[..end];
    if name.is_empty() {
        return Err(missing());
    }
    let folded = if is_identifier(name) { name.to_ascii_lowercase() } else { name.to_owned() };
    checked(Part { exact: name.to_owned(), folded }).map(|part| (part, &text[end..]))
}

fn checked(part: Part) -> Result<Part, String> {
    if part.exact.contains('\0') {
        return Err("the table's name holds a NUL character".to_owned());
    }
    if part.exact.len() > NAME_BYTES_MAX {
        return Err(format!("`{}` is longer than {NAME_BYTES_MAX} bytes", part.exact));
    }
    Ok(part)
}

/// Gives a name between double quotes, those inside doubled.
pub(crate) fn quoted(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 2);
    out.push('"');
    for character in name.chars() {
        if character == '"' {
            out.push('"');
        }
        out.push(character);
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn names_cannot_end_a_statement() {
        assert_eq!(quoted("a"), "\"a\"");
        assert_eq!(quoted("a\"; DROP TABLE b; --"), "\"a\"\"; DROP TABLE b; --\"");
    }

    #[test]
    fn tables_have_a_schema_or_none() {
        for (text, created) in [
            ("t", "\"t\""),
            (" Public.Users ", "\"public\".\"users\""),
            ("\"My.Table\"", "\"My.Table\""),
            ("s.\"a\"\"b\"", "\"s\".\"a\"\"b\""),
            ("my-table", "\"my-table\""),
            ("t; DROP TABLE x", "\"t; DROP TABLE x\""),
        ] {
            assert_eq!(TableName::parse(text).unwrap().to_create(), created, "{text}");
        }
        for text in ["", ".", "a.", ".a", "a.b.c", "\"a", "\"a\"b", "\"\"", "a\0"] {
            assert!(TableName::parse(text).is_err(), "{text:?}");
        }
        assert!(TableName::parse(&"x".repeat(64)).is_err());
    }
}
