//! Metrics of the server as a whole.

use std::sync::Arc;

use levada_store::Documents;
use levada_telemetry::feed::LogFeed;
use levada_telemetry::metrics::{MetricsError, Registry};

/// Shows what waits for the store, and what readers of the log lost.
pub(super) fn register(registry: &Registry, documents: &Arc<dyn Documents>, feed: Option<LogFeed>) {
    if let Err(error) = try_register(registry, documents, feed) {
        tracing::warn!(%error, "the store and the log have no metrics");
    }
}

fn try_register(
    registry: &Registry,
    documents: &Arc<dyn Documents>,
    feed: Option<LogFeed>,
) -> Result<(), MetricsError> {
    let waiting = || Arc::clone(documents);
    let documents = waiting();
    registry.gauge_fn(
        "levada_store_waiting_changes",
        "Changes that wait for the store.",
        &[],
        move || documents.waiting().items as f64,
    )?;
    let documents = waiting();
    registry.gauge_fn(
        "levada_store_waiting_bytes",
        "Bytes of the changes that wait for the store.",
        &[],
        move || documents.waiting().bytes as f64,
    )?;
    let documents = waiting();
    registry.counter_fn(
        "levada_store_waits_total",
        "Times that a change had to wait for a place in front of the store.",
        &[],
        move || documents.waiting().waits,
    )?;
    if let Some(feed) = feed {
        registry.counter_fn(
            "levada_log_lines_lost_total",
            "Lines of the log that readers over HTTP lost because they were too slow.",
            &[],
            move || feed.lost(),
        )?;
    }
    Ok(())
}
