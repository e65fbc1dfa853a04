//! The nodes, one file each: properties, forms and what runs.

pub mod alert;
pub mod autoscale;
pub mod barrier;
pub mod batch;
pub mod change_detect;
pub mod combine;
pub mod deadman;
pub mod default;
pub mod delete;
pub mod derivative;
pub mod derived;
pub mod dimensions;
pub mod eval;
pub mod flatten;
pub mod from;
pub mod functions;
pub mod group_by;
pub mod group_series;
pub mod http_out;
pub mod http_post;
pub mod idle;
pub mod influxdb_out;
pub mod join;
pub mod log;
pub mod loopback;
pub mod noop;
pub mod predicate;
pub mod prefix;
pub mod query;
pub mod query_flux;
pub mod regroup;
mod rewritten;
pub mod sample;
pub mod shift;
pub mod sideload;
pub mod state_count;
pub mod state_duration;
pub mod stats;
pub mod stream;
#[cfg(test)]
mod testbed;
#[cfg(test)]
mod testing;
mod tracked;
pub mod trickle;
pub mod udf;
pub mod union;
pub mod where_;
pub mod window;
mod written;

use levada_tick::script::{CallError, Value};

use crate::pipeline::{Builder, NodeIndex};
use crate::property::is_same_name;
use crate::spec::Kind;

/// Runs `parent|name(args)`.
pub type Chain = fn(&mut Builder, NodeIndex, &str, Vec<Value>) -> Result<NodeIndex, CallError>;

/// All nodes that a chaining method makes, in the order of the docs, but for [`functions::FUNCTIONS`].
pub static NODES: &[&Kind] = &[
    &query::KIND,
    &query_flux::KIND,
    &from::KIND,
    &where_::KIND,
    &eval::KIND,
    &alert::KIND,
    &barrier::KIND,
    &stats::KIND,
    &group_by::KIND,
    &join::KIND,
    &union::KIND,
    &combine::KIND,
    &flatten::KIND,
    &window::KIND,
    &derivative::KIND,
    &change_detect::KIND,
    &state_duration::KIND,
    &state_count::KIND,
    &sample::KIND,
    &shift::KIND,
    &default::KIND,
    &delete::KIND,
    &trickle::KIND,
    &log::KIND,
    &http_out::KIND,
    &http_post::KIND,
    &influxdb_out::KIND,
    &loopback::KIND,
    &sideload::KIND,
    &deadman::KIND,
    &autoscale::K8S,
    &autoscale::SWARM,
    &autoscale::EC2,
];

/// Finds a chaining method of a node; the first letter of its name may be upper case.
pub fn method(parent: &Kind, name: &str) -> Option<Chain> {
    let mut nodes = NODES.iter().copied();
    let node = nodes.find(|kind| is_same_name(kind.name, name));
    let kind = node.or_else(|| functions::kind(name))?;
    allows(parent, kind.name).then_some(kind.chain)
}

/// Finds a node by its `typeOf` in JSON; functions that run outside are not among them.
pub fn by_json_type(name: &str) -> Option<&'static Kind> {
    let inner = [&stream::KIND, &batch::KIND, &noop::KIND];
    let mut nodes = NODES.iter().copied().chain(inner);
    nodes.find(|kind| kind.json_type == name).or_else(|| functions::kind(name))
}

/// Says which chaining methods a node has.
///
/// - Source: kapacitor reference §4.2.
fn allows(parent: &Kind, method: &str) -> bool {
    let is_on_all = matches!(method, "stats" | "deadman");
    match parent.name {
        "stream" => is_on_all || method == "from",
        "batch" => is_on_all || matches!(method, "query" | "queryFlux"),
        "influxDBOut" | "kapacitorLoopback" => is_on_all,
        "from" => !matches!(method, "query" | "queryFlux"),
        _ => !matches!(method, "query" | "queryFlux" | "from"),
    }
}

#[cfg(test)]
mod tests;
