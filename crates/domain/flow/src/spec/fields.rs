//! The fields of a flow beside its source, steps and sinks.

use std::collections::BTreeMap;

use levada_connectors::SourceEntry;
use levada_registry::{FieldPath, Node, Report, Unknown};
use levada_settings::Duration;
use schemars::JsonSchema;
use serde::Deserialize;

use super::maintenance::Maintenance;
use super::quantity;

/// What happens to a record that cannot be processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// It goes to the error sink.
    Dlq,
    /// It is dropped and counted.
    Drop,
    /// The flow stops; the record is read again when it starts next.
    Fail,
}

/// When the position of a record that went to the error sink is committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AckPolicy {
    /// When the error sink wrote it.
    #[default]
    AfterWrite,
    /// Never in this run, so that it is read again after a restart.
    Never,
    /// When the error sink wrote it and the main sink wrote something after it.
    AfterMainSinkSuccess,
}

/// How often each record is delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// At least once.
    AtLeastOnce,
    /// Exactly once; the flow fails when its sink may not keep positions.
    ExactlyOnce,
    /// Exactly once where the sink may keep positions, else at least once.
    #[default]
    Auto,
}

/// How much a position covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AckGranularity {
    /// A batch.
    #[default]
    Batch,
    /// One record.
    Message,
}

/// The fields of a flow's `spec` beside source, sink, errors and transformations.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct FlowFields {
    /// Resources of the processor's container; used in a cluster only.
    pub resources: Option<Resources>,
    /// Node labels that the processor's pod needs; used in a cluster only.
    pub node_selector: BTreeMap<String, String>,
    /// Affinity of the processor's pod; used in a cluster only.
    pub affinity: Option<serde_json::Value>,
    /// Tolerations of the processor's pod; used in a cluster only.
    pub tolerations: Vec<serde_json::Value>,
    /// Full image reference of the processor; used in a cluster only.
    pub processor_image: Option<String>,
    /// Tag on the default image repository; used in a cluster only.
    pub processor_version: Option<String>,
    /// Pull secrets of the processor's image; used in a cluster only.
    pub image_pull_secrets: Vec<serde_json::Value>,
    /// Keeps the source's position over restarts. Default: true.
    pub checkpoint_persistence: Option<bool>,
    /// Stores the position after each finished batch, at most every `checkpointSaveInterval`. Default: false.
    pub checkpoint_sync_on_ack: Option<bool>,
    /// How often the position is stored. Default: `1s`.
    pub checkpoint_save_interval: Option<Duration>,
    /// How often each record is delivered: `exactlyOnce` needs a sink that keeps the source's positions
    /// together with the records, and no routes; `atLeastOnce`; `auto` is the first where the second is not
    /// the most that can be had. Default: `auto`.
    pub delivery: Option<String>,
    /// How much a position covers: `batch` or `message`. Default: `batch`.
    pub ack_granularity: Option<String>,
    /// Forgets the stored position once, at the next start.
    pub checkpoint_reset: Option<bool>,
    /// Refuses a polling source before a sink that keeps duplicates. Default: false.
    pub strict_idempotency: Option<bool>,
    /// Records that each queue between stages holds. Default: 10,000.
    pub channel_buffer_size: Option<i32>,
    /// Threads that transform, 1 to 64; order is kept. Default: one per core, at most 4.
    pub transform_workers: Option<i32>,
    /// Processors; more than 1 for Kafka sources only. Default: 1.
    pub replicas: Option<i32>,
    /// When the flow pauses.
    pub maintenance: Option<Maintenance>,
    /// Does as the original does where ours is deliberately different. Default: false.
    pub compat: bool,
}

/// Resources of a container in Kubernetes' quantities.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Resources {
    /// The most that it may use.
    pub limits: BTreeMap<String, String>,
    /// What it is promised.
    pub requests: BTreeMap<String, String>,
    /// Claims of dynamic resources.
    pub claims: Vec<serde_json::Value>,
}

/// The values of `delivery`.
const DELIVERIES: [&str; 3] = ["auto", "exactlyOnce", "atLeastOnce"];

/// The fields of `spec` that other modules decode.
const ELSEWHERE: [&str; 4] = ["source", "sink", "transformations", "errors"];

// === impl FlowFields ===

impl FlowFields {
    /// Decodes the fields; problems are reported.
    pub(super) fn decode(spec: &Node, at: &FieldPath, report: &mut Report) -> Self {
        let mut rest = spec.clone();
        for name in ELSEWHERE {
            rest.remove(name);
        }
        levada_registry::decode(&rest, at, Unknown::Warn, report).unwrap_or_default()
    }

