//! Metrics of the `postgresql` sink.

use levada_model::ObjectRef;
use levada_telemetry::metrics::{Counter, MetricsError, Registry};

/// What the `postgresql` sink counts.
#[derive(Clone)]
pub(super) struct PostgresqlSinkMetrics {
    /// `levada_postgresql_sink_ignored_keys_total{namespace,name}`: keys of records that are no column
    /// and were left out (`schemaChange: ignore`).
    pub(super) ignored_keys: Counter,
}

// === impl PostgresqlSinkMetrics ===

impl PostgresqlSinkMetrics {
    /// Registers the metrics of one flow.
    pub(super) fn new(registry: &Registry, flow: &ObjectRef) -> Result<Self, MetricsError> {
        let values = [flow.namespace.as_str(), flow.name.as_str()];
        Ok(PostgresqlSinkMetrics {
            ignored_keys: registry
                .counter_family(
                    "levada_postgresql_sink_ignored_keys_total",
                    "Keys of records that are no column and were left out.",
                    &["namespace", "name"],
                )?
                .with(&values),
        })
    }
}
