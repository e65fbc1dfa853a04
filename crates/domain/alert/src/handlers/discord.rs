//! `discord`: posts to Discord.
//!
//! Source: kapacitor: reference (server) §4.5.

use std::sync::Arc;

use serde::Deserialize;

use super::deps::HandlerDeps;
use super::form::{self, Field, Goes, Sample};
use super::http::Tls;
use super::kind::{Kind, Rule, StartError, TestRule};
use super::outgoing::{Answer, HttpService, Outgoing, first, handler, url};
use super::payload::{Object, list};
use super::render::Text;
use super::spec::HandlerSpec;
use crate::event::Event;
use crate::level::Level;
use crate::services::{OptionRule, Section, SectionRule};
use crate::topics::{Handler, HandlerError};

pub(super) static KIND: Kind = Kind {
    method: Some("discord"),
    option_kind: "discord",
    summary: "posts to Discord",
    rules: &[
        Rule::text("workspace", "workspace"),
        Rule::text("username", "username"),
        Rule::text("avatarURL", "avatar-url"),
        Rule::text("embedTitle", "embed-title").template(),
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
    name: "discord",
    element_key: Some("workspace"),
    options: &[
        OptionRule::flag("enabled"),
        OptionRule::flag("default"),
        OptionRule::text("workspace", ""),
        // Whoever knows the address of a web hook may post.
        OptionRule::text("url", "").secret(),
        OptionRule::flag("timestamp"),
        OptionRule::text("username", ""),
        OptionRule::text("avatar-url", ""),
        OptionRule::text("embed-title", ""),
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
    Field::new("message", Sample::Text("test discord message"), Goes::Message),
    Field::new("level", Sample::CRITICAL, Goes::Level),
    Field::new("username", Sample::Setting("username"), Goes::Option("username")),
    Field::new("avatar-url", Sample::Setting("avatar-url"), Goes::Option("avatar-url")),
    Field::new("embed-title", Sample::Setting("embed-title"), Goes::Option("embed-title")),
    Field::new("time-val", Sample::TIME, Goes::Time),
];

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Settings {
    url: String,
    timestamp: bool,
    username: String,
    avatar_url: String,
}

struct Discord {
    section: Section,
    workspace: String,
    username: String,
    avatar_url: String,
    embed_title: Text,
}

fn start(spec: &HandlerSpec, deps: &HandlerDeps) -> Result<Arc<dyn Handler>, StartError> {
    let discord = Discord {
        section: Section::new(&SECTION, deps),
        workspace: spec.owned("workspace"),
        username: spec.owned("username"),
        avatar_url: spec.owned("avatarURL"),
        embed_title: Text::of(spec, deps, "embedTitle")?,
    };
    Ok(handler(discord, deps))
}

fn color(level: Level) -> i64 {
    match level {
        Level::Critical => 0xF9_5F_53,
        Level::Warning => 0xF4_8D_38,
        Level::Info | Level::Ok => 0x7A_65_F2,
    }
}

impl HttpService for Discord {
    const NAME: &'static str = "Discord";

    fn request(&self, event: &Event) -> Result<Outgoing, HandlerError> {
        let element = self.section.find(&self.workspace)?;
        let settings: Settings = element.read()?;
        let time = if settings.timestamp { event.time.rfc3339() } else { String::new() };
        // The title of the section is never used, as upstream does.
        let embed = Object::new()
            .int("color", color(event.level))
            .text("title", &self.embed_title.render(event)?)
            .text("description", &event.message)
            .text("timestamp", &time);
        let body = Object::new()
            .text("avatar_url", first(&self.avatar_url, &settings.avatar_url))
            .raw("embeds", &list([embed.done()]))
            .text("username", first(&self.username, &settings.username));
        Ok(Outgoing::json(url(&settings.url, &[])?, body.done()).tls(Tls::of(&element)))
    }

    fn judge(&self, answer: &Answer) -> Result<(), HandlerError> {
        answer.expect(Self::NAME, &[204])
    }
}
