//! Circles that points would go round in: gateway → destination → flow or task → gateway.
//!
//! A way is *sure* when every point takes it, as far as settings tell: a sinker without filters, a flow's own sink. Others
//! depend on the points: a sinker with filters, a route. A circle of sure ways never ends, and is refused; one that depends
//! on the points may be what somebody wants, such as a flow that reads raw logs and writes clean ones, and is only told.
//! Which tasks listen to a database is not known here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use levada_flow::spec::{Flow, SinkRef};
use levada_gateway::destination::DestinationSpec;
use levada_gateway::egress::{Inside, Kind};
use levada_gateway::rules::{DestinationId, RulesSpec, SinkMode, Target};
use levada_model::Category;

use super::specs;

/// The type of sources and sinks of flows.
const GATEWAY: &str = "gateway";
/// The type of sinks whose points go to tasks.
const TASK: &str = "task";

/// A place that points come to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// The rules decide about points of a category.
    Rules(&'static str),
    Destination(String),
    /// The flow that reads under a name.
    Feed(String),
    Flow(String),
    Task(String),
}

/// Where points go from a place, and whether all do.
type Ways = BTreeMap<Place, BTreeMap<Place, bool>>;

/// What leads where in this process.
#[derive(Debug, Default)]
pub struct Circles(Mutex<Parts>);

#[derive(Debug, Default)]
struct Parts {
    flows: Ways,
    tasks: Ways,
    gateway: Ways,
}

/// What led where from the gateway.
pub(super) struct GatewayWays(Ways);

// === impl Circles ===

impl Circles {
    /// Remembers the flows that run.
    pub fn set_flows<'f>(&self, flows: impl Iterator<Item = &'f Flow>) {
        let mut ways = Ways::default();
        flows.for_each(|flow| add_flow(flow, &mut ways));
        self.parts().flows = ways;
    }

    /// Says whether points would go round if the gateway were so, and remembers that it is. Gives how it was.
    ///
    /// - Errors: the circle, in words; then it is not.
    pub(super) fn set_gateway(
        &self,
        destinations: &[DestinationSpec],
        rules: &RulesSpec,
        targets: &BTreeMap<String, Target>,
    ) -> Result<GatewayWays, String> {
        let mut parts = self.parts();
        let gateway = gateway_ways(destinations, rules, targets);
        let all = merged([&parts.flows, &parts.tasks, &gateway]);
        refuse(&all)?;
        if let Some(circle) = circle(&all, false) {
            tracing::warn!(
                "points may go round for ever, if they always match: {}",
                words(&circle)
            );
        }
        Ok(GatewayWays(std::mem::replace(&mut parts.gateway, gateway)))
    }

    /// Remembers that the gateway is as it was.
    pub(super) fn restore_gateway(&self, before: GatewayWays) {
        self.parts().gateway = before.0;
    }

    /// Says whether points would go round if a task wrote to the gateway, and remembers that it does.
    ///
    /// - Errors: the circle, in words; then it may not.
    pub(super) fn task_writes(&self, task: &str, category: Category) -> Result<(), String> {
        let mut parts = self.parts();
        let (from, to) = (Place::Task(task.to_owned()), Place::Rules(category.name()));
        let mut tasks = parts.tasks.clone();
        tasks.entry(from).or_default().insert(to, true);
        let all = merged([&parts.flows, &tasks, &parts.gateway]);
        refuse(&all)?;
        parts.tasks = tasks;
        Ok(())
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Rules(category) => write!(f, "gateway ({category})"),
            Place::Destination(name) => write!(f, "destination `{name}`"),
            Place::Feed(name) => write!(f, "source `gateway` of name `{name}`"),
            Place::Flow(name) => write!(f, "flow `{name}`"),
            Place::Task(name) => write!(f, "task `{name}`"),
        }
    }
}

fn add_flow(flow: &Flow, ways: &mut Ways) {
    let own = Place::Flow(format!("{}/{}", flow.object.namespace, flow.object.name));
    let text = |block: &levada_registry::Node, key: &str| {
        block.get(key).and_then(|node| node.text()).unwrap_or_default().to_owned()
    };
    if flow.source.entry.name == GATEWAY {
        let feed = Place::Feed(text(&flow.source.block, "name"));
        ways.entry(feed).or_default().insert(own.clone(), true);
    }
    let mut add = |sink: &SinkRef, is_sure: bool| {
        let name = text(&sink.block, "name");
        let to = match (sink.entry.name, name.is_empty()) {
            (GATEWAY, false) => Place::Destination(name),
            (GATEWAY, true) => {
                let category = text(&sink.block, "category");
                let named = Category::of_name(&category).or_else(|| Category::of_alias(&category));
                Place::Rules(named.unwrap_or(Category::Metric).name())
            }
            (TASK, false) => Place::Task(name),
            _ => return,
        };
        let known = ways.entry(own.clone()).or_default().entry(to).or_default();
        *known |= is_sure;
    };
    add(&flow.sink, flow.routes.is_empty());
    flow.routes.iter().for_each(|route| add(&route.sink, false));
    flow.errors.iter().for_each(|errors| add(&errors.sink, false));
}

