//! What a script says about an alert.

use std::sync::Arc;

use levada_alert::decision::{DecisionSettings, Flapping};
use levada_alert::handlers::{Arg, HandlerSpec, PropertyError, by_method};
use levada_model::Str;
use levada_template::{JSON_FUNCTIONS, Options, Template};
use levada_tick::script::{CallError, Value};
use serde_json::{Map, Value as Json, json};

use super::levels::{Levels, Words};
use super::running::{Running, Texts};
use crate::property::types::{
    exactly, float_argument, text, text_argument, text_arguments, upper_first, wrong_argument,
};
use crate::property::{Flag, Lambda, Nanos, PropertyCall, PropertyType, Text, is_same_name};
use crate::runtime::{Node, StartContext};
use crate::spec::{Edge, EdgeRule, Kind, Set, Spec};

/// `|alert()`
#[derive(Clone, Debug)]
pub struct Alert {
    pub(super) topic: Text,
    pub(super) category: Text,
    pub(super) id: Text,
    pub(super) message: Text,
    pub(super) details: Text,
    pub(super) info: Lambda,
    pub(super) warn: Lambda,
    pub(super) crit: Lambda,
    pub(super) info_reset: Lambda,
    pub(super) warn_reset: Lambda,
    pub(super) crit_reset: Lambda,
    pub(super) inhibitors: Inhibits,
    pub(super) history: i64,
    pub(super) flapping: FlappingCall,
    pub(super) changes_only: ChangesOnly,
    pub(super) no_recoveries: Flag,
    pub(super) all: Flag,
    pub(super) level_tag: Text,
    pub(super) level_field: Text,
    pub(super) message_field: Text,
    pub(super) duration_field: Text,
    pub(super) id_tag: Text,
    pub(super) id_field: Text,
    pub(super) handlers: Vec<HandlerCall>,
}

crate::properties! {
    Alert {
        "topic" => topic,
        "category" => category,
        "id" => id,
        "message" => message,
        "details" => details,
        "info" => info,
        "warn" => warn,
        "crit" => crit,
        "infoReset" => info_reset,
        "warnReset" => warn_reset,
        "critReset" => crit_reset,
        "inhibit" => inhibitors,
        "history" => history,
        "flapping" => flapping,
        "stateChangesOnly" => changes_only,
        "noRecoveries" => no_recoveries,
        "all" => all,
        "levelTag" => level_tag,
        "levelField" => level_field,
        "messageField" => message_field,
        "durationField" => duration_field,
        "idTag" => id_tag,
        "idField" => id_field,
    }
}

/// Properties that are fields: the next property goes to the handler at hand.
const FIELDS: [&str; 18] = [
    "topic",
    "category",
    "id",
    "message",
    "details",
    "info",
    "warn",
    "crit",
    "infoReset",
    "warnReset",
    "critReset",
    "history",
    "levelTag",
    "levelField",
    "messageField",
    "durationField",
    "idTag",
    "idField",
];

/// A handler as the script called it.
#[derive(Clone, Debug)]
pub struct HandlerCall {
    /// The arguments of its method.
    pub args: Vec<Arg>,
    /// The handler with its properties.
    pub spec: HandlerSpec,
    /// The properties as they were set.
    pub properties: Vec<(String, Vec<Arg>)>,
}

/// What is the same for all of them.
pub static KIND: Kind = Kind {
    name: "alert",
    type_name: "AlertNode",
    desc: "alert",
    json_type: "alert",
    summary: "reports levels that change",
    wants: EdgeRule::SameAsParent,
    provides: EdgeRule::SameAsParent,
    chain: |builder, parent, _name, args| {
        exactly::<0>(args)?;
        builder.add(parent, Box::new(Alert::default()))
    },
    empty: || Box::new(Alert::default()),
};

/// Source of the texts: kapacitor reference §7.1.
const ID_DEFAULT: &str = "{{ .Name }}:{{ .Group }}";
const MESSAGE_DEFAULT: &str = "{{ .ID }} is {{ .Level }}";
pub(super) const DETAILS_DEFAULT: &str = "{{ json . }}";
const HISTORY_DEFAULT: i64 = 21;

