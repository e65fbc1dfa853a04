//! `from`: the points of one database, retention policy and measurement, filtered and grouped.

use std::sync::Arc;

use levada_model::time::{round, truncate};
use levada_model::{BatchRef, Group, Point, Series, Timestamp};
use levada_tick::lambda::Program;
use levada_tick::script::{CallError, Value};
use levada_tick::syntax::{Kind as Syntax, Node as Expression, Operator};

use super::dimensions::{Dimensions, Grouper, Grouping};
use super::idle::{self, Idle};
use super::predicate::Predicate;
use crate::property::types::{exactly, lambda_argument};
use crate::property::{Flag, Lambda, Nanos, Text};
use crate::runtime::{Barrier, Node, Out, Reader, StartContext, StateError, Step, Writer};
use crate::spec::{Edge, EdgeRule, Kind, Set, Spec};
use crate::spec_json;

/// `|from()`
#[derive(Clone, Debug, Default)]
pub struct From {
    database: Text,
    retention: Text,
    measurement: Text,
    filter: Lambda,
    dimensions: Dimensions,
    by_name: Flag,
    truncate: Nanos,
    round: Nanos,
}

crate::properties! {
    From {
        "database" => database,
        "retentionPolicy" => retention,
        "measurement" => measurement,
        "where" => filter,
        "groupBy" => dimensions,
        "groupByMeasurement" => by_name,
        "truncate" => truncate,
        "round" => round,
    }
}

/// What is the same for all of them.
pub static KIND: Kind = Kind {
    name: "from",
    type_name: "FromNode",
    desc: "from",
    json_type: "from",
    summary: "selects, filters and groups points",
    wants: EdgeRule::Fixed(Edge::Stream),
    provides: EdgeRule::Fixed(Edge::Stream),
    chain: |builder, parent, _name, args| {
        exactly::<0>(args)?;
        builder.add(parent, Box::new(From::default()))
    },
    empty: || Box::new(From::default()),
};

struct Running {
    database: String,
    retention: String,
    measurement: String,
    filter: Option<Predicate>,
    grouper: Grouper,
    idle: Option<Idle>,
    truncate: i64,
    round: i64,
}

// === impl From ===

impl From {
    /// The measurement it names; empty when it takes all.
    pub fn measurement(&self) -> &str {
        &self.measurement.0
    }

    fn grouping(&self) -> Grouping {
        self.dimensions.grouping(&[], self.by_name.0)
    }
}

impl Spec for From {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn has_property(&self, name: &str) -> bool {
        crate::property::find::<Self>(name).is_some()
    }

    fn set(&mut self, name: &str, args: Vec<Value>) -> Result<Set, CallError> {
        if !crate::property::is_same_name("where", name) {
            return crate::property::set(self, name, args).map(|()| Set::Field);
        }
        let [expression] = exactly::<1>(args)?;
        let expression = lambda_argument(expression)?;
        self.filter.0 = Some(match self.filter.0.take() {
            Some(earlier) => both(&earlier, &expression),
            None => expression,
        });
        Ok(Set::Method)
    }

    fn read(&self, name: &str) -> Option<Value> {
        let property = crate::property::find::<Self>(name)?;
        Some((property.get)(self).read())
    }

    fn calls(&self) -> Vec<crate::property::PropertyCall> {
        crate::property::calls(self)
    }

    fn boxed_clone(&self) -> Box<dyn Spec> {
        Box::new(self.clone())
    }

    spec_json!();

    fn args(&self) -> Vec<Value> {
        Vec::new()
    }

    fn validate(&self) -> Result<(), String> {
        for (name, nanos) in [("truncate", self.truncate), ("round", self.round)] {
            if nanos.0 < 0 {
                return Err(format!("{name} must not be negative"));
            }
        }
        self.dimensions.check(false)
    }

    fn check(&self, _provides: Edge) -> Result<(), String> {
        self.filter.0.as_deref().map_or(Ok(()), |filter| compile(filter).map(|_| ()))
    }

    fn decides_groups(&self) -> bool {
        true
    }

