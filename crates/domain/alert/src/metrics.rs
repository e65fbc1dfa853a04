//! The metrics of alerts.

use std::sync::{Mutex, PoisonError};

use levada_telemetry::metrics::{Counter, IntGauge, MetricsError, Registry};

use crate::topics::{Topics, TopicsStats};

type Read = fn(&TopicsStats) -> u64;

/// Name, help, and where the number is.
const COUNTERS: &[(&str, &str, Read)] = &[
    ("levada_alert_outbox_accepted_total", "Events taken for a handler.", |stats| {
        stats.outbox.accepted
    }),
    ("levada_alert_outbox_sent_total", "Events that a handler delivered.", |stats| {
        stats.outbox.sent
    }),
    ("levada_alert_outbox_retried_total", "Attempts beside the first of each event.", |stats| {
        stats.outbox.retried
    }),
    ("levada_alert_outbox_failed_total", "Attempts that failed.", |stats| stats.outbox.failed),
    ("levada_alert_outbox_rejected_total", "Events that a receiver refused for good.", |stats| {
        stats.outbox.rejected
    }),
    (
        "levada_alert_outbox_coalesced_total",
        "Events that newer ones superseded while the receiver was away or too many waited.",
        |stats| stats.outbox.coalesced,
    ),
    (
        "levada_alert_outbox_dropped_total",
        "Events lost because too many waited for a handler.",
        |stats| stats.outbox.dropped,
    ),
    (
        "levada_alert_outbox_expired_total",
        "Events given up because they had waited too long.",
        |stats| stats.outbox.expired,
    ),
    (
        "levada_alert_outbox_abandoned_total",
        "Events given up because their handler was removed.",
        |stats| stats.outbox.abandoned,
    ),
    (
        "levada_alert_unmatchable_total",
        "Events that the match expression of a handler failed on.",
        |stats| stats.outbox.unmatchable,
    ),
    ("levada_alert_silenced_total", "Events that silences kept from handlers.", |stats| {
        stats.silenced
    }),
    (
        "levada_alert_stale_total",
        "Events that were not OK and were not heard of after a start.",
        |stats| stats.stale,
    ),
    (
        "levada_alert_waits_total",
        "Times that somebody who published waited for a handler or the store.",
        |stats| stats.waits,
    ),
    (
        "levada_alert_waits_in_vain_total",
        "Times that a handler or the store was too slow to be waited for any longer.",
        |stats| stats.waits_in_vain,
    ),
    ("levada_alert_store_failures_total", "Times that the store of alerts failed.", |stats| {
        stats.store_failures
    }),
    (
        "levada_alert_history_dropped_total",
        "Lines of the history lost because the store failed for long.",
        |stats| stats.records_dropped,
    ),
];

/// The name of the one gauge: events that wait in outboxes.
const WAITING: &str = "levada_alert_outbox_waiting";

/// What is shown of alerts.
pub struct AlertMetrics {
    counters: Vec<Counter>,
    waiting: IntGauge,
    /// What each counter showed last.
    last: Mutex<Vec<u64>>,
}

// === impl AlertMetrics ===

impl AlertMetrics {
    /// Registers the metrics.
    pub fn new(registry: &Registry) -> Result<Self, MetricsError> {
        let counters = COUNTERS.iter().map(|(name, help, _)| registry.counter(name, help));
        Ok(AlertMetrics {
            counters: counters.collect::<Result<_, _>>()?,
            waiting: registry.int_gauge(WAITING, "Events that wait in outboxes.")?,
            last: Mutex::new(vec![0; COUNTERS.len()]),
        })
    }

    /// Shows the numbers of topics.
    pub fn show(&self, topics: &Topics) {
        let stats = topics.stats();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        for ((counter, last), (_, _, read)) in self.counters.iter().zip(&mut *last).zip(COUNTERS) {
            let now = read(&stats);
            counter.add(now.saturating_sub(*last));
            *last = now.max(*last);
        }
        self.waiting.set(i64::try_from(stats.outbox.waiting).unwrap_or(i64::MAX));
    }
}
