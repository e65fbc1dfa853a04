//! `pagerDuty`: reports to PagerDuty (events version 1).

use super::kind::{Kind, Rule};

pub(super) static KIND: Kind = Kind {
    method: Some("pagerDuty"),
    option_kind: "pagerduty",
    summary: "reports to PagerDuty (events version 1)",
    rules: &[Rule::text("serviceKey", "service-key")],
    is_global: true,
    ..Kind::BASE
};
