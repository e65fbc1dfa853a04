//! `pushover`: sends a Pushover notification.
//!
//! Source: kapacitor: reference (server) §4.5.

use std::sync::Arc;

use serde::Deserialize;

use super::deps::HandlerDeps;
use super::form::{self, Field, Goes, Sample};
use super::kind::{Kind, Rule, StartError, TestRule};
use super::outgoing::{Answer, HttpService, Outgoing, first, handler, url};
use super::spec::HandlerSpec;
use crate::event::Event;
use crate::level::Level;
use crate::services::{OptionRule, Section, SectionRule};
use crate::topics::{Handler, HandlerError};

pub(super) static KIND: Kind = Kind {
    method: Some("pushover"),
    option_kind: "pushover",
    summary: "sends a Pushover notification",
    rules: &[
        Rule::text("userKey", "user-key"),
        Rule::text("device", "device"),
        Rule::text("title", "title"),
        Rule::text("URL", "url"),
        Rule::text("URLTitle", "url-title"),
        Rule::text("sound", "sound"),
    ],
    section: Some(&SECTION),
    test: Some(TestRule {
        options: |deps| form::options(&SECTION, FIELDS, deps),
        run: |options, deps| form::run(&KIND, FIELDS, options, deps),
    }),
    ..Kind::starting(start)
};

static SECTION: SectionRule = SectionRule {
    name: "pushover",
    element_key: None,
    options: &[
        OptionRule::flag("enabled"),
        OptionRule::text("token", "").secret(),
        OptionRule::text("user-key", "").secret(),
        OptionRule::text("url", "https://api.pushover.net/1/messages.json"),
    ],
};

static FIELDS: &[Field] = &[
    // The setting is a secret, and what is empty is taken from there.
    Field::new("user-key", Sample::Text(""), Goes::Option("user-key")),
    Field::new("message", Sample::Text("test pushover message"), Goes::Message),
    Field::new("device", Sample::Text(""), Goes::Option("device")),
    Field::new("title", Sample::Text(""), Goes::Option("title")),
    Field::new("url", Sample::Text(""), Goes::Option("url")),
    Field::new("url-title", Sample::Text(""), Goes::Option("url-title")),
    Field::new("sound", Sample::Text(""), Goes::Option("sound")),
    Field::new("level", Sample::CRITICAL, Goes::Level),
];

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Settings {
    token: String,
    user_key: String,
    url: String,
}

struct Pushover {
    section: Section,
    user_key: String,
    device: String,
    title: String,
    url: String,
    url_title: String,
    sound: String,
}

fn start(spec: &HandlerSpec, deps: &HandlerDeps) -> Result<Arc<dyn Handler>, StartError> {
    let pushover = Pushover {
        section: Section::new(&SECTION, deps),
        user_key: spec.owned("userKey"),
        device: spec.owned("device"),
        title: spec.owned("title"),
        url: spec.owned("URL"),
        url_title: spec.owned("URLTitle"),
        sound: spec.owned("sound"),
    };
    Ok(handler(pushover, deps))
}

fn priority(level: Level) -> &'static str {
    match level {
        Level::Ok => "-2",
        Level::Info => "-1",
        Level::Warning => "0",
        Level::Critical => "1",
    }
}

impl HttpService for Pushover {
    const NAME: &'static str = "Pushover";

    fn request(&self, event: &Event) -> Result<Outgoing, HandlerError> {
        let settings: Settings = self.section.read()?;
        let always = [
            ("token", &*settings.token),
            ("user", first(&self.user_key, &settings.user_key)),
            ("message", &*event.message),
            ("priority", priority(event.level)),
        ];
        let maybe = [
            ("device", &*self.device),
            ("title", &*self.title),
            ("url", &*self.url),
            ("url_title", &*self.url_title),
            ("sound", &*self.sound),
        ];
        let maybe = maybe.into_iter().filter(|(_, text)| !text.is_empty());
        let pairs: Vec<(&str, &str)> = always.into_iter().chain(maybe).collect();
        Ok(Outgoing::form(url(&settings.url, &[])?, &pairs))
    }

    fn judge(&self, answer: &Answer) -> Result<(), HandlerError> {
        answer.expect_success(Self::NAME)
    }
}
