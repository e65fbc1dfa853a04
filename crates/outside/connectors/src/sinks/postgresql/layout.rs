//! What the manifest and the catalog say together: which columns play which part.

use std::time::Duration;

use super::SchemaChange;
use crate::postgres::{Kind, Table, TableName};

/// The settings of a sink, checked.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) table: TableName,
    pub(super) auto_create: bool,
    pub(super) sample_records: usize,
    pub(super) upsert: bool,
    pub(super) conflict: Vec<String>,
    pub(super) if_newer: Option<String>,
    pub(super) soft_delete: Option<String>,
    pub(super) raw: bool,
    /// Start of the names of metadata columns, when there is a column for each key.
    pub(super) flatten: Option<String>,
    pub(super) schema_change: SchemaChange,
    pub(super) timeout: Duration,
}

/// How records become rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// A column for each key.
    Columns,
    /// The whole document in this column.
    Json {
        /// The column.
        data: u16,
    },
    /// The envelope of raw mode.
    Raw,
}

/// A table, and the columns that have a part of their own.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub(super) table: Table,
    pub(super) mode: Mode,
    /// The conflict key; empty when the table lacks a column of it and nothing is upserted.
    pub(super) conflict: Vec<u16>,
    pub(super) version: Option<u16>,
    pub(super) soft_delete: Option<u16>,
}

/// The column of whole documents. Source: dataflow-operator.md §3.4.
pub(super) const DATA: &str = "data";
/// The column of metadata. Source: dataflow-operator.md §3.8.
pub(super) const METADATA: &str = "_metadata";

// === impl Layout ===

impl Layout {
    /// Finds the columns.
    ///
    /// Errors: which column is missing.
    pub(super) fn new(table: Table, settings: &Settings) -> Result<Self, String> {
        let find = |setting: &str, name: &str| {
            table.column_of_manifest(name).ok_or_else(|| {
                format!("{setting}: the table {} has no column `{name}`", table.quoted)
            })
        };
        let conflict: Result<Vec<u16>, String> =
            settings.conflict.iter().map(|name| find("conflictKey", name)).collect();
        let conflict = match conflict {
            Ok(conflict) => conflict,
            Err(problem) if settings.upsert => return Err(problem),
            Err(_) => Vec::new(),
        };
        let optional = |setting: &str, name: &Option<String>| {
            name.as_ref().map(|name| find(setting, name)).transpose()
        };
        let version = optional("upsertVersionColumn", &settings.if_newer)?;
        let soft_delete = optional("softDeleteColumn", &settings.soft_delete)?;
        let mode = if settings.raw {
            find("rawMode", DATA)?;
            if settings.flatten.is_none() {
                find("rawMode", METADATA)?;
            }
            Mode::Raw
        } else {
            match table.column(DATA.as_bytes()) {
                Some(data) if is_jsonb(&table, data) => Mode::Json { data },
                _ => Mode::Columns,
            }
        };
        Ok(Layout { table, mode, conflict, version, soft_delete })
    }
}

/// Source: dataflow-operator.md §3.4: a column `data` of type `jsonb` takes the document whole.
fn is_jsonb(table: &Table, column: u16) -> bool {
    let column = &table.columns[column as usize];
    column.kind == Kind::Json && column.cast == "jsonb"
}
