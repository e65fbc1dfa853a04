//! The definition of the node of a function.

use levada_tick::script::{CallError, Value};
use serde_json::{Map, Value as Json};

use super::arguments::{Argument, Arguments};
use super::{Function, Start};
use crate::property::{self, Flag, PropertyCall, Text};
use crate::runtime::{Node, StartContext};
use crate::spec::{Kind, Set, Spec};

/// `|mean('field')` and the like.
#[derive(Clone, Debug)]
pub(super) struct InfluxQl {
    function: &'static Function,
    arguments: Arguments,
    result: Text,
    uses_point_times: Flag,
}

crate::properties! {
    InfluxQl {
        "as" => result,
        "usePointTimes" => uses_point_times,
    }
}

// === impl InfluxQl ===

impl InfluxQl {
    /// Takes the arguments of the chaining method.
    pub(super) fn new(function: &'static Function, args: Vec<Value>) -> Result<Self, CallError> {
        let arguments = Arguments::take(function.arguments, args)?;
        Ok(InfluxQl { arguments, ..InfluxQl::empty(function) })
    }

    /// Has no arguments yet.
    pub(super) fn empty(function: &'static Function) -> Self {
        InfluxQl {
            function,
            arguments: Arguments::default(),
            // Upstream sets the name at once, so that a script can read it.
            result: Text(function.kind.desc.to_owned()),
            uses_point_times: Flag(false),
        }
    }

    pub(super) fn function(&self) -> &'static Function {
        self.function
    }

    pub(super) fn arguments(&self) -> &Arguments {
        &self.arguments
    }

    /// The name of the field that it reads.
    pub(super) fn field(&self) -> &str {
        let at = self.function.arguments.iter().position(|kind| *kind == Argument::Field);
        match at.and_then(|at| self.arguments.values().get(at)) {
            Some(Value::Str(name)) => name,
            _ => "",
        }
    }

    /// The name of the field that it writes.
    pub(super) fn result(&self) -> &str {
        &self.result.0
    }

    pub(super) fn uses_point_times(&self) -> bool {
        self.uses_point_times.0
    }
}

impl Spec for InfluxQl {
    fn kind(&self) -> &'static Kind {
        &self.function.kind
    }

    fn has_property(&self, name: &str) -> bool {
        property::find::<Self>(name).is_some()
    }

    fn set(&mut self, name: &str, args: Vec<Value>) -> Result<Set, CallError> {
        property::set(self, name, args).map(|()| Set::Field)
    }

    fn read(&self, name: &str) -> Option<Value> {
        let property = property::find::<Self>(name)?;
        Some((property.get)(self).read())
    }

    fn calls(&self) -> Vec<PropertyCall> {
        let is_default = self.result.0 == self.function.kind.desc;
        let mut calls = property::calls(self);
        calls.retain(|call| call.name != "as" || !is_default);
        calls
    }

    fn boxed_clone(&self) -> Box<dyn Spec> {
        Box::new(self.clone())
    }

    fn args(&self) -> Vec<Value> {
        self.arguments.values().to_vec()
    }

    fn json(&self) -> Map<String, Json> {
        let mut members = property::json(self);
        members.insert("args".to_owned(), self.arguments.json());
        members
    }

    fn load(&mut self, json: &Map<String, Json>) -> Result<(), String> {
        property::load(self, json)?;
        let args = json.get("args").unwrap_or(&Json::Null);
        self.arguments = Arguments::load(self.function.arguments, args)
            .map_err(|problem| format!("args: {problem}"))?;
        Ok(())
    }

    fn validate(&self) -> Result<(), String> {
        (self.function.check)(&self.arguments)
    }

    fn start(&self, ctx: &mut StartContext<'_>) -> Result<Box<dyn Node>, String> {
        self.validate()?;
        Ok((self.function.start)(Start { definition: self, wants: ctx.wants }))
    }
}
