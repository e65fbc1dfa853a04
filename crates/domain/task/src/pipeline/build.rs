//! Builds a pipeline from the calls of a script.

use std::collections::BTreeMap;

use levada_model::Str;
use levada_tick::script::object::Members;
use levada_tick::script::{CallError, ObjectId, Objects, Value};
use levada_tick::syntax::Position;

use super::{Linked, NodeIndex, Pipeline, TaskType};
use crate::nodes;
use crate::property::is_same_name;
use crate::runtime::services::Deadman;
use crate::spec::{Edge, EdgeRule, Set, Spec};

/// More nodes than this are refused.
///
/// - Source: ours. Items go through the graph by nested calls, so its depth must fit the stack of a thread.
pub const NODES_MAX: usize = 1_000;

/// A pipeline that is being built.
#[derive(Debug)]
pub struct Builder {
    pipeline: Pipeline,
    next_id: u32,
    objects: Vec<Object>,
    /// Where the call at hand stands.
    position: Option<Position>,
    /// The settings of deadman.
    pub deadman: Deadman,
    /// The functions that users have configured, by name.
    pub udfs: BTreeMap<String, Result<nodes::udf::Function, Str>>,
}

/// What an object of the script stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Object {
    Node(NodeIndex),
    Handler(NodeIndex, usize),
}

// === impl Builder ===

impl Builder {
    /// Begins a pipeline with its source.
    pub fn new(task_type: TaskType) -> Self {
        let pipeline = Pipeline { nodes: Vec::new(), task_type };
        let mut builder = Builder {
            pipeline,
            next_id: 0,
            objects: Vec::new(),
            position: None,
            deadman: Deadman::default(),
            udfs: BTreeMap::new(),
        };
        let source: Box<dyn Spec> = match task_type {
            TaskType::Stream => Box::new(nodes::stream::Stream),
            TaskType::Batch => Box::new(nodes::batch::Batch),
        };
        let provides = match task_type {
            TaskType::Stream => Edge::Stream,
            TaskType::Batch => Edge::Batch,
        };
        builder.push(source, Edge::None, provides);
        builder.take_id(NodeIndex(0));
        builder
    }

    /// Gives the object that the script knows as `stream` or `batch`.
    pub fn source(&mut self) -> ObjectId {
        self.object(Object::Node(NodeIndex(0)))
    }

    /// Gives the pipeline.
    pub fn into_pipeline(self) -> Pipeline {
        self.pipeline
    }

    /// Gives the pipeline so far.
    pub fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// Gives what a node gives.
    pub fn provides(&self, index: NodeIndex) -> Edge {
        self.pipeline.node(index).provides
    }

    /// Adds a node behind `parent`.
    pub fn add(&mut self, parent: NodeIndex, spec: Box<dyn Spec>) -> Result<NodeIndex, CallError> {
        self.add_behind(&[parent], spec)
    }

    /// Adds a node behind several parents, linked in this order; its edges follow from the first.
    pub fn add_behind(
        &mut self,
        parents: &[NodeIndex],
        spec: Box<dyn Spec>,
    ) -> Result<NodeIndex, CallError> {
        let parent = parents.first().map_or(Edge::None, |parent| self.provides(*parent));
        self.add_linked(parent, parents, spec)
    }

    /// Adds a node behind several parents, linked in this order; its edges follow from `parent`.
    pub fn add_linked(
        &mut self,
        parent: Edge,
        parents: &[NodeIndex],
        spec: Box<dyn Spec>,
    ) -> Result<NodeIndex, CallError> {
        let kind = spec.kind();
        let wants = kind.wants.behind(parent);
        let provides = match kind.provides {
            EdgeRule::SameAsParent => wants,
            EdgeRule::Fixed(edge) => edge,
        };
        self.refuse_too_many()?;
        let index = self.push(spec, wants, provides);
        for parent in parents {
            self.link(*parent, index);
        }
        Ok(index)
    }

    /// Adds a node without a parent: a stats node.
    pub fn add_source(
        &mut self,
        spec: Box<dyn Spec>,
        watched: NodeIndex,
    ) -> Result<NodeIndex, CallError> {
        self.refuse_too_many()?;
        let EdgeRule::Fixed(provides) = spec.kind().provides else {
            return Err(CallError::Call("a source gives what it says".to_owned()));
        };
        let index = self.push(spec, Edge::None, provides);
        self.take_id(index);
        self.pipeline.nodes[index.0].watched = Some(watched);
        Ok(index)
    }

    /// Links a node behind another parent.
    pub fn link(&mut self, parent: NodeIndex, child: NodeIndex) {
        self.pipeline.nodes[parent.0].children.push(child);
        self.pipeline.nodes[child.0].parents.push(parent);
        self.take_id(child);
    }

    /// Gives the name of a node and fixes it: a later link does not change it.
    pub fn fix_name(&mut self, index: NodeIndex) -> Str {
        let name = self.pipeline.name(index);
        self.pipeline.nodes[index.0].name = Some(Str::clone(&name));
        name
    }

    /// Gives the definition of a node.
    pub fn spec_mut(&mut self, index: NodeIndex) -> &mut dyn Spec {
        &mut *self.pipeline.nodes[index.0].spec
    }

