//! A handler as it was written.

use std::sync::Arc;

use levada_model::{ErrorKind, Str};
use thiserror::Error;

use super::deps::HandlerDeps;
use super::kind::{Kind, Place, Rule, Shape, Stage, StartError, Trouble};
use super::render::Scope;
use crate::topics::Handler;

/// Properties of one handler. Ours: no script comes near; options of a request might.
const PROPERTIES_MAX: usize = 1_000;

/// A value of a script or of options.
#[derive(Clone, Debug, PartialEq)]
pub enum Arg {
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A float.
    Float(f64),
    /// A text.
    Str(Str),
    /// Nanoseconds.
    Duration(i64),
    /// A list.
    List(Vec<Arg>),
}

/// One property: a call of a property method, or an argument of the handler method under the name of its rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Property {
    /// As its rule spells it.
    pub name: &'static str,
    /// What was passed.
    pub args: Vec<Arg>,
}

/// A handler as it was written.
#[derive(Clone, Debug)]
pub struct HandlerSpec {
    /// Its kind.
    pub kind: &'static Kind,
    /// In the order they were written.
    pub properties: Vec<Property>,
}

/// A property that a handler does not take.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PropertyError {
    /// There is no such property; whoever calls looks further, at the alert itself.
    #[error("no property \"{0}\"")]
    Unknown(String),
    /// A plain field got more than one argument; holds its name with a capital letter.
    #[error("too many arguments to set property {0}")]
    TooManyForField(String),
    /// A value of another type.
    #[error("reflect.Set: value of type {got} is not assignable to type {wanted}")]
    Type {
        /// The Go type of what was given.
        got: &'static str,
        /// The Go type of what is taken.
        wanted: &'static str,
    },
    /// An argument of a method of another type.
    #[error("reflect: Call using {got} as type {wanted}")]
    ArgumentType {
        /// The Go type of what was given.
        got: &'static str,
        /// The Go type of what is taken.
        wanted: &'static str,
    },
    /// Too few arguments.
    #[error("reflect: Call with too few input arguments")]
    TooFew,
    /// Too many arguments.
    #[error("reflect: Call with too many input arguments")]
    TooMany,
    /// Too many properties.
    #[error("more than {PROPERTIES_MAX} properties of one handler")]
    TooLong,
    /// Something else that is wrong with the arguments.
    #[error("{0}")]
    Other(String),
}

/// Says whether two names of a script are one: the case of the first letter does not count.
pub(super) fn is_same_name(known: &str, written: &str) -> bool {
    let (Some((first, rest)), Some((other, others))) =
        (known.split_at_checked(1), written.split_at_checked(1))
    else {
        return false;
    };
    first.eq_ignore_ascii_case(other) && rest == others
}

// === impl PropertyError ===

impl PropertyError {
    /// Gives the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

// === impl Arg ===

impl Arg {
    /// Gives the Go type that messages show.
    pub fn go_type(&self) -> &'static str {
        match self {
            Arg::Bool(_) => "bool",
            Arg::Int(_) => "int64",
            Arg::Float(_) => "float64",
            Arg::Str(_) => "string",
            Arg::Duration(_) => "time.Duration",
            Arg::List(_) => "[]interface {}",
        }
    }

    /// Gives a text.
    pub fn as_text(&self) -> Option<&Str> {
        match self {
            Arg::Str(text) => Some(text),
            _ => None,
        }
    }
}

impl From<&str> for Arg {
    fn from(text: &str) -> Self {
        Arg::Str(text.into())
    }
}

impl PartialEq for HandlerSpec {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.kind, other.kind) && self.properties == other.properties
    }
}

// === impl HandlerSpec ===

impl HandlerSpec {
    /// Makes a handler without properties.
    pub fn new(kind: &'static Kind) -> Self {
        HandlerSpec { kind, properties: Vec::new() }
    }

