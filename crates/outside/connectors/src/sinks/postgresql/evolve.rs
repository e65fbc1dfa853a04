//! Tables that are made, or changed, after what records hold.
//!
//! | values | type |
//! |---|---|
//! | integers of 64 bits | `BIGINT` |
//! | other numbers | `NUMERIC` |
//! | booleans | `BOOLEAN` |
//! | texts | `TEXT` |
//! | objects, arrays, a mixture | `JSONB` |
//!
//! Columns that are added may be empty. Integer columns become `BIGINT` or `NUMERIC` where a number does
//! not fit; nothing is ever narrowed. Each decision is logged, and kept in the database (`history.rs`).

use std::collections::HashSet;

use levada_model::{NodeKind, RecordBatch, Root, Tree};

use super::layout::{DATA, Layout, METADATA, Settings};
use super::raw;
use super::value::{Wider, wider};
use crate::postgres::name::NAME_BYTES_MAX;
use crate::postgres::quoted;

/// What the values of a key have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guess {
    Null,
    Integer,
    Number,
    Bool,
    Text,
    Time,
    Json,
}

/// What a table lacks for the records of a batch.
#[derive(Debug, Default)]
pub(super) struct Needs {
    columns: Vec<(String, Guess)>,
    widen: Vec<(u16, Wider)>,
}

/// A change of a table.
#[derive(Debug)]
pub(super) struct Change {
    /// What `ALTER TABLE` is to do.
    pub(super) action: String,
    /// Why.
    pub(super) reason: String,
}

// === impl Guess ===

impl Guess {
    fn of(kind: NodeKind, literal: impl FnOnce() -> String) -> Self {
        match kind {
            NodeKind::Null => Guess::Null,
            NodeKind::True | NodeKind::False => Guess::Bool,
            NodeKind::Number if wider(8, &literal()).is_none() => Guess::Integer,
            NodeKind::Number => Guess::Number,
            NodeKind::String => Guess::Text,
            NodeKind::Array | NodeKind::Object => Guess::Json,
        }
    }

    fn and(self, other: Guess) -> Self {
        match (self, other) {
            (Guess::Null, other) | (other, Guess::Null) => other,
            (one, other) if one == other => one,
            (Guess::Integer | Guess::Number, Guess::Integer | Guess::Number) => Guess::Number,
            _ => Guess::Json,
        }
    }

    fn type_name(self) -> &'static str {
        match self {
            Guess::Integer => "BIGINT",
            Guess::Number => "NUMERIC",
            Guess::Bool => "BOOLEAN",
            // Nothing but nulls was seen: a text takes every value.
            Guess::Null | Guess::Text => "TEXT",
            Guess::Time => "TIMESTAMPTZ",
            Guess::Json => "JSONB",
        }
    }
}

// === impl Needs ===

impl Needs {
    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.columns.clear();
        self.widen.clear();
    }

    /// Tells whether the table must be changed.
    pub(super) fn any(&self) -> bool {
        !self.widen.is_empty() || self.columns.iter().any(|(_, guess)| *guess != Guess::Null)
    }

    /// Notes a key without a column.
    ///
    /// Errors: why there can be no such column.
    pub(super) fn add_column(
        &mut self,
        key: &str,
        kind: NodeKind,
        literal: impl FnOnce() -> String,
    ) -> Result<(), &'static str> {
        check_name(key)?;
        add(&mut self.columns, key, Guess::of(kind, literal));
        Ok(())
    }

    /// Notes a column that is too narrow.
    pub(super) fn widen(&mut self, column: u16, to: Wider) {
        match self.widen.iter_mut().find(|(known, _)| *known == column) {
            Some((_, known)) if to == Wider(0) => *known = to,
            Some(_) => {}
            None => self.widen.push((column, to)),
        }
    }

    /// Gives what is to be changed about the table, and logs it.
    pub(super) fn changes(&self, layout: &Layout) -> Vec<Change> {
        let table = &layout.table.quoted;
        let mut changes = Vec::new();
        for (name, guess) in self.columns.iter().filter(|(_, guess)| *guess != Guess::Null) {
            let to = guess.type_name();
            tracing::info!(%table, column = %name, to, "a column is added");
            changes.push(Change {
                action: format!("ADD COLUMN IF NOT EXISTS {} {to}", quoted(name)),
                reason: format!("records have the key `{name}`, and the table had no such column"),
            });
        }
        for (column, to) in &self.widen {
            let column = &layout.table.columns[*column as usize];
            let to = if *to == Wider(8) { "BIGINT" } else { "NUMERIC" };
            tracing::info!(%table, column = %column.name, from = %column.full, to, "a column is widened");
            changes.push(Change {
                action: format!("ALTER COLUMN {} TYPE {to}", quoted(&column.name)),
                reason: format!("a number did not fit the type {}", column.full),
            });
        }
        changes
    }
}

/// Gives the statement that changes a table.
pub(super) fn alter(layout: &Layout, changes: &[Change]) -> String {
    let actions: Vec<&str> = changes.iter().map(|change| change.action.as_str()).collect();
    format!("ALTER TABLE {} {}", layout.table.quoted, actions.join(", "))
}