/// `inhibit(category, tag…)`, any number of times.
#[derive(Clone, Debug, Default)]
pub(super) struct Inhibits(pub Vec<(String, Vec<String>)>);

/// `flapping(low, high)`
#[derive(Clone, Debug, Default)]
pub(super) struct FlappingCall(pub Option<(f64, f64)>);

/// `stateChangesOnly([duration])`
#[derive(Clone, Debug, Default)]
pub(super) struct ChangesOnly(pub Option<Nanos>);

// === impl Alert ===

impl Default for Alert {
    fn default() -> Self {
        Alert {
            topic: Text::default(),
            category: Text::default(),
            id: Text(ID_DEFAULT.to_owned()),
            message: Text(MESSAGE_DEFAULT.to_owned()),
            details: Text(DETAILS_DEFAULT.to_owned()),
            info: Lambda::default(),
            warn: Lambda::default(),
            crit: Lambda::default(),
            info_reset: Lambda::default(),
            warn_reset: Lambda::default(),
            crit_reset: Lambda::default(),
            inhibitors: Inhibits::default(),
            history: HISTORY_DEFAULT,
            flapping: FlappingCall::default(),
            changes_only: ChangesOnly::default(),
            no_recoveries: Flag::default(),
            all: Flag::default(),
            level_tag: Text::default(),
            level_field: Text::default(),
            message_field: Text::default(),
            duration_field: Text::default(),
            id_tag: Text::default(),
            id_field: Text::default(),
            handlers: Vec::new(),
        }
    }
}

impl Alert {
    /// Sets id and message: deadman does.
    pub fn set_texts(&mut self, id: String, message: String) {
        self.id.0 = id;
        self.message.0 = message;
    }

    /// Sets the expression of the worst level: deadman does.
    pub fn set_crit(&mut self, expression: Arc<levada_tick::syntax::Node>) {
        self.crit.0 = Some(expression);
    }

    /// Gives the handlers.
    pub fn handlers(&self) -> impl Iterator<Item = &HandlerSpec> {
        self.handlers.iter().map(|call| &call.spec)
    }

    fn settings(&self, is_1_8: bool) -> Result<DecisionSettings, String> {
        let settings = DecisionSettings {
            history: usize::try_from(self.history).unwrap_or(0).max(2),
            flapping: self.flapping.0.map(|(low, high)| Flapping { low, high }),
            state_changes_only: self.changes_only.0.is_some(),
            silence: self.changes_only.0.map_or(0, |silence| silence.0),
            no_recoveries: self.no_recoveries.0,
            all: self.all.0,
            ..DecisionSettings::default()
        };
        let settings = if is_1_8 { settings.with_compat_1_8() } else { settings };
        settings.check().map_err(|error| error.to_string())?;
        Ok(settings)
    }

    fn levels(&self, seed: u64, is_shared: bool) -> Result<Levels, String> {
        Levels::new(
            &Words {
                info: &self.info,
                warn: &self.warn,
                crit: &self.crit,
                info_reset: &self.info_reset,
                warn_reset: &self.warn_reset,
                crit_reset: &self.crit_reset,
            },
            seed,
            is_shared,
        )
    }

    fn texts(&self, is_1_8: bool) -> Result<Texts, String> {
        let parse = |name, text: &str| {
            Template::text(name, text).map_err(|error| error.to_string()).map(Arc::new)
        };
        // Differs: only the default is raw JSON; details that a script gives are escaped as upstream does (U-34).
        let is_raw = self.details.0 == DETAILS_DEFAULT && !is_1_8;
        let options = Options { functions: JSON_FUNCTIONS, html: !is_raw, ..Options::default() };
        let details = Template::parse("details", &self.details.0, &options)
            .map_err(|error| error.to_string())?;
        Ok(Texts {
            id: parse("id", &self.id.0)?,
            message: parse("message", &self.message.0)?,
            details: Arc::new(details),
            has_default_details: is_raw,
        })
    }