fn gateway_ways(
    destinations: &[DestinationSpec],
    rules: &RulesSpec,
    targets: &BTreeMap<String, Target>,
) -> Ways {
    let mut ways = Ways::default();
    let mut names: BTreeMap<DestinationId, &str> = BTreeMap::new();
    for (name, target) in targets {
        names.extend(specs::ids(target).into_iter().map(|id| (id, &**name)));
    }
    let places = |target: &Target| {
        let names: BTreeSet<&str> =
            specs::ids(target).iter().filter_map(|id| names.get(id).copied()).collect();
        names.into_iter().map(|name| Place::Destination(name.to_owned())).collect::<Vec<_>>()
    };
    for category in Category::ALL {
        let mut drops = rules.drop_filters.iter().filter(|(known, _)| *known == category);
        let is_filtered = drops.any(|(_, filters)| !filters.is_empty());
        let to = ways.entry(Place::Rules(category.name())).or_default();
        let (mut is_next_sure, mut is_rest_sure) = (!is_filtered, !is_filtered);
        for sinker in rules.sinkers.iter().filter(|one| one.categories.contains(&category)) {
            let is_sure = is_next_sure && sinker.filters.is_empty();
            for place in places(&sinker.target) {
                *to.entry(place).or_default() |= is_sure;
            }
            // Where only one takes a point, what comes after it sees none, or some.
            is_next_sure &= matches!(rules.sink_mode, SinkMode::All | SinkMode::Compat16);
            is_rest_sure = false;
        }
        for place in rules.default.iter().flat_map(places) {
            *to.entry(place).or_default() |= is_rest_sure;
        }
    }
    for spec in destinations {
        let to = match &spec.kind {
            Kind::Inside(Inside::Flow { name }) => Place::Feed(name.clone()),
            Kind::Inside(Inside::Task { name, .. }) if !name.is_empty() => {
                Place::Task(name.clone())
            }
            _ => continue,
        };
        ways.entry(Place::Destination(spec.name.clone())).or_default().insert(to, true);
    }
    ways
}

fn merged<'w>(parts: impl IntoIterator<Item = &'w Ways>) -> Ways {
    let mut all = Ways::default();
    for (from, ways) in parts.into_iter().flatten() {
        let known = all.entry(from.clone()).or_default();
        for (to, is_sure) in ways {
            *known.entry(to.clone()).or_default() |= is_sure;
        }
    }
    all
}

fn refuse(ways: &Ways) -> Result<(), String> {
    match circle(ways, true) {
        Some(circle) => Err(format!("points would go round for ever: {}", words(&circle))),
        None => Ok(()),
    }
}

fn words(circle: &[Place]) -> String {
    let places: Vec<String> = circle.iter().map(Place::to_string).collect();
    places.join(" → ")
}

/// Gives a circle; its first place comes again at the end.
fn circle(ways: &Ways, is_sure_only: bool) -> Option<Vec<Place>> {
    let mut done = BTreeSet::new();
    let mut found = ways
        .keys()
        .find_map(|start| follow(ways, is_sure_only, start, &mut Vec::new(), &mut done))?;
    // Wherever it was met, it is told from the same place on.
    found.pop();
    let first = (0..found.len()).min_by_key(|at| &found[*at]).unwrap_or(0);
    found.rotate_left(first);
    found.extend(found.first().cloned());
    Some(found)
}

/// Follows all ways from a place. The path is as long as there are places, for none is on it twice.
fn follow<'w>(
    ways: &'w Ways,
    is_sure_only: bool,
    place: &'w Place,
    path: &mut Vec<&'w Place>,
    done: &mut BTreeSet<&'w Place>,
) -> Option<Vec<Place>> {
    if let Some(at) = path.iter().position(|known| *known == place) {
        return Some(path[at..].iter().copied().chain([place]).cloned().collect());
    }
    if !done.insert(place) {
        return None;
    }
    path.push(place);
    let next = ways.get(place).into_iter().flatten();
    let mut next = next.filter(|(_, is_sure)| **is_sure || !is_sure_only);
    let found = next.find_map(|(to, _)| follow(ways, is_sure_only, to, path, done));
    path.pop();
    found
}

#[cfg(test)]
mod tests;
