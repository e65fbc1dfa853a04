//! `serviceNow`: reports to ServiceNow.
//!
//! Source: kapacitor: reference (server) §4.5.

use std::sync::Arc;

use serde::Deserialize;

use super::deps::HandlerDeps;
use super::form::{self, Field, Goes, Sample};
use super::kind::{Kind, Rule, Shape, StartError, TestRule};
use super::outgoing::{Answer, HttpService, Outgoing, first, handler, shorten, url};
use super::payload::{self, Object, list};
use super::render::{Entries, Text};
use super::spec::HandlerSpec;
use crate::event::Event;
use crate::level::Level;
use crate::services::{OptionRule, Section, SectionRule};
use crate::topics::{Handler, HandlerError};

pub(super) static KIND: Kind = Kind {
    method: Some("serviceNow"),
    option_kind: "servicenow",
    summary: "reports to ServiceNow",
    rules: &[
        // Differs: U-18, `URL`, `username` and `password` are honoured; upstream ignores the last two.
        Rule::text("URL", "url"),
        Rule::text("source", "source").template(),
        Rule::text("node", "node").template(),
        Rule::text("type", "type").template(),
        Rule::text("resource", "resource").template(),
        Rule::text("metricName", "metricname").template().or("metric_name"),
        Rule::text("messageKey", "messagekey").template().or("message_key"),
        Rule::new(Shape::Entry, "additionalInfo", "additional_info").template(),
        Rule::text("username", "username"),
        Rule::text("password", "password"),
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
    name: "servicenow",
    element_key: None,
    options: &[
        OptionRule::flag("enabled"),
        OptionRule::text("url", "https://instance.service-now.com/api/global/em/jsonv2"),
        OptionRule::text("source", ""),
        OptionRule::text("username", ""),
        OptionRule::text("password", "").secret(),
        OptionRule::flag("global"),
        OptionRule::flag("state-changes-only"),
    ],
};

static FIELDS: &[Field] = &[
    Field::new("alert_id", Sample::Text("1001"), Goes::Id),
    Field::new("message", Sample::Text("test servicenow message"), Goes::Message),
    Field::new("level", Sample::CRITICAL, Goes::Level),
    Field::new("source", Sample::Setting("source"), Goes::Option("source")),
    Field::new("node", Sample::Text(""), Goes::Option("node")),
    Field::new("type", Sample::Text(""), Goes::Option("type")),
    Field::new("resource", Sample::Text(""), Goes::Option("resource")),
    Field::new("metric_name", Sample::Text(""), Goes::Option("metric_name")),
    Field::new("message_key", Sample::Text(""), Goes::Option("message_key")),
    Field::new("additional_info", Sample::NoEntries, Goes::Option("additional_info")),
];

/// Bytes of most fields. Source: the table of events in ServiceNow.
const FIELD_MAX: usize = 100;

/// Bytes of the key of a message.
const KEY_MAX: usize = 1024;

/// Bytes of a description.
const DESCRIPTION_MAX: usize = 4000;

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Settings {
    url: String,
    source: String,
    username: String,
    password: String,
}

struct ServiceNow {
    section: Section,
    url: String,
    username: String,
    password: String,
    source: Text,
    node: Text,
    kind: Text,
    resource: Text,
    metric_name: Text,
    message_key: Text,
    additional_info: Entries,
}

fn start(spec: &HandlerSpec, deps: &HandlerDeps) -> Result<Arc<dyn Handler>, StartError> {
    let text = |name: &str| Text::of(spec, deps, name);
    let service_now = ServiceNow {
        section: Section::new(&SECTION, deps),
        url: spec.owned("URL"),
        username: spec.owned("username"),
        password: spec.owned("password"),
        source: text("source")?,
        node: text("node")?,
        kind: text("type")?,
        resource: text("resource")?,
        metric_name: text("metricName")?,
        message_key: text("messageKey")?,
        additional_info: Entries::of(spec, deps, "additionalInfo")?,
    };
    Ok(handler(service_now, deps))
}

fn severity(level: Level) -> &'static str {
    match level {
        Level::Critical => "1",
        Level::Warning => "4",
        Level::Info | Level::Ok => "5",
    }
}

impl ServiceNow {
    fn record(&self, event: &Event, settings: &Settings) -> Result<Vec<u8>, HandlerError> {
        let source = self.source.render(event)?;
        let short = |text: &Text| {
            Ok::<_, HandlerError>(shorten(&text.render(event)?, FIELD_MAX).to_owned())
        };
        let key = self.message_key.render(event)?;
        let info = self.additional_info.render(event, payload::text)?;
        let info = match info.is_empty() {
            true => Vec::new(),
            false => Object::new().entries(&info).done(),
        };
        let record = Object::new()
            .text("source", shorten(first(&source, &settings.source), FIELD_MAX))
            .text_if("node", &short(&self.node)?)
            .text_if("type", &short(&self.kind)?)
            .text_if("resource", &short(&self.resource)?)
            .text_if("metric_name", &short(&self.metric_name)?)
            .text_if("message_key", shorten(first(&key, &event.id), KEY_MAX))
            .text("severity", severity(event.level))
            .text_if("description", shorten(&event.message, DESCRIPTION_MAX))
            .text_if("additional_info", &String::from_utf8_lossy(&info));
        Ok(record.done())
    }
}

impl HttpService for ServiceNow {
    const NAME: &'static str = "ServiceNow";

    fn request(&self, event: &Event) -> Result<Outgoing, HandlerError> {
        let settings: Settings = self.section.read()?;
        let body = Object::new().raw("records", &list([self.record(event, &settings)?]));
        let url = url(first(&self.url, &settings.url), &[])?;
        let username = first(&self.username, &settings.username);
        let password = first(&self.password, &settings.password);
        Ok(Outgoing::json(url, body.done()).basic_auth(username, password))
    }

    fn judge(&self, answer: &Answer) -> Result<(), HandlerError> {
        answer.expect(Self::NAME, &[200])
    }
}
