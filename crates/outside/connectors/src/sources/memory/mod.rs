//! The `memory` source: takes the records that `memory` sinks of the same process and name write.
//!
//! Connects flows without anything outside. In memory only: a sink counts a record as delivered when
//! it waits here, so a crash loses the records that wait, and a restart has nowhere to go back to.
//!
//! The source ends when every sink of its name has closed and nothing waits; without any sink yet, it
//! waits for one. A sink counts from when its flow is built, so build all flows before the first runs.

pub(crate) mod hub;
#[cfg(test)]
mod tests;

use async_trait::async_trait;
use levada_model::value::Str;
use levada_model::{Position, RecordBatch};
use levada_registry::{FieldPath, Report};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::context::BuildContext;
use crate::spec::{BuildError, SourceSpec};
use crate::traits::{Source, SourceError};

use hub::HubSource;

/// The one partition.
const PARTITION: &str = "memory";

/// Settings of the `memory` source.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Spec {
    /// The name that the sinks write to. Required. Several sources of one name share its records.
    pub name: String,
}

/// Takes blocks out of a channel.
struct MemorySource {
    name: String,
    hub: Option<HubSource>,
    partition: Str,
    position: u64,
}

// === impl Spec ===

impl SourceSpec for Spec {
    const NAME: &'static str = "memory";
    const SUMMARY: &'static str =
        "Takes what memory sinks of this process write; nothing survives a crash";

    fn check(&self, at: &FieldPath, report: &mut Report) {
        if self.name.is_empty() {
            report.required(&at.child("name"), "name is required");
        }
    }

    fn build(self, _ctx: &BuildContext) -> Result<Box<dyn Source>, BuildError> {
        // Joined at once: what sinks write before the source is opened waits for it.
        let hub = Some(HubSource::join(&self.name));
        Ok(Box::new(MemorySource {
            name: self.name,
            hub,
            partition: PARTITION.into(),
            position: 0,
        }))
    }
}

// === impl MemorySource ===

#[async_trait]
impl Source for MemorySource {
    async fn open(&mut self, positions: &[(Str, Position)]) -> Result<(), SourceError> {
        // Only a number that grows: there is nothing to go back to.
        for (_, position) in positions.iter().filter(|(partition, _)| *partition == self.partition)
        {
            self.position = self.position.max(position.as_u64().unwrap_or(0));
        }
        self.hub.get_or_insert_with(|| HubSource::join(&self.name));
        Ok(())
    }

    async fn next(&mut self, batch: &mut RecordBatch) -> Result<bool, SourceError> {
        let Some(hub) = &self.hub else { return Ok(false) };
        let Some(block) = hub.recv().await else {
            // Leaving the channel lets the hub forget it.
            self.hub = None;
            return Ok(false);
        };
        self.position += block.spans.len() as u64;
        let origin = batch.push_origin(self.partition.clone(), self.position.into());
        block.append_to(batch, origin, self.position);
        Ok(true)
    }

    fn lag(&self) -> Option<u64> {
        self.hub.as_ref().map(HubSource::records)
    }
}
