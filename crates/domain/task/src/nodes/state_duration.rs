//! `stateDuration`: how long an expression has held.

use std::sync::Arc;

use levada_model::{FieldValue, Timestamp};
use levada_tick::script::Value;
use serde_json::{Map, Value as Json};

use super::tracked::{Running, Tracker, compile};
use crate::property::types::{exactly, lambda_argument};
use crate::property::{self, Lambda, Nanos, PropertyType, Text};
use crate::runtime::{Node, Reader, StartContext, StateError, Writer};
use crate::spec::{Edge, EdgeRule, Kind, Spec};
use crate::spec_properties_beyond;

/// `|stateDuration(lambda: …)`
#[derive(Clone, Debug)]
pub struct StateDuration {
    expression: Lambda,
    result: Text,
    unit: Nanos,
}

crate::properties! { StateDuration { "as" => result, "unit" => unit } }

/// What is the same for all of them.
pub static KIND: Kind = Kind {
    name: "stateDuration",
    type_name: "StateDurationNode",
    desc: "state_duration",
    json_type: "stateDuration",
    summary: "gives how long an expression has held",
    wants: EdgeRule::SameAsParent,
    provides: EdgeRule::SameAsParent,
    chain: |builder, parent, _name, args| {
        let [expression] = exactly::<1>(args)?;
        let expression = Lambda(Some(lambda_argument(expression)?));
        builder.add(parent, Box::new(StateDuration::of(expression)))
    },
    empty: || Box::new(StateDuration::of(Lambda(None))),
};

/// Source: kapacitor reference §5.13.
const UNIT: i64 = 1_000_000_000;

struct Duration {
    unit: f64,
}

// === impl StateDuration ===

impl StateDuration {
    fn of(expression: Lambda) -> Self {
        StateDuration { expression, result: Text("state_duration".to_owned()), unit: Nanos(UNIT) }
    }
}

impl Spec for StateDuration {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    spec_properties_beyond!(|own| StateDuration::of(own.expression.clone()));

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

    fn validate(&self) -> Result<(), String> {
        if self.unit.0 < 0 {
            return Err("unit must not be negative".to_owned());
        }
        Ok(())
    }

    fn check(&self, _provides: Edge) -> Result<(), String> {
        compile(self.expression.0.as_deref(), KIND.name).map(|_| ())
    }

    fn start(&self, ctx: &mut StartContext<'_>) -> Result<Box<dyn Node>, String> {
        let program = compile(self.expression.0.as_deref(), KIND.name)?;
        let tracker = Duration { unit: self.unit.0 as f64 };
        Ok(Box::new(Running::new(
            tracker,
            (self.expression.0.as_deref(), program),
            &self.result.0,
            ctx,
        )))
    }
}

// === impl Duration ===

impl Tracker for Duration {
    type State = Timestamp;

    fn next(&self, state: &mut Option<Timestamp>, time: Timestamp) -> FieldValue {
        let start = *state.get_or_insert(time);
        let nanos = time.0.saturating_sub(start.0);
        // A unit of zero must not make NaN of the first point.
        let duration = if nanos == 0 { 0.0 } else { nanos as f64 / self.unit };
        FieldValue::Float(duration)
    }

    fn outside(&self) -> FieldValue {
        FieldValue::Float(-1.0)
    }

    fn save(state: Timestamp, writer: &mut Writer<'_>) {
        writer.time(state);
    }

    fn load(reader: &mut Reader<'_>) -> Result<Timestamp, StateError> {
        reader.time()
    }
}
