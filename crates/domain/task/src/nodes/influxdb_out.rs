//! `influxDBOut`: writes points to `InfluxDB`.
//!
//! The node names each point's place and gives it away; who takes it gathers points, sends them and says how that ended.
//!
//! The cluster `gateway` is the gateway of this process, where it has one: its rules decide where points go, so database and
//! retention policy mean nothing there. `gateway/logging` and so on stand for other categories than metrics.

use std::sync::Arc;

use levada_model::{BatchRef, Group, Point, Str};
use levada_tick::script::Value;

use super::written::Written;
use crate::effect::{Answer, Effect, Write};
use crate::property::types::exactly;
use crate::property::{Flag, Nanos, Pairs, Text};
use crate::runtime::services::InfluxdbOut;
use crate::runtime::{Barrier, Node, Out, Reader, StartContext, StateError, Step, Writer};
use crate::spec::{Edge, EdgeRule, Kind, Spec};
use crate::{spec_json, spec_properties};

/// `|influxDBOut()`
#[derive(Clone, Debug)]
pub struct InfluxDbOut {
    cluster: Text,
    database: Text,
    retention: Text,
    measurement: Text,
    consistency: Text,
    precision: Text,
    buffer: i64,
    flush_interval: Nanos,
    tags: Pairs,
    create: Flag,
}

crate::properties! {
    InfluxDbOut {
        "cluster" => cluster,
        "database" => database,
        "retentionPolicy" => retention,
        "measurement" => measurement,
        "writeConsistency" => consistency,
        "precision" => precision,
        "buffer" => buffer,
        "flushInterval" => flush_interval,
        "tag" => tags,
        "create" => create,
    }
}

/// What is the same for all of them.
pub static KIND: Kind = Kind {
    name: "influxDBOut",
    type_name: "InfluxDBOutNode",
    desc: "influxdb_out",
    json_type: "influxdbOut",
    summary: "writes points to InfluxDB",
    wants: EdgeRule::SameAsParent,
    provides: EdgeRule::Fixed(Edge::None),
    chain: |builder, parent, _name, args| {
        exactly::<0>(args)?;
        builder.add(parent, Box::new(InfluxDbOut::default()))
    },
    empty: || Box::new(InfluxDbOut::default()),
};

/// Source of both: kapacitor reference §5.23.
const BUFFER_DEFAULT: i64 = 1_000;
/// See [`BUFFER_DEFAULT`].
const FLUSH_INTERVAL_DEFAULT: i64 = 10_000_000_000;

struct Running {
    cluster: String,
    database: String,
    retention: String,
    consistency: String,
    precision: String,
    written: Written,
    points_written: i64,
    points_skipped: i64,
    write_errors: i64,
}

// === impl InfluxDbOut ===

impl Default for InfluxDbOut {
    fn default() -> Self {
        InfluxDbOut {
            cluster: Text::default(),
            database: Text::default(),
            retention: Text::default(),
            measurement: Text::default(),
            consistency: Text::default(),
            precision: Text::default(),
            buffer: BUFFER_DEFAULT,
            flush_interval: Nanos(FLUSH_INTERVAL_DEFAULT),
            tags: Pairs::default(),
            create: Flag::default(),
        }
    }
}

impl Spec for InfluxDbOut {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    spec_properties!();
    spec_json!();

    fn args(&self) -> Vec<Value> {
        Vec::new()
    }

    fn start(&self, ctx: &mut StartContext<'_>) -> Result<Box<dyn Node>, String> {
        ctx.services.influxdb_out(&InfluxdbOut {
            task: Str::clone(&ctx.task),
            node: ctx.node.clone(),
            cluster: self.cluster.0.clone(),
            database: self.database.0.clone(),
            retention: self.retention.0.clone(),
            // A buffer of none or less is written with every point, as one of 1 is.
            buffer: usize::try_from(self.buffer).unwrap_or(0).max(1),
            flush_interval: std::time::Duration::from_nanos(
                u64::try_from(self.flush_interval.0).unwrap_or(0),
            ),
            creates: self.create.0,
        })?;
        Ok(Box::new(Running {
            cluster: self.cluster.0.clone(),
            database: self.database.0.clone(),
            retention: self.retention.0.clone(),
            consistency: self.consistency.0.clone(),
            precision: self.precision.0.clone(),
            written: Written::new(&self.measurement.0, &self.tags),
            points_written: 0,
            points_skipped: 0,
            write_errors: 0,
        }))
    }
}

// === impl Running ===

impl Running {
    /// Gives a point away; `of_stream` says that the point's own database counts.
    fn write(&mut self, point: &Point, name: &Str, of_stream: bool, out: &mut Out<'_>) {
        let Some(written) = self.written.point(point, name) else {
            self.points_skipped += 1;
            return;
        };
        let series = &point.series;
        let is_own = |set: &str| of_stream && set.is_empty();
        let write = Write {
            cluster: &self.cluster,
            database: if is_own(&self.database) { &series.database } else { &self.database },
            retention: if is_own(&self.retention) { &series.retention } else { &self.retention },
            consistency: &self.consistency,
            precision: &self.precision,
            point: &written,
        };
        match out.effect(Effect::Write(write)) {
            Ok(_) => self.points_written += 1,
            Err(cause) => self.failed(&cause, 0, out),
        }
    }

    fn failed(&mut self, cause: &str, points: i64, out: &mut Out<'_>) {
        self.write_errors += 1;
        self.points_written -= points;
        out.error("failed to write points to InfluxDB", cause, &[]);
    }
}

impl Node for Running {
    fn point(
        &mut self,
        _input: usize,
        point: &Point,
        _group: &Arc<Group>,
        out: &mut Out<'_>,
    ) -> Step {
        self.write(point, &point.series.name, true, out);
        Ok(())
    }

    fn batch(&mut self, _input: usize, batch: BatchRef<'_>, out: &mut Out<'_>) -> Step {
        for point in batch.points {
            self.write(point, batch.name, false, out);
        }
        Ok(())
    }

    fn barrier(&mut self, _input: usize, barrier: &Barrier, out: &mut Out<'_>) -> Step {
        out.barrier(barrier)
    }

    /// How a request with some points of this node ended; the token is how many.
    fn answer(&mut self, token: u64, answer: Answer, out: &mut Out<'_>) -> Step {
        let points = i64::try_from(token).unwrap_or(i64::MAX);
        match answer {
            Answer::Status { code: 200..300, .. } => {}
            Answer::Status { code, body } => {
                let body = body.unwrap_or_default();
                self.failed(format!("status {code} {body}").trim_end(), points, out);
            }
            Answer::Failed(cause) => self.failed(&cause, points, out),
        }
        Ok(())
    }

    fn forget(&mut self, _slot: u32) {}

    fn cardinality(&self) -> usize {
        0
    }

    fn statistics(&self) -> Vec<(&'static str, i64)> {
        let mut statistics =
            vec![("points_written", self.points_written), ("write_errors", self.write_errors)];
        // A key that upstream does not have is there when it says something.
        if self.points_skipped > 0 {
            statistics.push(("points_skipped", self.points_skipped));
        }
        statistics
    }

    fn save(&self, _writer: &mut Writer<'_>) {}

    fn load(&mut self, _reader: &mut Reader<'_>) -> Result<(), StateError> {
        Ok(())
    }
}