    /// Makes a handler from the call of its method.
    pub fn from_call(kind: &'static Kind, args: Vec<Arg>) -> Result<Self, PropertyError> {
        let mut spec = HandlerSpec::new(kind);
        let count = args.len();
        let mut args = args.into_iter();
        let mut is_variadic = false;
        for rule in kind.call_rules() {
            if rule.shape == Shape::Texts {
                is_variadic = true;
                let rest: Vec<Arg> = args.by_ref().collect();
                if !rest.is_empty() {
                    spec.push(rule, rest)?;
                }
                continue;
            }
            match args.next() {
                Some(arg) => spec.push_call(rule, arg)?,
                None if rule.place == Place::OptionalCall => {}
                None => return Err(PropertyError::TooFew),
            }
        }
        let has_optional = kind.call_rules().any(|rule| rule.place == Place::OptionalCall);
        match args.next() {
            Some(_) if has_optional => Err(PropertyError::Other(format!(
                "{} expects 0 or 1 arguments, got {count}",
                kind.name()
            ))),
            Some(_) if !is_variadic => Err(PropertyError::TooMany),
            _ => Ok(spec),
        }
    }

    fn push_call(&mut self, rule: &'static Rule, arg: Arg) -> Result<(), PropertyError> {
        check_type(&arg, rule.shape, true)?;
        self.push(rule, vec![arg])
    }

    /// Says whether scripts can set a property of this name.
    pub fn has_property(&self, name: &str) -> bool {
        self.settable(name).is_some()
    }

