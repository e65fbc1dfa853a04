//! `alerta`: reports to Alerta.
//!
//! Source: kapacitor: reference (server) §4.5. Differs: tags are sorted; upstream's order is random.

use std::sync::Arc;

use levada_settings::Duration;
use serde::Deserialize;

use super::deps::HandlerDeps;
use super::form::{self, Field, Goes, Sample};
use super::http::Tls;
use super::kind::{Kind, Place, Rule, Shape, StartError, TestRule};
use super::outgoing::{Answer, HttpService, Outgoing, first, handler, url};
use super::payload::{self, Object};
use super::render::{Entries, Text};
use super::spec::HandlerSpec;
use crate::event::Event;
use crate::level::Level;
use crate::services::{OptionDefault, OptionRule, Section, SectionRule};
use crate::topics::{Handler, HandlerError};

pub(super) static KIND: Kind = Kind {
    method: Some("alerta"),
    option_kind: "alerta",
    summary: "reports to Alerta",
    rules: &[
        Rule::text("token", "token"),
        Rule::text("tokenPrefix", "token-prefix").at(Place::Options),
        Rule::text("resource", "resource").template().default("{{ .Name }}"),
        Rule::text("event", "event").template().default("{{ .ID }}"),
        Rule::text("environment", "environment").template(),
        Rule::text("group", "group").template().default("{{ .Group }}"),
        Rule::text("value", "value").template(),
        Rule::text("origin", "origin"),
        Rule::texts("services", "service").template(),
        Rule::texts("correlated", "correlate").template(),
        Rule::new(Shape::Entry, "attribute", "attributes").template(),
        Rule::new(Shape::Duration, "timeout", "timeout"),
    ],
    section: Some(&SECTION),
    test: Some(TestRule {
        options: |deps| form::options(&SECTION, FIELDS, deps),
        run: |options, deps| form::run(&KIND, FIELDS, options, deps),
    }),
    ..Kind::starting(start)
};

static SECTION: SectionRule = SectionRule {
    name: "alerta",
    element_key: None,
    options: &[
        OptionRule::flag("enabled"),
        OptionRule::text("url", ""),
        OptionRule::flag("insecure-skip-verify"),
        OptionRule::text("token", "").secret(),
        OptionRule::text("token-prefix", ""),
        OptionRule::text("environment", ""),
        OptionRule::text("origin", ""),
        OptionRule::new("timeout", OptionDefault::Duration("24h0m0s")),
    ],
};

static FIELDS: &[Field] = &[
    Field::new("resource", Sample::Text("testResource"), Goes::Option("resource")),
    Field::new("event", Sample::Text("testEvent"), Goes::Option("event")),
    Field::new("environment", Sample::Setting("environment"), Goes::Option("environment")),
    Field::new("severity", Sample::Text("critical"), Goes::Level),
    Field::new("group", Sample::Text("testGroup"), Goes::Option("group")),
    Field::new("value", Sample::Text("testValue"), Goes::Option("value")),
    Field::new("message", Sample::Text("test alerta message"), Goes::Message),
    Field::new("origin", Sample::Setting("origin"), Goes::Option("origin")),
    Field::new(
        "service",
        Sample::Texts(&["testServiceA", "testServiceB"]),
        Goes::Option("service"),
    ),
    Field::new(
        "correlate",
        Sample::Texts(&["testServiceX", "testServiceY"]),
        Goes::Option("correlate"),
    ),
    Field::new("attributes", Sample::NoEntries, Goes::Option("attributes")),
    Field::new("timeout", Sample::Setting("timeout"), Goes::Option("timeout")),
];

/// How the token is announced unless settings say otherwise.
const TOKEN_PREFIX: &str = "Bearer";

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Settings {
    url: String,
    token: String,
    token_prefix: String,
    environment: String,
    origin: String,
    timeout: Duration,
}

