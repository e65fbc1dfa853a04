//! `slack`: posts to Slack.
//!
//! Source: kapacitor: reference (server) §4.5. Differs: an answer `{"ok":false}` with status 200 is an error.

use std::sync::Arc;

use serde::Deserialize;

use super::deps::HandlerDeps;
use super::form::{self, Field, Goes, Sample};
use super::http::Tls;
use super::kind::{Kind, Rule, StartError, TestRule};
use super::outgoing::{Answer, HttpService, Outgoing, first, handler, url};
use super::payload::{Object, list};
use super::spec::HandlerSpec;
use crate::event::Event;
use crate::level::Level;
use crate::services::{OptionRule, Section, SectionRule};
use crate::topics::{Handler, HandlerError};

pub(super) static KIND: Kind = Kind {
    method: Some("slack"),
    option_kind: "slack",
    summary: "posts to Slack",
    rules: &[
        Rule::text("workspace", "workspace"),
        Rule::text("channel", "channel"),
        Rule::text("username", "username"),
        Rule::text("iconEmoji", "icon-emoji"),
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
    name: "slack",
    element_key: Some("workspace"),
    options: &[
        OptionRule::flag("enabled"),
        OptionRule::flag("default"),
        OptionRule::text("workspace", ""),
        // Whoever knows the address of a web hook may post.
        OptionRule::text("url", "").secret(),
        OptionRule::text("token", "").secret(),
        OptionRule::text("channel", ""),
        OptionRule::text("username", "kapacitor"),
        OptionRule::text("icon-emoji", ""),
        OptionRule::flag("global"),
        OptionRule::flag("state-changes-only"),
        OptionRule::text("ssl-ca", ""),
        OptionRule::text("ssl-cert", ""),
        OptionRule::text("ssl-key", ""),
        OptionRule::flag("insecure-skip-verify"),
    ],
};

static FIELDS: &[Field] = &[
    Field::new("workspace", Sample::Text(""), Goes::Option("workspace")),
    Field::new("channel", Sample::Setting("channel"), Goes::Option("channel")),
    Field::new("message", Sample::Text("test slack message"), Goes::Message),
    Field::new("level", Sample::CRITICAL, Goes::Level),
    Field::new("username", Sample::Setting("username"), Goes::Option("username")),
    Field::new("icon-emoji", Sample::Setting("icon-emoji"), Goes::Option("icon-emoji")),
];

/// Errors of an answer that may pass. Source: the web API of Slack.
const PASSING: &[&str] = &[
    "fatal_error",
    "internal_error",
    "rate_limited",
    "ratelimited",
    "request_timeout",
    "service_unavailable",
];

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Settings {
    url: String,
    token: String,
    channel: String,
    username: String,
    icon_emoji: String,
}

struct Slack {
    section: Section,
    workspace: String,
    channel: String,
    username: String,
    icon_emoji: String,
}

fn start(spec: &HandlerSpec, deps: &HandlerDeps) -> Result<Arc<dyn Handler>, StartError> {
    let slack = Slack {
        section: Section::new(&SECTION, deps),
        workspace: spec.owned("workspace"),
        channel: spec.owned("channel"),
        username: spec.owned("username"),
        icon_emoji: spec.owned("iconEmoji"),
    };
    Ok(handler(slack, deps))
}

fn color(level: Level) -> &'static str {
    match level {
        Level::Critical => "danger",
        Level::Warning => "warning",
        Level::Info | Level::Ok => "good",
    }
}

impl HttpService for Slack {
    const NAME: &'static str = "Slack";

    fn request(&self, event: &Event) -> Result<Outgoing, HandlerError> {
        let element = self.section.find(&self.workspace)?;
        let settings: Settings = element.read()?;
        let attachment = Object::new()
            .text("fallback", &event.message)
            .text("color", color(event.level))
            .text("text", &event.message)
            .texts("mrkdwn_in", ["text"]);
        let body = Object::new()
            .raw("attachments", &list([attachment.done()]))
            .text("channel", first(&self.channel, &settings.channel))
            .text("icon_emoji", first(&self.icon_emoji, &settings.icon_emoji))
            .text("text", "")
            .text("username", first(&self.username, &settings.username));
        let outgoing = Outgoing::json(url(&settings.url, &[])?, body.done()).tls(Tls::of(&element));
        match settings.token.is_empty() {
            true => Ok(outgoing),
            false => outgoing.authorization("Bearer", &settings.token),
        }
    }

    fn judge(&self, answer: &Answer) -> Result<(), HandlerError> {
        answer.expect(Self::NAME, &[200])?;
        let Some(json) = answer.json().filter(|json| json["ok"] == false) else { return Ok(()) };
        let reason = json["error"].as_str().unwrap_or_default();
        let may_pass = PASSING.contains(&reason);
        Err(HandlerError { is_final: !may_pass, ..answer.refusal(Self::NAME) })
    }
}
