//! `@name()`: functions that run outside. Their options are what they have announced.

mod running;

use std::collections::BTreeMap;

use levada_codec::udf::{Init, InitOption};
use levada_tick::script::{CallError, Value};
use serde_json::{Map, Value as Json, json};

use crate::pipeline::NodeIndex;
use crate::property::PropertyCall;
use crate::runtime::{Node, StartContext};
use crate::spec::{Edge, EdgeRule, Kind, Set, Spec};
use crate::udf::{UdfStart, option_value};
use running::Running;

/// What a function announces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// What it takes.
    pub wants: Edge,
    /// What it gives.
    pub provides: Edge,
    /// Its options and the types of their arguments.
    pub options: BTreeMap<String, Vec<OptionType>>,
}

/// The type of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionType {
    /// `BOOL`
    Bool,
    /// `INT`
    Int,
    /// `DOUBLE`
    Double,
    /// `STRING`
    String,
    /// `DURATION`
    Duration,
}

/// `@name()`
#[derive(Clone, Debug)]
pub struct Udf {
    name: String,
    function: Function,
    options: Vec<(String, Vec<Value>)>,
}

/// What is the same for all of them; edges are the function's own.
pub static STREAM_TO_STREAM: Kind = kind(Edge::Stream, Edge::Stream);
/// See [`STREAM_TO_STREAM`].
pub static STREAM_TO_BATCH: Kind = kind(Edge::Stream, Edge::Batch);
/// See [`STREAM_TO_STREAM`].
pub static BATCH_TO_STREAM: Kind = kind(Edge::Batch, Edge::Stream);
/// See [`STREAM_TO_STREAM`].
pub static BATCH_TO_BATCH: Kind = kind(Edge::Batch, Edge::Batch);

const fn kind(wants: Edge, provides: Edge) -> Kind {
    Kind {
        name: "udf",
        type_name: "UDFNode",
        desc: "udf",
        json_type: "udf",
        summary: "a function that runs outside",
        wants: EdgeRule::Fixed(wants),
        provides: EdgeRule::Fixed(provides),
        chain: |_, _, _, _| -> Result<NodeIndex, _> { Err(crate::property::types::too_many()) },
        empty: || {
            Box::new(Udf {
                name: String::new(),
                function: Function {
                    wants: Edge::Stream,
                    provides: Edge::Stream,
                    options: BTreeMap::new(),
                },
                options: Vec::new(),
            })
        },
    }
}

// === impl OptionType ===

impl OptionType {
    /// Gives the word of messages.
    pub fn name(self) -> &'static str {
        match self {
            OptionType::Bool => "BOOL",
            OptionType::Int => "INT",
            OptionType::Double => "DOUBLE",
            OptionType::String => "STRING",
            OptionType::Duration => "DURATION",
        }
    }

    fn of(value: &Value) -> Option<OptionType> {
        Some(match value {
            Value::Bool(_) => OptionType::Bool,
            Value::Int(_) => OptionType::Int,
            Value::Float(_) => OptionType::Double,
            Value::Str(_) => OptionType::String,
            Value::Duration(_) => OptionType::Duration,
            _ => return None,
        })
    }
}

// === impl Udf ===

impl Udf {
    /// Makes one for a call; a function takes no arguments, only options.
    pub fn new(name: &str, function: Function, args: Vec<Value>) -> Result<Self, CallError> {
        crate::property::types::exactly::<0>(args)?;
        Ok(Udf { name: name.to_owned(), function, options: Vec::new() })
    }
}

