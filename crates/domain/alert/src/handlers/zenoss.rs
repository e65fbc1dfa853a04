//! `zenoss`: reports to Zenoss.
//!
//! Source: kapacitor: reference (server) §4.5. Differs: an answer that says `"success":false` with status 200 is an error.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::deps::HandlerDeps;
use super::form::{self, Field, Goes, Sample};
use super::kind::{Kind, Rule, Shape, StartError, TestRule};
use super::outgoing::{Answer, HttpService, Outgoing, first, handler, shorten, url};
use super::payload::{self, Object, list};
use super::render::{Entries, Text};
use super::spec::HandlerSpec;
use crate::event::Event;
use crate::level::Level;
use crate::services::{OptionDefault, OptionRule, Section, SectionRule};
use crate::topics::{Handler, HandlerError};

pub(super) static KIND: Kind = Kind {
    method: Some("zenoss"),
    option_kind: "zenoss",
    summary: "reports to Zenoss",
    rules: &[
        // Differs: U-18, `URL`, `username` and `password` are honoured; upstream ignores them.
        Rule::text("URL", "url"),
        Rule::text("username", "username"),
        Rule::text("password", "password"),
        Rule::text("action", "action"),
        Rule::text("method", "method"),
        Rule::text("type", "type"),
        Rule::new(Shape::Int, "tid", "tid"),
        Rule::text("collector", "collector"),
        Rule::text("summary", "summary").template().default("{{ .Message }}"),
        Rule::text("device", "device").template(),
        Rule::text("component", "component").template(),
        Rule::text("eventClassKey", "eventclasskey").template(),
        Rule::text("eventClass", "eventclass").template(),
        Rule::text("message", "message").template(),
        Rule::new(Shape::Entry, "customField", "customField").template(),
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
    name: "zenoss",
    element_key: None,
    options: &[
        OptionRule::flag("enabled"),
        OptionRule::text("url", "https://tenant.zenoss.io:8080/zport/dmd/evconsole_router"),
        OptionRule::text("username", ""),
        OptionRule::text("password", "").secret(),
        OptionRule::text("action", "EventsRouter"),
        OptionRule::text("method", "add_event"),
        OptionRule::text("type", "rpc"),
        OptionRule::new("tid", OptionDefault::Int(1)),
        OptionRule::text("collector", "Kapacitor"),
        // The values may be numbers.
        OptionRule::new(
            "severity-map",
            OptionDefault::Table(&[
                ("OK", "Clear"),
                ("Info", "Info"),
                ("Warning", "Warning"),
                ("Critical", "Critical"),
            ]),
        ),
        OptionRule::flag("global"),
        OptionRule::flag("state-changes-only"),
    ],
};

static FIELDS: &[Field] = &[
    Field::new("alert_id", Sample::Text("1001"), Goes::Id),
    Field::new("level", Sample::CRITICAL, Goes::Level),
    Field::new("message", Sample::Text("test zenoss message"), Goes::Message),
    Field::new("action", Sample::Setting("action"), Goes::Option("action")),
    Field::new("method", Sample::Setting("method"), Goes::Option("method")),
    Field::new("type", Sample::Setting("type"), Goes::Option("type")),
    Field::new("tid", Sample::Setting("tid"), Goes::Option("tid")),
    Field::new("summary", Sample::Text(""), Goes::Option("summary")),
    Field::new("device", Sample::Text(""), Goes::Option("device")),
    Field::new("component", Sample::Text(""), Goes::Option("component")),
    Field::new("eventclasskey", Sample::Text(""), Goes::Option("eventclasskey")),
    Field::new("eventclass", Sample::Text(""), Goes::Option("eventclass")),
    Field::new("collector", Sample::Setting("collector"), Goes::Option("collector")),
    Field::new("custom_fields", Sample::NoEntries, Goes::Option("customField")),
];

/// Bytes of a summary. Source: kapacitor: reference (server) §4.5.
const SUMMARY_MAX: usize = 256;

/// Bytes of a message.
const MESSAGE_MAX: usize = 4096;

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Settings {
    url: String,
    username: String,
    password: String,
    action: String,
    method: String,
    #[serde(rename = "type")]
    kind: String,
    tid: i64,
    collector: String,
    severity_map: BTreeMap<String, Value>,
}

struct Zenoss {
    section: Section,
    url: String,
    username: String,
    password: String,
    action: String,
    method: String,
    kind: String,
    tid: Option<i64>,
    collector: String,
    summary: Text,
    device: Text,
    component: Text,
    event_class_key: Text,
    event_class: Text,
    message: Text,
    custom_fields: Entries,
}

fn start(spec: &HandlerSpec, deps: &HandlerDeps) -> Result<Arc<dyn Handler>, StartError> {
    let text = |name: &str| Text::of(spec, deps, name);
    let zenoss = Zenoss {
        section: Section::new(&SECTION, deps),
        url: spec.owned("URL"),
        username: spec.owned("username"),
        password: spec.owned("password"),
        action: spec.owned("action"),
        method: spec.owned("method"),
        kind: spec.owned("type"),
        tid: spec.int("tid").filter(|tid| *tid != 0),
        collector: spec.owned("collector"),
        summary: text("summary")?,
        device: text("device")?,
        component: text("component")?,
        event_class_key: text("eventClassKey")?,
        event_class: text("eventClass")?,
        message: text("message")?,
        custom_fields: Entries::of(spec, deps, "customField")?,
    };
    Ok(handler(zenoss, deps))
}

fn severity_key(level: Level) -> &'static str {
    match level {
        Level::Ok => "OK",
        Level::Info => "Info",
        Level::Warning => "Warning",
        Level::Critical => "Critical",
    }
}