/// Gives the statements that make a table for the first records of a batch.
///
/// Errors: why there can be no such table.
pub(super) fn create(settings: &Settings, batch: &RecordBatch) -> Result<Vec<String>, String> {
    let mut columns = Vec::new();
    let mut tree = Tree::default();
    let mut docs = Vec::new();
    let mut filled: Vec<(String, usize)> = Vec::new();
    let mut samples = 0;
    let mut problem = None;
    let mut ids: HashSet<String> = HashSet::new();
    let mut are_ids_unique = true;
    for index in 0..batch.len().min(settings.sample_records.max(1)) {
        tree.clear();
        docs.clear();
        if settings.raw {
            if let Err(error) = raw::write(batch, index, settings, &mut tree, &mut docs) {
                problem = Some(error.message);
                continue;
            }
        } else {
            match batch.records[index].root {
                Root::Broken(_) => continue,
                _ => batch.print(index, &mut docs),
            }
        }
        tree.clear();
        if std::str::from_utf8(&docs).is_err() {
            continue;
        }
        let Ok(root) = tree.parse(&docs, 0, docs.len() as u32) else { continue };
        if tree.kind(root) != NodeKind::Object {
            continue;
        }
        samples += 1;
        for id in tree.children(root) {
            let Some(key) = tree.key(&docs, id) else { continue };
            if check_name(&key).is_err() {
                continue;
            }
            let guess =
                Guess::of(tree.kind(id), || tree.literal(&docs, id).unwrap_or_default().to_owned());
            if key == "id" {
                let id = docs.get(tree.span(id).map_or(0..0, |(a, b)| a as usize..b as usize));
                let id = String::from_utf8_lossy(id.unwrap_or_default());
                are_ids_unique &= ids.insert(id.into_owned());
            }
            if guess != Guess::Null {
                match filled.iter_mut().find(|(name, _)| **name == *key) {
                    Some((_, count)) => *count += 1,
                    None => filled.push((key.clone().into_owned(), 1)),
                }
            }
            add(&mut columns, &key, guess);
        }
    }
    if samples == 0 {
        return Err(problem.unwrap_or_else(|| {
            "no record of the first batch is an object, so no table can be made of it".into()
        }));
    }
    let table = settings.table.to_create();
    if settings.raw {
        return Ok(create_raw(settings, &table, &columns));
    }
    let always =
        |name: &str| filled.iter().any(|(known, count)| known == name && *count >= samples);
    let key = if settings.upsert {
        if let Some(missing) = settings.conflict.iter().find(|name| !always(name)) {
            let text = format!(
                "not every sampled record has the conflict key `{missing}`, so no table can be made of them"
            );
            return Err(text);
        }
        settings.conflict.clone()
    } else if always("id") && are_ids_unique {
        // Differs: rows of one id, as `flatten` makes them, would be lost or refused.
        vec!["id".to_owned()]
    } else {
        Vec::new()
    };
    if let Some(name) = &settings.soft_delete
        && !columns.iter().any(|(known, _)| known == name)
    {
        columns.push((name.clone(), Guess::Time));
    }
    let mut parts: Vec<String> = columns.iter().map(column).collect();
    if !key.is_empty() {
        let key: Vec<String> = key.iter().map(|name| quoted(name)).collect();
        parts.push(format!("PRIMARY KEY ({})", key.join(", ")));
    }
    Ok(vec![format!("CREATE TABLE IF NOT EXISTS {table} ({})", parts.join(", "))])
}

/// Source: dataflow-operator.md §3.4, `autoCreateTable` with `rawMode`, and its GIN index.
fn create_raw(settings: &Settings, table: &str, columns: &[(String, Guess)]) -> Vec<String> {
    let mut parts = vec![
        "\"id\" BIGSERIAL PRIMARY KEY".to_owned(),
        format!("{} JSONB NOT NULL", quoted(DATA)),
        "\"created_at\" TIMESTAMP DEFAULT CURRENT_TIMESTAMP".to_owned(),
    ];
    match &settings.flatten {
        None => parts.push(format!("{} JSONB", quoted(METADATA))),
        Some(prefix) => {
            let time = format!("{prefix}timestamp");
            for (name, guess) in columns {
                if matches!(name.as_str(), DATA | "id" | "created_at" | "updated_at" | "deleted_at")
                {
                    continue;
                }
                let guess = if *name == time { Guess::Time } else { *guess };
                parts.push(column(&(name.clone(), guess)));
            }
        }
    }
    parts.push("\"updated_at\" TIMESTAMP".to_owned());
    parts.push("\"deleted_at\" TIMESTAMP".to_owned());
    let index = format!("idx_{}_{DATA}", settings.table.table.folded);
    vec![
        format!("CREATE TABLE IF NOT EXISTS {table} ({})", parts.join(", ")),
        format!(
            "CREATE INDEX IF NOT EXISTS {} ON {table} USING GIN ({})",
            quoted(&index),
            quoted(DATA)
        ),
    ]
}

fn column((name, guess): &(String, Guess)) -> String {
    format!("{} {}", quoted(name), guess.type_name())
}

fn add(columns: &mut Vec<(String, Guess)>, key: &str, guess: Guess) {
    match columns.iter_mut().find(|(known, _)| known == key) {
        Some((_, known)) => *known = known.and(guess),
        None => columns.push((key.to_owned(), guess)),
    }
}

fn check_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("a column needs a name");
    }
    if name.len() > NAME_BYTES_MAX {
        return Err("longer than a column's name may be (63 bytes)");
    }
    if name.contains('\0') {
        return Err("a column's name holds no NUL");
    }
    Ok(())
}