impl Spec for Udf {
    fn kind(&self) -> &'static Kind {
        match (self.function.wants, self.function.provides) {
            (Edge::Batch, Edge::Batch) => &BATCH_TO_BATCH,
            (Edge::Batch, _) => &BATCH_TO_STREAM,
            (_, Edge::Batch) => &STREAM_TO_BATCH,
            _ => &STREAM_TO_STREAM,
        }
    }

    fn desc(&self) -> &str {
        &self.name
    }

    fn method(&self) -> &str {
        &self.name
    }

    fn has_property(&self, name: &str) -> bool {
        self.function.options.contains_key(name)
    }

    fn set(&mut self, name: &str, args: Vec<Value>) -> Result<Set, CallError> {
        let Some(wanted) = self.function.options.get(name) else {
            return Err(CallError::Call(format!("no option {name}")));
        };
        if args.len() != wanted.len() {
            return Err(CallError::Call(format!(
                "unexpected number of args to {name}, got {} expected {}",
                args.len(),
                wanted.len()
            )));
        }
        for (value, wanted) in args.iter().zip(wanted) {
            let got = OptionType::of(value);
            if got != Some(*wanted) {
                let got = got.map_or(value.go_type(), OptionType::name);
                let wanted = wanted.name();
                let text = format!("unexpected arg to {name}, got {got} expected {wanted}");
                return Err(CallError::Call(text));
            }
        }
        // An option that is given again is another occurrence.
        self.options.push((name.to_owned(), args));
        Ok(Set::Method)
    }

    fn read(&self, _name: &str) -> Option<Value> {
        None
    }

    fn args(&self) -> Vec<Value> {
        Vec::new()
    }

    fn calls(&self) -> Vec<PropertyCall> {
        // Names of options are the function's own, so they are not in the table of this product.
        Vec::new()
    }

    fn dynamic_calls(&self) -> Option<Vec<(String, Vec<Value>)>> {
        Some(self.options.clone())
    }

    fn json(&self) -> Map<String, Json> {
        let options = self.options.iter().map(|(name, args)| {
            json!({"name": name, "args": args.iter().map(argument_json).collect::<Json>()})
        });
        let mut members = Map::new();
        members.insert("udfName".to_owned(), json!(self.name));
        members.insert("options".to_owned(), options.collect());
        members
    }

    /// Reads the options; which function it is was known before.
    fn load(&mut self, json: &Map<String, Json>) -> Result<(), String> {
        self.options.clear();
        let options = json.get("options").and_then(Json::as_array);
        for option in options.into_iter().flatten() {
            let name = option["name"].as_str().unwrap_or_default();
            let args = option["args"].as_array().into_iter().flatten();
            let args = args.map(argument_from_json).collect::<Result<Vec<_>, _>>()?;
            self.set(name, args).map_err(|error| match error {
                CallError::Call(text) => text,
                other => format!("{other:?}"),
            })?;
        }
        Ok(())
    }

    fn start(&self, ctx: &mut StartContext<'_>) -> Result<Box<dyn Node>, String> {
        let values = |args: &[Value]| args.iter().filter_map(option_value).collect();
        let options = self
            .options
            .iter()
            .map(|(name, args)| InitOption { name: name.clone(), values: values(args) });
        let init = Init {
            options: options.collect(),
            task: ctx.task.to_string(),
            node: ctx.node.name.to_string(),
        };
        let link = ctx.services.udf(UdfStart {
            function: &self.name,
            task: &ctx.task,
            node: &ctx.node,
            init,
            provides: self.function.provides,
        })?;
        Ok(Box::new(Running::new(link, ctx.limits.group_ttl)))
    }

    fn boxed_clone(&self) -> Box<dyn Spec> {
        Box::new(self.clone())
    }
}

/// An argument in JSON: durations are objects, so that they are not taken for integers.
fn argument_json(value: &Value) -> Json {
    match value {
        Value::Bool(flag) => json!(flag),
        Value::Int(number) => json!(number),
        Value::Float(number) => json!({"float": number}),
        Value::Str(text) => json!(&**text),
        Value::Duration(nanos) => json!({"duration": nanos}),
        // Refused when it was set.
        _ => Json::Null,
    }
}

fn argument_from_json(json: &Json) -> Result<Value, String> {
    let wrong = || format!("unknown argument {json}");
    Ok(match json {
        Json::Bool(flag) => Value::Bool(*flag),
        Json::String(text) => Value::Str(text.as_str().into()),
        Json::Number(number) => Value::Int(number.as_i64().ok_or_else(wrong)?),
        Json::Object(members) => match (members.get("float"), members.get("duration")) {
            (Some(number), _) => Value::Float(number.as_f64().ok_or_else(wrong)?),
            (_, Some(nanos)) => Value::Duration(nanos.as_i64().ok_or_else(wrong)?),
            _ => return Err(wrong()),
        },
        Json::Null | Json::Array(_) => return Err(wrong()),
    })
}
