//! `queryFlux`: the tables that a Flux script gives, every so often.

use levada_tick::script::Value;

use super::query::{QueryKind, QueryPlan, Running, argument_properties, check_durations, schedule};
use crate::property::types::{exactly, text, text_argument};
use crate::property::{Flag, Nanos, Text};
use crate::runtime::{Node, StartContext};
use crate::spec::{Edge, EdgeRule, Kind, Spec};
use crate::spec_json;

/// `|queryFlux('from(bucket: …) …')`
#[derive(Clone, Debug, Default)]
pub struct QueryFlux {
    text: Text,
    /// Accepted, as upstream does, and of no effect: the script says its range.
    period: Nanos,
    every: Nanos,
    align: Flag,
    cron: Text,
    offset: Nanos,
    cluster: Text,
    org: Text,
    org_id: Text,
}

crate::properties! {
    QueryFlux {
        "queryStr" => text,
        "period" => period,
        "every" => every,
        "align" => align,
        "cron" => cron,
        "offset" => offset,
        "cluster" => cluster,
        "org" => org,
        "orgID" => org_id,
    }
}

/// What is the same for all of them.
pub static KIND: Kind = Kind {
    name: "queryFlux",
    type_name: "QueryFluxNode",
    desc: "queryFlux",
    json_type: "queryFlux",
    summary: "asks InfluxDB in Flux every so often",
    wants: EdgeRule::Fixed(Edge::Batch),
    provides: EdgeRule::Fixed(Edge::Batch),
    chain: |builder, parent, _name, args| {
        let [query] = exactly::<1>(args)?;
        let text = Text(text_argument(query)?);
        builder.add(parent, Box::new(QueryFlux { text, ..QueryFlux::default() }))
    },
    empty: || Box::new(QueryFlux::default()),
};

// === impl QueryFlux ===

impl QueryFlux {
    /// Describes what is asked; an error is upstream's enable error.
    pub fn plan(&self) -> Result<QueryPlan, String> {
        Ok(QueryPlan {
            kind: QueryKind::Flux {
                text: self.text.0.clone(),
                org: self.org.0.clone(),
                org_id: self.org_id.0.clone(),
            },
            schedule: schedule(&self.every, &self.align, &self.cron)?,
            period: self.period.0,
            offset: self.offset.0,
            cluster: self.cluster.0.clone(),
        })
    }
}

impl Spec for QueryFlux {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    argument_properties!();
    spec_json!();

    fn args(&self) -> Vec<Value> {
        vec![text(&self.text.0)]
    }

    fn validate(&self) -> Result<(), String> {
        check_durations(&[("period", &self.period)])
    }

    fn check(&self, _provides: Edge) -> Result<(), String> {
        self.plan().map(|_| ())
    }

    fn query_plan(&self, _is_1_8: bool) -> Option<QueryPlan> {
        self.plan().ok()
    }

    fn decides_groups(&self) -> bool {
        true
    }

    fn start(&self, _ctx: &mut StartContext<'_>) -> Result<Box<dyn Node>, String> {
        self.plan()?;
        Ok(Box::new(Running::default()))
    }
}
