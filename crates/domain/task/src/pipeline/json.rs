//! The pipeline as JSON: nodes with their properties, edges between their ids.
//!
//! ```text
//! {"nodes":[{"typeOf":"stream","id":"0"},{"typeOf":"from","id":"1",…}],"edges":[{"parent":"0","child":"1"}]}
//! ```
//!
//! Nodes stand in the order in which they were made, so parents stand before their children; edges stand in the order of
//! the children, those of one child in the order of its parents. `quiet` and `watched`, the node of a stats node, are there
//! when they say something. A property of the name `id` is called by the type, e.g. `alertId`.

use std::collections::{BTreeMap, HashMap};

use levada_model::Str;
use serde_json::{Map, Value as Json, json};

use super::build::NODES_MAX;
use super::{Linked, NodeIndex, Pipeline, TaskType};
use crate::nodes;
use crate::nodes::udf::{Function, Udf};
use crate::spec::{Edge, EdgeRule, Spec};
use crate::udf::Udfs;

/// More edges than this are refused.
///
/// - Source: ours; a node of a script has as many parents as its call has arguments.
pub const EDGES_MAX: usize = 10 * NODES_MAX;

const TYPE: &str = "typeOf";
const ID: &str = "id";
const QUIET: &str = "quiet";
const WATCHED: &str = "watched";

/// The members that are no properties of a node.
pub const RESERVED: [&str; 3] = [TYPE, QUIET, WATCHED];

impl Pipeline {
    /// Gives the JSON form.
    pub fn to_json(&self) -> Json {
        let nodes = self.nodes().map(|(_, node)| self.node_json(node));
        let mut edges = Vec::new();
        for (_, node) in self.nodes() {
            for parent in &node.parents {
                let parent = self.node(*parent).id.to_string();
                edges.push(json!({"parent": parent, "child": node.id.to_string()}));
            }
        }
        json!({"nodes": nodes.collect::<Json>(), "edges": edges})
    }

    fn node_json(&self, node: &Linked) -> Json {
        let type_name = node.spec.json_type();
        let mut members = Map::new();
        members.insert(TYPE.to_owned(), json!(type_name));
        members.insert(ID.to_owned(), json!(node.id.to_string()));
        if node.is_quiet {
            members.insert(QUIET.to_owned(), json!(true));
        }
        if let Some(watched) = node.watched {
            members.insert(WATCHED.to_owned(), json!(self.node(watched).id.to_string()));
        }
        for (name, value) in node.spec.json() {
            let name = if name == ID { own_id(type_name) } else { name };
            members.insert(name, value);
        }
        Json::Object(members)
    }

    /// Reads the JSON form; `udfs` are the functions that users have configured.
    pub fn from_json(json: &Json, udfs: &Udfs) -> Result<Self, String> {
        let items = list(json, "nodes")?;
        if items.len() > NODES_MAX {
            return Err(format!("a task has at most {NODES_MAX} nodes"));
        }
        let mut read = Reading { nodes: Vec::with_capacity(items.len()), by_id: HashMap::new() };
        let udfs = udfs.known();
        for item in items {
            read.node(item, &udfs)?;
        }
        let edges = list(json, "edges")?;
        if edges.len() > EDGES_MAX {
            return Err(format!("a task has at most {EDGES_MAX} edges"));
        }
        for edge in edges {
            read.edge(edge)?;
        }
        let pipeline = read.finish()?;
        pipeline.validate()?;
        Ok(pipeline)
    }
}

/// The place of the node that a chaining method was called on among the parents of the node it made.
///
/// - `union` is linked to its arguments first.
pub(super) fn receiver(spec: &dyn Spec, parents: usize) -> usize {
    if spec.kind().name == "union" { parents.saturating_sub(1) } else { 0 }
}

fn own_id(type_name: &str) -> String {
    format!("{type_name}Id")
}

fn list<'j>(json: &'j Json, name: &str) -> Result<&'j [Json], String> {
    match json.get(name) {
        Some(Json::Array(items)) => Ok(items),
        None | Some(Json::Null) => Ok(&[]),
        Some(_) => Err(format!("wanted a list of {name}")),
    }
}

fn member<'j>(json: &'j Json, name: &str) -> Result<&'j str, String> {
    json.get(name).and_then(Json::as_str).ok_or_else(|| format!("{name} is missing, or no string"))
}

struct Reading {
    nodes: Vec<Linked>,
    by_id: HashMap<u32, NodeIndex>,
}

// === impl Reading ===

