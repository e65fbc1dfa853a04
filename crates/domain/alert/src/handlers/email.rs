//! `email`: sends a mail.

use super::kind::{Kind, Place, Rule};

pub(super) static KIND: Kind = Kind {
    method: Some("email"),
    option_kind: "smtp",
    summary: "sends a mail",
    rules: &[
        Rule::texts("to", "to").at(Place::Both),
        Rule::texts("toTemplates", "to-field").template(),
    ],
    is_global: true,
    has_state_changes_only: true,
    ..Kind::BASE
};
