//! Statements of a shape, and rows in the two forms in which they are sent.
//!
//! - `COPY … FROM STDIN` in text form for plain inserts of many rows.
//! - One `text[]` per column, unnested and cast in SQL, for fewer rows and wherever a row may be there
//!   already.
//!
//! Values are never part of a statement; names are, quoted.

use sqlx::encode::{Encode, IsNull};
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo, Postgres};
use sqlx::{Type, TypeInfo as _};

use levada_model::RecordBatch;

use super::layout::{Layout, Settings};
use super::rows::{Row, Rows, Shape, Verb};
use crate::postgres::quoted;

/// Bytes of rows that are sent at a time: enough to keep the server at work while more are made.
const COPY_PIECE_BYTES: usize = 256 << 10;

/// Bytes of one statement's values. The server takes 1 GiB; this bounds memory.
const ARRAY_BYTES_MAX: usize = 64 << 20;

/// The type `text`. Source: PostgreSQL, pg_type.dat.
const TEXT_OID: i32 = 25;

/// What a put does when a row with its key is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnConflict {
    /// It changes that row.
    Update,
    /// It leaves that row.
    Nothing,
}

/// Gives the statement that copies rows of a shape.
pub(super) fn copy(layout: &Layout, shape: &Shape) -> String {
    format!("COPY {} ({}) FROM STDIN", layout.table.quoted, names(layout, &shape.columns))
}

/// Gives the statement that puts rows of a shape; with `is_twice` a key may occur twice.
pub(super) fn put(
    layout: &Layout,
    settings: &Settings,
    shape: &Shape,
    on_conflict: OnConflict,
    is_twice: bool,
) -> String {
    let columns = &shape.columns;
    let has_key = layout.conflict.iter().all(|column| columns.contains(column));
    let casts: Vec<String> =
        columns.iter().enumerate().map(|(at, &column)| cast(layout, at, column)).collect();
    let cast_of = |column: u16| {
        columns.iter().position(|&known| known == column).map(|at| casts[at].as_str())
    };
    let is_identity =
        columns.iter().any(|&column| layout.table.columns[column as usize].is_identity);
    let overriding = if is_identity { " OVERRIDING SYSTEM VALUE" } else { "" };
    let mut text = format!(
        "INSERT INTO {} AS t ({}){overriding} SELECT ",
        layout.table.quoted,
        names(layout, columns)
    );
    let is_distinct = is_twice && has_key && on_conflict == OnConflict::Update;
    let key: Vec<&str> = layout.conflict.iter().filter_map(|&column| cast_of(column)).collect();
    if is_distinct {
        text.push_str(&format!("DISTINCT ON ({}) ", key.join(", ")));
    }
    text.push_str(&format!("{} FROM {}", casts.join(", "), unnest(columns.len())));
    if is_distinct {
        let version = layout.version.and_then(cast_of);
        let version = version.map_or(String::new(), |cast| format!("{cast} DESC NULLS LAST, "));
        text.push_str(&format!(" ORDER BY {}, {version}u.place DESC", key.join(", ")));
    }
    match on_conflict {
        OnConflict::Nothing => text.push_str(" ON CONFLICT DO NOTHING"),
        OnConflict::Update => {
            text.push_str(&format!(" ON CONFLICT ({}) ", names(layout, &layout.conflict)));
            text.push_str(&update(layout, settings, columns));
        }
    }
    text
}

/// Gives what an upsert changes: every column but the key.
fn update(layout: &Layout, settings: &Settings, columns: &[u16]) -> String {
    let mut sets: Vec<String> = columns
        .iter()
        .filter(|column| !layout.conflict.contains(column))
        .map(|&column| {
            let name = name(layout, column);
            format!("{name} = EXCLUDED.{name}")
        })
        .collect();
    // A row that is written again is no longer deleted.
    if let Some(soft) = layout.soft_delete.filter(|soft| !columns.contains(soft)) {
        sets.push(format!("{} = NULL", name(layout, soft)));
    }
    if sets.is_empty() {
        return "DO NOTHING".to_owned();
    }
    let mut text = format!("DO UPDATE SET {}", sets.join(", "));
    if settings.if_newer.is_some()
        && let Some(version) = layout.version
    {
        let name = name(layout, version);
        text.push_str(&format!(" WHERE t.{name} IS NULL OR EXCLUDED.{name} > t.{name}"));
    }
    text
}

/// Gives the query for the places of rows that are not in the table as they were sent.
///
/// Nothing when the table has no unique key in the shape by which a row could be found.
pub(super) fn missing(layout: &Layout, shape: &Shape) -> Option<String> {
    let columns = &shape.columns;
    let key = layout.table.unique.iter().find(|key| key.iter().all(|c| columns.contains(c)))?;
    let mut tests = Vec::new();
    for (at, &column) in columns.iter().enumerate() {
        let name = name(layout, column);
        if key.contains(&column) {
            tests.push(format!("t.{name} = {}", cast(layout, at, column)));
        }
        // As texts: not every type can be compared. With length and scale: that is how the row was kept.
        let full = &layout.table.columns[column as usize].full;
        tests.push(format!("t.{name}::text IS NOT DISTINCT FROM (u.c{at}::{full})::text"));
    }
    Some(format!(
        "SELECT u.place::int8 FROM {} WHERE NOT EXISTS (SELECT FROM {} t WHERE {})",
        unnest(columns.len()),
        layout.table.quoted,
        tests.join(" AND ")
    ))
}

