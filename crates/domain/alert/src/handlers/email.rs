//! `email`: sends a mail.
//!
//! Source: kapacitor: reference (server) §4.5, `smtp`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use levada_clients::smtp::{Mail, SmtpSettings};
use levada_settings::Secret;
use serde::Deserialize;

use super::connections::{Connections, failed};
use super::deps::HandlerDeps;
use super::form::{self, Field, Goes, Sample};
use super::kind::{Kind, Place, Rule, StartError, TestRule, Trouble};
use super::render::{Scope, Template, Templates};
use super::spec::HandlerSpec;
use crate::event::Event;
use crate::services::{OptionDefault, OptionRule, Section, SectionRule};
use crate::topics::{Handler, HandlerError};

pub(super) static KIND: Kind = Kind {
    method: Some("email"),
    option_kind: "smtp",
    summary: "sends a mail",
    rules: &[
        Rule::texts("to", "to").at(Place::Both),
        Rule::texts("toTemplates", "to-field").template(),
    ],
    is_global: true,
    has_state_changes_only: true,
    section: Some(&SECTION),
    test: Some(TestRule {
        options: |deps| form::options(&SECTION, FIELDS, deps),
        run: |options, deps| form::run(&KIND, FIELDS, options, deps),
    }),
    ..Kind::starting(start)
};

static SECTION: SectionRule = SectionRule {
    name: "smtp",
    element_key: None,
    options: &[
        OptionRule::flag("enabled"),
        OptionRule::text("host", "localhost"),
        OptionRule::new("port", OptionDefault::Int(25)),
        OptionRule::text("username", ""),
        OptionRule::text("password", "").secret(),
        OptionRule::flag("no-verify"),
        OptionRule::flag("global"),
        OptionRule::flag("state-changes-only"),
        OptionRule::text("from", ""),
        OptionRule::new("to", OptionDefault::Texts(&[])),
        OptionRule::new("toTemplates", OptionDefault::Texts(&[])),
        OptionRule::new("idle-timeout", OptionDefault::Duration("30s")),
    ],
};

static FIELDS: &[Field] = &[
    Field::new("to", Sample::Setting("to"), Goes::Option("to")),
    Field::new("subject", Sample::Text("test subject"), Goes::Message),
    Field::new("body", Sample::Text("test body"), Goes::Details),
];

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Settings {
    host: String,
    port: u16,
    username: String,
    password: String,
    no_verify: bool,
    from: String,
    to: Vec<String>,
    #[serde(rename = "toTemplates")]
    to_templates: Vec<String>,
    idle_timeout: levada_settings::Duration,
}

struct Email {
    section: Section,
    to: Vec<String>,
    to_templates: Vec<Arc<dyn Template>>,
    templates: Arc<dyn Templates>,
    connections: Connections,
    timeout: Duration,
}

fn start(spec: &HandlerSpec, deps: &HandlerDeps) -> Result<Arc<dyn Handler>, StartError> {
    let parse = |text: &String| parse(&*deps.templates, text).map_err(Trouble::enable);
    let to_templates = spec.owned_texts("toTemplates");
    let to_templates: Result<_, Trouble> = to_templates.iter().map(parse).collect();
    Ok(Arc::new(Email {
        section: Section::new(&SECTION, deps),
        to: spec.owned_texts("to"),
        to_templates: to_templates?,
        templates: Arc::clone(&deps.templates),
        connections: deps.connections.clone(),
        timeout: deps.request_timeout,
    }))
}

fn parse(templates: &dyn Templates, text: &str) -> Result<Arc<dyn Template>, String> {
    templates.parse("toTemplates", text, Scope::Mail)
}

fn render(template: &dyn Template, event: &Event) -> Result<String, HandlerError> {
    let rendered = template.render(event).map_err(|error| HandlerError::new(error).finally());
    rendered.map(|text| text.to_string())
}

impl Email {
    async fn send(&self, event: &Event) -> Result<(), HandlerError> {
        let settings: Settings = self.section.read()?;
        if settings.from.is_empty() {
            return Err(HandlerError::new("no sender: `from` is not set").finally());
        }
        let mail = Mail {
            from: settings.from.clone(),
            to: self.recipients(&settings, event)?,
            subject: event.message.to_string(),
            html: event.details.text().to_string(),
        };
        let mailer = self.connections.mailer(SmtpSettings {
            host: settings.host,
            port: settings.port,
            username: settings.username,
            password: Secret::from(settings.password),
            insecure_skip_verify: settings.no_verify,
            idle_timeout: settings.idle_timeout.into(),
            timeout: self.timeout,
        });
        mailer.send(&mail).await.map_err(failed)
    }

    /// Gives who the handler names, or else those of the settings; templates that give nothing name nobody.
    fn recipients(&self, settings: &Settings, event: &Event) -> Result<Vec<String>, HandlerError> {
        let names_some = !self.to.is_empty() || !self.to_templates.is_empty();
        let mut all = if names_some { self.to.clone() } else { settings.to.clone() };
        match names_some {
            true => {
                for template in &self.to_templates {
                    all.push(render(&**template, event)?);
                }
            }
            false => {
                for text in &settings.to_templates {
                    let template = parse(&*self.templates, text)
                        .map_err(|error| HandlerError::new(error).finally())?;
                    all.push(render(&*template, event)?);
                }
            }
        }
        all.retain(|recipient| !recipient.trim().is_empty());
        match all.is_empty() {
            true => Err(HandlerError::new("no recipients: a mail needs at least one").finally()),
            false => Ok(all),
        }
    }
}

#[async_trait]
impl Handler for Email {
    async fn handle(&self, event: &Event) -> Result<(), HandlerError> {
        self.send(event).await.map_err(|error| error.during("failed to send mail"))
    }
}
