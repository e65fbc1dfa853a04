//! `slack`: posts to Slack.

use super::kind::{Kind, Rule};

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
    ..Kind::BASE
};