/// Gives the statement that deletes the rows of a shape's keys.
pub(super) fn delete(layout: &Layout, shape: &Shape) -> String {
    let table = &layout.table.quoted;
    let mut tests = Vec::new();
    for (at, &column) in shape.columns.iter().enumerate() {
        let (name, cast) = (name(layout, column), cast(layout, at, column));
        if Some(column) == layout.version && !layout.conflict.contains(&column) {
            tests.push(format!("(t.{name} IS NULL OR t.{name} <= {cast})"));
        } else {
            tests.push(format!("t.{name} = {cast}"));
        }
    }
    let (from, tests) = (unnest(shape.columns.len()), tests.join(" AND "));
    match layout.soft_delete {
        Some(soft) => {
            format!(
                "UPDATE {table} AS t SET {} = now() FROM {from} WHERE {tests}",
                name(layout, soft)
            )
        }
        None => format!("DELETE FROM {table} AS t USING {from} WHERE {tests}"),
    }
}

/// Gives the statement of rows that are sent as arrays.
pub(super) fn arrays(
    layout: &Layout,
    settings: &Settings,
    shape: &Shape,
    on_conflict: OnConflict,
    is_twice: bool,
) -> String {
    match shape.verb {
        Verb::Put => put(layout, settings, shape, on_conflict, is_twice),
        Verb::Delete => delete(layout, shape),
    }
}

fn name(layout: &Layout, column: u16) -> String {
    quoted(&layout.table.columns[column as usize].name)
}

fn names(layout: &Layout, columns: &[u16]) -> String {
    let names: Vec<String> = columns.iter().map(|&column| name(layout, column)).collect();
    names.join(", ")
}

fn cast(layout: &Layout, at: usize, column: u16) -> String {
    format!("u.c{at}::{}", layout.table.columns[column as usize].cast)
}

fn unnest(count: usize) -> String {
    let parameters: Vec<String> = (1..=count).map(|at| format!("${at}::text[]")).collect();
    let names: Vec<String> = (0..count).map(|at| format!("c{at}")).collect();
    format!("unnest({}) WITH ORDINALITY AS u({}, place)", parameters.join(", "), names.join(", "))
}

/// Appends rows in the text form of `COPY` until a piece is full, and gives how many were taken.
pub(super) fn copy_piece(
    rows: &Rows,
    batch: &RecordBatch,
    chosen: &[u32],
    out: &mut Vec<u8>,
) -> usize {
    out.clear();
    let mut taken = 0;
    for &index in chosen {
        if out.len() >= COPY_PIECE_BYTES {
            break;
        }
        let row: Row = rows.rows[index as usize];
        for (at, &cell) in rows.cells(row).iter().enumerate() {
            if at > 0 {
                out.push(b'\t');
            }
            match rows.bytes(batch, cell) {
                None => out.extend_from_slice(b"\\N"),
                Some(bytes) if cell.is_clean => out.extend_from_slice(bytes),
                Some(bytes) => escape(bytes, out),
            }
        }
        out.push(b'\n');
        taken += 1;
    }
    taken
}

/// Source: PostgreSQL, COPY, "Text Format".
fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    let mut copied = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let with = match byte {
            b'\\' => b'\\',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            _ => continue,
        };
        out.extend_from_slice(&bytes[copied..at]);
        out.extend_from_slice(&[b'\\', with]);
        copied = at + 1;
    }
    out.extend_from_slice(&bytes[copied..]);
}

/// Fills one `text[]` per column, and gives how many rows fit.
pub(super) fn fill_arrays(
    rows: &Rows,
    batch: &RecordBatch,
    chosen: &[u32],
    count: usize,
    arrays: &mut Vec<Vec<u8>>,
) -> usize {
    arrays.resize_with(count.max(arrays.len()), Vec::new);
    for array in &mut arrays[..count] {
        array.clear();
        // Dimensions, nulls, type, length (known later), lower bound.
        for number in [1, 1, TEXT_OID, 0, 1] {
            array.extend_from_slice(&i32::to_be_bytes(number));
        }
    }
    let (mut taken, mut bytes_taken) = (0, 0);
    for &index in chosen {
        if bytes_taken > ARRAY_BYTES_MAX {
            break;
        }
        let cells = rows.cells(rows.rows[index as usize]);
        for (array, &cell) in arrays.iter_mut().zip(cells) {
            match rows.bytes(batch, cell) {
                None => array.extend_from_slice(&(-1i32).to_be_bytes()),
                Some(bytes) => {
                    array.extend_from_slice(&(bytes.len() as i32).to_be_bytes());
                    array.extend_from_slice(bytes);
                    bytes_taken += bytes.len();
                }
            }
        }
        taken += 1;
    }
    for array in &mut arrays[..count] {
        array[12..16].copy_from_slice(&(taken as i32).to_be_bytes());
    }
    taken
}

/// A `text[]` that is encoded already.
pub(super) struct TextArray<'a>(pub(super) &'a [u8]);

// === impl TextArray ===

impl Type<Postgres> for TextArray<'_> {
    fn type_info() -> PgTypeInfo {
        <Vec<String> as Type<Postgres>>::type_info()
    }

    fn compatible(found: &PgTypeInfo) -> bool {
        found.name() == Self::type_info().name()
    }
}

impl<'q> Encode<'q, Postgres> for TextArray<'_> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend_from_slice(self.0);
        Ok(IsNull::No)
    }
}
