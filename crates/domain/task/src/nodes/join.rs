//! `join`: puts items of several parents together that have the same group and time.

mod matching;
mod running;
mod sets;
#[cfg(test)]
mod tests;

use levada_model::{FieldValue, Str};
use levada_tick::script::{CallError, Value};
use serde_json::{Value as Json, json};

use self::matching::Matching;
use self::running::Running;
use super::derived::Scratch;
use super::group_series::GroupSeries;
use super::prefix::{Delimiter, Merger, PrefixProblem, find_problem};
use crate::property::types::{one_for_field, text, wrong_variadic};
use crate::property::{Nanos, PropertyType, Strings, Text};
use crate::runtime::{Node, PerGroup, StartContext};
use crate::spec::{Edge, EdgeRule, Kind, Spec};
use crate::{spec_json, spec_properties};

/// `a|join(b, …)`
#[derive(Clone, Debug, Default)]
pub struct Join {
    names: Strings,
    on: Strings,
    delimiter: Delimiter,
    tolerance: Nanos,
    fill: Fill,
    stream_name: Text,
    deletes_all: bool,
}

crate::properties! {
    Join {
        "as" => names,
        "on" => on,
        "delimiter" => delimiter,
        "tolerance" => tolerance,
        "fill" => fill,
        "streamName" => stream_name,
        "deleteAll" => deletes_all,
    }
}

/// What is the same for all of them.
pub static KIND: Kind = Kind {
    name: "join",
    type_name: "JoinNode",
    desc: "join",
    json_type: "join",
    summary: "puts points of several parents together by group and time",
    wants: EdgeRule::SameAsParent,
    provides: EdgeRule::SameAsParent,
    chain: |builder, parent, _name, args| {
        let mut parents = vec![parent];
        for other in args {
            let other = builder.node_argument(&other).ok_or_else(|| not_a_node(&other))?;
            parents.push(other);
        }
        builder.add_behind(&parents, Box::new(Join::default()))
    },
    empty: || Box::new(Join::default()),
};

/// What takes the place of missing values: any value a script gives, since upstream looks at it when the task starts.
#[derive(Clone, Debug, Default)]
struct Fill(Option<Value>);

/// What is said about an argument that should be a node.
pub(super) fn not_a_node(value: &Value) -> CallError {
    wrong_variadic(value, "pipeline.Node")
}

// === impl Join ===

impl Spec for Join {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    spec_properties!();
    spec_json!();

    fn args(&self) -> Vec<Value> {
        Vec::new()
    }

    fn validate_behind(&self, parents: usize) -> Result<(), String> {
        let names = &self.names.0;
        if names.is_empty() {
            return Err(
                "a call to join.as() is required to specify the output stream prefixes.".to_owned()
            );
        }
        if names.len() != parents {
            return Err(
                "number of prefixes specified by join.as() must match the number of joined streams"
                    .to_owned(),
            );
        }
        let delimiter = &self.delimiter.0;
        let contains = |name: &str| !delimiter.is_empty() && name.contains(delimiter.as_str());
        match find_problem(names, contains) {
            None => {}
            Some(PrefixProblem::Empty) => {
                return Err(
                    "must provide a prefix name for the join node, see .as() property method"
                        .to_owned(),
                );
            }
            Some(PrefixProblem::Delimiter(name)) => {
                return Err(format!(
                    "cannot use name {name} as field prefix, it contains the delimiter {delimiter:?}\t"
                ));
            }
            Some(PrefixProblem::Twice) => {
                return Err("cannot use the same prefix name see .as() property method".to_owned());
            }
        }
        if self.tolerance.0 < 0 {
            return Err("tolerance must not be negative".to_owned());
        }
        Ok(())
    }

    fn check(&self, _provides: Edge) -> Result<(), String> {
        self.fill.value().map(|_| ())
    }

    fn start(&self, ctx: &mut StartContext<'_>) -> Result<Box<dyn Node>, String> {
        let on = &self.on.0;
        Ok(Box::new(Running {
            parents: ctx.parents,
            tolerance: self.tolerance.0,
            fill: self.fill.value()?,
            name: (!self.stream_name.0.is_empty()).then(|| Str::from(&*self.stream_name.0)),
            merger: Merger::new(&self.names.0, &self.delimiter.0),
            series: GroupSeries::default(),
            groups: PerGroup::default(),
            matching: (!on.is_empty()).then(|| Matching::new(on, ctx.parents)),
            deletes_all: self.deletes_all,
            floor: None,
            deliveries: Vec::new(),
            rows: Vec::new(),
            joined: Scratch::default(),
            released: 0,
        }))
    }
}

// === impl Fill ===

impl Fill {
    /// Gives what missing values are; nothing for an inner join.
    fn value(&self) -> Result<Option<FieldValue>, String> {
        match &self.0 {
            None => Ok(None),
            Some(Value::Str(option)) => match &**option {
                "none" => Ok(None),
                "null" => Ok(Some(FieldValue::Null)),
                other => Err(format!("unexpected fill option {other}")),
            },
            Some(Value::Int(number)) => Ok(Some(FieldValue::Int(*number))),
            Some(Value::Float(number)) => Ok(Some(FieldValue::Float(*number))),
            Some(Value::Bool(flag)) => Err(format!("unexpected fill option {flag}")),
            Some(other) => Err(format!("unexpected fill option {}", other.go_type())),
        }
    }
}

impl PropertyType for Fill {
    fn set(&mut self, name: &str, args: Vec<Value>) -> Result<(), CallError> {
        self.0 = Some(one_for_field(name, args)?);
        Ok(())
    }

    fn calls(&self) -> Vec<Vec<Value>> {
        self.0.iter().map(|value| vec![value.clone()]).collect()
    }

    fn json(&self) -> Json {
        match &self.0 {
            Some(Value::Str(option)) => json!(&**option),
            Some(Value::Int(number)) => json!(number),
            Some(Value::Float(number)) => json!(number),
            Some(Value::Bool(flag)) => json!(flag),
            _ => Json::Null,
        }
    }

    fn load(&mut self, json: &Json) -> Result<(), String> {
        self.0 = match json {
            Json::Null => None,
            Json::String(option) => Some(text(option)),
            Json::Bool(flag) => Some(Value::Bool(*flag)),
            Json::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(number), _) => Some(Value::Int(number)),
                (None, Some(number)) => Some(Value::Float(number)),
                (None, None) => return Err(format!("wanted a number, got {json}")),
            },
            _ => return Err(format!("wanted 'none', 'null' or a number, got {json}")),
        };
        Ok(())
    }

    fn read(&self) -> Value {
        self.0.clone().unwrap_or(Value::Nil)
    }
}
