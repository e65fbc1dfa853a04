//! The `gateway` sink: records become points of the gateway of the same process.
//!
//! ```text
//! record ──> measurement, tags, fields, time ──> one line ──┐
//!                          lines of a batch <───────────────┘ ──> queues of the destinations ──> delivered
//! ```
//! - A record is mapped to a point as the `influxdb` sink does it, and by the same code. Its line is what the queues of the
//!   gateway keep: nothing is written twice.
//! - Records count as delivered when every destination has them in its queue, as durable as the queue's `sync` says. A queue
//!   that is full and blocks makes the flow wait.
//! - A batch that one queue takes and another does not is written again as a whole: points may come twice, never not at all.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use levada_model::{Category, ErrorClass, RecordBatch, RecordError, Value};
use levada_registry::{FieldPath, Report};
use schemars::JsonSchema;
use serde::Deserialize;

use super::influxdb;
use super::influxdb::encode::Encoder;
use super::mapped::mapped_spec;
use crate::context::BuildContext;
use crate::gateway::{GatewayTarget, GatewayTargetError, GatewayTargets, HOPS, NO_GATEWAY};
use crate::mapping::time::TimeUnit;
use crate::spec::{BuildError, SinkSpec};
use crate::traits::{Outcomes, Sink, SinkError};

mapped_spec! {
    /// Settings of the `gateway` sink.
    #[schemars(rename = "GatewaySink")]
    Spec {
        /// The destination of the gateway that gets the points, whatever its sinkers say; drop filters hold all the
        /// same. Default: where the rules of the gateway send them.
        name: String,
        /// What the points are about, by name (`metric`, `logging`, `keyevent`, `object`, …) or by alias (`M`, `L`,
        /// `E`, `O`, …). Default `metric`.
        category: String,
        [
            /// How numbers become fields: `asWritten` (`5` is an integer, `5.0` a float) or `float` (all are floats).
            /// Default `asWritten`.
            numbers: influxdb::Numbers
        ],
        /// Reject a record that breaks a rule of its category, such as a metric with a text. Without it the point is
        /// changed as a Dataway would: a metric loses its texts, a log without `status` gets `info`, and the gateway counts
        /// that. Default `false`.
        strict: bool,
    }
}

struct GatewaySink {
    name: String,
    category: Category,
    is_strict: bool,
    target: Option<Arc<dyn GatewayTarget>>,
    encoder: Encoder,
    ctx: BuildContext,
}

// === impl Spec ===

impl Spec {
    fn mapping(&self) -> influxdb::Spec {
        // The gateway tells unsigned integers from others.
        influxdb::Spec { unsigned: true, ..self.mapped(self.numbers) }
    }

    /// Gives the category, or the names of those that there are.
    fn category(&self) -> Result<Category, Vec<&'static str>> {
        if self.category.is_empty() {
            return Ok(Category::Metric);
        }
        let is_real = |one: &Category| !matches!(one, Category::Unknown | Category::DynamicDataway);
        let named =
            Category::of_name(&self.category).or_else(|| Category::of_alias(&self.category));
        named
            .filter(is_real)
            .ok_or_else(|| Category::ALL.into_iter().filter(is_real).map(Category::name).collect())
    }
}

impl SinkSpec for Spec {
    const NAME: &'static str = "gateway";
    const SUMMARY: &'static str = "Hands points to the gateway of the same process";

    fn check(&self, at: &FieldPath, report: &mut Report) {
        self.mapping().check_mapping(at, report);
        if let Err(known) = self.category() {
            report.unsupported(&at.child("category"), &self.category, known);
        }
    }

    fn is_idempotent(&self) -> Option<bool> {
        // What stores metrics replaces a point of the same series and time.
        Some(!self.timestamp.is_empty())
    }

