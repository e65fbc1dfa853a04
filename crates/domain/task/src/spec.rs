//! What a node is before it runs: its properties, its forms, its checks.

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use levada_tick::script::{CallError, Value};
use levada_tick::syntax::Node as Expression;
use serde_json::Map;

use crate::nodes::Chain;
use crate::property::{PropertyCall, collect_lambdas};
use crate::runtime::{Node, StartContext};

/// What travels along an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// Single points.
    Stream,
    /// Batches of points.
    Batch,
    /// Nothing.
    None,
}

/// What a node takes or gives, before it is linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EdgeRule {
    /// Always this.
    Fixed(Edge),
    /// What its parent gives.
    SameAsParent,
}

/// What a kind of node tells the system about itself; one static per file of [`crate::nodes`].
pub struct Kind {
    /// The chaining method, e.g. `stateDuration`.
    pub name: &'static str,
    /// The type that messages show, without `*pipeline.`, e.g. `StateDurationNode`.
    pub type_name: &'static str,
    /// The stem of node names, e.g. `state_duration`.
    pub desc: &'static str,
    /// `typeOf` in JSON, e.g. `stateDuration`.
    pub json_type: &'static str,
    /// One line for help and docs.
    pub summary: &'static str,
    /// What it takes.
    pub wants: EdgeRule,
    /// What it gives.
    pub provides: EdgeRule,
    /// Runs `parent|name(args)`: makes the node, links it and gives its place.
    pub chain: Chain,
    /// Makes a node without properties, for [`Spec::load`].
    pub empty: fn() -> Box<dyn Spec>,
}

impl Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// What setting a property leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Set {
    /// A field was set: the next property goes where this one went.
    Field,
    /// A method was called: the next property goes to the node.
    Method,
    /// A handler was added at this place: the next properties go there first.
    Handler(usize),
}

/// The definition of one node.
pub trait Spec: Any + Debug + Send + Sync {
    /// Gives what is the same for all nodes of the kind.
    fn kind(&self) -> &'static Kind;

    /// Gives the stem of node names; functions share a kind and differ here.
    fn desc(&self) -> &str {
        self.kind().desc
    }

    /// Gives `typeOf` in JSON; functions share a kind and differ here.
    fn json_type(&self) -> &str {
        self.kind().json_type
    }

    /// Gives the name of the chaining method; functions share a kind and differ here.
    fn method(&self) -> &str {
        self.kind().name
    }

    /// Says whether there is a property of this name.
    fn has_property(&self, name: &str) -> bool;

    /// Sets a property.
    fn set(&mut self, name: &str, args: Vec<Value>) -> Result<Set, CallError>;

    /// Reads a property; `None` when there is none of this name.
    fn read(&self, name: &str) -> Option<Value>;

    /// Gives the type of the handler at `index`, e.g. `LogHandler`; only alerts have handlers.
    fn handler_type(&self, _index: usize) -> String {
        String::new()
    }

    /// Says whether the handler at `index` has a property of this name.
    fn has_handler_property(&self, _index: usize, _name: &str) -> bool {
        false
    }

    /// Sets a property of the handler at `index`.
    fn set_handler(
        &mut self,
        _index: usize,
        _name: &str,
        _args: Vec<Value>,
    ) -> Result<(), CallError> {
        Err(CallError::Call("there are no handlers".to_owned()))
    }

    /// Gives the arguments of the chaining method; parents are added by the pipeline.
    fn args(&self) -> Vec<Value>;

    /// Gives the properties that differ from their defaults, in the order of the table, as a script sets them.
    fn calls(&self) -> Vec<PropertyCall>;

    /// Gives the calls of options whose names are not known beforehand, of a node behind `@`; `None` for other nodes.
    fn dynamic_calls(&self) -> Option<Vec<(String, Vec<Value>)>> {
        None
    }

    /// Gives the members of the JSON form beside `typeOf` and `id`.
    fn json(&self) -> Map<String, serde_json::Value>;

    /// Sets everything from the members of the JSON form.
    fn load(&mut self, json: &Map<String, serde_json::Value>) -> Result<(), String>;

    /// Checks what upstream checks when a task is defined; the text is upstream's.
    fn validate(&self) -> Result<(), String> {
        Ok(())
    }

    /// Checks what [`Spec::validate`] does for a node of so many parents; a join counts them.
    fn validate_behind(&self, _parents: usize) -> Result<(), String> {
        self.validate()
    }

    /// Checks what upstream checks when a task is enabled, or not at all, as far as that needs no services.
    ///
    /// - `provides` is what the first parent gives.
    fn check(&self, _provides: Edge) -> Result<(), String> {
        Ok(())
    }

    /// Makes the node that runs; an error is upstream's enable error.
    fn start(&self, ctx: &mut StartContext<'_>) -> Result<Box<dyn Node>, String>;

    /// Gives what saved state depends on: a node of another identity begins anew.
    fn identity(&self) -> String {
        serde_json::Value::Object(self.json()).to_string()
    }

    /// Says whether the node makes groups, so that state behind it is another's when it changes.
    fn decides_groups(&self) -> bool {
        false
    }

    /// Describes what a query node asks; `None` for other nodes and for a query that is wrong.
    fn query_plan(&self, _is_1_8: bool) -> Option<crate::nodes::query::QueryPlan> {
        None
    }

    /// Names what the node needs and this build lacks.
    fn not_built_in(&self) -> Option<&'static str> {
        None
    }

    /// Gives the lambda expressions, as the chaining method and the properties hold them.
    fn lambdas(&self) -> Vec<Arc<Expression>> {
        let mut lambdas = Vec::new();
        collect_lambdas(&self.args(), &mut lambdas);
        for call in self.calls() {
            call.collect_lambdas(&mut lambdas);
        }
        lambdas
    }

    /// Copies the definition.
    fn boxed_clone(&self) -> Box<dyn Spec>;
}