    fn add_handler(
        &mut self,
        kind: &'static levada_alert::handlers::Kind,
        args: Vec<Value>,
    ) -> Result<Set, CallError> {
        let args = args.iter().map(to_arg).collect::<Result<Vec<Arg>, _>>()?;
        let spec = HandlerSpec::from_call(kind, args.clone()).map_err(call_error)?;
        self.handlers.push(HandlerCall { args, spec, properties: Vec::new() });
        Ok(Set::Handler(self.handlers.len() - 1))
    }
}

impl Spec for Alert {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn has_property(&self, name: &str) -> bool {
        crate::property::find::<Self>(name).is_some() || by_method(name).is_some()
    }

    fn set(&mut self, name: &str, args: Vec<Value>) -> Result<Set, CallError> {
        if crate::property::find::<Self>(name).is_none()
            && let Some(kind) = by_method(name)
        {
            return self.add_handler(kind, args);
        }
        crate::property::set(self, name, args)?;
        let is_field = FIELDS.iter().any(|field| is_same_name(field, name));
        Ok(if is_field { Set::Field } else { Set::Method })
    }

    fn read(&self, name: &str) -> Option<Value> {
        let property = crate::property::find::<Self>(name)?;
        Some((property.get)(self).read())
    }

    fn handler_type(&self, index: usize) -> String {
        let go = self.handlers[index].spec.kind.go_type();
        go.strip_prefix("*pipeline.").unwrap_or(&go).to_owned()
    }

    fn has_handler_property(&self, index: usize, name: &str) -> bool {
        self.handlers[index].spec.has_property(name)
    }

    fn set_handler(&mut self, index: usize, name: &str, args: Vec<Value>) -> Result<(), CallError> {
        let args = args.iter().map(to_arg).collect::<Result<Vec<Arg>, _>>()?;
        let handler = &mut self.handlers[index];
        handler.spec.set(name, args.clone()).map_err(call_error)?;
        handler.properties.push((name.to_owned(), args));
        Ok(())
    }

    fn args(&self) -> Vec<Value> {
        Vec::new()
    }

    fn calls(&self) -> Vec<PropertyCall> {
        let defaults = Alert::default();
        let mut calls: Vec<PropertyCall> = Vec::new();
        for property in <Self as crate::property::Properties>::PROPERTIES {
            if (property.get)(self).json() == (property.get)(&defaults).json() {
                continue;
            }
            for args in (property.get)(self).calls() {
                calls.push(PropertyCall { name: property.name, args, nested: Vec::new() });
            }
        }
        for handler in &self.handlers {
            let nested = handler.properties.iter().filter_map(|(name, args)| {
                let rules = handler.spec.kind.rules.iter();
                let rule = rules.into_iter().find(|rule| is_same_name(rule.name, name))?;
                let args = args.iter().map(to_value).collect();
                Some(PropertyCall { name: rule.name, args, nested: Vec::new() })
            });
            calls.push(PropertyCall {
                name: handler.spec.kind.name(),
                args: handler.args.iter().map(to_value).collect(),
                nested: nested.collect(),
            });
        }
        calls
    }

    fn json(&self) -> Map<String, Json> {
        let mut members = crate::property::json(self);
        let handlers = self.handlers.iter().map(|handler| {
            let properties = handler.properties.iter().map(|(name, args)| {
                json!({"name": name, "args": args.iter().map(arg_json).collect::<Json>()})
            });
            json!({
                "type": handler.spec.kind.name(),
                "args": handler.args.iter().map(arg_json).collect::<Json>(),
                "properties": properties.collect::<Json>(),
            })
        });
        members.insert("handlers".to_owned(), handlers.collect());
        members
    }

    fn load(&mut self, members: &Map<String, Json>) -> Result<(), String> {
        crate::property::load(self, members)?;
        let Some(handlers) = members.get("handlers") else { return Ok(()) };
        for handler in handlers.as_array().into_iter().flatten() {
            let name = handler["type"].as_str().unwrap_or_default();
            let kind = by_method(name).ok_or_else(|| format!("unknown handler {name:?}"))?;
            let args = args_from_json(&handler["args"])?;
            let values = args.iter().map(to_value).collect();
            let Ok(Set::Handler(index)) = self.add_handler(kind, values) else {
                return Err(format!("wrong arguments of handler {name:?}"));
            };
            for property in handler["properties"].as_array().into_iter().flatten() {
                let name = property["name"].as_str().unwrap_or_default();
                let args = args_from_json(&property["args"])?;
                self.set_handler(index, name, args.iter().map(to_value).collect())
                    .map_err(|error| format!("{error:?}"))?;
            }
        }
        Ok(())
    }

