//! `pagerDuty2`: reports to PagerDuty (events version 2).
//!
//! Source: kapacitor: reference (server) §4.5.

use std::sync::Arc;

use levada_model::Str;
use reqwest::header::ACCEPT;
use serde::Deserialize;

use super::deps::HandlerDeps;
use super::form::{self, Field, Goes, Sample};
use super::kind::{Kind, Rule, Shape, StartError, TestRule};
use super::outgoing::{Answer, HttpService, Outgoing, first, handler, url};
use super::payload::{self, Object, list};
use super::render::Text;
use super::spec::{Arg, HandlerSpec};
use crate::event::Event;
use crate::level::Level;
use crate::services::{OptionRule, Section, SectionRule};
use crate::topics::{Handler, HandlerError};

pub(super) static KIND: Kind = Kind {
    method: Some("pagerDuty2"),
    option_kind: "pagerduty2",
    summary: "reports to PagerDuty (events version 2)",
    rules: &[
        Rule::text("routingKey", "routing-key"),
        // The older name of the key.
        Rule::text("serviceKey", "service-key"),
        Rule::new(Shape::Link, "link", "links").template(),
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
    name: "pagerduty2",
    element_key: None,
    options: &[
        OptionRule::flag("enabled"),
        OptionRule::text("url", "https://events.pagerduty.com/v2/enqueue"),
        OptionRule::text("routing-key", "").secret(),
        OptionRule::flag("global"),
    ],
};

static FIELDS: &[Field] = &[
    Field::new("alert_id", Sample::Text("testAlertID"), Goes::Id),
    Field::new("description", Sample::Text("test pagerduty2 message"), Goes::Message),
    Field::new("level", Sample::CRITICAL, Goes::Level),
    Field::new("event_data", Sample::EventData, Goes::EventData),
    Field::new("timestamp", Sample::TIME, Goes::Time),
    Field::new("links", Sample::Texts(&[]), Goes::Option("links")),
];

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Settings {
    url: String,
    routing_key: String,
}

struct PagerDuty2 {
    section: Section,
    routing_key: String,
    links: Vec<Link>,
    server_url: Str,
}

struct Link {
    href: Text,
    text: Text,
}

fn start(spec: &HandlerSpec, deps: &HandlerDeps) -> Result<Arc<dyn Handler>, StartError> {
    let text = |args: &[Arg], at: usize| {
        let text = args.get(at).and_then(Arg::as_text);
        Text::parse(deps, "link", text.map(|text| &**text).unwrap_or_default())
    };
    let link = |args| Ok(Link { href: text(args, 0)?, text: text(args, 1)? });
    let pager_duty = PagerDuty2 {
        section: Section::new(&SECTION, deps),
        routing_key: spec.text("routingKey").unwrap_or(&spec.owned("serviceKey")).to_owned(),
        links: spec.all("link").map(link).collect::<Result<_, StartError>>()?,
        server_url: deps.server_url.clone(),
    };
    Ok(handler(pager_duty, deps))
}

impl PagerDuty2 {
    /// Gives the links; `null` when there are none.
    fn links(&self, event: &Event) -> Result<Vec<u8>, HandlerError> {
        if self.links.is_empty() {
            return Ok(b"null".to_vec());
        }
        let links = self.links.iter().map(|link| {
            let (href, text) = (link.href.render(event)?, link.text.render(event)?);
            Ok(Object::new().text("href", &href).text("text", first(&text, &href)).done())
        });
        links.collect::<Result<Vec<_>, _>>().map(list)
    }
}

/// Gives the action, and how bad it is.
fn severity(level: Level) -> (&'static str, &'static str) {
    match level {
        Level::Ok => ("resolve", "info"),
        Level::Info => ("trigger", "info"),
        Level::Warning => ("trigger", "warning"),
        Level::Critical => ("trigger", "critical"),
    }
}

impl HttpService for PagerDuty2 {
    const NAME: &'static str = "PagerDuty";

    fn request(&self, event: &Event) -> Result<Outgoing, HandlerError> {
        let settings: Settings = self.section.read()?;
        let (action, severity) = severity(event.level);
        let details = Object::new().raw("result", &event.data.to_json());
        let payload = Object::new()
            .text("summary", &event.message)
            .text("source", event.tag("host").map_or("unknown", |host| host))
            .text("severity", severity)
            .text("timestamp", &payload::nine_digits(event.time))
            .text("class", &event.task)
            .text("component", "")
            .text("group", "")
            .raw("custom_details", &details.done());
        let body = Object::new()
            .text("routing_key", first(&self.routing_key, &settings.routing_key))
            .text("event_action", action)
            .text("dedup_key", &event.id)
            .raw("payload", &payload.done())
            .raw("images", b"null")
            .raw("links", &self.links(event)?)
            .text("client", "kapacitor")
            .text("client_url", &self.server_url);
        let outgoing = Outgoing::json(url(&settings.url, &[])?, body.done());
        Ok(outgoing.header(ACCEPT, "application/vnd.pagerduty+json;version=2"))
    }

    fn judge(&self, answer: &Answer) -> Result<(), HandlerError> {
        answer.expect(Self::NAME, &[202, 200])
    }
}