struct Alerta {
    section: Section,
    token: String,
    token_prefix: String,
    resource: Text,
    event: Text,
    environment: Text,
    group: Text,
    value: Text,
    origin: String,
    services: Vec<Text>,
    correlated: Vec<Text>,
    attributes: Entries,
    timeout_secs: Option<i64>,
}

fn start(spec: &HandlerSpec, deps: &HandlerDeps) -> Result<Arc<dyn Handler>, StartError> {
    let text = |name: &str| Text::of(spec, deps, name);
    let timeout = spec.duration("timeout").filter(|nanos| *nanos > 0);
    let alerta = Alerta {
        section: Section::new(&SECTION, deps),
        token: spec.owned("token"),
        token_prefix: spec.owned("tokenPrefix"),
        resource: text("resource")?,
        event: text("event")?,
        environment: text("environment")?,
        group: text("group")?,
        value: text("value")?,
        origin: spec.owned("origin"),
        services: Text::all(spec, deps, "services")?,
        correlated: Text::all(spec, deps, "correlated")?,
        attributes: Entries::of(spec, deps, "attribute")?,
        timeout_secs: timeout.map(|nanos| nanos / 1_000_000_000),
    };
    Ok(handler(alerta, deps))
}

fn severity(level: Level) -> &'static str {
    match level {
        Level::Ok => "ok",
        Level::Info => "informational",
        Level::Warning => "warning",
        Level::Critical => "critical",
    }
}

/// Renders a list; an empty one is the measurement.
fn names(texts: &[Text], event: &Event) -> Result<Vec<String>, HandlerError> {
    if texts.is_empty() {
        return Ok(vec![event.name().to_owned()]);
    }
    texts.iter().map(|text| Ok(text.render(event)?.to_string())).collect()
}

impl HttpService for Alerta {
    const NAME: &'static str = "Alerta";

    fn request(&self, event: &Event) -> Result<Outgoing, HandlerError> {
        let element = self.section.find("")?;
        let settings: Settings = element.read()?;
        let (resource, name) = (self.resource.render(event)?, self.event.render(event)?);
        if resource.is_empty() || name.is_empty() {
            let text = "Resource and Event are required to send an alert";
            return Err(HandlerError::new(text).finally());
        }
        let attributes = self.attributes.render(event, payload::text)?;
        let environment = self.environment.render(event)?;
        let (services, correlated) =
            (names(&self.services, event)?, names(&self.correlated, event)?);
        let mut tags: Vec<String> =
            event.tags().map(|(key, value)| format!("{key}={value}")).collect();
        tags.sort_unstable();
        let of_section = i64::try_from(settings.timeout.get().as_secs()).unwrap_or(i64::MAX);
        let mut body = Object::new();
        if !attributes.is_empty() {
            body = body.raw("attributes", &Object::new().entries(&attributes).done());
        }
        let body = body
            .texts("correlate", correlated.iter().map(|name| &**name))
            .text("environment", first(&environment, &settings.environment))
            .text("event", &name)
            .text("group", &self.group.render(event)?)
            .text("origin", first(&self.origin, &settings.origin))
            .raw("rawData", &event.data.to_json())
            .text("resource", &resource)
            .texts("service", services.iter().map(|name| &**name))
            .text("severity", severity(event.level))
            .texts("tags", tags.iter().map(|tag| &**tag))
            .text("text", &event.message)
            .int("timeout", self.timeout_secs.unwrap_or(of_section))
            .text("value", &self.value.render(event)?);
        let prefix = first(&self.token_prefix, first(&settings.token_prefix, TOKEN_PREFIX));
        Outgoing::json(url(&settings.url, &["alert"])?, body.done())
            .tls(Tls::of(&element))
            .authorization(prefix, first(&self.token, &settings.token))
    }

    fn judge(&self, answer: &Answer) -> Result<(), HandlerError> {
        answer.expect(Self::NAME, &[201])
    }
}
