//! Metrics of a flow: the original's names, and what the original lacks.
//!
//! Source: dataflow-operator.md §5.1. Differs: `messages_sent` counts what was written, durations cover the
//! whole way, one phase is 1 and the others 0, routes are names and never condition texts.

use levada_model::ErrorClass;
use levada_telemetry::metrics::{
    Buckets, Counter, CounterFamily, Gauge, Histogram, HistogramFamily, IntGauge, MetricsError,
    Registry,
};

use crate::spec::Flow;

/// The phases of a flow.
///
/// Source: dataflow-operator.md §6.3.
pub(super) const PHASES: [&str; 4] = ["Pending", "Running", "Error", "Stopped"];

/// The handles of one flow; updates are atomic additions.
pub(super) struct FlowMetrics {
    registry: Registry,
    namespace: String,
    name: String,
    /// `dataflow_messages_received_total{source_type}`
    pub(super) received: Counter,
    /// `dataflow_connector_messages_read_total`
    pub(super) read: Counter,
    /// `levada_flow_bytes_received_total`
    pub(super) bytes_received: Counter,
    /// `dataflow_processing_duration_seconds`: from reading a batch to the end of its steps, per batch.
    pub(super) processing: Histogram,
    /// `dataflow_task_end_to_end_latency_seconds`: from reading to the answer of the sink, per batch.
    pub(super) end_to_end: Histogram,
    /// `dataflow_task_active_messages`: records that are not finished.
    pub(super) active: IntGauge,
    /// `dataflow_connector_connection_status{connector_name="source"}`
    pub(super) source_connected: Gauge,
    /// `levada_flow_lag`: how far behind the source is, in its own unit.
    pub(super) lag: Gauge,
    /// `levada_flow_commit_age_seconds`: time since a position was stored last, 0 while no record waits.
    pub(super) commit_age: Gauge,
    /// `levada_flow_exactly_once`: 1 while each record is delivered exactly once, 0 while at least once.
    pub(super) exactly_once: Gauge,
    /// `levada_flow_stale`: 1 while records wait and none was finished for longer than
    /// `flow.progress-timeout`.
    pub(super) stale: Gauge,
    /// `levada_flow_key_collisions_total`
    pub(super) key_collisions: Counter,
    /// `levada_flow_filtered_total`
    pub(super) filtered: Counter,
    /// `levada_flow_dropped_total`
    pub(super) dropped: Counter,
    /// `dataflow_task_message_size_bytes{stage="input"}`: the mean of a batch, counted for each of its records.
    pub(super) size_input: Histogram,
    /// `dataflow_task_message_size_bytes{stage="output"}`
    pub(super) size_output: Histogram,
    /// `dataflow_task_stage_latency_seconds{from_stage="read",to_stage="transformation"}`, per batch.
    pub(super) latency_in: Histogram,
    /// `dataflow_task_stage_latency_seconds{from_stage="transformation",to_stage="write"}`, per batch.
    pub(super) latency_out: Histogram,
    /// `dataflow_task_queue_wait_time_seconds{queue_type="output"}`: between source and steps, per batch.
    pub(super) wait_in: Histogram,
    /// `dataflow_task_throughput_messages_per_second`: records written since the last look.
    pub(super) throughput: Gauge,
    /// `dataflow_task_success_rate`: the share of records that were written, 0 to 1.
    pub(super) success_rate: Gauge,
    /// One per step.
    pub(super) steps: Vec<StepMetrics>,
    stage_errors: CounterFamily<4>,
    operations: CounterFamily<4>,
    connector_errors: CounterFamily<6>,
}

/// The handles of one step.
pub(super) struct StepMetrics {
    pub(super) executions: Counter,
    pub(super) errors: CounterFamily<5>,
    pub(super) duration: Histogram,
    pub(super) records_in: Counter,
    pub(super) records_out: Counter,
    pub(super) labels: (String, String),
}

