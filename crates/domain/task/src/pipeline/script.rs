//! The pipeline as a script.
//!
//! Nodes are written in the order in which they were made, so defining the script makes the same nodes with the same names.
//! A node that the next one stands on is written in one chain with it; one that is used in any other way gets a variable.

use std::collections::HashSet;
use std::sync::Arc;

use levada_model::Str;
use levada_tick::script::Value;
use levada_tick::syntax::ast::{Call, CallKind, Kind, Position};
use levada_tick::syntax::{Node, Operator, format_node};
use serde_json::Value as Json;

use super::json::receiver;
use super::{Linked, NodeIndex, Pipeline};
use crate::property::PropertyCall;
use crate::spec::Spec;

impl Pipeline {
    /// Gives a script that makes this pipeline; an error names what a script cannot say.
    pub fn to_script(&self) -> Result<String, String> {
        Script::new(self).write()
    }
}

/// The shortest duration that a script can write.
const MICROSECOND: i64 = 1_000;

struct Script<'p> {
    pipeline: &'p Pipeline,
    /// How often another node refers to the node.
    uses: Vec<usize>,
    /// The variables, or the words `stream` and `batch`.
    names: Vec<Option<Str>>,
    taken: HashSet<Str>,
}

// === impl Script ===

impl<'p> Script<'p> {
    fn new(pipeline: &'p Pipeline) -> Self {
        let mut uses = vec![0; pipeline.nodes.len()];
        for (_, node) in pipeline.nodes().filter(|(_, node)| is_written(node)) {
            for used in node.parents.iter().chain(&node.watched) {
                uses[used.0] += 1;
            }
        }
        let mut names = vec![None; pipeline.nodes.len()];
        let source: Str = pipeline.task_type().word().into();
        names[0] = Some(Str::clone(&source));
        Script { pipeline, uses, names, taken: HashSet::from([source]) }
    }

    fn write(mut self) -> Result<String, String> {
        let order: Vec<NodeIndex> = self
            .pipeline
            .nodes()
            .skip(1)
            .filter(|(_, node)| is_written(node))
            .map(|(index, _)| index)
            .collect();
        let mut statements = Vec::new();
        // What the next node may stand on without a variable.
        let mut open: Option<(NodeIndex, Node)> = None;
        for (at, index) in order.iter().enumerate() {
            let base = self.base(*index)?;
            let left = match open.take() {
                Some((known, chain)) if known == base => chain,
                _ => self.variable(base)?,
            };
            let chain = self.calls(*index, left)?;
            let next = order.get(at + 1).map(|next| self.base(*next)).transpose()?;
            match self.uses[index.0] {
                0 => statements.push(chain),
                1 if next == Some(*index) => open = Some((*index, chain)),
                _ => {
                    let name = self.name(*index);
                    statements.push(node(Kind::Declaration {
                        name: Box::new(node(Kind::Identifier(Str::clone(&name)))),
                        value: Box::new(chain),
                    }));
                    self.names[index.0] = Some(name);
                }
            }
        }
        Ok(format_node(&node(Kind::Program(statements))))
    }

    /// The node that the chaining method is called on.
    fn base(&self, index: NodeIndex) -> Result<NodeIndex, String> {
        let linked = self.pipeline.node(index);
        let receiver = linked.parents.get(receiver(&*linked.spec, linked.parents.len()));
        let base = receiver.copied().or(linked.watched);
        base.ok_or_else(|| format!("{} has no parent", self.pipeline.name(index)))
    }

    fn variable(&self, index: NodeIndex) -> Result<Node, String> {
        match &self.names[index.0] {
            Some(name) => Ok(node(Kind::Identifier(Str::clone(name)))),
            None => Err(format!("{} cannot be named in a script", self.pipeline.name(index))),
        }
    }

    /// A name that is the node's, as far as that is one.
    fn name(&mut self, index: NodeIndex) -> Str {
        let own = self.pipeline.name(index);
        let mut name = String::with_capacity(own.len());
        name.extend(own.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }));
        if !name.starts_with(|first: char| first.is_ascii_alphabetic()) {
            name.insert_str(0, "node");
        }
        while !self.taken.insert(name.as_str().into()) {
            name.push('_');
        }
        name.into()
    }

    /// Writes the chaining method of a node and its properties behind `left`.
    fn calls(&self, index: NodeIndex, left: Node) -> Result<Node, String> {
        let linked = self.pipeline.node(index);
        let mut args = Vec::new();
        let receiver = receiver(&*linked.spec, linked.parents.len());
        for (place, parent) in linked.parents.iter().enumerate() {
            if place != receiver {
                args.push(self.variable(*parent)?);
            }
        }
        args.extend(values(&linked.spec.args())?);
        let options = linked.spec.dynamic_calls();
        let (operator, kind) = match options {
            Some(_) => (Operator::At, CallKind::Dynamic),
            None => (Operator::Pipe, CallKind::Chain),
        };
        let mut chain = link(left, operator, call(kind, linked.spec.method(), args));
        if linked.is_quiet {
            chain = link(chain, Operator::Dot, call(CallKind::Property, "quiet", Vec::new()));
        }
        for (name, args) in options.into_iter().flatten() {
            let call = call(CallKind::Property, &name, values(&args)?);
            chain = link(chain, Operator::Dot, call);
        }
        for (name, value) in emptied(&*linked.spec) {
            let call = call(CallKind::Property, &name, values(&[value])?);
            chain = link(chain, Operator::Dot, call);
        }
        properties(chain, &changed(&*linked.spec)?)
    }
}

/// What `stats` makes beside itself is not written.
fn is_written(node: &Linked) -> bool {
    node.spec.kind().name != "noop"
}

