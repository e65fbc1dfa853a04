//! The `memory` sink: hands records to `memory` sources of the same process and name.
//!
//! In memory only: a record counts as delivered when it waits in the channel, so a crash loses the
//! records that no source has taken yet. When the channel is full the sink waits.

use async_trait::async_trait;
use levada_model::RecordBatch;
use levada_registry::{FieldPath, Report};
use levada_settings::ByteSize;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::context::BuildContext;
use crate::sources::memory::hub::{Block, Bounds, HubSink};
use crate::spec::{BuildError, SinkSpec};
use crate::traits::{Outcomes, Sink, SinkError};

/// Records that wait at most. Ours: some tens of batches.
const RECORDS_DEFAULT: u64 = 65_536;

/// Payload bytes that wait at most. Ours: as much as the edges of a flow hold.
const BYTES_DEFAULT: ByteSize = ByteSize::mib(64);

/// Records and bytes of one block; a larger batch is cut, so that the bounds hold.
const BLOCK_RECORDS_MAX: usize = 4096;
const BLOCK_BYTES_MAX: usize = 1 << 20;

/// Settings of the `memory` sink.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Spec {
    /// The name that the source reads from. Required. Several sinks may write to one name.
    pub name: String,
    /// Records that wait for the source at most; then the sink waits. Default 65536.
    pub max_records: Option<u64>,
    /// Payload bytes that wait for the source at most. Default `64MiB`.
    pub max_bytes: Option<ByteSize>,
}

/// Puts blocks into a channel.
struct MemorySink {
    name: String,
    bounds: Bounds,
    hub: Option<HubSink>,
}

// === impl Spec ===

impl SinkSpec for Spec {
    const NAME: &'static str = "memory";
    const SUMMARY: &'static str =
        "Hands records to memory sources of this process; nothing survives a crash";

    fn check(&self, at: &FieldPath, report: &mut Report) {
        if self.name.is_empty() {
            report.required(&at.child("name"), "name is required");
        }
        if self.max_records == Some(0) {
            report.invalid(&at.child("maxRecords"), 0, "must be greater than zero");
        }
        if self.max_bytes.is_some_and(|size| size.bytes() == 0) {
            report.invalid(&at.child("maxBytes"), 0, "must be greater than zero");
        }
    }

    fn build(self, _ctx: &BuildContext) -> Result<Box<dyn Sink>, BuildError> {
        let bounds = Bounds {
            records: self.max_records.unwrap_or(RECORDS_DEFAULT),
            bytes: self.max_bytes.unwrap_or(BYTES_DEFAULT).bytes(),
        };
        // Joined at once: a source must not end because this flow is opened a little later.
        let hub = Some(HubSink::join(&self.name));
        Ok(Box::new(MemorySink { name: self.name, bounds, hub }))
    }
}

// === impl MemorySink ===

/// Gives where the block that begins with record `start` ends; it holds at least that one.
fn block_end(bounds: Bounds, batch: &RecordBatch, start: usize) -> usize {
    let mut bytes = 0;
    let records = (bounds.records as usize).clamp(1, BLOCK_RECORDS_MAX);
    let limit = (bounds.bytes as usize).min(BLOCK_BYTES_MAX);
    for index in start..batch.len().min(start + records) {
        let record = &batch.records[index];
        bytes += (record.end - record.start) as usize + 1;
        if bytes > limit && index > start {
            return index;
        }
    }
    batch.len().min(start + records)
}

#[async_trait]
impl Sink for MemorySink {
    async fn open(&mut self) -> Result<(), SinkError> {
        self.hub.get_or_insert_with(|| HubSink::join(&self.name));
        Ok(())
    }

    async fn write(
        &mut self,
        batch: &RecordBatch,
        outcomes: &mut Outcomes,
    ) -> Result<(), SinkError> {
        let hub = self.hub.get_or_insert_with(|| HubSink::join(&self.name));
        let mut start = 0;
        while start < batch.len() {
            let end = block_end(self.bounds, batch, start);
            hub.send(Block::copy(batch, start..end), self.bounds).await;
            outcomes.delivered(start..end);
            start = end;
        }
        Ok(())
    }

    async fn close(&mut self) -> Result<(), SinkError> {
        self.hub = None;
        Ok(())
    }
}
