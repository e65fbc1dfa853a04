//! `opsGenie2`: reports to OpsGenie (version 2).

use super::kind::{Kind, Rule, Shape};

pub(super) static KIND: Kind = Kind {
    method: Some("opsGenie2"),
    option_kind: "opsgenie2",
    summary: "reports to OpsGenie (version 2)",
    rules: &[
        Rule::texts("teams", "teams-list"),
        Rule::texts("recipients", "recipients-list"),
        Rule::text("recoveryAction", "recovery_action"),
        // Differs: U-18, honoured; upstream ignores it.
        Rule::new(Shape::Flag, "details", "details"),
    ],
    is_global: true,
    ..Kind::BASE
};
