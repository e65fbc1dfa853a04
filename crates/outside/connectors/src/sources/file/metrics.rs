//! Metrics of the `file` source.

use levada_model::ObjectRef;
use levada_telemetry::metrics::{Counter, Registry};

/// Gives the counter `levada_file_blank_lines_total{namespace,flow}`: blank lines that were passed over.
///
/// Nothing when the name is taken by another kind of metric.
pub(super) fn blank_lines(registry: &Registry, flow: &ObjectRef) -> Option<Counter> {
    let family = registry.counter_family(
        "levada_file_blank_lines_total",
        "Blank lines that the file source passed over; they are no records.",
        &["namespace", "flow"],
    );
    Some(family.ok()?.with(&[flow.namespace.as_str(), flow.name.as_str()]))
}
