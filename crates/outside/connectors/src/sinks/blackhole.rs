//! The `blackhole` sink: counts records and drops them.
//!
//! For measurements, and for routes whose records nobody wants. A batch costs the same whatever it
//! holds.

use async_trait::async_trait;
use levada_model::RecordBatch;
use levada_registry::{FieldPath, Report};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::context::BuildContext;
use crate::spec::{BuildError, SinkSpec};
use crate::traits::{Outcomes, Sink, SinkError};

/// Settings of the `blackhole` sink; there are none.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Spec {}

/// Drops what it is given.
#[derive(Debug, Default)]
struct Blackhole {
    records: u64,
}

// === impl Spec ===

impl SinkSpec for Spec {
    const NAME: &'static str = "blackhole";
    const SUMMARY: &'static str = "Counts records and drops them";

    fn check(&self, _at: &FieldPath, _report: &mut Report) {}

    fn build(self, _ctx: &BuildContext) -> Result<Box<dyn Sink>, BuildError> {
        Ok(Box::new(Blackhole::default()))
    }
}

// === impl Blackhole ===

#[async_trait]
impl Sink for Blackhole {
    async fn write(
        &mut self,
        batch: &RecordBatch,
        outcomes: &mut Outcomes,
    ) -> Result<(), SinkError> {
        self.records += batch.len() as u64;
        outcomes.delivered(0..batch.len());
        Ok(())
    }

    async fn close(&mut self) -> Result<(), SinkError> {
        tracing::debug!(records = self.records, "blackhole closed");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[tokio::test]
    async fn every_record_is_delivered() {
        let mut batch = RecordBatch::new();
        let origin = batch.push_origin("p".into(), 1.into());
        for _ in 0..3 {
            batch.push(b"{}", origin, 0);
        }
        let mut sink = Blackhole::default();
        let mut outcomes = Outcomes::default();
        sink.write(&batch, &mut outcomes).await.unwrap();
        assert_eq!(outcomes.delivered_ranges(), std::slice::from_ref(&(0..3)));
        outcomes.clear();
        sink.write(&RecordBatch::new(), &mut outcomes).await.unwrap();
        assert_eq!(outcomes.resolved(), 0);
        sink.close().await.unwrap();
        assert_eq!(sink.records, 3);
    }
}
