//! `victorOps`: reports to VictorOps.
//!
//! Source: kapacitor: reference (server) §4.5.

use std::sync::Arc;

use serde::Deserialize;

use super::deps::HandlerDeps;
use super::form::{self, Field, Goes, Sample};
use super::kind::{Kind, Rule, StartError, TestRule};
use super::outgoing::{Answer, HttpService, Outgoing, first, handler, url};
use super::payload::{self, Object};
use super::spec::HandlerSpec;
use crate::event::Event;
use crate::level::Level;
use crate::services::{OptionRule, Section, SectionRule};
use crate::topics::{Handler, HandlerError};

pub(super) static KIND: Kind = Kind {
    method: Some("victorOps"),
    option_kind: "victorops",
    summary: "reports to VictorOps",
    rules: &[Rule::text("routingKey", "routing-key")],
    is_global: true,
    section: Some(&SECTION),
    test: Some(TestRule {
        options: |deps| form::options(&SECTION, FIELDS, deps),
        run: |options, deps| form::run(&KIND, FIELDS, options, deps),
    }),
    ..Kind::starting(start)
};

static SECTION: SectionRule = SectionRule {
    name: "victorops",
    element_key: None,
    options: &[
        OptionRule::flag("enabled"),
        OptionRule::text("api-key", "").secret(),
        OptionRule::text("routing-key", ""),
        OptionRule::text("url", "https://alert.victorops.com/integrations/generic/20131114/alert"),
        OptionRule::flag("json-data"),
        OptionRule::flag("global"),
    ],
};

static FIELDS: &[Field] = &[
    Field::new("routingKey", Sample::Setting("routing-key"), Goes::Option("routing-key")),
    Field::new("messageType", Sample::CRITICAL, Goes::Level),
    Field::new("message", Sample::Text("test victorops message"), Goes::Message),
    Field::new("entityID", Sample::Text("testEntityID"), Goes::Id),
];

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Settings {
    api_key: String,
    routing_key: String,
    url: String,
    json_data: bool,
}

struct VictorOps {
    section: Section,
    routing_key: String,
}

fn start(spec: &HandlerSpec, deps: &HandlerDeps) -> Result<Arc<dyn Handler>, StartError> {
    let victor_ops =
        VictorOps { section: Section::new(&SECTION, deps), routing_key: spec.owned("routingKey") };
    Ok(handler(victor_ops, deps))
}

impl HttpService for VictorOps {
    const NAME: &'static str = "VictorOps";

    fn request(&self, event: &Event) -> Result<Outgoing, HandlerError> {
        let settings: Settings = self.section.read()?;
        let message_type = match event.level {
            Level::Ok => "RECOVERY",
            level => level.as_str(),
        };
        let body = match settings.json_data {
            true => Object::new().raw("data", &event.data.to_json()),
            false => Object::new().text("data", &event.data.to_text()),
        };
        let body = body
            .text("entity_id", &event.id)
            .text("message_type", message_type)
            .text("monitoring_tool", "kapacitor")
            .text("state_message", &event.message)
            .int("timestamp", payload::seconds(event.time));
        let routing_key = first(&self.routing_key, &settings.routing_key);
        let url = url(&settings.url, &[&settings.api_key, routing_key])?;
        Ok(Outgoing::json(url, body.done()))
    }

    fn judge(&self, answer: &Answer) -> Result<(), HandlerError> {
        match answer.status {
            404 => Err(answer.error("URL or API key not found: 404")),
            _ => answer.expect_success(Self::NAME),
        }
    }
}
