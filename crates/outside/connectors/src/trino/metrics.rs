//! Metrics of the `trino` sink.

use levada_model::ObjectRef;
use levada_telemetry::metrics::{Counter, MetricsError, Registry};

/// What the `trino` sink counts.
#[derive(Clone)]
pub(crate) struct TrinoSinkMetrics {
    /// `levada_trino_sink_ignored_fields_total{namespace,name}`: fields of records that no column has.
    pub(crate) ignored_fields: Counter,
}

// === impl TrinoSinkMetrics ===

impl TrinoSinkMetrics {
    /// Registers the metrics of one flow.
    pub(crate) fn new(registry: &Registry, flow: &ObjectRef) -> Result<Self, MetricsError> {
        let values = [flow.namespace.as_str(), flow.name.as_str()];
        let family = registry.counter_family(
            "levada_trino_sink_ignored_fields_total",
            "Fields of records that the trino sink left out, because no column has their name.",
            &["namespace", "name"],
        )?;
        Ok(TrinoSinkMetrics { ignored_fields: family.with(&values) })
    }
}