    fn start(&self, ctx: &mut StartContext<'_>) -> Result<Box<dyn Node>, String> {
        let filter = match self.filter.0.as_deref() {
            Some(filter) => {
                let predicate = Predicate::new(compile(filter)?, ctx.seed);
                Some(predicate.shared(ctx.compat.is_1_8))
            }
            None => None,
        };
        Ok(Box::new(Running {
            database: self.database.0.clone(),
            retention: self.retention.0.clone(),
            measurement: self.measurement.0.clone(),
            filter,
            grouper: Grouper::new(self.grouping()),
            idle: Idle::new(ctx.limits.group_ttl),
            truncate: self.truncate.0,
            round: self.round.0,
        }))
    }
}

fn compile(filter: &Expression) -> Result<Program, String> {
    Program::compile(filter).map_err(|error| format!("Failed to compile from expression: {error}"))
}

/// Joins two filters with `AND`, each in parentheses.
fn both(one: &Arc<Expression>, other: &Arc<Expression>) -> Arc<Expression> {
    let in_parens = |expression: &Arc<Expression>| {
        let mut node = Expression::clone(expression);
        if let Syntax::Binary { in_parens, .. } = &mut node.kind {
            *in_parens = true;
        }
        Box::new(node)
    };
    Arc::new(Expression {
        position: other.position,
        comment: None,
        kind: Syntax::Binary {
            operator: Operator::And,
            left: in_parens(one),
            right: in_parens(other),
            in_parens: false,
            is_multi_line: false,
        },
    })
}

// === impl Running ===

impl Running {
    #[inline]
    fn selects(&self, series: &Series) -> bool {
        // Comparing short texts is cheaper than looking up what was found for this series before.
        let matches = |wanted: &str, given: &str| wanted.is_empty() || wanted == given;
        matches(&self.measurement, &series.name)
            && matches(&self.database, &series.database)
            && matches(&self.retention, &series.retention)
    }

    fn passes(
        filter: &mut Option<Predicate>,
        point: &Point,
        group: &Group,
        out: &mut Out<'_>,
    ) -> bool {
        let Some(filter) = filter else { return true };
        let result = filter.holds(point, group.slot, &out.ctx.env);
        match result {
            Ok(passes) => passes,
            Err(error) => {
                out.error("failed to evaluate WHERE expression", &error.to_string(), &[]);
                false
            }
        }
    }

    #[inline]
    fn time(truncate_to: i64, round_to: i64, point: &Point) -> Option<Timestamp> {
        let mut time = point.time;
        if truncate_to > 0 {
            time = truncate(time, truncate_to);
        }
        if round_to > 0 {
            time = round(time, round_to);
        }
        (time != point.time).then_some(time)
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
        if !self.selects(&point.series) {
            return Ok(());
        }
        let Some(group) = self.grouper.group(&point.series, &mut out.ctx.groups) else {
            out.error("too many groups", &point.series.name, &[]);
            return Ok(());
        };
        if let Some(idle) = &mut self.idle {
            idle.touch(group, out.ctx.now);
        }
        if !Running::passes(&mut self.filter, point, group, out) {
            return Ok(());
        }
        match Running::time(self.truncate, self.round, point) {
            Some(time) => out.point(&Point { time, ..point.clone() }, group),
            None => out.point(point, group),
        }
    }

    fn batch(&mut self, _input: usize, _batch: BatchRef<'_>, _out: &mut Out<'_>) -> Step {
        Ok(())
    }

    fn barrier(&mut self, _input: usize, barrier: &Barrier, out: &mut Out<'_>) -> Step {
        out.barrier(barrier)
    }

    fn forget(&mut self, slot: u32) {
        if let Some(filter) = &mut self.filter {
            filter.forget(slot);
        }
        self.grouper.forget(slot);
        if let Some(idle) = &mut self.idle {
            idle.forget(slot);
        }
    }

    fn begin(&mut self, out: &mut Out<'_>) -> Step {
        Idle::begin(self.idle.as_ref(), out);
        Ok(())
    }

    fn timer(&mut self, _token: u64, now: Timestamp, out: &mut Out<'_>) -> Step {
        for group in Idle::look(self.idle.as_mut(), now, out) {
            self.forget(group.slot);
            idle::delete(group, out)?;
        }
        Ok(())
    }

    fn cardinality(&self) -> usize {
        0
    }

    fn save(&self, writer: &mut Writer<'_>) {
        if let Some(filter) = &self.filter {
            filter.save(writer);
        }
    }

    fn load(&mut self, reader: &mut Reader<'_>) -> Result<(), StateError> {
        self.filter.as_mut().map_or(Ok(()), |filter| filter.load(reader))
    }
}
