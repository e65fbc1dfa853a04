//! The metrics of endpoints and of tenants.

use std::sync::atomic::Ordering;
use std::time::Duration;

use levada_telemetry::metrics::{Counter, CounterFamily, IntGaugeFamily, MetricsError, Registry};

use super::Shown;
use crate::deliver::{EndpointState, Sender};
use crate::gateway::GatewayStats;

/// How endpoints are, as of the last look.
pub struct EndpointMetrics {
    beyond_usage: IntGaugeFamily<1>,
    up: IntGaugeFamily<2>,
    updates: Shown,
}

/// What tenants bring.
pub struct TenantFamilies {
    /// `levada_gateway_tenant_points_total{tenant}`.
    pub written: CounterFamily<1>,
    /// `levada_gateway_tenant_refused_total{tenant,reason}`.
    pub refused: CounterFamily<2>,
}

// === impl EndpointMetrics ===

impl EndpointMetrics {
    /// Registers the metrics.
    pub fn new(registry: &Registry) -> Result<Self, MetricsError> {
        let updates: Counter = registry
            .counter("datakit_filter_update_total", "Changes of filters that took effect.")?;
        Ok(EndpointMetrics {
            beyond_usage: registry.int_gauge_family(
                "levada_gateway_beyond_usage_timestamp_seconds",
                "When a destination last said that the data of the contract is used up, Unix seconds; 0 when it does not.",
                &["destination"],
            )?,
            up: registry.int_gauge_family(
                "levada_gateway_endpoint_up",
                "1 while an endpoint answers, 0 while it rests.",
                &["destination", "endpoint"],
            )?,
            updates: Shown::new(updates),
        })
    }

    /// Shows how endpoints are at one instant of the monotonic clock.
    pub fn show(&mut self, stats: &GatewayStats, senders: &[&Sender], now: Duration) {
        self.updates.show(stats.reloads.load(Ordering::Relaxed));
        for sender in senders {
            let since = sender.stats().beyond_usage_since.load(Ordering::Relaxed);
            self.beyond_usage.with(&[sender.name()]).set(super::gauge_of(since));
            for (endpoint, state) in sender.group().states(now) {
                let is_up = state == EndpointState::Up;
                self.up.with(&[sender.name(), &endpoint]).set(i64::from(is_up));
            }
        }
    }
}

// === impl TenantFamilies ===

impl TenantFamilies {
    /// Registers the metrics.
    pub fn new(registry: &Registry) -> Result<Self, MetricsError> {
        Ok(TenantFamilies {
            written: registry.counter_family(
                "levada_gateway_tenant_points_total",
                "Points that a tenant brought.",
                &["tenant"],
            )?,
            refused: registry.counter_family(
                "levada_gateway_tenant_refused_total",
                "Requests of a tenant that were refused because it brought too much.",
                &["tenant", "reason"],
            )?,
        })
    }
}
