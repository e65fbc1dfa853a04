//! `teams`: posts to Microsoft Teams.

use super::kind::{Kind, Rule};

pub(super) static KIND: Kind = Kind {
    method: Some("teams"),
    option_kind: "teams",
    summary: "posts to Microsoft Teams",
    rules: &[Rule::text("channelURL", "channel-url")],
    is_global: true,
    has_state_changes_only: true,
    ..Kind::BASE
};
