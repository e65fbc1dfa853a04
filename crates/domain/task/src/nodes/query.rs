//! `query`: the rows that `InfluxDB` gives to a query, every so often.
//!
//! Who runs the task asks ([`QueryPlan`]) and gives the answers; the node hands them on and counts them.

pub mod answer;
mod dimensions;
pub mod plan;
mod running;

use levada_influxql::{Dimension, Query as Prepared, Schedule};
use levada_tick::script::Value;

use crate::property::types::{exactly, text, text_argument};
use crate::property::{Flag, Nanos, Text};
use crate::runtime::{Node, StartContext};
use crate::spec::{Edge, EdgeRule, Kind, Spec};
use crate::spec_json;

use dimensions::{FillProperty, QueryDimensions};

pub use plan::{QueryKind, QueryPlan};
pub use running::Running;

/// The members of `Spec` for a node whose argument is kept beside its properties.
macro_rules! argument_properties {
    () => {
        fn has_property(&self, name: &str) -> bool {
            !$crate::property::is_same_name($crate::nodes::query::ARGUMENT, name)
                && $crate::property::find::<Self>(name).is_some()
        }

        fn set(
            &mut self,
            name: &str,
            args: Vec<Value>,
        ) -> Result<$crate::spec::Set, levada_tick::script::CallError> {
            $crate::property::set(self, name, args).map(|()| $crate::spec::Set::Field)
        }

        fn read(&self, name: &str) -> Option<Value> {
            let property = $crate::property::find::<Self>(name)?;
            self.has_property(name).then(|| (property.get)(self).read())
        }

        fn calls(&self) -> Vec<$crate::property::PropertyCall> {
            let calls = $crate::property::calls(self);
            let is_property =
                |call: &$crate::property::PropertyCall| call.name != $crate::nodes::query::ARGUMENT;
            calls.into_iter().filter(is_property).collect()
        }

        fn boxed_clone(&self) -> Box<dyn Spec> {
            Box::new(self.clone())
        }
    };
}

pub(super) use argument_properties;

/// `|query('SELECT …')`
#[derive(Clone, Debug, Default)]
pub struct Query {
    text: Text,
    period: Nanos,
    every: Nanos,
    align: Flag,
    cron: Text,
    offset: Nanos,
    align_group: Flag,
    dimensions: QueryDimensions,
    by_name: Flag,
    fill: FillProperty,
    cluster: Text,
}

crate::properties! {
    Query {
        "queryStr" => text,
        "period" => period,
        "every" => every,
        "align" => align,
        "cron" => cron,
        "offset" => offset,
        "alignGroup" => align_group,
        "groupBy" => dimensions,
        "groupByMeasurement" => by_name,
        "fill" => fill,
        "cluster" => cluster,
    }
}

/// What is the same for all of them.
pub static KIND: Kind = Kind {
    name: "query",
    type_name: "QueryNode",
    desc: "query",
    json_type: "query",
    summary: "asks InfluxDB every so often",
    wants: EdgeRule::Fixed(Edge::Batch),
    provides: EdgeRule::Fixed(Edge::Batch),
    chain: |builder, parent, _name, args| {
        let [query] = exactly::<1>(args)?;
        let text = Text(text_argument(query)?);
        builder.add(parent, Box::new(Query { text, ..Query::default() }))
    },
    empty: || Box::new(Query::default()),
};

/// The member of JSON that holds the argument, which is no property.
pub(super) const ARGUMENT: &str = "queryStr";

// === impl Query ===

impl Query {
    /// Describes what is asked; an error is upstream's enable error.
    pub fn plan(&self, is_1_8: bool) -> Result<QueryPlan, String> {
        let prepare = if is_1_8 { Prepared::prepare_literal } else { Prepared::prepare };
        let query = prepare(&self.text.0).map_err(|error| error.to_string())?;
        let dimensions = self.dimensions.meant()?;
        Dimension::check_all(&dimensions).map_err(|error| error.to_string())?;
        let fill = self.fill.meant()?;
        Ok(QueryPlan {
            kind: QueryKind::InfluxQl {
                query: Box::new(query),
                dimensions,
                fill,
                align_group: self.align_group.0,
                by_name: self.by_name.0,
            },
            schedule: schedule(&self.every, &self.align, &self.cron)?,
            period: self.period.0,
            offset: self.offset.0,
            cluster: self.cluster.0.clone(),
        })
    }
}

/// Gives when a node asks.
pub(super) fn schedule(every: &Nanos, align: &Flag, cron: &Text) -> Result<Schedule, String> {
    Schedule::new(every.0, align.0, &cron.0).map_err(|error| error.to_string())
}

/// Differs: upstream takes negative durations (U-45).
pub(super) fn check_durations(durations: &[(&str, &Nanos)]) -> Result<(), String> {
    match durations.iter().find(|(_, nanos)| nanos.0 < 0) {
        Some((name, _)) => Err(format!("{name} must not be negative")),
        None => Ok(()),
    }
}

impl Spec for Query {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    argument_properties!();
    spec_json!();

    fn args(&self) -> Vec<Value> {
        vec![text(&self.text.0)]
    }

    fn validate(&self) -> Result<(), String> {
        // A negative `every` is an enable error with a text of its own. The range may be shifted both ways.
        check_durations(&[("period", &self.period)])
    }

    fn check(&self, _provides: Edge) -> Result<(), String> {
        self.plan(false).map(|_| ())
    }

    fn query_plan(&self, is_1_8: bool) -> Option<QueryPlan> {
        self.plan(is_1_8).ok()
    }

    fn decides_groups(&self) -> bool {
        true
    }

    fn start(&self, ctx: &mut StartContext<'_>) -> Result<Box<dyn Node>, String> {
        self.plan(ctx.compat.is_1_8)?;
        Ok(Box::new(Running::default()))
    }
}
