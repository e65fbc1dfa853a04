//! The types of properties.

use std::fmt::Debug;
use std::sync::Arc;

use levada_tick::script::{CallError, Value};
use levada_tick::syntax::{Kind, Node};
use serde_json::{Value as Json, json};

/// A field that a script can set.
pub trait PropertyType: Debug {
    /// Sets the field; `name` is the property as scripts write it.
    fn set(&mut self, name: &str, args: Vec<Value>) -> Result<(), CallError>;

    /// Gives the arguments of the calls that lead from the default to this.
    fn calls(&self) -> Vec<Vec<Value>>;

    /// Gives the JSON form.
    fn json(&self) -> Json;

    /// Sets the field from its JSON form.
    fn load(&mut self, json: &Json) -> Result<(), String>;

    /// Gives the value that a read without parentheses sees.
    fn read(&self) -> Value;
}

/// A text: a field, so it takes one argument.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text(pub String);

/// A duration in nanoseconds: a field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nanos(pub i64);

/// Set by a call without arguments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flag(pub bool);

/// Set by a call without arguments or with a boolean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OptionalFlag(pub bool);

/// An expression: a field.
#[derive(Clone, Debug, Default)]
pub struct Lambda(pub Option<Arc<Node>>);

/// Expressions: the arguments of a chaining method.
#[derive(Clone, Debug, Default)]
pub struct Lambdas(pub Vec<Arc<Node>>);

/// Texts, any number; a later call replaces an earlier one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strings(pub Vec<String>);

/// Texts, any number; a later call adds to an earlier one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MoreStrings(pub Vec<String>);

/// Pairs of texts, one per call; a later call with the same key replaces the earlier one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairs(pub Vec<(String, String)>);

/// What a setter says about a value of the wrong type.
pub fn wrong_field(value: &Value, wanted: &str) -> CallError {
    match value {
        Value::Reference(_) if wanted == "string" => CallError::ReferenceForString,
        _ => CallError::Call(format!(
            "reflect.Set: value of type {} is not assignable to type {wanted}",
            value.go_type()
        )),
    }
}

/// What a method says about an argument of the wrong type.
pub fn wrong_argument(value: &Value, wanted: &str) -> CallError {
    match value {
        Value::Reference(_) if wanted == "string" => CallError::ReferenceForString,
        _ => CallError::Call(format!("reflect: Call using {} as type {wanted}", value.go_type())),
    }
}

/// What a method with any number of arguments says about one of the wrong type.
pub fn wrong_variadic(value: &Value, wanted: &str) -> CallError {
    match value {
        Value::Reference(_) if wanted == "string" => CallError::ReferenceForString,
        _ => CallError::Call(format!(
            "reflect: cannot use {} as type {wanted} in Call",
            value.go_type()
        )),
    }
}

/// Takes the one argument of a field.
pub fn one_for_field(name: &str, args: Vec<Value>) -> Result<Value, CallError> {
    let mut args = args.into_iter();
    match (args.next(), args.next()) {
        (Some(value), None) => Ok(value),
        (None, _) => Err(too_few()),
        (Some(_), Some(_)) => Err(CallError::TooManyForField(upper_first(name))),
    }
}

/// Takes exactly `N` arguments of a method.
pub fn exactly<const N: usize>(args: Vec<Value>) -> Result<[Value; N], CallError> {
    let count = args.len();
    args.try_into().map_err(|_| if count > N { too_many() } else { too_few() })
}

/// The text about too many arguments of a method.
pub fn too_many() -> CallError {
    CallError::Call("reflect: Call with too many input arguments".to_owned())
}

/// The text about too few arguments of a method.
pub fn too_few() -> CallError {
    CallError::Call("reflect: Call with too few input arguments".to_owned())
}

/// Takes a text argument of a method.
pub fn text_argument(value: Value) -> Result<String, CallError> {
    match value {
        Value::Str(text) => Ok(text.to_string()),
        other => Err(wrong_argument(&other, "string")),
    }
}

