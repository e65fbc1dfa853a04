//! Templates of handlers, behind a trait: the crate does not care which engine renders them.

use std::collections::BTreeMap;
use std::sync::Arc;

use levada_model::Str;

use super::deps::HandlerDeps;
use super::kind::Trouble;
use super::payload;
use super::spec::{Arg, HandlerSpec};
use crate::event::Event;
use crate::topics::HandlerError;

/// What a template sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// `.ID .Message .Level .Time .Duration .Details .Name .TaskName .Group .Tags .Fields`: options of most handlers.
    Event,
    /// `.Name .TaskName .Category .Group .Tags .Fields .Recoverable`: recipients of mails.
    Mail,
    /// `.ID .Message .Details .Time .Duration .Level .Data .PreviousLevel .Recoverable`: `post` and `kafka`.
    Data,
}

/// A parsed template.
pub trait Template: Send + Sync + 'static {
    /// Renders it over an event.
    ///
    /// Errors: the text of the template engine.
    fn render(&self, event: &Event) -> Result<Str, String>;
}

/// Parses templates.
pub trait Templates: Send + Sync + 'static {
    /// Parses a text; `name` is what messages call it.
    fn parse(&self, name: &str, text: &str, scope: Scope) -> Result<Arc<dyn Template>, String>;
}

/// Knows texts without actions only.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlainTemplates;

struct Plain(Str);

impl Template for Plain {
    fn render(&self, _event: &Event) -> Result<Str, String> {
        Ok(self.0.clone())
    }
}

impl Templates for PlainTemplates {
    fn parse(&self, name: &str, text: &str, _scope: Scope) -> Result<Arc<dyn Template>, String> {
        match text.contains("{{") {
            true => Err(format!("template: {name}:1: templates are not available here")),
            false => Ok(Arc::new(Plain(text.into()))),
        }
    }
}

/// A property of a handler that is a template; nothing when it is not set.
pub(super) struct Text(Option<Arc<dyn Template>>);

/// Properties of a handler with keys, whose texts are templates.
pub(super) struct Entries(Vec<(Str, Entry)>);

enum Entry {
    Text(Arc<dyn Template>),
    Plain(Arg),
}

fn parse(deps: &HandlerDeps, name: &str, text: &str) -> Result<Arc<dyn Template>, Trouble> {
    deps.templates.parse(name, text, Scope::Event).map_err(Trouble::enable)
}

fn render(template: &dyn Template, event: &Event) -> Result<Str, HandlerError> {
    template.render(event).map_err(|error| HandlerError::new(error).finally())
}

// === impl Text ===

impl Text {
    /// Parses a property.
    pub(super) fn of(spec: &HandlerSpec, deps: &HandlerDeps, name: &str) -> Result<Self, Trouble> {
        Text::parse(deps, name, spec.text(name).unwrap_or_default())
    }

    /// Parses a text; an empty one counts as not set.
    pub(super) fn parse(deps: &HandlerDeps, name: &str, text: &str) -> Result<Self, Trouble> {
        match text {
            "" => Ok(Text(None)),
            text => parse(deps, name, text).map(|template| Text(Some(template))),
        }
    }

    /// Parses all texts of a property.
    pub(super) fn all(
        spec: &HandlerSpec,
        deps: &HandlerDeps,
        name: &str,
    ) -> Result<Vec<Self>, Trouble> {
        let texts = spec.texts(name).into_iter();
        texts.map(|text| Ok(Text(Some(parse(deps, name, text)?)))).collect()
    }

    /// Renders it; empty when it is not set.
    pub(super) fn render(&self, event: &Event) -> Result<Str, HandlerError> {
        self.0.as_deref().map_or_else(|| Ok(Str::from("")), |template| render(template, event))
    }
}

// === impl Entries ===

impl Entries {
    /// Parses a property with keys.
    pub(super) fn of(spec: &HandlerSpec, deps: &HandlerDeps, name: &str) -> Result<Self, Trouble> {
        let entry = |(key, value): (&Str, &Arg)| {
            let entry = match value {
                Arg::Str(text) => Entry::Text(parse(deps, name, text)?),
                plain => Entry::Plain(plain.clone()),
            };
            Ok((key.clone(), entry))
        };
        spec.entries(name).into_iter().map(entry).collect::<Result<_, _>>().map(Entries)
    }

    /// Renders all; `json` says how texts are written, the rest is as JSON has it. The last one of a key counts.
    pub(super) fn render(
        &self,
        event: &Event,
        json: fn(&str) -> Vec<u8>,
    ) -> Result<BTreeMap<String, Vec<u8>>, HandlerError> {
        let entry = |(key, entry): &(Str, Entry)| {
            let value = match entry {
                Entry::Text(template) => json(&render(&**template, event)?),
                Entry::Plain(plain) => payload::arg(plain),
            };
            Ok((key.to_string(), value))
        };
        self.0.iter().map(entry).collect()
    }
}