/// Gives a text, or what it says when it is an object or a list.
fn json_or_text(text: &str) -> Vec<u8> {
    let parsed = match text.starts_with(['{', '[']) {
        true => serde_json::from_str::<Value>(text).ok(),
        false => None,
    };
    parsed.map_or_else(|| payload::text(text), |parsed| payload::value(&parsed))
}

impl Zenoss {
    fn data(&self, event: &Event, settings: &Settings) -> Result<Vec<u8>, HandlerError> {
        let key = severity_key(event.level);
        let severity = settings.severity_map.get(key);
        let severity = severity.map_or_else(|| payload::text(key), payload::value);
        let summary = self.summary.render(event)?;
        let message = self.message.render(event)?;
        let texts = [
            ("collector", first(&self.collector, &settings.collector)),
            ("component", &self.component.render(event)?),
            ("device", &self.device.render(event)?),
            ("evclass", &self.event_class.render(event)?),
            ("evclasskey", &self.event_class_key.render(event)?),
            ("message", shorten(&message, MESSAGE_MAX)),
            ("summary", shorten(&summary, SUMMARY_MAX)),
        ];
        let texts = texts.into_iter().filter(|(key, text)| *key != "message" || !text.is_empty());
        let mut data: BTreeMap<String, Vec<u8>> =
            texts.map(|(key, text)| (key.to_owned(), payload::text(text))).collect();
        data.insert("severity".to_owned(), severity);
        data.extend(self.custom_fields.render(event, json_or_text)?);
        Ok(Object::new().entries(&data).done())
    }
}

impl HttpService for Zenoss {
    const NAME: &'static str = "Zenoss";

    fn request(&self, event: &Event) -> Result<Outgoing, HandlerError> {
        let settings: Settings = self.section.read()?;
        let body = Object::new()
            .text("action", first(&self.action, &settings.action))
            .text("method", first(&self.method, &settings.method))
            .raw("data", &list([self.data(event, &settings)?]))
            .text("type", first(&self.kind, &settings.kind))
            .int("tid", self.tid.unwrap_or(settings.tid));
        let url = url(first(&self.url, &settings.url), &[])?;
        let username = first(&self.username, &settings.username);
        let password = first(&self.password, &settings.password);
        Ok(Outgoing::json(url, body.done()).basic_auth(username, password))
    }

    fn judge(&self, answer: &Answer) -> Result<(), HandlerError> {
        answer.expect(Self::NAME, &[200])?;
        match answer.json() {
            Some(json) if json["result"]["success"] == false => Err(answer.refusal(Self::NAME)),
            _ => Ok(()),
        }
    }
}
