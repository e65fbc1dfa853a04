//! Templates of handlers, rendered by the template language of scripts.

use std::sync::Arc;

use levada_model::Str;
use levada_template::{JSON_FUNCTIONS, Options, Value, Zone};

use super::render::{PlainTemplates, Scope, Template, Templates};
use super::views::{DataView, EventView};
use crate::event::Event;

/// Parses Go text templates.
#[derive(Clone, Debug, Default)]
pub struct GoTemplates {
    /// What `.Local` of times means.
    pub local: Zone,
}

struct Parsed {
    template: levada_template::Template,
    scope: Scope,
}

impl Templates for GoTemplates {
    fn parse(&self, name: &str, text: &str, scope: Scope) -> Result<Arc<dyn Template>, String> {
        if !text.contains("{{") {
            return PlainTemplates.parse(name, text, scope);
        }
        let options = Options { functions: JSON_FUNCTIONS, html: false, local: self.local.clone() };
        let template = levada_template::Template::parse(name, text, &options);
        let template = template.map_err(|error| error.to_string())?;
        Ok(Arc::new(Parsed { template, scope }))
    }
}

impl Template for Parsed {
    fn render(&self, event: &Event) -> Result<Str, String> {
        let mut out = String::new();
        let rendered = match self.scope {
            Scope::Event | Scope::Mail => {
                let view = EventView::new(event, self.scope);
                self.template.execute(&Value::Struct(&view), &mut out)
            }
            Scope::Data => {
                let view = DataView::new(event);
                self.template.execute(&Value::Struct(&view), &mut out)
            }
        };
        rendered.map_err(|error| error.to_string())?;
        Ok(out.into())
    }
}