    /// Marks a node as quiet.
    pub fn set_quiet(&mut self, index: NodeIndex) {
        self.pipeline.nodes[index.0].is_quiet = true;
    }

    /// Gives the object by which a script knows a node.
    pub fn object_of(&mut self, index: NodeIndex) -> ObjectId {
        self.object(Object::Node(index))
    }

    /// Gives the node that an argument stands for.
    pub fn node_argument(&self, value: &Value) -> Option<NodeIndex> {
        match value {
            Value::Object(object) => match self.objects.get(object.0 as usize)? {
                Object::Node(index) | Object::Handler(index, _) => Some(*index),
            },
            _ => None,
        }
    }

    fn refuse_too_many(&self) -> Result<(), CallError> {
        if self.pipeline.nodes.len() < NODES_MAX {
            return Ok(());
        }
        Err(CallError::Call(format!("a task has at most {NODES_MAX} nodes")))
    }

    fn push(&mut self, spec: Box<dyn Spec>, wants: Edge, provides: Edge) -> NodeIndex {
        let index = NodeIndex(self.pipeline.nodes.len());
        self.pipeline.nodes.push(Linked {
            spec,
            id: 0,
            is_quiet: false,
            parents: Vec::new(),
            children: Vec::new(),
            provides,
            wants,
            watched: None,
            name: None,
            position: self.position,
        });
        index
    }

    fn take_id(&mut self, index: NodeIndex) {
        self.pipeline.nodes[index.0].id = self.next_id;
        self.next_id += 1;
    }

    fn object(&mut self, object: Object) -> ObjectId {
        let known = self.objects.iter().position(|known| *known == object);
        let place = known.unwrap_or_else(|| {
            self.objects.push(object);
            self.objects.len() - 1
        });
        ObjectId(place as u32)
    }

    fn target(&self, object: ObjectId) -> Object {
        self.objects[object.0 as usize]
    }

    fn node_of(&self, object: ObjectId) -> NodeIndex {
        match self.target(object) {
            Object::Node(index) | Object::Handler(index, _) => index,
        }
    }

    fn spec(&self, index: NodeIndex) -> &dyn Spec {
        &*self.pipeline.node(index).spec
    }
}

impl Objects for Builder {
    fn type_name(&self, object: ObjectId) -> String {
        match self.target(object) {
            Object::Node(index) => format!("*pipeline.{}", self.spec(index).kind().type_name),
            Object::Handler(index, place) => {
                format!("*pipeline.{}", self.spec(index).handler_type(place))
            }
        }
    }

    fn members(&self, object: ObjectId, name: &str) -> Members {
        let index = self.node_of(object);
        let spec = self.spec(index);
        let of_handler = match self.target(object) {
            Object::Handler(_, place) => spec.has_handler_property(place, name),
            Object::Node(_) => false,
        };
        Members {
            property: of_handler || spec.has_property(name) || is_same_name("quiet", name),
            chain: nodes::method(spec.kind(), name).is_some(),
            dynamic: self.udfs.contains_key(name),
        }
    }

    fn locate(&mut self, position: Position) {
        self.position = Some(position);
    }

    fn chain(
        &mut self,
        object: ObjectId,
        name: &str,
        args: Vec<Value>,
    ) -> Result<ObjectId, CallError> {
        let parent = self.node_of(object);
        let method = nodes::method(self.spec(parent).kind(), name)
            .ok_or_else(|| CallError::Call(format!("no chaining method {name}")))?;
        let index = method(self, parent, name, args)?;
        Ok(self.object(Object::Node(index)))
    }

    fn property(
        &mut self,
        object: ObjectId,
        name: &str,
        args: Vec<Value>,
    ) -> Result<ObjectId, CallError> {
        let target = self.target(object);
        let index = self.node_of(object);
        if let Object::Handler(_, place) = target
            && self.spec(index).has_handler_property(place, name)
        {
            self.spec_mut(index).set_handler(place, name, args)?;
            return Ok(object);
        }
        if is_same_name("quiet", name) && !self.spec(index).has_property(name) {
            crate::property::types::exactly::<0>(args)?;
            self.set_quiet(index);
            return Ok(self.object(Object::Node(index)));
        }
        Ok(match self.spec_mut(index).set(name, args)? {
            Set::Field => object,
            Set::Method => self.object(Object::Node(index)),
            Set::Handler(place) => self.object(Object::Handler(index, place)),
        })
    }

    fn dynamic(
        &mut self,
        object: ObjectId,
        name: &str,
        args: Option<Vec<Value>>,
    ) -> Result<ObjectId, CallError> {
        let parent = self.node_of(object);
        let function = self
            .udfs
            .get(name)
            .cloned()
            .ok_or_else(|| CallError::Call(format!("no dynamic method {name}")))?
            .map_err(|why| CallError::Call(format!("the function {name} cannot be used: {why}")))?;
        let spec = nodes::udf::Udf::new(name, function, args.unwrap_or_default())?;
        let index = self.add(parent, Box::new(spec))?;
        Ok(self.object(Object::Node(index)))
    }

    fn read(&self, object: ObjectId, name: &str) -> Option<Value> {
        self.spec(self.node_of(object)).read(name)
    }
}
