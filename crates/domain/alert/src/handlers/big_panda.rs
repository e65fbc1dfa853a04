//! `bigPanda`: reports to BigPanda.
//!
//! Source: kapacitor: reference (server) §4.5. Ours: of two properties with one name the attribute wins, then what every
//! report has, then the field, then the tag; a `host` that is not set is the tag of that name.

use std::collections::BTreeMap;
use std::sync::Arc;

use levada_model::FieldValue;
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
use crate::json::write_field;
use crate::level::Level;
use crate::services::{OptionRule, Section, SectionRule};
use crate::topics::{Handler, HandlerError};

pub(super) static KIND: Kind = Kind {
    method: Some("bigPanda"),
    option_kind: "bigpanda",
    summary: "reports to BigPanda",
    rules: &[
        Rule::text("appKey", "app-key"),
        Rule::text("url", "url").at(Place::Options),
        Rule::text("host", "host").template(),
        Rule::text("primaryProperty", "primary-property"),
        Rule::text("secondaryProperty", "secondary-property"),
        Rule::new(Shape::Entry, "attribute", "attributes").template(),
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
    name: "bigpanda",
    element_key: None,
    options: &[
        OptionRule::flag("enabled"),
        OptionRule::flag("global"),
        OptionRule::flag("state-changes-only"),
        OptionRule::text("app-key", "").secret(),
        OptionRule::text("token", "").secret(),
        OptionRule::flag("insecure-skip-verify"),
        OptionRule::text("url", "https://api.bigpanda.io/data/v2/alerts"),
        OptionRule::text("auto-attributes", "tags,fields"),
    ],
};

static FIELDS: &[Field] = &[
    // The setting is a secret, and what is empty is taken from there.
    Field::new("app_key", Sample::Text(""), Goes::Option("app-key")),
    Field::new("message", Sample::Text("test bigpanda message"), Goes::Message),
    Field::new("level", Sample::CRITICAL, Goes::Level),
    Field::new("event_data", Sample::EventData, Goes::EventData),
    Field::new("timestamp", Sample::TIME, Goes::Time),
    Field::new("host", Sample::Text("serverA"), Goes::Option("host")),
    Field::new("primary_property", Sample::Text(""), Goes::Option("primary-property")),
    Field::new("secondary_property", Sample::Text(""), Goes::Option("secondary-property")),
];

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Settings {
    app_key: String,
    token: String,
    url: String,
    auto_attributes: String,
}

struct BigPanda {
    section: Section,
    app_key: String,
    url: String,
    host: Text,
    primary_property: String,
    secondary_property: String,
    attributes: Entries,
}

fn start(spec: &HandlerSpec, deps: &HandlerDeps) -> Result<Arc<dyn Handler>, StartError> {
    let big_panda = BigPanda {
        section: Section::new(&SECTION, deps),
        app_key: spec.owned("appKey"),
        url: spec.owned("url"),
        host: Text::of(spec, deps, "host")?,
        primary_property: spec.owned("primaryProperty"),
        secondary_property: spec.owned("secondaryProperty"),
        attributes: Entries::of(spec, deps, "attribute")?,
    };
    Ok(handler(big_panda, deps))
}

fn status(level: Level) -> &'static str {
    match level {
        Level::Critical => "critical",
        Level::Warning => "warning",
        Level::Info | Level::Ok => "ok",
    }
}

/// Gives a field as a text: itself, else its JSON.
fn field_text(value: &FieldValue) -> Vec<u8> {
    if let FieldValue::Str(text) = value {
        return payload::text(text);
    }
    let mut json = Vec::new();
    write_field(value, &mut json);
    payload::text(&String::from_utf8_lossy(&json))
}

/// Gives tags and fields, as far as the settings want them.
fn of_data(event: &Event, auto_attributes: &str) -> BTreeMap<String, Vec<u8>> {
    let wants = |name: &str| auto_attributes.split(',').any(|known| known.trim() == name);
    let mut body = BTreeMap::new();
    if wants("tags") {
        body.extend(event.tags().map(|(key, tag)| (key.to_string(), payload::text(tag))));
    }
    if wants("fields") {
        body.extend(event.fields().map(|(key, value)| (key.to_string(), field_text(value))));
    }
    body
}

impl HttpService for BigPanda {
    const NAME: &'static str = "BigPanda";

    fn request(&self, event: &Event) -> Result<Outgoing, HandlerError> {
        let element = self.section.find("")?;
        let settings: Settings = element.read()?;
        let host = self.host.render(event)?;
        let of_tag = event.tag("host").map_or("", |host| host);
        let details = event.details.text();
        // Details that nobody wrote are JSON, which BigPanda does not show well.
        let details = if details.starts_with('{') { "" } else { &**details };
        let task = format!("{}:{}", event.task, event.name());
        let mut body = of_data(event, &settings.auto_attributes);
        let always = [
            ("app_key", first(&self.app_key, &settings.app_key)),
            ("check", &*event.id),
            ("description", &*event.message),
            ("host", first(&host, of_tag)),
            ("status", status(event.level)),
            ("task", &*task),
        ];
        let details = payload::html_unescape(details);
        let maybe = [
            ("details", &*details),
            ("primary_property", &*self.primary_property),
            ("secondary_property", &*self.secondary_property),
        ];
        let maybe = maybe.into_iter().filter(|(_, text)| !text.is_empty());
        let texts = always.into_iter().chain(maybe);
        body.extend(texts.map(|(key, text)| (key.to_owned(), payload::text(text))));
        let seconds = payload::seconds(event.time).to_string();
        body.insert("timestamp".to_owned(), seconds.into_bytes());
        body.extend(self.attributes.render(event, payload::text)?);
        let url = url(first(&self.url, &settings.url), &[])?;
        Outgoing::json(url, Object::new().entries(&body).done())
            .tls(Tls::of(&element))
            .authorization("Bearer", &settings.token)
    }

    fn judge(&self, answer: &Answer) -> Result<(), HandlerError> {
        answer.expect(Self::NAME, &[201])
    }
}