/// The handles of one sink.
pub(super) struct SinkMetrics {
    /// `dataflow_messages_sent_total{sink_type,route}`
    pub(super) sent: Counter,
    /// `dataflow_connector_messages_written_total`
    pub(super) written: Counter,
    /// `levada_flow_bytes_sent_total`
    pub(super) bytes_sent: Counter,
    /// `dataflow_connector_connection_status`
    pub(super) connected: Gauge,
    /// `levada_flow_retries_total`
    pub(super) retries: Counter,
    /// `dataflow_task_stage_duration_seconds{stage}`
    pub(super) duration: Histogram,
    /// `dataflow_task_queue_wait_time_seconds{queue_type}`: between the steps and this sink, per batch.
    pub(super) wait: Histogram,
}

/// Gives the family of queue waits, which source and sinks share.
fn queue_wait(registry: &Registry) -> Result<HistogramFamily<3>, MetricsError> {
    registry.histogram_family(
        "dataflow_task_queue_wait_time_seconds",
        "Time that a batch waits in a queue.",
        &["namespace", "name", "queue_type"],
        Buckets::exponential(0.0001, 2.0, 12)?,
    )
}

impl FlowMetrics {
    /// Registers the metrics of a flow.
    pub(super) fn new(registry: &Registry, flow: &Flow) -> Result<Self, MetricsError> {
        let namespace = flow.object.namespace.clone();
        let name = flow.object.name.clone();
        let own = [namespace.as_str(), name.as_str()];
        let [ns, n] = own;
        let source = flow.source.entry.name;
        let fine = |count| Buckets::exponential(0.0001, 2.0, count);
        let coarse = |count| Buckets::exponential(0.001, 2.0, count);
        let labels = &["namespace", "name"];
        let connector = &["namespace", "name", "connector_type", "connector_name"];
        let step = &["namespace", "name", "transformer_type", "transformer_index"];

        let executions = registry.counter_family(
            "dataflow_transformer_executions_total",
            "Records that came to a transformation.",
            step,
        )?;
        let errors = registry.counter_family(
            "dataflow_transformer_errors_total",
            "Records that a transformation could not handle.",
            &["namespace", "name", "transformer_type", "transformer_index", "error_type"],
        )?;
        let duration = registry.histogram_family(
            "dataflow_transformer_duration_seconds",
            "Time of a transformation per record; one record in 256 is timed.",
            step,
            fine(12)?,
        )?;
        let records_in = registry.counter_family(
            "dataflow_transformer_messages_in_total",
            "Records that came to a transformation.",
            step,
        )?;
        let records_out = registry.counter_family(
            "dataflow_transformer_messages_out_total",
            "Records that left a transformation.",
            step,
        )?;
        let steps = flow.steps.iter().enumerate().map(|(index, step)| {
            let index = index.to_string();
            let values = &[ns, n, step.entry.name, index.as_str()];
            StepMetrics {
                executions: executions.with(values),
                errors: errors.clone(),
                duration: duration.with(values),
                records_in: records_in.with(values),
                records_out: records_out.with(values),
                labels: (step.entry.name.to_owned(), index.clone()),
            }
        });
        let status = registry.gauge_family(
            "dataflow_connector_connection_status",
            "1 while connected.",
            connector,
        )?;
        let size = registry.histogram_family(
            "dataflow_task_message_size_bytes",
            "Payload sizes; the mean of a batch, counted for each of its records.",
            &["namespace", "name", "stage"],
            Buckets::exponential(64.0, 2.0, 16)?,
        )?;
        let latency = registry.histogram_family(
            "dataflow_task_stage_latency_seconds",
            "Time from one stage to the next, per batch.",
            &["namespace", "name", "from_stage", "to_stage"],
            fine(12)?,
        )?;
        Ok(FlowMetrics {
            size_input: size.with(&[ns, n, "input"]),
            size_output: size.with(&[ns, n, "output"]),
            latency_in: latency.with(&[ns, n, "read", "transformation"]),
            latency_out: latency.with(&[ns, n, "transformation", "write"]),
            wait_in: queue_wait(registry)?.with(&[ns, n, "output"]),
            throughput: registry
                .gauge_family(
                    "dataflow_task_throughput_messages_per_second",
                    "Records written per second, since the last look.",
                    labels,
                )?
                .with(&own),
            success_rate: registry
                .gauge_family(
                    "dataflow_task_success_rate",
                    "Share of the records that were written, from 0 to 1.",
                    labels,
                )?
                .with(&own),
            received: registry
                .counter_family(
                    "dataflow_messages_received_total",
                    "Records that the source handed out.",
                    &["namespace", "name", "source_type"],
                )?
                .with(&[ns, n, source]),
            read: registry
                .counter_family(
                    "dataflow_connector_messages_read_total",
                    "Records read by a connector.",
                    connector,
                )?
                .with(&[ns, n, source, "source"]),
            bytes_received: registry
                .counter_family(
                    "levada_flow_bytes_received_total",
                    "Payload bytes that the source handed out.",
                    labels,
                )?
                .with(&own),
            processing: registry
                .histogram_family(
                    "dataflow_processing_duration_seconds",
                    "Time from reading a batch to the end of its transformations.",
                    labels,
                    coarse(10)?,
                )?
                .with(&own),
            end_to_end: registry
                .histogram_family(
                    "dataflow_task_end_to_end_latency_seconds",
                    "Time from reading a batch to the answer of its sink.",
                    labels,
                    coarse(12)?,
                )?
                .with(&own),
            active: registry
                .int_gauge_family(
                    "dataflow_task_active_messages",
                    "Records that are not finished.",
                    labels,
                )?
                .with(&own),
            source_connected: status.with(&[ns, n, source, "source"]),
            lag: registry
                .gauge_family(
                    "levada_flow_lag",
                    "How far behind the source is, in bytes or records.",
                    labels,
                )?
                .with(&own),
            commit_age: registry
                .gauge_family(
                    "levada_flow_commit_age_seconds",
                    "Time since a position was stored last, 0 while no record waits.",
                    labels,
                )?
                .with(&own),
            exactly_once: registry
                .gauge_family(
                    "levada_flow_exactly_once",
                    "1 while each record is delivered exactly once, 0 while at least once.",
                    labels,
                )?
                .with(&own),
            stale: registry
                .gauge_family(
                    "levada_flow_stale",
                    "1 while records wait and none was finished for too long.",
                    labels,
                )?
                .with(&own),
            key_collisions: registry
                .counter_family(
                    "levada_flow_key_collisions_total",
                    "Keys that a step dropped because another key got the same spelling.",
                    labels,
                )?
                .with(&own),
            filtered: registry
                .counter_family(
                    "levada_flow_filtered_total",
                    "Records that were filtered.",
                    labels,
                )?
                .with(&own),
            dropped: registry
                .counter_family(
                    "levada_flow_dropped_total",
                    "Records that failed and were dropped by policy.",
                    labels,
                )?
                .with(&own),
            steps: steps.collect(),
            stage_errors: registry.counter_family(
                "dataflow_task_stage_errors_total",
                "Records that failed, by stage.",
                &["namespace", "name", "stage", "error_type"],
            )?,
            operations: registry.counter_family(
                "dataflow_task_operations_total",
                "Batches, by operation and result.",
                &["namespace", "name", "operation", "status"],
            )?,
            connector_errors: registry.counter_family(
                "dataflow_connector_errors_total",
                "Failed operations of connectors.",
                &[
                    "namespace",
                    "name",
                    "connector_type",
                    "connector_name",
                    "operation",
                    "error_type",
                ],
            )?,
            registry: registry.clone(),
            namespace,
            name,
        })
    }

