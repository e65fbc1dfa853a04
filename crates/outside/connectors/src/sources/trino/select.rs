//! The statements of a poll.
//!
//! Behind (T, K), and K0 among the rows without a time of change, stand:
//!
//! ```sql
//! WHERE (c >= T OR c IS NULL) AND (c > T OR c = T AND k > K OR c IS NULL AND k > K0 OR k IS NULL)
//! ORDER BY c NULLS FIRST, k NULLS FIRST FETCH FIRST n ROWS WITH TIES
//! ```
//! The first half lets connectors skip data. Rows with `k IS NULL` come so that they can be told of. Ties come
//! whole, so that the position never stands between equal rows.

use super::place::Place;
use crate::trino::literal::{Problem, Scalar, push_scalar};
use crate::trino::sql::{TableName, push_identifier};
use crate::trino::types::Type;

/// The name of what is read, inside statements.
const ALIAS: &str = "polled";

/// A column that rows are ordered by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) ty: Type,
}

/// What is read, and in which order.
#[derive(Clone, Debug)]
pub(super) struct Select {
    table: TableName,
    /// Read in place of the table; empty: none.
    query: String,
    pub(super) change: Option<Key>,
    pub(super) order: Option<Key>,
    /// Rows of a poll; 0: all.
    limit: u32,
}

// === impl Key ===

impl Key {
    /// Tells whether rows can be ordered by such a column, and its values written as literals.
    pub(super) fn is_ordered(&self) -> bool {
        !matches!(
            self.ty,
            Type::Json | Type::Array(_) | Type::Map(..) | Type::Row(_) | Type::Other(_)
        )
    }

    /// Times with a zone are asked for once more, in UTC: a local time may be two points in time.
    pub(super) fn is_hidden(&self) -> bool {
        matches!(self.ty, Type::Timestamp { has_zone: true, .. })
    }

    fn push(&self, sql: &mut Vec<u8>) {
        sql.extend_from_slice(ALIAS.as_bytes());
        sql.push(b'.');
        push_identifier(sql, &self.name);
    }

    fn push_literal(&self, value: &str, sql: &mut Vec<u8>) -> Result<(), Problem> {
        push_scalar(Scalar::Text(value), &self.ty, sql)
            .map_err(|problem| format!("the stored position of column `{}`: {problem}", self.name))
    }
}

// === impl Select ===

impl Select {
    pub(super) fn new(table: TableName, query: &str, limit: u32) -> Self {
        let query = query.trim().trim_end_matches(';').trim_end().to_owned();
        Select { table, query, change: None, order: None, limit }
    }

    /// Gives the statement that gives the columns and no row.
    pub(super) fn columns_sql(&self) -> Vec<u8> {
        let mut sql = b"SELECT * FROM ".to_vec();
        self.push_from(&mut sql);
        sql.extend_from_slice(b" LIMIT 0");
        sql
    }

    /// Gives the statement of a poll.
    pub(super) fn poll_sql(&self, place: &Place) -> Result<Vec<u8>, Problem> {
        let Some(order) = &self.order else { return Ok(self.query.clone().into_bytes()) };
        let mut sql = format!("SELECT {ALIAS}.*").into_bytes();
        for (number, key) in self.hidden().enumerate() {
            sql.extend_from_slice(b", CAST(");
            key.push(&mut sql);
            let name = [&b"polled_first"[..], b"polled_second"][number.min(1)];
            sql.extend_from_slice(b" AT TIME ZONE 'UTC' AS varchar) AS ");
            sql.extend_from_slice(name);
        }
        sql.extend_from_slice(b" FROM ");
        self.push_from(&mut sql);
        self.push_where(order, place, &mut sql)?;
        sql.extend_from_slice(b" ORDER BY ");
        if let Some(change) = &self.change {
            change.push(&mut sql);
            sql.extend_from_slice(b" NULLS FIRST, ");
        }
        order.push(&mut sql);
        sql.extend_from_slice(b" NULLS FIRST");
        if self.limit > 0 {
            sql.extend_from_slice(format!(" FETCH FIRST {} ROWS WITH TIES", self.limit).as_bytes());
        }
        Ok(sql)
    }

    /// Gives the keys whose values stand behind the columns of a row, in that order.
    pub(super) fn hidden(&self) -> impl Iterator<Item = &Key> {
        self.change.iter().chain(&self.order).filter(|key| key.is_hidden())
    }

    fn push_from(&self, sql: &mut Vec<u8>) {
        if self.query.is_empty() {
            self.table.push(sql);
        } else {
            // The query may end in a comment.
            sql.push(b'(');
            sql.extend_from_slice(self.query.as_bytes());
            sql.extend_from_slice(b"\n)");
        }
        sql.extend_from_slice(b" AS ");
        sql.extend_from_slice(ALIAS.as_bytes());
    }