    /// Reports what is wrong with the values.
    pub(super) fn check(&self, at: &FieldPath, report: &mut Report) {
        if let Some(resources) = &self.resources {
            let at = at.child("resources");
            quantity::check(&resources.limits, &at.child("limits"), report);
            quantity::check(&resources.requests, &at.child("requests"), report);
        }
        if let Some(workers) = self.transform_workers
            && !(1..=64).contains(&workers)
        {
            report.invalid(&at.child("transformWorkers"), workers, "must be between 1 and 64");
        }
        if let Some(size) = self.channel_buffer_size
            && size < 1
        {
            report.invalid(&at.child("channelBufferSize"), size, "must be greater than zero");
        }
        if let Some(text) = &self.ack_granularity
            && !["batch", "message"].contains(&text.as_str())
        {
            report.unsupported(&at.child("ackGranularity"), text, ["batch", "message"]);
        }
        if let Some(text) = &self.delivery
            && !DELIVERIES.contains(&text.as_str())
        {
            report.unsupported(&at.child("delivery"), text, DELIVERIES);
        }
        if let Some(replicas) = self.replicas
            && replicas < 0
        {
            let detail = "must be greater than or equal to zero";
            report.invalid(&at.child("replicas"), replicas, detail);
        }
        if let Some(maintenance) = &self.maintenance {
            maintenance.check(&at.child("maintenance"), report);
        }
    }

    /// Reports settings that do not go with the source.
    pub(super) fn check_source(&self, source: &SourceEntry, at: &FieldPath, report: &mut Report) {
        if let Some(replicas) = self.replicas
            && replicas > 1
            && source.name != "kafka"
        {
            let detail = "horizontal scaling (replicas > 1) is only supported for Kafka sources; use resources or channelBufferSize for polling sources";
            report.invalid(&at.child("replicas"), replicas, detail);
        }
    }

    /// Gives what the flow asks for.
    pub(super) fn delivery(&self) -> Delivery {
        match self.delivery.as_deref() {
            Some("exactlyOnce") => Delivery::ExactlyOnce,
            Some("atLeastOnce") => Delivery::AtLeastOnce,
            _ => Delivery::Auto,
        }
    }

    /// Gives how much a position covers.
    pub fn granularity(&self) -> AckGranularity {
        match self.ack_granularity.as_deref() {
            Some("message") => AckGranularity::Message,
            _ => AckGranularity::Batch,
        }
    }
}

/// Reads `onError` of a step or source.
pub(super) fn on_error(
    node: Option<&Node>,
    at: &FieldPath,
    report: &mut Report,
) -> Option<OnError> {
    let text = node?.get("onError")?.scalar_text().unwrap_or_default();
    match text.as_str() {
        "dlq" => Some(OnError::Dlq),
        "drop" => Some(OnError::Drop),
        "fail" => Some(OnError::Fail),
        _ => {
            report.unsupported(&at.child("onError"), &text, ["dlq", "drop", "fail"]);
            None
        }
    }
}

/// Reads `when` of a step; its syntax is checked here.
pub(super) fn when(node: &Node, at: &FieldPath, report: &mut Report) -> Option<String> {
    let text = node.get("when")?.scalar_text().unwrap_or_default();
    if text.trim().is_empty() {
        // The original takes an empty `when` for none.
        return None;
    }
    if let Err(error) = levada_condition::condition::Condition::compile(&text) {
        report.invalid(&at.child("when"), text.as_str(), &error.to_string());
    }
    Some(text)
}

/// Reads `errors.ackPolicy`.
pub(super) fn ack_policy(node: &Node, at: &FieldPath, report: &mut Report) -> AckPolicy {
    let text = node.get("ackPolicy").and_then(Node::scalar_text).unwrap_or_default();
    match text.as_str() {
        "" | "afterWrite" => AckPolicy::AfterWrite,
        "never" => AckPolicy::Never,
        "afterMainSinkSuccess" => AckPolicy::AfterMainSinkSuccess,
        _ => {
            let known = ["afterWrite", "never", "afterMainSinkSuccess"];
            report.unsupported(&at.child("ackPolicy"), &text, known);
            AckPolicy::default()
        }
    }
}

/// Reads `errors.maxRatio`: a share from 0 (exclusive) to 1.
pub(super) fn max_ratio(node: &Node, at: &FieldPath, report: &mut Report) -> Option<f64> {
    let value = node.get("maxRatio")?;
    let ratio = value.scalar_text().and_then(|text| text.parse::<f64>().ok());
    match ratio.filter(|ratio| *ratio > 0.0 && *ratio <= 1.0) {
        Some(ratio) => Some(ratio),
        None => {
            let detail = "must be a share greater than 0 and at most 1, such as 0.1";
            report.invalid(&at.child("maxRatio"), value.to_json(), detail);
            None
        }
    }
}
