//! What the table says about a kind of handler.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use levada_model::ErrorKind;
use serde_json::{Map, Value};
use thiserror::Error;

use super::deps::HandlerDeps;
use super::spec::HandlerSpec;
use crate::services::SectionRule;
use crate::topics::{Handler, HandlerError};

/// A kind of handler.
pub struct Kind {
    /// The method of scripts, e.g. `pagerDuty2`; nothing where scripts have none.
    pub method: Option<&'static str>,
    /// The `kind` of topic handlers, e.g. `pagerduty2`.
    pub option_kind: &'static str,
    /// One line for help and documents.
    pub summary: &'static str,
    /// Arguments of the method and properties, in the order of the documents.
    pub rules: &'static [Rule],
    /// Its service may add it to every alert that has no handler of the kind (`global = true`).
    pub is_global: bool,
    /// Its service knows `state-changes-only`. Differs: U-35, it concerns this handler and not the whole alert.
    pub has_state_changes_only: bool,
    /// What is checked beside the rules.
    pub check: fn(&HandlerSpec) -> Result<(), Trouble>,
    /// Makes what handles events.
    pub start: Start,
    /// The section of the configuration with the settings of its service; nothing where it has none.
    pub section: Option<&'static SectionRule>,
    /// How its service is tried out; nothing where it has none, or none yet.
    pub test: Option<TestRule>,
}

/// How a service is tried out on request. It is called by the name of the section.
#[derive(Clone, Copy)]
pub struct TestRule {
    /// Gives all options with what they are unless the request says otherwise; settings of the service are among them.
    pub options: fn(&HandlerDeps) -> Map<String, Value>,
    /// Tries the service with all options, those of the request over the others.
    pub run: fn(Map<String, Value>, HandlerDeps) -> TestOutcome,
}

/// What comes of trying out a service.
pub type TestOutcome = BoxFuture<'static, Result<(), HandlerError>>;

/// Makes what handles events.
pub type Start = fn(&HandlerSpec, &HandlerDeps) -> Result<Arc<dyn Handler>, StartError>;

/// An argument or a property of a kind.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// As scripts write it; for arguments, how [`HandlerSpec`] calls it.
    pub name: &'static str,
    /// The key of options.
    pub option: &'static str,
    /// Another key of options that means the same.
    pub option_alias: Option<&'static str>,
    /// What it holds.
    pub shape: Shape,
    /// Where scripts set it.
    pub place: Place,
    /// Its texts are templates.
    pub is_template: bool,
    /// What it is when it is not set and the configuration has nothing either.
    pub default: Option<&'static str>,
}

/// What a property holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A method without arguments that says yes.
    Flag,
    /// A text.
    Text,
    /// An integer.
    Int,
    /// A boolean.
    Bool,
    /// A duration.
    Duration,
    /// Any number of texts; more calls add to them.
    Texts,
    /// A key and a text; more calls add to them.
    Pair,
    /// A key and a value of any type; more calls add to them.
    Entry,
    /// An address and maybe a text; more calls add to them.
    Link,
    /// Object ID, type and value; more calls add to them.
    SnmpData,
    /// A quality of service from 0 to 2, a word in options.
    Qos,
}

/// Where scripts set a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// An argument of the method; the last one may be [`Shape::Texts`].
    Call,
    /// An argument that may be left out.
    OptionalCall,
    /// A property.
    Property,
    /// An argument, and a property, too.
    Both,
    /// In options only.
    Options,
}

/// When upstream finds a mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// When the script is read.
    Define,
    /// When the task starts.
    Enable,
}

/// A handler that cannot work.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{text}")]
pub struct Trouble {
    /// When upstream finds it.
    pub stage: Stage,
    /// Upstream's text where there is one.
    pub text: String,
}

/// Why a handler was not started.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StartError {
    /// The kind was switched off.
    #[error("handlers of kind {0:?} are disabled on this server")]
    Disabled(&'static str),
    /// The handler cannot work.
    #[error(transparent)]
    Trouble(#[from] Trouble),
}

// === impl Trouble ===

impl Trouble {
    /// Makes a mistake that is found when the script is read.
    pub fn define(text: impl Into<String>) -> Self {
        Trouble { stage: Stage::Define, text: text.into() }
    }

    /// Makes a mistake that is found when the task starts.
    pub fn enable(text: impl Into<String>) -> Self {
        Trouble { stage: Stage::Enable, text: text.into() }
    }

    /// Gives the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

// === impl StartError ===

impl StartError {
    /// Gives the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

// === impl Kind ===

impl Kind {
    /// Gives what most kinds have in common; the basis of an entry.
    pub(super) const fn starting(start: Start) -> Kind {
        Kind {
            method: None,
            option_kind: "",
            summary: "",
            rules: &[],
            is_global: false,
            has_state_changes_only: false,
            check: |_| Ok(()),
            start,
            section: None,
            test: None,
        }
    }

    /// Gives the name for messages: the method of scripts, else the kind of options.
    pub fn name(&self) -> &'static str {
        self.method.unwrap_or(self.option_kind)
    }

    /// Gives the Go type that messages show, e.g. `*pipeline.SlackHandler`.
    pub fn go_type(&self) -> String {
        let name = self.name();
        let (first, rest) = name.split_at(1);
        format!("*pipeline.{}{rest}Handler", first.to_ascii_uppercase())
    }

    /// Gives what scripts pass to the method.
    pub(super) fn call_rules(&self) -> impl Iterator<Item = &'static Rule> {
        let rules = self.rules.iter();
        rules.filter(|rule| matches!(rule.place, Place::Call | Place::OptionalCall | Place::Both))
    }
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kind({})", self.name())
    }
}

// === impl Rule ===

impl Rule {
    /// Makes a property.
    pub(super) const fn new(shape: Shape, name: &'static str, option: &'static str) -> Self {
        Rule {
            name,
            option,
            option_alias: None,
            shape,
            place: Place::Property,
            is_template: false,
            default: None,
        }
    }

    /// Makes a property that holds a text.
    pub(super) const fn text(name: &'static str, option: &'static str) -> Self {
        Rule::new(Shape::Text, name, option)
    }

    /// Makes a property that holds any number of texts.
    pub(super) const fn texts(name: &'static str, option: &'static str) -> Self {
        Rule::new(Shape::Texts, name, option)
    }

    pub(super) const fn template(self) -> Self {
        Rule { is_template: true, ..self }
    }

    pub(super) const fn default(self, default: &'static str) -> Self {
        Rule { default: Some(default), ..self }
    }

    pub(super) const fn at(self, place: Place) -> Self {
        Rule { place, ..self }
    }

    pub(super) const fn or(self, option: &'static str) -> Self {
        Rule { option_alias: Some(option), ..self }
    }

    /// Says whether scripts set it as a plain field: one argument of the exact type.
    pub fn is_field(&self) -> bool {
        matches!(self.shape, Shape::Text | Shape::Int | Shape::Bool | Shape::Duration)
    }
}
