//! From the definition to the nodes that run.

use std::sync::Arc;

use levada_model::Str;

use super::{NodeIndex, Pipeline};
use crate::effect::NodeName;
use crate::nodes::from::From;
use crate::runtime::context::{Compat, Limits};
use crate::runtime::graph::{Child, Slot};
use crate::runtime::statistics::Statistics;
use crate::runtime::{Graph, Node, PerGroup, Services, StartContext};

/// What nodes are made with.
pub struct StartOptions<'o> {
    /// The name of the task.
    pub task: Str,
    /// Its databases and retention policies.
    pub dbrps: &'o [(Str, Str)],
    /// What is configured around tasks.
    pub services: &'o dyn Services,
    /// Bounds.
    pub limits: &'o Limits,
    /// Switches.
    pub compat: Compat,
    /// A seed for functions that draw random numbers.
    pub seed: u64,
}

impl Pipeline {
    /// Makes the nodes; the first problem in graph order is upstream's enable error.
    pub fn start(&self, options: &StartOptions<'_>) -> Result<Graph, String> {
        let order = self.order();
        let places = self.places(&order);
        for index in &order {
            self.check_edges(*index)?;
        }
        let mut slots = Vec::with_capacity(order.len());
        for (place, index) in order.iter().enumerate() {
            slots.push(self.slot(*index, place, &places, options)?);
        }
        fuse(&mut slots);
        for node in &self.nodes {
            if let Some(watched) = node.watched {
                slots[places[watched.0]].statistics.emitted = Some(PerGroup::default());
            }
        }
        Ok(Graph::new(slots))
    }

    /// Gives the place of each node in the order.
    pub(super) fn places(&self, order: &[NodeIndex]) -> Vec<usize> {
        let mut places = vec![0; self.nodes.len()];
        for (place, index) in order.iter().enumerate() {
            places[index.0] = place;
        }
        places
    }

    pub(super) fn slot(
        &self,
        index: NodeIndex,
        place: usize,
        places: &[usize],
        options: &StartOptions<'_>,
    ) -> Result<Slot, String> {
        let linked = self.node(index);
        let name = NodeName { name: self.name(index), index: place };
        let mut ctx = StartContext {
            node: name.clone(),
            task: Arc::clone(&options.task),
            wants: linked.wants,
            parents: linked.parents.len(),
            dbrps: options.dbrps,
            services: options.services,
            limits: options.limits,
            compat: options.compat,
            watched: linked.watched.map(|watched| places[watched.0]),
            seed: options.seed ^ (place as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15),
        };
        let node = linked.spec.start(&mut ctx)?;
        Ok(Slot {
            identity: self.identity(index),
            name,
            is_quiet: linked.is_quiet,
            provides: linked.provides,
            node,
            children: self.children(index, places),
            statistics: Statistics {
                collected: vec![0; linked.parents.len().max(1)],
                ..Statistics::default()
            },
        })
    }

    /// Makes the node at `place` of [`Pipeline::start`] again.
    pub fn remake(
        &self,
        place: usize,
        options: &StartOptions<'_>,
    ) -> Result<Box<dyn Node>, String> {
        let order = self.order();
        let mut places = vec![0; self.nodes.len()];
        for (place, index) in order.iter().enumerate() {
            places[index.0] = place;
        }
        let index = order.get(place).ok_or_else(|| format!("there is no node {place}"))?;
        Ok(self.slot(*index, place, &places, options)?.node)
    }

    /// Whether each actor of a task is to give points twice to its source, as upstream does when one `from` names a
    /// measurement and another does not (U-1): the measurements that come twice.
    pub fn doubled_measurements(&self) -> Vec<Str> {
        let mut named = Vec::new();
        let mut has_unnamed = false;
        for node in &self.nodes {
            let spec: &dyn std::any::Any = &*node.spec;
            match spec.downcast_ref::<From>().map(From::measurement) {
                Some("") => has_unnamed = true,
                Some(name) => named.push(Str::from(name)),
                None => {}
            }
        }
        named.sort();
        named.dedup();
        if has_unnamed { named } else { Vec::new() }
    }

    /// What the node keeps state of: its own definition, and what makes the groups before it.
    ///
    /// - The rest of its ancestors count by kind only, so an edited threshold before a window does not empty it.
    fn identity(&self, index: NodeIndex) -> Str {
        let own = self.node(index);
        let mut text = format!("{}{}", own.spec.desc(), own.spec.identity());
        let mut stack: Vec<NodeIndex> = own.parents.iter().rev().copied().collect();
        stack.extend(own.watched);
        // Diamonds may make the walk long; a part of it is enough to tell nodes apart.
        const PARTS_MAX: usize = 200;
        for _ in 0..PARTS_MAX {
            let Some(index) = stack.pop() else { break };
            let node = self.node(index);
            text.push('<');
            text.push_str(node.spec.desc());
            if node.spec.decides_groups() {
                text.push_str(&node.spec.identity());
            }
            stack.extend(node.parents.iter().rev());
            stack.extend(node.watched);
        }
        text.into()
    }

    /// The edges of a node; of a child that has it as parent twice, each edge is another input.
    fn children(&self, index: NodeIndex, places: &[usize]) -> Vec<Child> {
        let children = &self.node(index).children;
        let mut edges = Vec::with_capacity(children.len());
        for (at, child) in children.iter().enumerate() {
            let earlier = children[..at].iter().filter(|known| *known == child).count();
            let parents = self.node(*child).parents.iter().enumerate();
            let input = parents
                .filter(|(_, parent)| **parent == index)
                .nth(earlier)
                .map_or(0, |(input, _)| input);
            edges.push(Child { index: places[child.0], input });
        }
        edges
    }
}

/// Tells nodes whose only child folds, so that a window that is only reduced keeps no points.
fn fuse(slots: &mut [Slot]) {
    for place in 0..slots.len() {
        let [child] = slots[place].children[..] else { continue };
        if slots[child.index].statistics.collected.len() == 1 && slots[child.index].node.folds() {
            slots[place].node.fuse();
        }
    }
}