    fn settable(&self, name: &str) -> Option<&'static Rule> {
        self.kind.rules.iter().find(|rule| {
            matches!(rule.place, Place::Property | Place::Both) && is_same_name(rule.name, name)
        })
    }

    /// Sets a property as a script does.
    pub fn set(&mut self, name: &str, args: Vec<Arg>) -> Result<(), PropertyError> {
        let rule = self.settable(name).ok_or_else(|| PropertyError::Unknown(name.to_owned()))?;
        self.push(rule, args)
    }

    /// Adds a property after checking its arguments.
    pub(super) fn push(
        &mut self,
        rule: &'static Rule,
        args: Vec<Arg>,
    ) -> Result<(), PropertyError> {
        if self.properties.len() >= PROPERTIES_MAX {
            return Err(PropertyError::TooLong);
        }
        check_args(rule, &args)?;
        self.properties.push(Property { name: rule.name, args });
        Ok(())
    }

    /// Gives the arguments of the last time a property was set.
    pub fn last(&self, name: &str) -> Option<&[Arg]> {
        self.properties.iter().rev().find(|known| known.name == name).map(|known| &*known.args)
    }

    /// Gives the arguments of every time a property was set.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &[Arg]> {
        self.properties.iter().filter(move |known| known.name == name).map(|known| &*known.args)
    }

    /// Gives a text; an empty one counts as not set, then the default of the rule holds.
    pub fn text(&self, name: &str) -> Option<&str> {
        let written = self.last(name).and_then(|args| args.first()?.as_text());
        let rule = self.kind.rules.iter().find(|rule| rule.name == name);
        written.map(|text| &**text).filter(|text| !text.is_empty()).or(rule?.default)
    }

    /// Gives all texts of a list.
    pub fn texts(&self, name: &str) -> Vec<&Str> {
        self.all(name).flatten().filter_map(Arg::as_text).collect()
    }

    /// Gives a text to keep; empty when it is not set.
    pub(super) fn owned(&self, name: &str) -> String {
        self.text(name).unwrap_or_default().to_owned()
    }

    /// Gives all texts of a list to keep.
    pub(super) fn owned_texts(&self, name: &str) -> Vec<String> {
        self.texts(name).into_iter().map(|text| text.to_string()).collect()
    }

    /// Gives keys and texts.
    pub fn pairs(&self, name: &str) -> Vec<(&Str, &Str)> {
        self.all(name)
            .filter_map(|args| Some((args.first()?.as_text()?, args.get(1)?.as_text()?)))
            .collect()
    }

    /// Gives keys and values of any type.
    pub fn entries(&self, name: &str) -> Vec<(&Str, &Arg)> {
        self.all(name).filter_map(|args| Some((args.first()?.as_text()?, args.get(1)?))).collect()
    }

    /// Gives an integer.
    pub fn int(&self, name: &str) -> Option<i64> {
        match self.last(name)?.first()? {
            Arg::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// Gives nanoseconds.
    pub fn duration(&self, name: &str) -> Option<i64> {
        match self.last(name)?.first()? {
            Arg::Duration(nanos) => Some(*nanos),
            _ => None,
        }
    }

    /// Says whether a flag was set, or a boolean is true.
    pub fn flag(&self, name: &str) -> bool {
        match self.last(name) {
            None => false,
            Some([]) => true,
            Some(args) => matches!(args[0], Arg::Bool(true)),
        }
    }

    /// Says what upstream finds wrong when the script is read.
    pub fn check_define(&self) -> Result<(), Trouble> {
        match (self.kind.check)(self) {
            Err(trouble) if trouble.stage == Stage::Define => Err(trouble),
            _ => Ok(()),
        }
    }

    /// Says what is wrong with the handler, its templates included.
    pub fn check(&self, deps: &HandlerDeps) -> Result<(), Trouble> {
        (self.kind.check)(self)?;
        for rule in self.kind.rules.iter().filter(|rule| rule.is_template) {
            for text in self.template_texts(rule) {
                let parsed = deps.templates.parse(rule.name, text, self.scope(rule));
                parsed.map_err(Trouble::enable)?;
            }
        }
        Ok(())
    }

    /// Gives the texts of a property that are templates.
    fn template_texts(&self, rule: &'static Rule) -> Vec<&str> {
        match rule.shape {
            // The key of a pair and the ID and type of a value are no templates.
            Shape::Pair | Shape::Entry => {
                self.pairs(rule.name).into_iter().map(|(_, text)| &**text).collect()
            }
            Shape::SnmpData => {
                let values = self.all(rule.name).filter_map(|args| args.get(2)?.as_text());
                values.map(|text| &**text).collect()
            }
            Shape::Texts | Shape::Link => {
                self.texts(rule.name).into_iter().map(|text| &**text).collect()
            }
            _ => self.text(rule.name).into_iter().collect(),
        }
    }

    fn scope(&self, rule: &Rule) -> Scope {
        match (self.kind.option_kind, rule.name) {
            ("post", _) | ("kafka", "template") => Scope::Data,
            ("smtp", _) => Scope::Mail,
            _ => Scope::Event,
        }
    }

    /// Makes what handles events.
    ///
    /// Errors: the kind is switched off, and what [`HandlerSpec::check`] finds.
    pub fn start(&self, deps: &HandlerDeps) -> Result<Arc<dyn Handler>, StartError> {
        deps.allow(self.kind)?;
        self.check(deps)?;
        (self.kind.start)(self, deps)
    }
}

fn check_args(rule: &Rule, args: &[Arg]) -> Result<(), PropertyError> {
    let (least, most) = match rule.shape {
        Shape::Flag => (0, 0),
        Shape::Text | Shape::Int | Shape::Bool | Shape::Duration | Shape::Qos => (1, 1),
        Shape::Texts => (0, usize::MAX),
        Shape::Pair | Shape::Entry => (2, 2),
        Shape::Link => (1, 2),
        Shape::SnmpData => (3, 3),
    };
    if args.len() > most {
        let is_field = rule.is_field();
        let (first, rest) = rule.name.split_at(1);
        let name = format!("{}{rest}", first.to_ascii_uppercase());
        return Err(if is_field {
            PropertyError::TooManyForField(name)
        } else {
            PropertyError::TooMany
        });
    }
    if args.len() < least {
        return Err(PropertyError::TooFew);
    }
    // The value may be anything.
    let args = if rule.shape == Shape::Entry { &args[..1] } else { args };
    args.iter().try_for_each(|arg| check_type(arg, rule.shape, !rule.is_field()))
}

fn check_type(arg: &Arg, shape: Shape, is_call: bool) -> Result<(), PropertyError> {
    let wanted = match shape {
        Shape::Int | Shape::Qos => "int64",
        Shape::Bool | Shape::Flag => "bool",
        Shape::Duration => "time.Duration",
        Shape::Text | Shape::Texts | Shape::Pair | Shape::Entry | Shape::Link | Shape::SnmpData => {
            "string"
        }
    };
    let got = arg.go_type();
    match (got == wanted, is_call) {
        (true, _) => Ok(()),
        (false, true) => Err(PropertyError::ArgumentType { got, wanted }),
        (false, false) => Err(PropertyError::Type { got, wanted }),
    }
}