/// Takes a duration argument of a method.
pub fn duration_argument(value: Value) -> Result<i64, CallError> {
    match value {
        Value::Duration(nanos) => Ok(nanos),
        other => Err(wrong_argument(&other, "time.Duration")),
    }
}

/// Takes an integer argument of a method.
pub fn int_argument(value: Value) -> Result<i64, CallError> {
    match value {
        Value::Int(number) => Ok(number),
        other => Err(wrong_argument(&other, "int64")),
    }
}

/// Takes a float argument of a method.
pub fn float_argument(value: Value) -> Result<f64, CallError> {
    match value {
        Value::Float(number) => Ok(number),
        other => Err(wrong_argument(&other, "float64")),
    }
}

/// Takes an expression argument of a method.
pub fn lambda_argument(value: Value) -> Result<Arc<Node>, CallError> {
    match value {
        Value::Lambda(expression) => Ok(expression),
        other => Err(wrong_argument(&other, "*ast.LambdaNode")),
    }
}

/// Takes text arguments of a method with any number of them.
pub fn text_arguments(args: Vec<Value>) -> Result<Vec<String>, CallError> {
    args.into_iter()
        .map(|value| match value {
            Value::Str(text) => Ok(text.to_string()),
            other => Err(wrong_variadic(&other, "string")),
        })
        .collect()
}

/// Takes expression arguments of a method with any number of them.
pub fn lambda_arguments(args: Vec<Value>) -> Result<Vec<Arc<Node>>, CallError> {
    args.into_iter()
        .map(|value| match value {
            Value::Lambda(expression) => Ok(expression),
            other => Err(wrong_variadic(&other, "*ast.LambdaNode")),
        })
        .collect()
}

/// Makes a text value.
pub fn text(value: &str) -> Value {
    Value::Str(Arc::from(value))
}

/// Gives a name with its first letter in upper case, as messages show fields.
pub fn upper_first(name: &str) -> String {
    let mut chars = name.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => String::new(),
    }
}

fn wanted(what: &str, json: &Json) -> String {
    format!("wanted {what}, got {json}")
}

/// Gives the JSON form of an expression: that of its text, so an expression that variables were put into is the same as
/// one that was written so.
pub fn lambda_json(expression: &Node) -> Json {
    let lambda = Kind::Lambda(Arc::new(expression.clone()));
    let text = levada_tick::syntax::format_node(&Node::new(expression.position, lambda));
    let body = text.strip_prefix("lambda:").unwrap_or(&text);
    let written = levada_tick::syntax::parse_lambda(body);
    levada_tick::syntax::to_json(written.as_ref().unwrap_or(expression))
}

/// Reads the JSON form of an expression.
pub fn lambda_from_json(json: &Json) -> Result<Arc<Node>, String> {
    levada_tick::syntax::from_json(json).map(Arc::new).map_err(|problem| problem.to_string())
}

// === impl Text ===

impl PropertyType for Text {
    fn set(&mut self, name: &str, args: Vec<Value>) -> Result<(), CallError> {
        match one_for_field(name, args)? {
            Value::Str(text) => self.0 = text.to_string(),
            other => return Err(wrong_field(&other, "string")),
        }
        Ok(())
    }

    fn calls(&self) -> Vec<Vec<Value>> {
        if self.0.is_empty() { vec![] } else { vec![vec![text(&self.0)]] }
    }

    fn json(&self) -> Json {
        json!(self.0)
    }

    fn load(&mut self, json: &Json) -> Result<(), String> {
        self.0 = json.as_str().ok_or_else(|| wanted("a string", json))?.to_owned();
        Ok(())
    }

    fn read(&self) -> Value {
        text(&self.0)
    }
}

// === impl Nanos ===

impl PropertyType for Nanos {
    fn set(&mut self, name: &str, args: Vec<Value>) -> Result<(), CallError> {
        match one_for_field(name, args)? {
            Value::Duration(nanos) => self.0 = nanos,
            other => return Err(wrong_field(&other, "time.Duration")),
        }
        Ok(())
    }

    fn calls(&self) -> Vec<Vec<Value>> {
        if self.0 == 0 { vec![] } else { vec![vec![Value::Duration(self.0)]] }
    }

