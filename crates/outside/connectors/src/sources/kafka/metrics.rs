//! Metrics of the `kafka` source.

use levada_model::ObjectRef;
use levada_telemetry::metrics::{Counter, Registry};

/// Gives the counter `levada_kafka_source_dropped_headers_total{namespace,name}`: headers that were left out because
/// their name is not UTF-8.
///
/// Nothing when the name is taken by another kind of metric.
pub(super) fn dropped_headers(registry: &Registry, flow: &ObjectRef) -> Option<Counter> {
    let family = registry.counter_family(
        "levada_kafka_source_dropped_headers_total",
        "Headers that the kafka source left out, because their name is not UTF-8.",
        &["namespace", "name"],
    );
    Some(family.ok()?.with(&[flow.namespace.as_str(), flow.name.as_str()]))
}
