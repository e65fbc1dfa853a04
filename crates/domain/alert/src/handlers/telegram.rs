//! `telegram`: sends a Telegram message.

use super::kind::{Kind, Rule, Shape};

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
    ..Kind::BASE
};
