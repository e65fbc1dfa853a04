//! `discord`: posts to Discord.

use super::kind::{Kind, Rule};

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
    ..Kind::BASE
};
