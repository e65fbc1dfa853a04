//! Metrics of elections, as far as who answers them knows: who leads, and how long an answer took.
//!
//! Source: dataway reference §7.3, §9.4.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use levada_telemetry::metrics::{
    IntGaugeFamily, MetricsError, Registry, SummaryFamily, SummaryOptions,
};

/// Shows elections.
pub struct ElectionMetrics {
    leads: IntGaugeFamily<4>,
    took: SummaryFamily<2>,
    /// Namespaces and who leads there, as they are shown.
    shown: Mutex<BTreeSet<(String, String)>>,
}

// === impl ElectionMetrics ===

impl ElectionMetrics {
    /// The status of who leads.
    const LEADS: &str = "success";

    /// Registers the metrics.
    pub fn new(registry: &Registry) -> Result<Self, MetricsError> {
        Ok(ElectionMetrics {
            leads: registry.int_gauge_family(
                "datakit_election_status",
                "1 for who leads in a namespace",
                &["elected_id", "id", "namespace", "status"],
            )?,
            took: registry.summary_family(
                "datakit_election_seconds",
                "How long it took to say who leads",
                &["namespace", "status"],
                SummaryOptions::default(),
            )?,
            shown: Mutex::default(),
        })
    }

    /// Counts an answer.
    pub fn answered(&self, namespace: &str, status: &str, took: Duration) {
        self.took.with(&[namespace, status]).observe(took.as_secs_f64());
    }

    /// Shows who leads, by namespace; who does so no more is shown no more.
    pub fn show(&self, leaders: BTreeSet<(String, String)>) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        for (namespace, id) in shown.difference(&leaders) {
            self.leads.remove(&[id, id, namespace, Self::LEADS]);
        }
        for (namespace, id) in &leaders {
            self.leads.with(&[id, id, namespace, Self::LEADS]).set(1);
        }
        *shown = leaders;
    }
}
