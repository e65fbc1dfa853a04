//! `pagerDuty`: reports to PagerDuty (events version 1).
//!
//! Source: kapacitor: reference (server) §4.5.

use std::sync::Arc;

use levada_model::Str;
use serde::Deserialize;

use super::deps::HandlerDeps;
use super::form::{self, Field, Goes, Sample};
use super::kind::{Kind, Rule, StartError, TestRule};
use super::outgoing::{Answer, HttpService, Outgoing, first, handler, url};
use super::payload::Object;
use super::spec::HandlerSpec;
use crate::event::Event;
use crate::level::Level;
use crate::services::{OptionRule, Section, SectionRule};
use crate::topics::{Handler, HandlerError};

pub(super) static KIND: Kind = Kind {
    method: Some("pagerDuty"),
    option_kind: "pagerduty",
    summary: "reports to PagerDuty (events version 1)",
    rules: &[Rule::text("serviceKey", "service-key")],
    is_global: true,
    section: Some(&SECTION),
    test: Some(TestRule {
        options: |deps| form::options(&SECTION, FIELDS, deps),
        run: |options, deps| form::run(&KIND, FIELDS, options, deps),
    }),
    ..Kind::starting(start)
};

static SECTION: SectionRule = SectionRule {
    name: "pagerduty",
    element_key: None,
    options: &[
        OptionRule::flag("enabled"),
        OptionRule::text(
            "url",
            "https://events.pagerduty.com/generic/2010-04-15/create_event.json",
        ),
        OptionRule::text("service-key", "").secret(),
        OptionRule::flag("global"),
    ],
};

static FIELDS: &[Field] = &[
    Field::new("incident-key", Sample::Text("testIncidentKey"), Goes::Id),
    Field::new("description", Sample::Text("test pagerduty message"), Goes::Message),
    Field::new("details", Sample::Text(""), Goes::Details),
    Field::new("level", Sample::CRITICAL, Goes::Level),
];

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Settings {
    url: String,
    service_key: String,
}

struct PagerDuty {
    section: Section,
    service_key: String,
    server_url: Str,
}

fn start(spec: &HandlerSpec, deps: &HandlerDeps) -> Result<Arc<dyn Handler>, StartError> {
    let pager_duty = PagerDuty {
        section: Section::new(&SECTION, deps),
        service_key: spec.owned("serviceKey"),
        server_url: deps.server_url.clone(),
    };
    Ok(handler(pager_duty, deps))
}

impl HttpService for PagerDuty {
    const NAME: &'static str = "PagerDuty";

    fn request(&self, event: &Event) -> Result<Outgoing, HandlerError> {
        let settings: Settings = self.section.read()?;
        let event_type = match event.level {
            Level::Critical | Level::Warning => "trigger",
            Level::Ok => "resolve",
            Level::Info => {
                let text = "AlertLevel 'info' is currently ignored by the PagerDuty service";
                return Err(HandlerError::new(text).finally());
            }
        };
        let body = Object::new()
            .text("client", "kapacitor")
            .text("client_url", &self.server_url)
            .text("description", &event.message)
            .text("details", event.details.text())
            .text("event_type", event_type)
            .text("incident_key", &event.id)
            .text("service_key", first(&self.service_key, &settings.service_key));
        Ok(Outgoing::json(url(&settings.url, &[])?, body.done()))
    }

    fn judge(&self, answer: &Answer) -> Result<(), HandlerError> {
        answer.expect(Self::NAME, &[200])
    }
}