impl Reading {
    fn node(
        &mut self,
        json: &Json,
        udfs: &BTreeMap<String, Result<Function, Str>>,
    ) -> Result<(), String> {
        let type_name = member(json, TYPE)?;
        let id = member(json, ID)?;
        let wrong = |problem: String| format!("node {id} ({type_name}): {problem}");
        let number = id.parse::<u32>().map_err(|_| wrong("its id is no number".to_owned()))?;
        let mut members = json.as_object().cloned().unwrap_or_default();
        members.remove(ID);
        if let Some(value) = members.remove(&own_id(type_name)) {
            members.insert(ID.to_owned(), value);
        }
        let mut spec = empty(type_name, &members, udfs).map_err(wrong)?;
        spec.load(&members).map_err(wrong)?;
        let index = NodeIndex(self.nodes.len());
        let watched = match members.get(WATCHED) {
            None | Some(Json::Null) => None,
            Some(_) => Some(self.at(json, WATCHED).map_err(wrong)?),
        };
        let is_stats = spec.kind().name == "stats";
        if is_stats != watched.is_some() {
            return Err(wrong("a stats node, and no other, watches a node".to_owned()));
        }
        if self.by_id.insert(number, index).is_some() {
            return Err(wrong("another node has its id".to_owned()));
        }
        self.nodes.push(Linked {
            position: None,
            spec,
            id: number,
            is_quiet: members.get(QUIET).and_then(Json::as_bool).unwrap_or(false),
            parents: Vec::new(),
            children: Vec::new(),
            provides: Edge::None,
            wants: Edge::None,
            watched,
            name: None,
        });
        Ok(())
    }

    fn at(&self, json: &Json, name: &str) -> Result<NodeIndex, String> {
        let id = member(json, name)?;
        let known = id.parse().ok().and_then(|id: u32| self.by_id.get(&id));
        known.copied().ok_or_else(|| format!("there is no node {id:?}"))
    }

    fn edge(&mut self, json: &Json) -> Result<(), String> {
        let (parent, child) = (self.at(json, "parent")?, self.at(json, "child")?);
        // What is made later cannot be a parent, so there are no circles.
        if parent >= child {
            return Err(format!("the edge {json} does not lead to a later node"));
        }
        self.nodes[parent.0].children.push(child);
        self.nodes[child.0].parents.push(parent);
        Ok(())
    }

    fn finish(mut self) -> Result<Pipeline, String> {
        let task_type = match self.nodes.first().map(|node| node.spec.kind().name) {
            Some("stream") => TaskType::Stream,
            Some("batch") => TaskType::Batch,
            _ => return Err("the first node is neither stream nor batch".to_owned()),
        };
        for at in 0..self.nodes.len() {
            let node = &self.nodes[at];
            let kind = node.spec.kind();
            if node.parents.is_empty() != (at == 0 || node.watched.is_some()) {
                return Err(format!(
                    "node {} ({}) has a wrong number of parents",
                    node.id, kind.name
                ));
            }
            let receiver = node.parents.get(receiver(&*node.spec, node.parents.len()));
            let given = receiver.map_or(Edge::None, |parent| self.nodes[parent.0].provides);
            let wants = match receiver {
                Some(_) => kind.wants.behind(given),
                None => Edge::None,
            };
            let provides = match (at, kind.provides) {
                (0, _) if task_type == TaskType::Stream => Edge::Stream,
                (0, _) => Edge::Batch,
                (_, EdgeRule::SameAsParent) => wants,
                (_, EdgeRule::Fixed(edge)) => edge,
            };
            let node = &mut self.nodes[at];
            (node.wants, node.provides) = (wants, provides);
        }
        Ok(Pipeline { nodes: self.nodes, task_type })
    }
}

fn empty(
    type_name: &str,
    members: &Map<String, Json>,
    udfs: &BTreeMap<String, Result<Function, Str>>,
) -> Result<Box<dyn Spec>, String> {
    if type_name == nodes::udf::STREAM_TO_STREAM.json_type {
        let name = members.get("udfName").and_then(Json::as_str).unwrap_or_default();
        let function = udfs.get(name).cloned();
        let function = function.ok_or_else(|| format!("there is no function {name:?}"))?;
        let function =
            function.map_err(|why| format!("the function {name} cannot be used: {why}"))?;
        let udf = Udf::new(name, function, Vec::new()).map_err(|error| format!("{error:?}"))?;
        return Ok(Box::new(udf));
    }
    let kind = nodes::by_json_type(type_name).ok_or("there is no node of this type")?;
    Ok((kind.empty)())
}
