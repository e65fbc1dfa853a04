//! The metrics of a cluster.

use levada_telemetry::metrics::{Counter, IntGauge, MetricsError, Registry};

/// The metrics of a cluster.
#[derive(Default)]
pub(super) struct ClusterMetrics {
    /// 1 while it answers.
    pub(super) up: IntGauge,
    /// Subscriptions that send points here.
    pub(super) subscriptions: IntGauge,
    /// Subscriptions that were made.
    pub(super) created: Counter,
    /// Subscriptions that were ended, those that are made anew included.
    pub(super) dropped: Counter,
    /// Times that subscriptions could not be compared.
    pub(super) failures: Counter,
}

// === impl ClusterMetrics ===

impl ClusterMetrics {
    pub(super) fn new(registry: &Registry, cluster: &str) -> Self {
        Self::shown(registry, cluster).unwrap_or_else(|error| {
            tracing::warn!(%error, "InfluxDB clusters have no metrics");
            ClusterMetrics::default()
        })
    }

    fn shown(registry: &Registry, cluster: &str) -> Result<Self, MetricsError> {
        let gauge = |name: &str, help: &str| {
            registry.int_gauge_family(name, help, &["cluster"]).map(|f| f.with(&[cluster]))
        };
        let counter = |name: &str, help: &str| {
            registry.counter_family(name, help, &["cluster"]).map(|f| f.with(&[cluster]))
        };
        Ok(ClusterMetrics {
            up: gauge("levada_influxdb_up", "1 while an InfluxDB cluster answers.")?,
            subscriptions: gauge(
                "levada_influxdb_subscriptions",
                "Subscriptions of an InfluxDB cluster that send points here.",
            )?,
            created: counter(
                "levada_influxdb_subscriptions_created_total",
                "Subscriptions that were made.",
            )?,
            dropped: counter(
                "levada_influxdb_subscriptions_dropped_total",
                "Subscriptions that were ended, also to be made anew.",
            )?,
            failures: counter(
                "levada_influxdb_subscription_failures_total",
                "Times that subscriptions could not be compared with what should be.",
            )?,
        })
    }
}
