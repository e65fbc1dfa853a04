//! `pushover`: sends a Pushover notification.

use super::kind::{Kind, Rule};

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
    ..Kind::BASE
};