    /// Registers the metrics of a sink; `route` is `default`, the label of a route, or `error`.
    pub(super) fn sink(&self, kind: &str, route: &str) -> Result<SinkMetrics, MetricsError> {
        let (ns, n) = (self.namespace.as_str(), self.name.as_str());
        let registry = &self.registry;
        Ok(SinkMetrics {
            sent: registry
                .counter_family(
                    "dataflow_messages_sent_total",
                    "Records that a sink wrote.",
                    &["namespace", "name", "sink_type", "route"],
                )?
                .with(&[ns, n, kind, route]),
            written: registry
                .counter_family(
                    "dataflow_connector_messages_written_total",
                    "Records written by a connector.",
                    &["namespace", "name", "connector_type", "connector_name", "route"],
                )?
                .with(&[ns, n, kind, "sink", route]),
            bytes_sent: registry
                .counter_family(
                    "levada_flow_bytes_sent_total",
                    "Payload bytes that a sink wrote.",
                    &["namespace", "name", "route"],
                )?
                .with(&[ns, n, route]),
            connected: registry
                .gauge_family(
                    "dataflow_connector_connection_status",
                    "1 while connected.",
                    &["namespace", "name", "connector_type", "connector_name"],
                )?
                .with(&[ns, n, kind, "sink"]),
            retries: registry
                .counter_family(
                    "levada_flow_retries_total",
                    "Writes that failed and were repeated.",
                    &["namespace", "name", "route"],
                )?
                .with(&[ns, n, route]),
            duration: registry
                .histogram_family(
                    "dataflow_task_stage_duration_seconds",
                    "Time of a stage per batch.",
                    &["namespace", "name", "stage"],
                    Buckets::exponential(0.0001, 2.0, 14)?,
                )?
                .with(&[ns, n, if route == "error" { "error_sink_write" } else { "sink_write" }]),
            wait: queue_wait(registry)?.with(&[ns, n, route]),
        })
    }