/// The properties that are empty though a new node has something there: they have no call.
fn emptied(spec: &dyn Spec) -> Vec<(String, Value)> {
    let new = (spec.kind().empty)();
    let (calls, given) = (spec.calls(), spec.json());
    let emptied = new.json().into_iter().filter_map(|(name, value)| {
        let given = given.get(&name).filter(|given| **given != value)?;
        let is_called = calls.iter().any(|call| call.name == name) || !spec.has_property(&name);
        let empty = empty_literal(given).filter(|_| !is_called)?;
        Some((name, empty))
    });
    emptied.collect()
}

/// The calls of properties that are not what a new node has.
fn changed(spec: &dyn Spec) -> Result<Vec<PropertyCall>, String> {
    let new = (spec.kind().empty)();
    let (before, after) = (new.json(), spec.json());
    let written = |call: &PropertyCall| -> Result<(&'static str, Vec<String>), String> {
        Ok((call.name, values(&call.args)?.iter().map(format_node).collect()))
    };
    let known = new.calls().iter().map(written).collect::<Result<Vec<_>, _>>()?;
    let mut calls = Vec::new();
    for call in spec.calls() {
        // A call that adds to others is not left out from among them.
        let is_same = before.get(call.name) == after.get(call.name);
        if !is_same || !call.nested.is_empty() || !known.contains(&written(&call)?) {
            calls.push(call);
        }
    }
    Ok(calls)
}

fn empty_literal(json: &Json) -> Option<Value> {
    Some(match json {
        Json::String(text) if text.is_empty() => Value::Str(Str::default()),
        Json::String(text) if text == "0s" => Value::Duration(0),
        Json::Number(number) if number.as_i64() == Some(0) => Value::Int(0),
        Json::Number(number) if number.as_f64() == Some(0.0) => Value::Float(0.0),
        _ => return None,
    })
}

fn properties(mut chain: Node, calls: &[PropertyCall]) -> Result<Node, String> {
    // Handlers have properties, and those have none.
    for one in calls {
        let written = call(CallKind::Property, one.name, values(&one.args)?);
        chain = link(chain, Operator::Dot, written);
        for nested in &one.nested {
            let written = call(CallKind::Property, nested.name, values(&nested.args)?);
            chain = link(chain, Operator::Dot, written);
        }
    }
    Ok(chain)
}

fn node(kind: Kind) -> Node {
    Node::new(Position::default(), kind)
}

fn link(left: Node, operator: Operator, right: Node) -> Node {
    node(Kind::Chain { operator, left: Box::new(left), right: Box::new(right) })
}

fn call(kind: CallKind, name: &str, args: Vec<Node>) -> Node {
    node(Kind::Call(Call { kind, name: name.into(), args, is_multi_line: false }))
}

fn values(values: &[Value]) -> Result<Vec<Node>, String> {
    values.iter().map(value).collect()
}

/// Writes a value as a literal.
fn value(value: &Value) -> Result<Node, String> {
    Ok(node(match value {
        Value::Bool(flag) => Kind::Bool(*flag),
        Value::Int(number) => return int(*number),
        Value::Float(number) if !number.is_finite() => {
            return Err(format!("a script has no literal for the float {number}"));
        }
        Value::Float(number) if number.is_sign_negative() => {
            return Ok(minus(Kind::Float(-number)));
        }
        Value::Float(number) => Kind::Float(*number),
        Value::Str(text) => return string(text),
        Value::Regex(regex) => Kind::Regex(Arc::clone(regex)),
        Value::Duration(nanos) => return duration(*nanos),
        Value::Lambda(expression) => Kind::Lambda(Arc::clone(expression)),
        Value::Star => Kind::Star,
        Value::List(items) => Kind::List(values(items)?),
        Value::Reference(name) => Kind::Reference(Str::clone(name)),
        Value::TimeDimension { length, offset } => {
            let args = vec![duration(*length)?, duration(*offset)?];
            return Ok(call(CallKind::Global, "time", args));
        }
        Value::Nil => return Err("a script has no literal for nothing".to_owned()),
        Value::Object(_) => return Err("a node is no literal".to_owned()),
    }))
}

fn int(number: i64) -> Result<Node, String> {
    match number.checked_neg() {
        Some(positive) if number < 0 => Ok(minus(Kind::Int { value: positive, is_octal: false })),
        Some(_) => Ok(node(Kind::Int { value: number, is_octal: false })),
        None => Err("a script has no literal for the smallest integer".to_owned()),
    }
}

/// A backslash before a quote or at the end can only stand between triple quotes.
fn string(text: &Str) -> Result<Node, String> {
    let is_triple = text.ends_with('\\') || text.contains("\\'");
    if is_triple && (text.contains("'''") || text.ends_with('\'')) {
        return Err(format!("a script has no literal for the string {text:?}"));
    }
    Ok(node(Kind::String { value: Str::clone(text), is_triple }))
}

fn duration(nanos: i64) -> Result<Node, String> {
    if nanos % MICROSECOND != 0 {
        return Err(format!("a script has no literal for {nanos} nanoseconds"));
    }
    let literal = |nanos| Kind::Duration { nanos, literal: Str::default() };
    match nanos.checked_neg() {
        Some(positive) if nanos < 0 => Ok(minus(literal(positive))),
        Some(_) => Ok(node(literal(nanos))),
        None => Err("a script has no literal for the shortest duration".to_owned()),
    }
}

fn minus(kind: Kind) -> Node {
    node(Kind::Unary { operator: Operator::Minus, operand: Box::new(node(kind)) })
}
