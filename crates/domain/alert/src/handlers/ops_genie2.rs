//! `opsGenie2`: reports to OpsGenie (version 2).
//!
//! Source: kapacitor: reference (server) §4.5. The measurement is called `Kapacitor Task Name`, as upstream does.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use serde::Deserialize;

use super::deps::HandlerDeps;
use super::form::{self, Field, Goes, Sample};
use super::kind::{Kind, Rule, Shape, StartError, TestRule};
use super::outgoing::{Answer, HttpService, Outgoing, first, first_list, handler, url};
use super::payload::{self, Object, list};
use super::spec::HandlerSpec;
use crate::event::Event;
use crate::level::Level;
use crate::services::{OptionDefault, OptionRule, Section, SectionRule};
use crate::topics::{Handler, HandlerError};

pub(super) static KIND: Kind = Kind {
    method: Some("opsGenie2"),
    option_kind: "opsgenie2",
    summary: "reports to OpsGenie (version 2)",
    rules: &[
        Rule::texts("teams", "teams-list"),
        Rule::texts("recipients", "recipients-list"),
        Rule::text("recoveryAction", "recovery_action"),
        // Differs: U-18, honoured; upstream ignores it.
        Rule::new(Shape::Flag, "details", "details"),
    ],
    is_global: true,
    section: Some(&SECTION),
    test: Some(TestRule {
        options: |deps| form::options(&SECTION, FIELDS, deps),
        run: |options, deps| form::run(&KIND, FIELDS, options, deps),
    }),
    ..Kind::starting(start)
};

static SECTION: SectionRule = SectionRule {
    name: "opsgenie2",
    element_key: None,
    options: &[
        OptionRule::flag("enabled"),
        OptionRule::text("api-key", "").secret(),
        OptionRule::new("teams", OptionDefault::Texts(&[])),
        OptionRule::new("recipients", OptionDefault::Texts(&[])),
        OptionRule::text("url", "https://api.opsgenie.com/v2/alerts"),
        OptionRule::text("recovery_action", "notes"),
        OptionRule::flag("details"),
        OptionRule::flag("global"),
    ],
};

static FIELDS: &[Field] = &[
    Field::new("teams", Sample::Setting("teams"), Goes::Option("teams-list")),
    Field::new("recipients", Sample::Setting("recipients"), Goes::Option("recipients-list")),
    Field::new("message-type", Sample::CRITICAL, Goes::Level),
    Field::new("message", Sample::Text("test opsgenie2 message"), Goes::Message),
    Field::new("entity-id", Sample::Text("testEntityID"), Goes::Id),
    Field::new(
        "recovery_action",
        Sample::Setting("recovery_action"),
        Goes::Option("recovery_action"),
    ),
];

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Settings {
    api_key: String,
    teams: Vec<String>,
    recipients: Vec<String>,
    url: String,
    #[serde(rename = "recovery_action")]
    recovery_action: String,
    details: bool,
}

struct OpsGenie2 {
    section: Section,
    teams: Vec<String>,
    recipients: Vec<String>,
    recovery_action: String,
    shows_details: bool,
}

fn start(spec: &HandlerSpec, deps: &HandlerDeps) -> Result<Arc<dyn Handler>, StartError> {
    let ops_genie = OpsGenie2 {
        section: Section::new(&SECTION, deps),
        teams: spec.owned_texts("teams"),
        recipients: spec.owned_texts("recipients"),
        recovery_action: spec.owned("recoveryAction"),
        shows_details: spec.flag("details"),
    };
    Ok(handler(ops_genie, deps))
}

fn priority(level: Level) -> &'static str {
    match level {
        Level::Critical => "P1",
        Level::Warning => "P3",
        Level::Info | Level::Ok => "P5",
    }
}

/// Gives the table of details: tags of the first series over the rest.
fn details(event: &Event) -> Vec<u8> {
    let rows = event.data.rows();
    let name = rows.first().map_or("", |row| &**row.name());
    let mut details: BTreeMap<String, Vec<u8>> = [
        ("Kapacitor Task Name", name),
        ("Level", event.level.as_str()),
        ("Monitoring Tool", "Kapacitor"),
    ]
    .map(|(key, text)| (key.to_owned(), payload::text(text)))
    .into();
    if let Some(row) = rows.first() {
        details.extend(row.tags().map(|(key, tag)| (key.to_string(), payload::text(tag))));
    }
    Object::new().entries(&details).done()
}

impl OpsGenie2 {
    fn alert(&self, event: &Event, settings: &Settings, alias: &str) -> Vec<u8> {
        let shows_details = self.shows_details || settings.details;
        let text = if shows_details { event.details.text() } else { "" };
        let description = match text {
            "" => event.data.to_text(),
            text => text.to_owned(),
        };
        let body = Object::new()
            .text("alias", alias)
            .text("description", &description)
            .raw("details", &details(event))
            .text("entity", &event.id)
            .text("message", &event.message)
            .text("note", "")
            .text("priority", priority(event.level));
        let teams = first_list(&self.teams, &settings.teams).iter();
        let teams = teams.map(|name| Object::new().text("name", name).text("type", "team").done());
        let users = first_list(&self.recipients, &settings.recipients).iter();
        let users =
            users.map(|name| Object::new().text("type", "user").text("username", name).done());
        let responders: Vec<Vec<u8>> = teams.chain(users).collect();
        match responders.is_empty() {
            true => body.done(),
            false => body.raw("responders", &list(responders)).done(),
        }
    }
}

impl HttpService for OpsGenie2 {
    const NAME: &'static str = "OpsGenie";

    fn request(&self, event: &Event) -> Result<Outgoing, HandlerError> {
        let settings: Settings = self.section.read()?;
        let alias = URL_SAFE.encode(event.id.as_bytes());
        let outgoing = match event.level {
            Level::Ok => {
                let action = first(&self.recovery_action, &settings.recovery_action);
                let mut url = url(&settings.url, &[&alias, action])?;
                url.query_pairs_mut().append_pair("identifierType", "alias");
                Outgoing::json(url, Object::new().text("note", &event.message).done())
            }
            _ => Outgoing::json(url(&settings.url, &[])?, self.alert(event, &settings, &alias)),
        };
        outgoing.authorization("GenieKey", &settings.api_key)
    }

    fn judge(&self, answer: &Answer) -> Result<(), HandlerError> {
        answer.expect(Self::NAME, &[202])
    }
}