    fn json(&self) -> Json {
        json!(levada_tick::syntax::format_duration(self.0))
    }

    fn load(&mut self, json: &Json) -> Result<(), String> {
        self.0 = match (json.as_i64(), json.as_str()) {
            (Some(nanos), _) => nanos,
            (None, Some(text)) => levada_tick::syntax::parse_duration(text)
                .map_err(|_| format!("invalid duration {text:?}"))?,
            (None, None) => return Err(wanted("a duration", json)),
        };
        Ok(())
    }

    fn read(&self) -> Value {
        Value::Duration(self.0)
    }
}

// === impl Flag ===

impl PropertyType for Flag {
    fn set(&mut self, _name: &str, args: Vec<Value>) -> Result<(), CallError> {
        exactly::<0>(args)?;
        self.0 = true;
        Ok(())
    }

    fn calls(&self) -> Vec<Vec<Value>> {
        if self.0 { vec![vec![]] } else { vec![] }
    }

    fn json(&self) -> Json {
        json!(self.0)
    }

    fn load(&mut self, json: &Json) -> Result<(), String> {
        self.0 = json.as_bool().ok_or_else(|| wanted("a boolean", json))?;
        Ok(())
    }

    fn read(&self) -> Value {
        Value::Bool(self.0)
    }
}

// === impl OptionalFlag ===

impl PropertyType for OptionalFlag {
    fn set(&mut self, _name: &str, args: Vec<Value>) -> Result<(), CallError> {
        if args.is_empty() {
            self.0 = true;
            return Ok(());
        }
        match exactly::<1>(args)? {
            [Value::Bool(flag)] => self.0 = flag,
            [other] => return Err(wrong_argument(&other, "bool")),
        }
        Ok(())
    }

    fn calls(&self) -> Vec<Vec<Value>> {
        if self.0 { vec![vec![]] } else { vec![] }
    }

    fn json(&self) -> Json {
        json!(self.0)
    }

    fn load(&mut self, json: &Json) -> Result<(), String> {
        self.0 = json.as_bool().ok_or_else(|| wanted("a boolean", json))?;
        Ok(())
    }

    fn read(&self) -> Value {
        Value::Bool(self.0)
    }
}

// === impl bool, i64, f64 ===

macro_rules! plain_field {
    ($type:ty, $variant:ident, $go:literal, $what:literal, $read:expr) => {
        impl PropertyType for $type {
            fn set(&mut self, name: &str, args: Vec<Value>) -> Result<(), CallError> {
                match one_for_field(name, args)? {
                    Value::$variant(value) => *self = value,
                    other => return Err(wrong_field(&other, $go)),
                }
                Ok(())
            }

            fn calls(&self) -> Vec<Vec<Value>> {
                if *self == <$type>::default() {
                    vec![]
                } else {
                    vec![vec![Value::$variant(*self)]]
                }
            }

            fn json(&self) -> Json {
                json!(self)
            }

            fn load(&mut self, json: &Json) -> Result<(), String> {
                let read: fn(&Json) -> Option<$type> = $read;
                *self = read(json).ok_or_else(|| wanted($what, json))?;
                Ok(())
            }

            fn read(&self) -> Value {
                Value::$variant(*self)
            }
        }
    };
}

plain_field!(bool, Bool, "bool", "a boolean", |json| json.as_bool());
plain_field!(i64, Int, "int64", "an integer", |json| json.as_i64());
plain_field!(f64, Float, "float64", "a number", |json| json.as_f64());

// === impl Lambda ===

impl PropertyType for Lambda {
    fn set(&mut self, name: &str, args: Vec<Value>) -> Result<(), CallError> {
        match one_for_field(name, args)? {
            Value::Lambda(expression) => self.0 = Some(expression),
            other => return Err(wrong_field(&other, "*ast.LambdaNode")),
        }
        Ok(())
    }

    fn calls(&self) -> Vec<Vec<Value>> {
        self.0.iter().map(|expression| vec![Value::Lambda(Arc::clone(expression))]).collect()
    }

    fn json(&self) -> Json {
        self.0.as_deref().map_or(Json::Null, lambda_json)
    }

