//! `serviceNow`: reports to ServiceNow.

use super::kind::{Kind, Rule, Shape};

pub(super) static KIND: Kind = Kind {
    method: Some("serviceNow"),
    option_kind: "servicenow",
    summary: "reports to ServiceNow",
    rules: &[
        // Differs: U-18, `URL`, `username` and `password` are honoured; upstream ignores the last two.
        Rule::text("URL", "url"),
        Rule::text("source", "source").template(),
        Rule::text("node", "node").template(),
        Rule::text("type", "type").template(),
        Rule::text("resource", "resource").template(),
        Rule::text("metricName", "metricname").template().or("metric_name"),
        Rule::text("messageKey", "messagekey").template().or("message_key"),
        Rule::new(Shape::Pair, "additionalInfo", "additional_info").template(),
        Rule::text("username", "username"),
        Rule::text("password", "password"),
    ],
    is_global: true,
    has_state_changes_only: true,
    ..Kind::BASE
};
