//! Metrics of the `hostMetrics` source.

use levada_telemetry::metrics::{CounterFamily, MetricsError, Registry};

/// What the `hostMetrics` source counts.
pub(super) struct HostMetricsMetrics {
    /// `levada_host_metrics_errors_total{collector}`: samples in which a collector failed, in part or as
    /// a whole.
    pub(super) errors: CounterFamily<1>,
}

// === impl HostMetricsMetrics ===

impl HostMetricsMetrics {
    /// Registers the metrics.
    pub(super) fn new(registry: &Registry) -> Result<Self, MetricsError> {
        Ok(HostMetricsMetrics {
            errors: registry.counter_family(
                "levada_host_metrics_errors_total",
                "Samples in which a collector of the hostMetrics source failed.",
                &["collector"],
            )?,
        })
    }
}
