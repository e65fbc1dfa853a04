//! `hipChat`: posts to HipChat.
//!
//! The public service has ended; servers of one's own may still be there.
//!
//! Source: kapacitor: reference (server) §4.5.

use std::sync::Arc;

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
    method: Some("hipChat"),
    option_kind: "hipchat",
    summary: "posts to HipChat, a service that has ended",
    rules: &[Rule::text("room", "room"), Rule::text("token", "token")],
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
    name: "hipchat",
    element_key: None,
    options: &[
        OptionRule::flag("enabled"),
        OptionRule::text("url", ""),
        OptionRule::text("token", "").secret(),
        OptionRule::text("room", ""),
        OptionRule::flag("global"),
        OptionRule::flag("state-changes-only"),
    ],
};

static FIELDS: &[Field] = &[
    Field::new("room", Sample::Setting("room"), Goes::Option("room")),
    Field::new("message", Sample::Text("test hipchat message"), Goes::Message),
    Field::new("level", Sample::CRITICAL, Goes::Level),
];

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Settings {
    url: String,
    token: String,
    room: String,
}

struct HipChat {
    section: Section,
    room: String,
    token: String,
}

fn start(spec: &HandlerSpec, deps: &HandlerDeps) -> Result<Arc<dyn Handler>, StartError> {
    let hip_chat = HipChat {
        section: Section::new(&SECTION, deps),
        room: spec.owned("room"),
        token: spec.owned("token"),
    };
    Ok(handler(hip_chat, deps))
}

fn color(level: Level) -> &'static str {
    match level {
        Level::Critical => "red",
        Level::Warning => "yellow",
        Level::Info | Level::Ok => "green",
    }
}

impl HttpService for HipChat {
    const NAME: &'static str = "HipChat";

    fn request(&self, event: &Event) -> Result<Outgoing, HandlerError> {
        let settings: Settings = self.section.read()?;
        let room = first(&self.room, &settings.room);
        let mut url = url(&settings.url, &[room, "notification"])?;
        let token = first(&self.token, &settings.token);
        url.query_pairs_mut().append_pair("auth_token", token);
        let body = Object::new()
            .text("color", color(event.level))
            .text("from", "kapacitor")
            .text("message", &event.message)
            .flag_if("notify", true);
        Ok(Outgoing::json(url, body.done()))
    }

    fn judge(&self, answer: &Answer) -> Result<(), HandlerError> {
        answer.expect_success(Self::NAME)
    }
}
