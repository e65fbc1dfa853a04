//! The `task` sink: records become points of a task in the same process.
//!
//! A record is mapped to a point as the `influxdb` sink does it: measurement, tags, fields, time. The point is then in
//! memory, and the task's state is kept by its checkpoints; see `task.checkpoint-interval`.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use levada_codec::line_protocol::{Limits, Parser, Precision};
use levada_model::{ErrorClass, Point, RecordBatch, RecordError, Str};
use levada_registry::{FieldPath, Report};
use schemars::JsonSchema;
use serde::Deserialize;

use super::influxdb;
use super::influxdb::encode::Encoder;
use super::mapped::mapped_spec;
use crate::context::BuildContext;
use crate::mapping::time::TimeUnit;
use crate::points::{PointTarget, PointTargetError, PointTargets};
use crate::spec::{BuildError, SinkSpec};
use crate::traits::{Outcomes, Sink, SinkError};

/// Used when no database is named.
const DATABASE_DEFAULT: &str = "levada";
/// Used when no retention policy is named. Source: the default policy of InfluxDB.
const RETENTION_DEFAULT: &str = "autogen";

mapped_spec! {
    /// Settings of the `task` sink.
    #[schemars(rename = "TaskSink")]
    Spec {
        /// The task that gets the points, by the name of its file without `.tick`. Default: every task that
        /// listens to the database and retention policy.
        name: String,
        /// The database that the points belong to, as `dbrp` of a script names it. Default `levada`.
        database: String,
        /// The retention policy. Default `autogen`.
        retention_policy: String,
        [
            /// How numbers become fields: `asWritten` (`5` is an integer, `5.0` a float) or `float` (all are floats,
            /// as scripts usually want them). Default `float`.
            numbers: Option<influxdb::Numbers>
        ],
    }
}

struct TaskSink {
    name: String,
    database: Str,
    retention: Str,
    target: Option<Arc<dyn PointTarget>>,
    encoder: Encoder,
    parser: Parser,
    ctx: BuildContext,
    line: Vec<u8>,
}

// === impl Spec ===

impl Spec {
    fn mapping(&self) -> influxdb::Spec {
        self.mapped(self.numbers.unwrap_or(influxdb::Numbers::Float))
    }
}

impl SinkSpec for Spec {
    const NAME: &'static str = "task";
    const SUMMARY: &'static str = "Hands points to a task of the same process";

    fn check(&self, at: &FieldPath, report: &mut Report) {
        self.mapping().check_mapping(at, report);
    }

    fn build(self, ctx: &BuildContext) -> Result<Box<dyn Sink>, BuildError> {
        let encoder = Encoder::new(&self.mapping()).map_err(BuildError::Invalid)?;
        let or =
            |text: &str, default: &str| Str::from(if text.is_empty() { default } else { text });
        Ok(Box::new(TaskSink {
            database: or(&self.database, DATABASE_DEFAULT),
            retention: or(&self.retention_policy, RETENTION_DEFAULT),
            name: self.name,
            target: ctx.links.get::<PointTargets>().map(|targets| Arc::clone(&targets.0)),
            encoder,
            parser: Parser::new(Limits::default()),
            ctx: ctx.clone(),
            line: Vec::new(),
        }))
    }
}

// === impl TaskSink ===

impl TaskSink {
    /// The points of a batch and the records they were made of; what is no point is rejected.
    fn points(&mut self, batch: &RecordBatch, outcomes: &mut Outcomes) -> (Vec<Point>, Vec<usize>) {
        let received = self.ctx.clock.now();
        let mut points = Vec::with_capacity(batch.len());
        let mut records = Vec::with_capacity(batch.len());
        for index in 0..batch.len() {
            self.line.clear();
            if let Err(error) = self.encoder.push(batch, index, received, &mut self.line) {
                outcomes.rejected(index, error);
                continue;
            }
            let before = points.len();
            let outcome = self.parser.parse(
                &self.database,
                &self.retention,
                Precision::Nanoseconds,
                received,
                &self.line,
                &mut points,
            );
            match outcome.problems.first() {
                Some(problem) => {
                    points.truncate(before);
                    outcomes.rejected(index, RecordError::invalid(problem.server_text()));
                }
                None => records.push(index),
            }
        }
        (points, records)
    }
}

#[async_trait]
impl Sink for TaskSink {
    async fn write(
        &mut self,
        batch: &RecordBatch,
        outcomes: &mut Outcomes,
    ) -> Result<(), SinkError> {
        let (points, records) = self.points(batch, outcomes);
        let Some(target) = &self.target else {
            return Err(SinkError::new(
                ErrorClass::Unknown,
                "no tasks run in this process; start the flow together with a script, such as `levada run flow.yaml cpu.tick`",
            ));
        };
        if points.is_empty() {
            return Ok(());
        }
        match target.write(&self.name, points).await {
            Ok(()) => {
                for record in records {
                    outcomes.delivered(record..record + 1);
                }
                Ok(())
            }
            Err(error @ PointTargetError::Full(_)) => {
                Err(SinkError::new(ErrorClass::Transient, error.to_string()))
            }
            Err(error) => Err(SinkError::new(ErrorClass::Unknown, error.to_string())),
        }
    }
}
