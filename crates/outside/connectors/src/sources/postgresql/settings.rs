//! The settings of the manifest as what runs.

use std::time::Duration;

use super::Spec;
use crate::BuildError;
use crate::postgres::{TableName, Target};

/// Source: dataflow-operator.md §3.3.
const POLL_SECONDS: i32 = 5;

/// Ours: longer than a transaction of an application is open as a rule.
const OVERLAP: Duration = Duration::from_secs(5);

/// Source: dataflow-operator.md §3.4, the second generation's limit of a flush.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(300);

/// The settings of a source, checked.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) target: Target,
    pub(super) table: TableName,
    /// The table as it was written.
    pub(super) table_text: String,
    pub(super) query: Option<String>,
    pub(super) poll_interval: Duration,
    pub(super) read_batch_size: Option<i32>,
    /// Set in the manifest.
    pub(super) change: Option<String>,
    pub(super) order_by: String,
    pub(super) auto_create: bool,
    pub(super) overlap: Duration,
    pub(super) timeout: Duration,
    pub(super) stops_at_end: bool,
}

// === impl Settings ===

impl Settings {
    /// Takes the settings of the manifest over.
    pub(super) fn new(spec: &Spec) -> Result<Self, BuildError> {
        let invalid =
            |name: &str, problem: String| BuildError::Invalid(format!("{name}: {problem}"));
        let some = |text: &str| (!text.trim().is_empty()).then(|| text.trim().to_owned());
        let query =
            some(&spec.query).map(|query| query.trim_end_matches([';', ' ', '\n']).to_owned());
        let interval = spec.poll_interval.unwrap_or(POLL_SECONDS).max(1);
        Ok(Settings {
            target: Target::parse(spec.connection_string.expose())
                .map_err(|problem| invalid("connectionString", problem))?,
            table: TableName::parse(&spec.table).map_err(|problem| invalid("table", problem))?,
            table_text: spec.table.trim().to_owned(),
            query,
            poll_interval: Duration::from_secs(interval.unsigned_abs().into()),
            read_batch_size: spec.read_batch_size.filter(|&rows| rows > 0),
            change: some(&spec.change_tracking_column),
            order_by: some(&spec.order_by_column).unwrap_or_else(|| "id".to_owned()),
            auto_create: spec.auto_create_table,
            overlap: spec.overlap.map_or(OVERLAP, levada_settings::Duration::get),
            timeout: spec
                .statement_timeout
                .map_or(STATEMENT_TIMEOUT, levada_settings::Duration::get),
            stops_at_end: spec.stop_at_end,
        })
    }
}
