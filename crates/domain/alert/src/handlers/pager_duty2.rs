//! `pagerDuty2`: reports to PagerDuty (events version 2).

use super::kind::{Kind, Rule, Shape};

pub(super) static KIND: Kind = Kind {
    method: Some("pagerDuty2"),
    option_kind: "pagerduty2",
    summary: "reports to PagerDuty (events version 2)",
    rules: &[
        Rule::text("routingKey", "routing-key"),
        // The older name of the key.
        Rule::text("serviceKey", "service-key"),
        Rule::new(Shape::Link, "link", "links").template(),
    ],
    is_global: true,
    ..Kind::BASE
};