    fn push_where(&self, order: &Key, place: &Place, sql: &mut Vec<u8>) -> Result<(), Problem> {
        let behind = |value: &str, sql: &mut Vec<u8>| {
            order.push(sql);
            sql.extend_from_slice(b" > ");
            order.push_literal(value, sql)
        };
        let Some(change) = &self.change else {
            if let Some(last) = &place.order {
                sql.extend_from_slice(b" WHERE (");
                behind(last, sql)?;
                sql.extend_from_slice(b" OR ");
                order.push(sql);
                sql.extend_from_slice(b" IS NULL)");
            }
            return Ok(());
        };
        if *place == Place::default() {
            return Ok(());
        }
        sql.extend_from_slice(b" WHERE ");
        let mut moved = Vec::new();
        if let (Some(time), Some(last)) = (&place.change, &place.order) {
            let mut literal = Vec::new();
            change.push_literal(time, &mut literal)?;
            sql.push(b'(');
            change.push(sql);
            sql.extend_from_slice(b" >= ");
            sql.extend_from_slice(&literal);
            sql.extend_from_slice(b" OR ");
            change.push(sql);
            sql.extend_from_slice(b" IS NULL) AND ");
            change.push(&mut moved);
            moved.extend_from_slice(b" > ");
            moved.extend_from_slice(&literal);
            moved.extend_from_slice(b" OR ");
            change.push(&mut moved);
            moved.extend_from_slice(b" = ");
            moved.extend_from_slice(&literal);
            moved.extend_from_slice(b" AND ");
            behind(last, &mut moved)?;
        } else {
            change.push(&mut moved);
            moved.extend_from_slice(b" IS NOT NULL");
        }
        sql.push(b'(');
        sql.extend_from_slice(&moved);
        sql.extend_from_slice(b" OR ");
        change.push(sql);
        sql.extend_from_slice(b" IS NULL");
        if let Some(last) = &place.order_without_change {
            sql.extend_from_slice(b" AND ");
            behind(last, sql)?;
        }
        sql.extend_from_slice(b" OR ");
        order.push(sql);
        sql.extend_from_slice(b" IS NULL)");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn select(query: &str, change: Option<&str>, order: &str, limit: u32) -> Select {
        let name = |name: &str| name.to_owned();
        let table = TableName { catalog: name("c"), schema: name("s"), table: name("t") };
        let key = |column: &str, ty: &str| Key { name: name(column), ty: Type::parse(ty) };
        Select {
            change: change.map(|ty| key("u", ty)),
            order: Some(key("k", order)),
            ..Select::new(table, query, limit)
        }
    }

    fn sql(select: &Select, place: Place) -> String {
        let sql = String::from_utf8(select.poll_sql(&place).unwrap()).unwrap();
        sql.replace("polled.\"k\"", "k").replace("polled.\"u\"", "u").replace("polled.", "")
    }

    #[test]
    fn polls_go_on_behind_the_position() {
        let start = Place::default();
        let plain = select("", None, "varchar", 0);
        let from = "FROM \"c\".\"s\".\"t\" AS polled";
        assert_eq!(sql(&plain, start.clone()), format!("SELECT * {from} ORDER BY k NULLS FIRST"));
        let quoted = start.behind(None, "it's");
        assert_eq!(sql(&plain, quoted), {
            format!("SELECT * {from} WHERE (k > 'it''s' OR k IS NULL) ORDER BY k NULLS FIRST")
        });
        let both = select("", Some("timestamp(6)"), "bigint", 10);
        let order = "ORDER BY u NULLS FIRST, k NULLS FIRST FETCH FIRST 10 ROWS WITH TIES";
        assert_eq!(sql(&both, start.clone()), format!("SELECT * {from} {order}"));
        let only_null = start.behind(Some(None), "5");
        assert_eq!(sql(&both, only_null), {
            format!(
                "SELECT * {from} WHERE (u IS NOT NULL OR u IS NULL AND k > 5 OR k IS NULL) {order}"
            )
        });
        let time = "TIMESTAMP '2024-01-01 00:00:00.123456'";
        let place = start.behind(Some(Some("2024-01-01 00:00:00.123456")), "7");
        assert_eq!(sql(&both, place.clone()), {
            format!(
                "SELECT * {from} WHERE (u >= {time} OR u IS NULL) AND (u > {time} OR u = {time} AND k > 7 \
                 OR u IS NULL OR k IS NULL) {order}"
            )
        });
        assert!(sql(&both, place.behind(Some(None), "9")).contains("OR u IS NULL AND k > 9 OR"));
    }

    #[test]
    fn times_with_a_zone_come_in_utc_as_well() {
        let zoned = select("SELECT 1 -- x;", Some("timestamp(3) with time zone"), "bigint", 0);
        assert_eq!(
            sql(&zoned, Place::default()),
            "SELECT *, CAST(u AT TIME ZONE 'UTC' AS varchar) AS polled_first FROM (SELECT 1 -- x\n) AS polled \
             ORDER BY u NULLS FIRST, k NULLS FIRST"
        );
        assert_eq!(zoned.hidden().count(), 1);
    }

    #[test]
    fn a_position_of_another_type_is_refused() {
        let select = select("", None, "bigint", 0);
        let problem = select.poll_sql(&Place::default().behind(None, "x OR 1=1")).unwrap_err();
        assert_eq!(
            problem,
            "the stored position of column `k`: `x OR 1=1` is no bigint without loss"
        );
    }
}
