//! `stateCount`: for how many points an expression has held.

use std::sync::Arc;

use levada_model::{FieldValue, Timestamp};
use levada_tick::script::Value;
use serde_json::{Map, Value as Json};

use super::tracked::{Running, Tracker, compile};
use crate::property::types::{exactly, lambda_argument};
use crate::property::{self, Lambda, PropertyType, Text};
use crate::runtime::{Node, Reader, StartContext, StateError, Writer};
use crate::spec::{Edge, EdgeRule, Kind, Spec};
use crate::spec_properties_beyond;

/// `|stateCount(lambda: …)`
#[derive(Clone, Debug)]
pub struct StateCount {
    expression: Lambda,
    result: Text,
}

crate::properties! { StateCount { "as" => result } }

/// What is the same for all of them.
pub static KIND: Kind = Kind {
    name: "stateCount",
    type_name: "StateCountNode",
    desc: "state_count",
    json_type: "stateCount",
    summary: "gives for how many points an expression has held",
    wants: EdgeRule::SameAsParent,
    provides: EdgeRule::SameAsParent,
    chain: |builder, parent, _name, args| {
        let [expression] = exactly::<1>(args)?;
        let expression = Lambda(Some(lambda_argument(expression)?));
        builder.add(parent, Box::new(StateCount::of(expression)))
    },
    empty: || Box::new(StateCount::of(Lambda(None))),
};

struct Count;

// === impl StateCount ===

impl StateCount {
    fn of(expression: Lambda) -> Self {
        StateCount { expression, result: Text("state_count".to_owned()) }
    }
}

impl Spec for StateCount {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    spec_properties_beyond!(|own| StateCount::of(own.expression.clone()));

    fn args(&self) -> Vec<Value> {
        self.expression.0.iter().map(|expression| Value::Lambda(Arc::clone(expression))).collect()
    }

    fn json(&self) -> Map<String, Json> {
        let mut members = property::json(self);
        members.insert("lambda".to_owned(), self.expression.json());
        members
    }

    fn load(&mut self, json: &Map<String, Json>) -> Result<(), String> {
        property::load(self, json)?;
        self.expression.load(json.get("lambda").unwrap_or(&Json::Null))
    }

    fn check(&self, _provides: Edge) -> Result<(), String> {
        compile(self.expression.0.as_deref(), KIND.name).map(|_| ())
    }

    fn start(&self, ctx: &mut StartContext<'_>) -> Result<Box<dyn Node>, String> {
        let program = compile(self.expression.0.as_deref(), KIND.name)?;
        Ok(Box::new(Running::new(
            Count,
            (self.expression.0.as_deref(), program),
            &self.result.0,
            ctx,
        )))
    }
}

// === impl Count ===

impl Tracker for Count {
    type State = i64;

    fn next(&self, state: &mut Option<i64>, _time: Timestamp) -> FieldValue {
        let count = state.map_or(1, |count| count.saturating_add(1));
        *state = Some(count);
        FieldValue::Int(count)
    }

    fn outside(&self) -> FieldValue {
        FieldValue::Int(-1)
    }

    fn save(state: i64, writer: &mut Writer<'_>) {
        writer.int(state);
    }

    fn load(reader: &mut Reader<'_>) -> Result<i64, StateError> {
        reader.int()
    }
}
