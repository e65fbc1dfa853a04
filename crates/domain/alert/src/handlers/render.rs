//! Templates of handlers, behind a trait: the crate does not care which engine renders them.

use std::sync::Arc;

use levada_model::Str;

use crate::event::Event;

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
