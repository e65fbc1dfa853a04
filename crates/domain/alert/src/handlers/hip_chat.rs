//! `hipChat`: posts to HipChat, a service that has ended.

use super::kind::{Kind, Rule};

pub(super) static KIND: Kind = Kind {
    method: Some("hipChat"),
    option_kind: "hipchat",
    summary: "posts to HipChat, a service that has ended",
    rules: &[Rule::text("room", "room"), Rule::text("token", "token")],
    is_global: true,
    has_state_changes_only: true,
    ..Kind::BASE
};
