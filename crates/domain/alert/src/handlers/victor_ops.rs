//! `victorOps`: reports to VictorOps.

use super::kind::{Kind, Rule};

pub(super) static KIND: Kind = Kind {
    method: Some("victorOps"),
    option_kind: "victorops",
    summary: "reports to VictorOps",
    rules: &[Rule::text("routingKey", "routing-key")],
    is_global: true,
    ..Kind::BASE
};
