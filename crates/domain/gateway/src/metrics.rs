//! The metrics of the gateway; no name of one appears anywhere else.

use levada_telemetry::metrics::{CounterFamily, IntGaugeFamily, MetricsError, Registry};

/// Where every point is, by destination.
///
/// `accepted = delivered + dropped + dead_lettered + queued` holds among the points of one destination at every scrape.
pub struct ConservationMetrics {
    /// `levada_gateway_accepted_points_total{destination}`.
    pub accepted: CounterFamily<1>,
    /// `levada_gateway_delivered_points_total{destination}`.
    pub delivered: CounterFamily<1>,
    /// `levada_gateway_dropped_points_total{destination,reason}`.
    pub dropped: CounterFamily<2>,
    /// `levada_gateway_dead_letter_points{destination}`.
    pub dead_lettered: IntGaugeFamily<1>,
    /// `levada_gateway_queued_points{destination}`.
    pub queued: IntGaugeFamily<1>,
}

// === impl ConservationMetrics ===

impl ConservationMetrics {
    /// Registers the metrics.
    pub fn new(registry: &Registry) -> Result<Self, MetricsError> {
        Ok(ConservationMetrics {
            accepted: registry.counter_family(
                "levada_gateway_accepted_points_total",
                "Points taken for a destination.",
                &["destination"],
            )?,
            delivered: registry.counter_family(
                "levada_gateway_delivered_points_total",
                "Points that a destination took.",
                &["destination"],
            )?,
            dropped: registry.counter_family(
                "levada_gateway_dropped_points_total",
                "Points given up, by reason.",
                &["destination", "reason"],
            )?,
            dead_lettered: registry.int_gauge_family(
                "levada_gateway_dead_letter_points",
                "Points in the dead-letter store.",
                &["destination"],
            )?,
            queued: registry.int_gauge_family(
                "levada_gateway_queued_points",
                "Points that wait for a destination or are under way to it.",
                &["destination"],
            )?,
        })
    }
}
