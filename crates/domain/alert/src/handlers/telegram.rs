//! `telegram`: sends a Telegram message.
//!
//! Source: kapacitor: reference (server) §4.5.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::deps::HandlerDeps;
use super::form::{self, Field, Goes, Sample};
use super::kind::{Kind, Rule, Shape, StartError, TestRule};
use super::outgoing::{Answer, HttpService, Outgoing, RETRY_AFTER_MAX, first, handler, url};
use super::payload::Object;
use super::spec::HandlerSpec;
use crate::event::Event;
use crate::services::{OptionRule, Section, SectionRule};
use crate::topics::{Handler, HandlerError};

pub(super) static KIND: Kind = Kind {
    method: Some("telegram"),
    option_kind: "telegram",
    summary: "sends a Telegram message",
    rules: &[
        Rule::text("chatId", "chat-id"),
        Rule::text("parseMode", "parse-mode"),
        Rule::new(Shape::Flag, "disableWebPagePreview", "disable-web-page-preview"),
        Rule::new(Shape::Flag, "disableNotification", "disable-notification"),
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
    name: "telegram",
    element_key: None,
    options: &[
        OptionRule::flag("enabled"),
        OptionRule::text("url", "https://api.telegram.org/bot"),
        OptionRule::text("token", "").secret(),
        OptionRule::text("chat-id", ""),
        OptionRule::text("parse-mode", ""),
        OptionRule::flag("disable-web-page-preview"),
        OptionRule::flag("disable-notification"),
        OptionRule::flag("global"),
        OptionRule::flag("state-changes-only"),
    ],
};

static FIELDS: &[Field] = &[
    Field::new("chat-id", Sample::Setting("chat-id"), Goes::Option("chat-id")),
    Field::new("parse-mode", Sample::Setting("parse-mode"), Goes::Option("parse-mode")),
    Field::new("message", Sample::Text("test telegram message"), Goes::Message),
    Field::new(
        "disable-web-page-preview",
        Sample::Setting("disable-web-page-preview"),
        Goes::Option("disable-web-page-preview"),
    ),
    Field::new(
        "disable-notification",
        Sample::Setting("disable-notification"),
        Goes::Option("disable-notification"),
    ),
];

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Settings {
    url: String,
    token: String,
    chat_id: String,
    parse_mode: String,
    disable_web_page_preview: bool,
    disable_notification: bool,
}

struct Telegram {
    section: Section,
    chat_id: String,
    parse_mode: String,
    disables_preview: bool,
    disables_notification: bool,
}

fn start(spec: &HandlerSpec, deps: &HandlerDeps) -> Result<Arc<dyn Handler>, StartError> {
    let telegram = Telegram {
        section: Section::new(&SECTION, deps),
        chat_id: spec.owned("chatId"),
        parse_mode: spec.owned("parseMode"),
        disables_preview: spec.flag("disableWebPagePreview"),
        disables_notification: spec.flag("disableNotification"),
    };
    Ok(handler(telegram, deps))
}

impl HttpService for Telegram {
    const NAME: &'static str = "Telegram";

    fn request(&self, event: &Event) -> Result<Outgoing, HandlerError> {
        let settings: Settings = self.section.read()?;
        let disables_preview = self.disables_preview || settings.disable_web_page_preview;
        let disables_notification = self.disables_notification || settings.disable_notification;
        let body = Object::new()
            .text("chat_id", first(&self.chat_id, &settings.chat_id))
            .text("text", &event.message)
            .text_if("parse_mode", first(&self.parse_mode, &settings.parse_mode))
            .flag_if("disable_web_page_preview", disables_preview)
            .flag_if("disable_notification", disables_notification);
        // The token is a part of the last segment.
        let base = format!("{}{}", settings.url, settings.token);
        Ok(Outgoing::json(url(&base, &["sendMessage"])?, body.done()))
    }

    fn judge(&self, answer: &Answer) -> Result<(), HandlerError> {
        if (200..300).contains(&answer.status) {
            return Ok(());
        }
        let Some(json) = answer.json().filter(Value::is_object) else {
            return Err(answer.refusal(Self::NAME));
        };
        let code = json["error_code"].as_i64().unwrap_or(answer.status.into());
        let text = json["description"].as_str().unwrap_or_default();
        let error = answer.error(format!("sendMessage error ({code}) description: {text}"));
        // Telegram says it in the body.
        let wait = json["parameters"]["retry_after"].as_u64().map(Duration::from_secs);
        let retry_after = error.retry_after.or(wait.map(|wait| wait.min(RETRY_AFTER_MAX)));
        Err(error.after(retry_after))
    }
}
