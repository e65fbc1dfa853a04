//! Tables as the catalog describes them, in the schema that the session means.

use std::collections::HashMap;

use sqlx::Row as _;
use sqlx::postgres::PgConnection;

use super::error::Fault;
use super::name::{TableName, quoted};

/// What a column holds, as far as that decides how a value is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An integer of 2, 4 or 8 bytes.
    Int(u8),
    /// Exact numbers of any length.
    Numeric,
    /// `real` and `double precision`.
    Float,
    /// Booleans.
    Bool,
    /// `json` and `jsonb`.
    Json,
    /// Bytes.
    Bytea,
    /// A time without a zone.
    Timestamp,
    /// A point in time.
    TimestampTz,
    /// A day.
    Date,
    /// A list.
    Array(Box<Kind>),
    /// Text, and everything that is read from its text form.
    Other,
}

/// A column of a table.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    /// The name.
    pub(crate) name: String,
    /// What it holds.
    pub(crate) kind: Kind,
    /// The type without length and scale, so that a cast to it never cuts a value.
    pub(crate) cast: String,
    /// The type with length and scale.
    pub(crate) full: String,
    /// The server computes it.
    pub(crate) is_generated: bool,
    /// The server numbers it, always.
    pub(crate) is_identity: bool,
}

/// A table of the catalog.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    /// `"schema"."table"`.
    pub(crate) quoted: String,
    /// `"schema".`, for tables of ours beside it.
    pub(crate) schema_prefix: String,
    /// Its columns, in order.
    pub(crate) columns: Vec<Column>,
    /// Columns of each unique key, the primary one first.
    pub(crate) unique: Vec<Vec<u16>>,
    /// `COPY` can write to it.
    pub(crate) can_copy: bool,
    /// It has rows of its own, with system columns.
    pub(crate) is_plain: bool,
    by_name: HashMap<Box<[u8]>, u16>,
}

// === impl Table ===

impl Table {
    /// Reads a table from the catalog; nothing if there is none.
    pub(crate) async fn read(
        connection: &mut PgConnection,
        name: &TableName,
    ) -> Result<Option<Table>, Fault> {
        const FIND: &str = "SELECT c.oid::int8, n.nspname::text, c.relname::text, c.relkind::text, \
             c.relrowsecurity FROM pg_catalog.pg_class c \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relname IN ($1, $2) AND c.relkind IN ('r', 'p', 'v', 'm', 'f') \
             AND CASE WHEN $3::text IS NULL THEN pg_catalog.pg_table_is_visible(c.oid) \
                 ELSE n.nspname IN ($3, $4) END \
             ORDER BY c.relname = $1 DESC, n.nspname = $3 DESC NULLS LAST LIMIT 1";
        let schema = name.schema.as_ref();
        let found = sqlx::query(FIND)
            .bind(&name.table.exact)
            .bind(&name.table.folded)
            .bind(schema.map(|schema| &schema.exact))
            .bind(schema.map(|schema| &schema.folded))
            .fetch_optional(&mut *connection)
            .await?;
        let Some(found) = found else { return Ok(None) };
        let oid: i64 = found.try_get(0)?;
        let (schema, table): (String, String) = (found.try_get(1)?, found.try_get(2)?);
        let kind: String = found.try_get(3)?;
        let has_policies: bool = found.try_get(4)?;
        let columns = read_columns(connection, oid).await?;
        let by_name = columns
            .iter()
            .enumerate()
            .map(|(index, column)| (column.name.as_bytes().into(), index as u16))
            .collect();
        let mut table = Table {
            quoted: format!("{}.{}", quoted(&schema), quoted(&table)),
            schema_prefix: format!("{}.", quoted(&schema)),
            columns,
            unique: Vec::new(),
            can_copy: matches!(kind.as_str(), "r" | "p") && !has_policies,
            is_plain: kind == "r",
            by_name,
        };
        table.read_unique(connection, oid).await?;
        Ok(Some(table))
    }

    async fn read_unique(&mut self, connection: &mut PgConnection, oid: i64) -> Result<(), Fault> {
        const UNIQUE: &str = "SELECT array_agg(a.attname::text ORDER BY k.place) \
             FROM pg_catalog.pg_index i \
             CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY k(number, place) \
             JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number \
             WHERE i.indrelid = $1::oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL \
             AND i.indexprs IS NULL AND k.place <= i.indnkeyatts \
             GROUP BY i.indexrelid, i.indisprimary ORDER BY i.indisprimary DESC, i.indexrelid";
        let rows = sqlx::query(UNIQUE).bind(oid).fetch_all(connection).await?;
        for row in rows {
            let names: Vec<String> = row.try_get(0)?;
            let key: Option<Vec<u16>> =
                names.iter().map(|name| self.column(name.as_bytes())).collect();
            self.unique.extend(key);
        }
        Ok(())
    }

    /// Gives the index of a column.
    #[inline]
    pub(crate) fn column(&self, name: &[u8]) -> Option<u16> {
        self.by_name.get(name).copied()
    }

    /// Gives the index of a column whose name stands in a manifest: as it is, or in lower case.
    pub(crate) fn column_of_manifest(&self, name: &str) -> Option<u16> {
        self.column(name.as_bytes()).or_else(|| self.column(name.to_ascii_lowercase().as_bytes()))
    }
}

async fn read_columns(connection: &mut PgConnection, oid: i64) -> Result<Vec<Column>, Fault> {
    // `format_type(…, -1)`: with no length given, `character` would mean one character.
    const COLUMNS: &str = "SELECT a.attname::text, format_type(a.atttypid, -1), \
         format_type(a.atttypid, a.atttypmod), b.typname::text, e.typname::text, \
         a.attgenerated <> '', a.attidentity = 'a' \
         FROM pg_catalog.pg_attribute a \
         JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
         JOIN pg_catalog.pg_type b \
             ON b.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END \
         LEFT JOIN pg_catalog.pg_type e ON e.oid = b.typelem AND b.typcategory = 'A' \
         WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";
    let rows = sqlx::query(COLUMNS).bind(oid).fetch_all(connection).await?;
    let mut columns = Vec::with_capacity(rows.len());
    for row in rows {
        let base: String = row.try_get(3)?;
        let element: Option<String> = row.try_get(4)?;
        columns.push(Column {
            name: row.try_get(0)?,
            cast: row.try_get(1)?,
            full: row.try_get(2)?,
            kind: match element {
                Some(element) => Kind::Array(Box::new(kind(&element))),
                None => kind(&base),
            },
            is_generated: row.try_get(5)?,
            is_identity: row.try_get(6)?,
        });
    }
    Ok(columns)
}

/// Gives the kind of a type of the catalog.
pub(crate) fn kind(typname: &str) -> Kind {
    match typname {
        "int2" => Kind::Int(2),
        "int4" => Kind::Int(4),
        "int8" => Kind::Int(8),
        "numeric" => Kind::Numeric,
        "float4" | "float8" => Kind::Float,
        "bool" => Kind::Bool,
        "json" | "jsonb" => Kind::Json,
        "bytea" => Kind::Bytea,
        "timestamp" => Kind::Timestamp,
        "timestamptz" => Kind::TimestampTz,
        "date" => Kind::Date,
        _ => Kind::Other,
    }
}
