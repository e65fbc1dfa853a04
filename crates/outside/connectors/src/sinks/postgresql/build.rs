//! The settings of the manifest as what runs.

use std::time::Duration as StdDuration;

use levada_settings::Duration;

use super::Spec;
use super::layout::Settings;
use super::metrics::PostgresqlSinkMetrics;
use super::rows::Rows;
use super::sink::PostgresqlSink;
use super::write::Buffers;
use crate::postgres::{TableName, Target};
use crate::{BuildContext, BuildError, Sink};

/// Ours: as many as a default batch holds.
const SAMPLES: usize = 100;

/// Source: dataflow-operator.md §3.4, the second generation's limit of a flush.
const STATEMENT_TIMEOUT: StdDuration = StdDuration::from_secs(300);

/// Makes the sink; connects to nothing.
pub(super) fn sink(spec: &Spec, ctx: &BuildContext) -> Result<Box<dyn Sink>, BuildError> {
    let invalid = |name: &str, problem: String| BuildError::Invalid(format!("{name}: {problem}"));
    let target = Target::parse(spec.connection_string.expose())
        .map_err(|problem| invalid("connectionString", problem))?;
    let settings = settings(spec)?;
    let metrics = PostgresqlSinkMetrics::new(&ctx.metrics, &ctx.flow)
        .map_err(|error| BuildError::Invalid(error.to_string()))?;
    Ok(Box::new(PostgresqlSink {
        target,
        settings,
        clock: ctx.clock.clone(),
        metrics,
        is_exactly_once: ctx.is_exactly_once,
        pipeline: format!("{}/{}", ctx.flow.namespace, ctx.flow.name),
        connection: None,
        layout: None,
        layout_read_at: StdDuration::ZERO,
        rows: Rows::default(),
        buffers: Buffers::default(),
        refused: Vec::new(),
        is_prepared: false,
        has_no_history: false,
        ownership: None,
    }))
}

fn settings(spec: &Spec) -> Result<Settings, BuildError> {
    let some = |text: &str| (!text.trim().is_empty()).then(|| text.trim().to_owned());
    let key = some(&spec.conflict_key).unwrap_or_else(|| "id".to_owned());
    let version = some(&spec.upsert_version_column);
    Ok(Settings {
        table: TableName::parse(&spec.table)
            .map_err(|problem| BuildError::Invalid(format!("table: {problem}")))?,
        auto_create: spec.auto_create_table,
        sample_records: spec.sample_records.map_or(SAMPLES, |count| count as usize),
        upsert: spec.upsert_mode,
        conflict: key.split(',').map(|name| name.trim().to_owned()).collect(),
        if_newer: version.filter(|_| spec.upsert_mode && spec.upsert_strategy == "ifNewer"),
        soft_delete: some(&spec.soft_delete_column),
        raw: spec.raw_mode,
        flatten: spec
            .flatten_metadata_columns
            .then(|| spec.flatten_metadata_columns_prefix.clone()),
        schema_change: spec.schema_change,
        timeout: spec.statement_timeout.map_or(STATEMENT_TIMEOUT, Duration::get),
    })
}
