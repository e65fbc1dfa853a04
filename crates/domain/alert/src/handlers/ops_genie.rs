//! `opsGenie`: reports to OpsGenie (version 1).
//!
//! Source: kapacitor: reference (server) §4.5.

use std::sync::Arc;

use serde::Deserialize;

use super::deps::HandlerDeps;
use super::form::{self, Field, Goes, Sample};
use super::kind::{Kind, Rule, StartError, TestRule};
use super::outgoing::{Answer, HttpService, Outgoing, first_list, handler, url};
use super::payload::Object;
use super::spec::HandlerSpec;
use crate::event::Event;
use crate::level::Level;
use crate::services::{OptionDefault, OptionRule, Section, SectionRule};
use crate::topics::{Handler, HandlerError};

pub(super) static KIND: Kind = Kind {
    method: Some("opsGenie"),
    option_kind: "opsgenie",
    summary: "reports to OpsGenie (version 1)",
    rules: &[Rule::texts("teams", "teams-list"), Rule::texts("recipients", "recipients-list")],
    is_global: true,
    section: Some(&SECTION),
    test: Some(TestRule {
        options: |deps| form::options(&SECTION, FIELDS, deps),
        run: |options, deps| form::run(&KIND, FIELDS, options, deps),
    }),
    ..Kind::starting(start)
};

static SECTION: SectionRule = SectionRule {
    name: "opsgenie",
    element_key: None,
    options: &[
        OptionRule::flag("enabled"),
        OptionRule::text("api-key", "").secret(),
        OptionRule::new("teams", OptionDefault::Texts(&[])),
        OptionRule::new("recipients", OptionDefault::Texts(&[])),
        OptionRule::text("url", "https://api.opsgenie.com/v1/json/alert"),
        OptionRule::text("recovery_url", "https://api.opsgenie.com/v1/json/alert/note"),
        OptionRule::flag("global"),
    ],
};

static FIELDS: &[Field] = &[
    Field::new("teams", Sample::Setting("teams"), Goes::Option("teams-list")),
    Field::new("recipients", Sample::Setting("recipients"), Goes::Option("recipients-list")),
    Field::new("message-type", Sample::CRITICAL, Goes::Level),
    Field::new("message", Sample::Text("test opsgenie message"), Goes::Message),
    Field::new("entity-id", Sample::Text("testEntityID"), Goes::Id),
];

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Settings {
    api_key: String,
    teams: Vec<String>,
    recipients: Vec<String>,
    url: String,
    #[serde(rename = "recovery_url")]
    recovery_url: String,
}

struct OpsGenie {
    section: Section,
    teams: Vec<String>,
    recipients: Vec<String>,
}

fn start(spec: &HandlerSpec, deps: &HandlerDeps) -> Result<Arc<dyn Handler>, StartError> {
    let ops_genie = OpsGenie {
        section: Section::new(&SECTION, deps),
        teams: spec.owned_texts("teams"),
        recipients: spec.owned_texts("recipients"),
    };
    Ok(handler(ops_genie, deps))
}

impl HttpService for OpsGenie {
    const NAME: &'static str = "OpsGenie";

    fn request(&self, event: &Event) -> Result<Outgoing, HandlerError> {
        let settings: Settings = self.section.read()?;
        let (base, level, note) = match event.level {
            Level::Ok => (&settings.recovery_url, "RECOVERY", &*event.message),
            level => (&settings.url, level.as_str(), ""),
        };
        let details = Object::new().text("Level", level).text("Monitoring Tool", "Kapacitor");
        let mut body = Object::new()
            .text("alias", &event.id)
            .text("apiKey", &settings.api_key)
            .text("description", &event.data.to_text())
            .raw("details", &details.done())
            .text("entity", &event.id)
            .text("message", &event.message)
            .text("monitoring_tool", "kapacitor")
            .text("note", note);
        let recipients = first_list(&self.recipients, &settings.recipients);
        let teams = first_list(&self.teams, &settings.teams);
        for (key, names) in [("recipients", recipients), ("teams", teams)] {
            if !names.is_empty() {
                body = body.texts(key, names.iter().map(|name| &**name));
            }
        }
        // The path ends with a slash.
        Ok(Outgoing::json(url(base, &[""])?, body.done()))
    }

    fn judge(&self, answer: &Answer) -> Result<(), HandlerError> {
        answer.expect(Self::NAME, &[200])
    }
}