    /// Shows how full an edge is.
    pub(super) fn watch_edge(
        &self,
        queue: &str,
        bound: u64,
        depth: impl Fn() -> u64 + Clone + Send + Sync + 'static,
    ) -> Result<(), MetricsError> {
        let (ns, n) = (self.namespace.as_str(), self.name.as_str());
        let now = depth.clone();
        self.registry.gauge_fn(
            "dataflow_task_queue_size",
            "Records waiting in a queue.",
            &[("namespace", ns), ("name", n), ("queue_type", queue)],
            move || now() as f64,
        )?;
        self.registry.gauge_fn(
            "dataflow_channel_fill_ratio",
            "How full a queue is, from 0 to 1.",
            &[("namespace", ns), ("name", n), ("channel", queue)],
            move || depth() as f64 / bound.max(1) as f64,
        )
    }

    /// Counts failed records of a stage.
    pub(super) fn stage_error(&self, stage: &str, class: ErrorClass, count: u64) {
        let values = &[self.namespace.as_str(), self.name.as_str(), stage, class.as_str()];
        self.stage_errors.with(values).add(count);
    }

    /// Counts a batch of an operation.
    pub(super) fn operation(&self, operation: &str, is_success: bool) {
        let status = if is_success { "success" } else { "error" };
        let values = &[self.namespace.as_str(), self.name.as_str(), operation, status];
        self.operations.with(values).add(1);
    }

    /// Counts a failed operation of a connector.
    pub(super) fn connector_error(
        &self,
        kind: &str,
        role: &str,
        operation: &str,
        class: ErrorClass,
    ) {
        let values =
            &[self.namespace.as_str(), self.name.as_str(), kind, role, operation, class.as_str()];
        self.connector_errors.with(values).add(1);
    }

    /// Counts records that a step could not handle.
    pub(super) fn step_error(&self, step: usize, class: ErrorClass, count: u64) {
        if let Some(step) = self.steps.get(step) {
            let (kind, index) = &step.labels;
            let (ns, n) = (self.namespace.as_str(), self.name.as_str());
            step.errors.with(&[ns, n, kind, index, class.as_str()]).add(count);
        }
    }

    /// Sets the phase: 1 for it, 0 for the others.
    pub(super) fn phase(&self, phase: &str) -> Result<(), MetricsError> {
        let family = self.registry.gauge_family(
            "dataflow_status",
            "1 for the phase of the flow, 0 for the others.",
            &["namespace", "name", "phase"],
        )?;
        for known in PHASES {
            let value = if known == phase { 1.0 } else { 0.0 };
            family.with(&[&self.namespace, &self.name, known]).set(value);
        }
        Ok(())
    }
}