    fn load(&mut self, json: &Json) -> Result<(), String> {
        self.0 = if json.is_null() { None } else { Some(lambda_from_json(json)?) };
        Ok(())
    }

    fn read(&self) -> Value {
        self.0.as_ref().map_or(Value::Nil, |expression| Value::Lambda(Arc::clone(expression)))
    }
}

// === impl Lambdas ===

impl PropertyType for Lambdas {
    fn set(&mut self, _name: &str, args: Vec<Value>) -> Result<(), CallError> {
        self.0 = lambda_arguments(args)?;
        Ok(())
    }

    fn calls(&self) -> Vec<Vec<Value>> {
        if self.0.is_empty() {
            return vec![];
        }
        vec![self.0.iter().map(|expression| Value::Lambda(Arc::clone(expression))).collect()]
    }

    fn json(&self) -> Json {
        self.0.iter().map(|expression| lambda_json(expression)).collect()
    }

    fn load(&mut self, json: &Json) -> Result<(), String> {
        let items = json.as_array().ok_or_else(|| wanted("a list", json))?;
        self.0 = items.iter().map(lambda_from_json).collect::<Result<_, _>>()?;
        Ok(())
    }

    fn read(&self) -> Value {
        Value::List(self.0.iter().map(|expression| Value::Lambda(Arc::clone(expression))).collect())
    }
}

// === impl Strings, MoreStrings ===

macro_rules! string_list {
    ($type:ident, $store:expr) => {
        impl PropertyType for $type {
            fn set(&mut self, _name: &str, args: Vec<Value>) -> Result<(), CallError> {
                let texts = text_arguments(args)?;
                let store: fn(&mut Vec<String>, Vec<String>) = $store;
                store(&mut self.0, texts);
                Ok(())
            }

            fn calls(&self) -> Vec<Vec<Value>> {
                if self.0.is_empty() {
                    return vec![];
                }
                vec![self.0.iter().map(|one| text(one)).collect()]
            }

            fn json(&self) -> Json {
                json!(self.0)
            }

            fn load(&mut self, json: &Json) -> Result<(), String> {
                self.0 = match json {
                    Json::Null => Vec::new(),
                    Json::Array(items) => items
                        .iter()
                        .map(|item| item.as_str().map(str::to_owned))
                        .collect::<Option<_>>()
                        .ok_or_else(|| wanted("a list of strings", json))?,
                    _ => return Err(wanted("a list of strings", json)),
                };
                Ok(())
            }

            fn read(&self) -> Value {
                Value::List(self.0.iter().map(|one| text(one)).collect())
            }
        }
    };
}

string_list!(Strings, |own, texts| *own = texts);
string_list!(MoreStrings, |own, texts| own.extend(texts));

// === impl Pairs ===

impl PropertyType for Pairs {
    fn set(&mut self, _name: &str, args: Vec<Value>) -> Result<(), CallError> {
        let [key, value] = exactly::<2>(args)?;
        let (key, value) = (text_argument(key)?, text_argument(value)?);
        match self.0.iter_mut().find(|(known, _)| *known == key) {
            Some(pair) => pair.1 = value,
            None => self.0.push((key, value)),
        }
        Ok(())
    }

    fn calls(&self) -> Vec<Vec<Value>> {
        self.0.iter().map(|(key, value)| vec![text(key), text(value)]).collect()
    }

    fn json(&self) -> Json {
        Json::Object(self.0.iter().map(|(key, value)| (key.clone(), json!(value))).collect())
    }

    fn load(&mut self, json: &Json) -> Result<(), String> {
        let members = match json {
            Json::Null => return Ok(()),
            Json::Object(members) => members,
            _ => return Err(wanted("an object of strings", json)),
        };
        self.0 = members
            .iter()
            .map(|(key, value)| value.as_str().map(|value| (key.clone(), value.to_owned())))
            .collect::<Option<_>>()
            .ok_or_else(|| wanted("an object of strings", json))?;
        Ok(())
    }

    fn read(&self) -> Value {
        Value::List(self.0.iter().map(|(key, _)| text(key)).collect())
    }
}