    fn validate(&self) -> Result<(), String> {
        for handler in &self.handlers {
            handler.spec.check_define().map_err(|trouble| trouble.text)?;
        }
        levada_alert::inhibit::check(
            &self.category.0,
            self.inhibitors.0.iter().map(|(category, _)| category.as_str()),
        )
        .map_err(|error| error.to_string())
    }

    fn check(&self, _provides: Edge) -> Result<(), String> {
        self.levels(0, false)?;
        self.texts(false)?;
        self.settings(false).map(|_| ())
    }

    fn identity(&self) -> String {
        // What a group has is a level; how it is worded may change without the group beginning anew.
        let (all, history) = (self.all.0, self.history);
        format!("{all}{history}")
    }

    fn start(&self, ctx: &mut StartContext<'_>) -> Result<Box<dyn Node>, String> {
        let compat = ctx.compat.is_1_8;
        let texts = self.texts(compat)?;
        let levels = self.levels(ctx.seed, compat)?;
        let settings = self.settings(compat)?;
        let alerts = ctx.services.alerts();
        let handlers: Vec<&HandlerSpec> = self.handlers().collect();
        let has_handlers = alerts.start_handlers(&ctx.task, &ctx.node.name, &handlers)?;
        let running = Running::new(self, texts, levels, settings, alerts, ctx);
        Ok(Box::new(running.with_handlers(has_handlers)))
    }

    fn boxed_clone(&self) -> Box<dyn Spec> {
        Box::new(self.clone())
    }
}

/// Turns what the alert crate says about a call into what the language prints.
fn call_error(error: PropertyError) -> CallError {
    match error {
        PropertyError::TooManyForField(name) => CallError::TooManyForField(name),
        other if other.to_string().starts_with("cannot assign") => CallError::ReferenceForString,
        other => CallError::Call(other.to_string()),
    }
}

fn to_arg(value: &Value) -> Result<Arg, CallError> {
    Ok(match value {
        Value::Bool(flag) => Arg::Bool(*flag),
        Value::Int(number) => Arg::Int(*number),
        Value::Float(number) => Arg::Float(*number),
        Value::Str(text) => Arg::Str(Str::clone(text)),
        Value::Duration(nanos) => Arg::Duration(*nanos),
        Value::List(items) => Arg::List(items.iter().map(to_arg).collect::<Result<_, _>>()?),
        other => return Err(wrong_argument(other, "string")),
    })
}

fn to_value(arg: &Arg) -> Value {
    match arg {
        Arg::Bool(flag) => Value::Bool(*flag),
        Arg::Int(number) => Value::Int(*number),
        Arg::Float(number) => Value::Float(*number),
        Arg::Str(text) => Value::Str(Str::clone(text)),
        Arg::Duration(nanos) => Value::Duration(*nanos),
        Arg::List(items) => Value::List(items.iter().map(to_value).collect()),
    }
}

/// An argument in JSON: durations are objects, so that they are not taken for integers.
fn arg_json(arg: &Arg) -> Json {
    match arg {
        Arg::Bool(flag) => json!(flag),
        Arg::Int(number) => json!(number),
        Arg::Float(number) => json!({"float": number}),
        Arg::Str(text) => json!(&**text),
        Arg::Duration(nanos) => json!({"duration": nanos}),
        Arg::List(items) => items.iter().map(arg_json).collect(),
    }
}

fn args_from_json(json: &Json) -> Result<Vec<Arg>, String> {
    json.as_array().into_iter().flatten().map(arg_from_json).collect()
}

