//! Metrics of the `http` source.

use levada_model::ObjectRef;
use levada_telemetry::metrics::{Counter, CounterFamily, IntGauge, MetricsError, Registry};

/// What the `http` source counts.
#[derive(Clone)]
pub(super) struct HttpSourceMetrics {
    /// `levada_http_source_requests_total{namespace,name,status}`: requests that were answered.
    requests: CounterFamily<3>,
    /// `levada_http_source_connections_refused_total{namespace,name}`: connections that ended before
    /// a request could be answered (TLS, slow or broken headers).
    pub(super) connections_refused: Counter,
    /// `levada_http_source_in_flight{namespace,name}`: requests under way.
    pub(super) in_flight: IntGauge,
    /// `levada_http_source_body_bytes{namespace,name}`: memory held by bodies.
    pub(super) body_bytes: IntGauge,
    namespace: String,
    name: String,
}

// === impl HttpSourceMetrics ===

impl HttpSourceMetrics {
    /// Registers the metrics of one flow.
    pub(super) fn new(registry: &Registry, flow: &ObjectRef) -> Result<Self, MetricsError> {
        let labels = ["namespace", "name"];
        let values = [flow.namespace.as_str(), flow.name.as_str()];
        Ok(HttpSourceMetrics {
            requests: registry.counter_family(
                "levada_http_source_requests_total",
                "Requests that the http source answered, by status.",
                &["namespace", "name", "status"],
            )?,
            connections_refused: registry
                .counter_family(
                    "levada_http_source_connections_refused_total",
                    "Connections to the http source that ended before a request could be answered.",
                    &labels,
                )?
                .with(&values),
            in_flight: registry
                .int_gauge_family(
                    "levada_http_source_in_flight",
                    "Requests to the http source that are under way.",
                    &labels,
                )?
                .with(&values),
            body_bytes: registry
                .int_gauge_family(
                    "levada_http_source_body_bytes",
                    "Bytes of request bodies that the http source holds.",
                    &labels,
                )?
                .with(&values),
            namespace: flow.namespace.clone(),
            name: flow.name.clone(),
        })
    }

    /// Counts an answer.
    pub(super) fn answered(&self, status: u16) {
        let status = status.to_string();
        self.requests.with(&[&self.namespace, &self.name, &status]).inc();
    }
}
