//! `opsGenie`: reports to OpsGenie (version 1).

use super::kind::{Kind, Rule};

pub(super) static KIND: Kind = Kind {
    method: Some("opsGenie"),
    option_kind: "opsgenie",
    summary: "reports to OpsGenie (version 1)",
    rules: &[Rule::texts("teams", "teams-list"), Rule::texts("recipients", "recipients-list")],
    is_global: true,
    ..Kind::BASE
};