fn arg_from_json(json: &Json) -> Result<Arg, String> {
    Ok(match json {
        Json::Bool(flag) => Arg::Bool(*flag),
        Json::String(text) => Arg::Str(text.as_str().into()),
        Json::Array(_) => Arg::List(args_from_json(json)?),
        Json::Number(number) => {
            Arg::Int(number.as_i64().ok_or_else(|| format!("wanted an integer, got {json}"))?)
        }
        Json::Object(members) => match (members.get("float"), members.get("duration")) {
            (Some(number), _) => Arg::Float(number.as_f64().unwrap_or_default()),
            (_, Some(nanos)) => Arg::Duration(nanos.as_i64().unwrap_or_default()),
            _ => return Err(format!("unknown argument {json}")),
        },
        Json::Null => return Err("an argument is missing".to_owned()),
    })
}

// === impl Inhibits ===

impl PropertyType for Inhibits {
    fn set(&mut self, _name: &str, args: Vec<Value>) -> Result<(), CallError> {
        let mut args = args.into_iter();
        let category = args.next().ok_or_else(crate::property::types::too_few)?;
        let category = text_argument(category)?;
        self.0.push((category, text_arguments(args.collect())?));
        Ok(())
    }

    fn calls(&self) -> Vec<Vec<Value>> {
        let call = |(category, tags): &(String, Vec<String>)| {
            std::iter::once(text(category)).chain(tags.iter().map(|tag| text(tag))).collect()
        };
        self.0.iter().map(call).collect()
    }

    fn json(&self) -> Json {
        self.0.iter().map(|(category, tags)| json!({"category": category, "tags": tags})).collect()
    }

    fn load(&mut self, json: &Json) -> Result<(), String> {
        for item in json.as_array().into_iter().flatten() {
            let category = item["category"].as_str().unwrap_or_default().to_owned();
            let tags = item["tags"].as_array().into_iter().flatten();
            let tags = tags.filter_map(|tag| tag.as_str().map(str::to_owned)).collect();
            self.0.push((category, tags));
        }
        Ok(())
    }

    fn read(&self) -> Value {
        Value::Nil
    }
}

// === impl FlappingCall ===

impl PropertyType for FlappingCall {
    fn set(&mut self, _name: &str, args: Vec<Value>) -> Result<(), CallError> {
        let [low, high] = exactly::<2>(args)?;
        self.0 = Some((float_argument(low)?, float_argument(high)?));
        Ok(())
    }

    fn calls(&self) -> Vec<Vec<Value>> {
        self.0.iter().map(|(low, high)| vec![Value::Float(*low), Value::Float(*high)]).collect()
    }

    fn json(&self) -> Json {
        self.0.map_or(Json::Null, |(low, high)| json!({"low": low, "high": high}))
    }

    fn load(&mut self, json: &Json) -> Result<(), String> {
        self.0 = json["low"].as_f64().zip(json["high"].as_f64());
        Ok(())
    }

    fn read(&self) -> Value {
        Value::Nil
    }
}

// === impl ChangesOnly ===

impl PropertyType for ChangesOnly {
    fn set(&mut self, name: &str, args: Vec<Value>) -> Result<(), CallError> {
        let count = args.len();
        let mut args = args.into_iter();
        let silence = match (args.next(), count) {
            (None, _) => 0,
            (Some(Value::Duration(nanos)), 1) => nanos,
            (Some(other), 1) => return Err(wrong_argument(&other, "time.Duration")),
            _ => {
                let name = upper_first(name);
                return Err(CallError::Call(format!(
                    "{name} expects 0 or 1 arguments, got {count}"
                )));
            }
        };
        self.0 = Some(Nanos(silence));
        Ok(())
    }

    fn calls(&self) -> Vec<Vec<Value>> {
        let call = |silence: &Nanos| match silence.0 {
            0 => vec![],
            nanos => vec![Value::Duration(nanos)],
        };
        self.0.iter().map(call).collect()
    }

    fn json(&self) -> Json {
        self.0.map_or(Json::Null, |silence| silence.json())
    }

    fn load(&mut self, json: &Json) -> Result<(), String> {
        self.0 = match json {
            Json::Null => None,
            other => {
                let mut silence = Nanos(0);
                silence.load(other)?;
                Some(silence)
            }
        };
        Ok(())
    }

    fn read(&self) -> Value {
        Value::Bool(self.0.is_some())
    }
}
