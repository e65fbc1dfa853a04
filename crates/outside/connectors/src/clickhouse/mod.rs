//! What the `clickhouse` source and sink share: the connection string, requests, exceptions, quoting.
//!
//! Only ClickHouse's HTTP interface is spoken. A native address is understood: its usual ports are taken
//! for those of the HTTP interface of the same server.

pub(crate) mod client;
pub(crate) mod connection;
pub(crate) mod exception;

pub(crate) use client::Client;
pub(crate) use connection::Connection;
pub(crate) use exception::Failure;

/// Gives a name as SQL has it, whatever is in it.
pub(crate) fn quoted(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 2);
    out.push('`');
    for c in name.chars() {
        if matches!(c, '`' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('`');
    out
}

/// A table, and its database unless it is that of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) database: Option<String>,
    pub(crate) name: String,
}

// === impl Table ===

impl Table {
    /// Reads `table` or `database.table`.
    pub(crate) fn parse(text: &str) -> Self {
        let text = text.trim();
        match text.split_once('.') {
            Some((database, name)) if !database.is_empty() && !name.is_empty() => {
                Table { database: Some(database.to_owned()), name: name.to_owned() }
            }
            _ => Table { database: None, name: text.to_owned() },
        }
    }

    /// Gives the table as SQL has it.
    pub(crate) fn sql(&self) -> String {
        match &self.database {
            Some(database) => format!("{}.{}", quoted(database), quoted(&self.name)),
            None => quoted(&self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_out() {
        assert_eq!(quoted("a"), "`a`");
        assert_eq!(quoted("a`; DROP \\"), "`a\\`; DROP \\\\`");
        assert_eq!(Table::parse(" db.t ").sql(), "`db`.`t`");
        assert_eq!(Table::parse("t").sql(), "`t`");
        assert_eq!(Table::parse(".t").sql(), "`.t`");
    }
}
