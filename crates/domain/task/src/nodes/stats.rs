//! `stats`: how many points a node has given so far, per group, every so often.

use std::sync::Arc;

use levada_model::time::{round, truncate};
use levada_model::{
    BatchRef, FieldValue, Group, GroupKey, Point, Series, Shape, Str, Timestamp, Values,
};
use levada_tick::script::{CallError, Value};

use super::noop::Noop;
use crate::pipeline::{Builder, NodeIndex};
use crate::property::types::{duration_argument, exactly};
use crate::property::{Flag, Nanos};
use crate::runtime::{Node, Out, PerGroup, Reader, StartContext, StateError, Step, Writer};
use crate::spec::{Edge, EdgeRule, Kind, Spec};
use crate::spec_json;

/// `|stats(interval)`
#[derive(Clone, Debug, Default)]
pub struct Stats {
    interval: Nanos,
    align: Flag,
}

crate::properties! { Stats { "interval" => interval, "align" => align } }

/// What is the same for all of them.
pub static KIND: Kind = Kind {
    name: "stats",
    type_name: "StatsNode",
    desc: "stats",
    json_type: "stats",
    summary: "counts what a node gives",
    wants: EdgeRule::Fixed(Edge::None),
    provides: EdgeRule::Fixed(Edge::Stream),
    chain: |builder, parent, _name, args| {
        let [interval] = exactly::<1>(args)?;
        add(builder, parent, duration_argument(interval)?, false)
    },
    empty: || Box::new(Stats::default()),
};

/// The measurement of the points.
const MEASUREMENT: &str = "stats";
/// Their field.
const FIELD: &str = "emitted";

struct Running {
    interval: i64,
    is_aligned: bool,
    watched: Option<usize>,
    counts: Vec<(Arc<Group>, u64)>,
    shape: Arc<Shape>,
    /// The series of each group, kept while its group is counted.
    series: PerGroup<(Arc<Group>, Arc<Series>)>,
}

/// Adds a stats node that watches `parent`; one without children gets an edge to count on.
pub fn add(
    builder: &mut Builder,
    parent: NodeIndex,
    interval: i64,
    is_aligned: bool,
) -> Result<NodeIndex, CallError> {
    let spec = Stats { interval: Nanos(interval), align: Flag(is_aligned) };
    let index = builder.add_source(Box::new(spec), parent)?;
    if builder.pipeline().node(parent).children.is_empty() {
        builder.add(parent, Box::new(Noop))?;
    }
    Ok(index)
}

// === impl Stats ===

impl Spec for Stats {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn has_property(&self, name: &str) -> bool {
        crate::property::is_same_name("align", name)
    }

    fn set(&mut self, name: &str, args: Vec<Value>) -> Result<crate::spec::Set, CallError> {
        crate::property::set(self, name, args).map(|()| crate::spec::Set::Method)
    }

    fn read(&self, name: &str) -> Option<Value> {
        let property = crate::property::find::<Self>(name)?;
        Some((property.get)(self).read())
    }

    fn calls(&self) -> Vec<crate::property::PropertyCall> {
        let calls = crate::property::calls(self);
        calls.into_iter().filter(|call| call.name == "align").collect()
    }

    fn boxed_clone(&self) -> Box<dyn Spec> {
        Box::new(self.clone())
    }

    spec_json!();

    fn args(&self) -> Vec<Value> {
        vec![Value::Duration(self.interval.0)]
    }

    fn check(&self, _provides: Edge) -> Result<(), String> {
        if self.interval.0 > 0 {
            return Ok(());
        }
        Err("stats node must have positive interval".to_owned())
    }

    fn start(&self, ctx: &mut StartContext<'_>) -> Result<Box<dyn Node>, String> {
        self.check(Edge::None)?;
        Ok(Box::new(Running {
            interval: self.interval.0,
            is_aligned: self.align.0,
            watched: ctx.watched,
            counts: Vec::new(),
            shape: Shape::new([Str::from(FIELD)].into()),
            series: PerGroup::default(),
        }))
    }
}

// === impl Running ===

impl Running {
    fn next(&self, now: Timestamp) -> Timestamp {
        let base = if self.is_aligned { truncate(now, self.interval) } else { now };
        Timestamp(base.0.saturating_add(self.interval))
    }

    fn series(&mut self, group: &Arc<Group>) -> Arc<Series> {
        if let Some((known, series)) = self.series.get(group.slot)
            && Arc::ptr_eq(known, group)
        {
            return Arc::clone(series);
        }
        let tags = group.key.tags().map(|(key, value)| (Str::clone(key), Str::clone(value)));
        let none = Str::default();
        let series = Series::new(none.clone(), none, MEASUREMENT.into(), tags.collect());
        self.series.remove(group.slot);
        self.series.entry(group.slot, || (Arc::clone(group), Arc::clone(&series)));
        series
    }
}

impl Node for Running {
    fn point(
        &mut self,
        _input: usize,
        point: &Point,
        group: &Arc<Group>,
        out: &mut Out<'_>,
    ) -> Step {
        out.point(point, group)
    }

    fn batch(&mut self, _input: usize, batch: BatchRef<'_>, out: &mut Out<'_>) -> Step {
        out.batch(batch)
    }

    fn forget(&mut self, slot: u32) {
        self.series.remove(slot);
    }

    fn begin(&mut self, out: &mut Out<'_>) -> Step {
        let first = self.next(out.ctx.now);
        out.set_timer(0, first);
        Ok(())
    }

    fn restored(&mut self, out: &mut Out<'_>) {
        let first = self.next(out.ctx.now);
        out.set_timer(0, first);
    }

    fn watches(&self) -> Option<usize> {
        self.watched
    }

    fn take_counts(&mut self, counts: Vec<(Arc<Group>, u64)>) {
        self.counts = counts;
    }

    fn timer(&mut self, _token: u64, now: Timestamp, out: &mut Out<'_>) -> Step {
        out.set_timer(0, Timestamp(now.0.saturating_add(self.interval)));
        let time = if self.is_aligned { round(now, self.interval) } else { now };
        let mut counts = std::mem::take(&mut self.counts);
        if counts.is_empty()
            && let Some(ungrouped) = out.ctx.group(GroupKey::ungrouped())
        {
            counts.push((ungrouped, 0));
        }
        for (group, count) in &counts {
            let mut values = Values::new();
            values.push(FieldValue::Int(i64::try_from(*count).unwrap_or(i64::MAX)));
            let series = self.series(group);
            let point = Point { series, shape: Arc::clone(&self.shape), values, time };
            out.point(&point, group)?;
        }
        Ok(())
    }

    fn cardinality(&self) -> usize {
        0
    }

    // What is counted belongs to the node that is watched, and the graph saves it with that node.
    fn save(&self, _writer: &mut Writer<'_>) {}

    fn load(&mut self, _reader: &mut Reader<'_>) -> Result<(), StateError> {
        Ok(())
    }
}
