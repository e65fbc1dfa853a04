//! `teams`: posts to Microsoft Teams.
//!
//! Source: kapacitor: reference (server) §4.5.

use std::sync::Arc;

use levada_model::Str;
use serde::Deserialize;

use super::deps::HandlerDeps;
use super::form::{self, Field, Goes, Sample};
use super::kind::{Kind, Rule, StartError, TestRule};
use super::outgoing::{Answer, HttpService, Outgoing, first, handler, shorten, url};
use super::payload::Object;
use super::spec::HandlerSpec;
use crate::event::Event;
use crate::level::Level;
use crate::services::{OptionRule, Section, SectionRule};
use crate::topics::{Handler, HandlerError};

pub(super) static KIND: Kind = Kind {
    method: Some("teams"),
    option_kind: "teams",
    summary: "posts to Microsoft Teams",
    rules: &[Rule::text("channelURL", "channel-url")],
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
    name: "teams",
    element_key: None,
    options: &[
        OptionRule::flag("enabled"),
        // Whoever knows the address of a web hook may post.
        OptionRule::text("channel-url", "").secret(),
        OptionRule::flag("global"),
        OptionRule::flag("state-changes-only"),
    ],
};

static FIELDS: &[Field] = &[
    // The setting is a secret, and what is empty is taken from there.
    Field::new("channel_url", Sample::Text(""), Goes::Option("channel-url")),
    Field::new("alert_topic", Sample::Text("test kapacitor alert topic"), Goes::Topic),
    Field::new("alert_id", Sample::Text("foo/bar/bat"), Goes::Id),
    Field::new("message", Sample::Text("test teams message"), Goes::Message),
    Field::new("level", Sample::CRITICAL, Goes::Level),
];

/// Bytes of a summary, the dots behind not counted.
const SUMMARY_MAX: usize = 70;

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Settings {
    channel_url: String,
}

struct Teams {
    section: Section,
    channel_url: String,
    topic: Str,
}

fn start(spec: &HandlerSpec, deps: &HandlerDeps) -> Result<Arc<dyn Handler>, StartError> {
    let teams = Teams {
        section: Section::new(&SECTION, deps),
        channel_url: spec.owned("channelURL"),
        topic: deps.topic.clone(),
    };
    Ok(handler(teams, deps))
}

fn color(level: Level) -> &'static str {
    match level {
        Level::Critical => "CC4A31",
        Level::Warning => "FFA533",
        Level::Info | Level::Ok => "34CC25",
    }
}

impl HttpService for Teams {
    const NAME: &'static str = "Teams";

    fn request(&self, event: &Event) -> Result<Outgoing, HandlerError> {
        let settings: Settings = self.section.read()?;
        let title = format!("{}: [{}]", event.level, first(&event.id, &self.topic));
        let summary = format!("{title} - {}", event.message);
        let body = Object::new()
            .text("@type", "MessageCard")
            .text("@context", "http://schema.org/extensions")
            .text("title", &title)
            .text("text", &event.message)
            .text("summary", &format!("{}...", shorten(&summary, SUMMARY_MAX)))
            .text("themeColor", color(event.level));
        let url = url(first(&self.channel_url, &settings.channel_url), &[])?;
        Ok(Outgoing::json(url, body.done()))
    }

    fn judge(&self, answer: &Answer) -> Result<(), HandlerError> {
        answer.expect(Self::NAME, &[200, 204])
    }
}
