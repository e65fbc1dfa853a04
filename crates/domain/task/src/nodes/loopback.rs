//! `kapacitorLoopback`: gives points back to the ingress, under another database.

use std::sync::Arc;

use levada_model::{BatchRef, Group, Point, Str};
use levada_tick::script::Value;

use super::written::Written;
use crate::effect::Effect;
use crate::property::types::exactly;
use crate::property::{Pairs, Text};
use crate::runtime::{Barrier, Node, Out, Reader, StartContext, StateError, Step, Writer};
use crate::spec::{Edge, EdgeRule, Kind, Spec};
use crate::{spec_json, spec_properties};

/// `|kapacitorLoopback()`
#[derive(Clone, Debug, Default)]
pub struct Loopback {
    database: Text,
    retention: Text,
    measurement: Text,
    tags: Pairs,
}

crate::properties! {
    Loopback {
        "database" => database,
        "retentionPolicy" => retention,
        "measurement" => measurement,
        "tag" => tags,
    }
}

/// What is the same for all of them.
pub static KIND: Kind = Kind {
    name: "kapacitorLoopback",
    type_name: "KapacitorLoopbackNode",
    desc: "kapacitor_loopback",
    json_type: "kapacitorLoopback",
    summary: "gives points back to the ingress",
    wants: EdgeRule::SameAsParent,
    provides: EdgeRule::Fixed(Edge::None),
    chain: |builder, parent, _name, args| {
        exactly::<0>(args)?;
        builder.add(parent, Box::new(Loopback::default()))
    },
    empty: || Box::new(Loopback::default()),
};

struct Running {
    database: String,
    retention: String,
    written: Written,
    points_written: i64,
}

// === impl Loopback ===

impl Spec for Loopback {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    spec_properties!();
    spec_json!();

    fn args(&self) -> Vec<Value> {
        Vec::new()
    }

    fn validate(&self) -> Result<(), String> {
        if self.database.0.is_empty() {
            return Err("must specify a database".to_owned());
        }
        if self.retention.0.is_empty() {
            return Err("must specify a retention policy".to_owned());
        }
        Ok(())
    }

    fn start(&self, ctx: &mut StartContext<'_>) -> Result<Box<dyn Node>, String> {
        let (database, retention) = (&self.database.0, &self.retention.0);
        if ctx.dbrps.iter().any(|(db, rp)| **db == **database && **rp == **retention) {
            return Err(format!("loop detected on dbrp: {database:?}.{retention:?}"));
        }
        Ok(Box::new(Running {
            database: database.clone(),
            retention: retention.clone(),
            written: Written::new(&self.measurement.0, &self.tags),
            points_written: 0,
        }))
    }
}

// === impl Running ===

impl Running {
    fn write(&mut self, point: &Point, name: &Str, out: &mut Out<'_>) {
        // A point without fields cannot come in again.
        let Some(written) = self.written.point(point, name) else {
            return out.error(
                "failed to write point over loopback",
                "the point has no fields",
                &[],
            );
        };
        let (database, retention) = (self.database.as_str(), self.retention.as_str());
        match out.effect(Effect::Loopback { database, retention, point: &written }) {
            Ok(_) => self.points_written += 1,
            Err(cause) => out.error("failed to write point over loopback", &cause, &[]),
        }
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
        self.write(point, &point.series.name, out);
        Ok(())
    }

    fn batch(&mut self, _input: usize, batch: BatchRef<'_>, out: &mut Out<'_>) -> Step {
        // Differs: `measurement` counts for batches, too (U-23).
        for point in batch.points {
            self.write(point, batch.name, out);
        }
        Ok(())
    }

    fn barrier(&mut self, _input: usize, _barrier: &Barrier, _out: &mut Out<'_>) -> Step {
        Ok(())
    }

    fn delete(&mut self, _input: usize, _group: &Arc<Group>, _out: &mut Out<'_>) -> Step {
        Ok(())
    }

    fn forget(&mut self, _slot: u32) {}

    fn cardinality(&self) -> usize {
        0
    }

    fn statistics(&self) -> Vec<(&'static str, i64)> {
        vec![("points_written", self.points_written)]
    }

    fn save(&self, _writer: &mut Writer<'_>) {}

    fn load(&mut self, _reader: &mut Reader<'_>) -> Result<(), StateError> {
        Ok(())
    }
}
