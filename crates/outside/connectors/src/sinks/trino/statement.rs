//! `INSERT` and `MERGE`.
//!
//! ```sql
//! MERGE INTO "c"."s"."t" AS t USING (VALUES (1,'a',false),(2,NULL,true)) AS s ("id","a",levada_delete)
//! ON t."id" = s."id"
//! WHEN MATCHED AND s.levada_delete THEN DELETE
//! WHEN MATCHED THEN UPDATE SET "a" = s."a"
//! WHEN NOT MATCHED AND NOT s.levada_delete THEN INSERT ("id","a") VALUES (s."id",s."a")
//! ```

use super::layout::{Layout, Row};
use crate::trino::literal::Column;
use crate::trino::sql::{TableName, push_identifier};

/// Bytes of a statement. Source: Trino, `query.max-length` 1,000,000 characters; no character is shorter than a byte.
pub(super) const TEXT_MAX: usize = 1_000_000;

/// Everything around the rows of a statement.
#[derive(Clone, Debug, Default)]
pub(super) struct Frame {
    head: Vec<u8>,
    tail: Vec<u8>,
    has_flag: bool,
}

// === impl Frame ===

impl Frame {
    /// Makes the frame for a layout; `has_deletes`: some rows are to be deleted.
    pub(super) fn new(table: &TableName, layout: &Layout, has_deletes: bool) -> Self {
        match layout.key {
            Some(key) => Frame::merge(table, &layout.columns, key, has_deletes),
            None => Frame::insert(table, &layout.columns),
        }
    }

    fn insert(table: &TableName, columns: &[Column]) -> Self {
        let mut head = b"INSERT INTO ".to_vec();
        table.push(&mut head);
        head.extend_from_slice(b" (");
        push_names(&mut head, columns, "");
        head.extend_from_slice(b") VALUES ");
        Frame { head, tail: Vec::new(), has_flag: false }
    }

    fn merge(table: &TableName, columns: &[Column], key: usize, has_deletes: bool) -> Self {
        let mut head = b"MERGE INTO ".to_vec();
        table.push(&mut head);
        head.extend_from_slice(b" AS t USING (VALUES ");
        let mut tail = b") AS s (".to_vec();
        push_names(&mut tail, columns, "");
        if has_deletes {
            tail.extend_from_slice(b",levada_delete");
        }
        tail.extend_from_slice(b") ON t.");
        push_identifier(&mut tail, &columns[key].name);
        tail.extend_from_slice(b" = s.");
        push_identifier(&mut tail, &columns[key].name);
        if has_deletes {
            tail.extend_from_slice(b" WHEN MATCHED AND s.levada_delete THEN DELETE");
        }
        if columns.len() > 1 {
            tail.extend_from_slice(b" WHEN MATCHED THEN UPDATE SET ");
            let others = columns.iter().enumerate().filter(|(place, _)| *place != key);
            for (number, (_, column)) in others.enumerate() {
                if number > 0 {
                    tail.push(b',');
                }
                push_identifier(&mut tail, &column.name);
                tail.extend_from_slice(b" = s.");
                push_identifier(&mut tail, &column.name);
            }
        }
        tail.extend_from_slice(b" WHEN NOT MATCHED");
        if has_deletes {
            tail.extend_from_slice(b" AND NOT s.levada_delete");
        }
        tail.extend_from_slice(b" THEN INSERT (");
        push_names(&mut tail, columns, "");
        tail.extend_from_slice(b") VALUES (");
        push_names(&mut tail, columns, "s.");
        tail.push(b')');
        Frame { head, tail, has_flag: has_deletes }
    }

    /// Gives how many bytes a row may have.
    pub(super) fn row_max(&self) -> usize {
        // Brackets and flag.
        TEXT_MAX.saturating_sub(self.head.len() + self.tail.len() + 9)
    }

    /// Begins a statement.
    pub(super) fn begin(&self, sql: &mut Vec<u8>) {
        sql.clear();
        sql.extend_from_slice(&self.head);
    }

    /// Tells whether a row still fits.
    pub(super) fn has_room(&self, sql: &[u8], row: &Row) -> bool {
        sql.len() + (row.end - row.start) + self.tail.len() + 9 <= TEXT_MAX
    }

    /// Appends a row.
    pub(super) fn push(&self, sql: &mut Vec<u8>, literals: &[u8], is_delete: bool) {
        sql.extend_from_slice(if sql.len() > self.head.len() { b",(" } else { b"(" });
        sql.extend_from_slice(literals);
        if self.has_flag {
            sql.extend_from_slice(if is_delete { b",true" } else { b",false" });
        }
        sql.push(b')');
    }

    /// Ends a statement.
    pub(super) fn end(&self, sql: &mut Vec<u8>) {
        sql.extend_from_slice(&self.tail);
    }
}

fn push_names(sql: &mut Vec<u8>, columns: &[Column], before: &str) {
    for (place, column) in columns.iter().enumerate() {
        if place > 0 {
            sql.push(b',');
        }
        sql.extend_from_slice(before.as_bytes());
        push_identifier(sql, &column.name);
    }
}