    fn build(self, ctx: &BuildContext) -> Result<Box<dyn Sink>, BuildError> {
        let encoder = Encoder::new(&self.mapping()).map_err(BuildError::Invalid)?;
        let category = self.category().map_err(|_| {
            BuildError::Invalid(format!("there is no category `{}`", self.category))
        })?;
        Ok(Box::new(GatewaySink {
            category,
            is_strict: self.strict,
            target: ctx.links.get::<GatewayTargets>().map(|targets| Arc::clone(&targets.0)),
            name: self.name,
            encoder,
            ctx: ctx.clone(),
        }))
    }
}

// === impl GatewaySink ===

impl GatewaySink {
    fn target(&self) -> Result<&Arc<dyn GatewayTarget>, SinkError> {
        self.target.as_ref().ok_or_else(|| SinkError::new(ErrorClass::Unknown, NO_GATEWAY))
    }

    /// The lines of a batch, and the records that they were made of, by how often these have come out of the gateway; what is
    /// no point is rejected.
    fn lines(&mut self, batch: &RecordBatch, outcomes: &mut Outcomes) -> BTreeMap<u8, Lines> {
        let received = match batch.received_at {
            time if time == Default::default() => self.ctx.clock.now(),
            time => time,
        };
        let is_resolved = outcomes.resolved_flags(batch.len());
        let mut all: BTreeMap<u8, Lines> = BTreeMap::new();
        for index in (0..batch.len()).filter(|index| !is_resolved[*index]) {
            let (lines, records) = all.entry(hops(batch, index)).or_default();
            let start = lines.len();
            match self.encoder.push(batch, index, received, lines) {
                Ok(()) if is_before_1970(&lines[start..]) => {
                    lines.truncate(start);
                    let text = "the time is before 1970, and the gateway has no such times";
                    outcomes.rejected(index, RecordError::invalid(text));
                }
                Ok(()) => records.push(index),
                Err(error) => outcomes.rejected(index, error),
            }
        }
        all.retain(|_, (_, records)| !records.is_empty());
        all
    }
}

/// Lines, and the records that they were made of.
type Lines = (Vec<u8>, Vec<usize>);

/// Gives how often a record has come out of the gateway.
fn hops(batch: &RecordBatch, index: usize) -> u8 {
    match batch.meta(index).and_then(|meta| meta.get(HOPS)) {
        Some(Value::UInt(hops)) => u8::try_from(*hops).unwrap_or(u8::MAX),
        Some(Value::Int(hops)) => u8::try_from(*hops).unwrap_or(u8::MAX),
        Some(Value::Number(text)) => text.parse().unwrap_or(u8::MAX),
        _ => 0,
    }
}

/// Says whether the time at the end of a line is negative.
fn is_before_1970(line: &[u8]) -> bool {
    let time = line.iter().rposition(|byte| *byte == b' ').map(|at| at + 1);
    time.and_then(|at| line.get(at)).is_some_and(|first| *first == b'-')
}

#[async_trait]
impl Sink for GatewaySink {
    async fn open(&mut self) -> Result<(), SinkError> {
        let checked = self.target()?.check(&self.name);
        checked.map_err(|error| SinkError::new(ErrorClass::Unknown, error.to_string()))
    }

    async fn write(
        &mut self,
        batch: &RecordBatch,
        outcomes: &mut Outcomes,
    ) -> Result<(), SinkError> {
        let target = Arc::clone(self.target()?);
        for (hops, (lines, records)) in self.lines(batch, outcomes) {
            let lines = lines.into();
            let written = target.write(&self.name, self.category, lines, self.is_strict, hops);
            match written.await {
                Ok(()) => records.into_iter().for_each(|at| outcomes.delivered(at..at + 1)),
                Err(GatewayTargetError::Refused(reason)) => {
                    return Err(SinkError {
                        is_about_records: true,
                        ..SinkError::new(ErrorClass::InvalidData, reason)
                    });
                }
                Err(error @ GatewayTargetError::Later(_)) => {
                    return Err(SinkError::new(ErrorClass::Transient, error.to_string()));
                }
                Err(error) => return Err(SinkError::new(ErrorClass::Unknown, error.to_string())),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
