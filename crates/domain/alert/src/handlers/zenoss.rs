//! `zenoss`: reports to Zenoss.

use super::kind::{Kind, Rule, Shape};

pub(super) static KIND: Kind = Kind {
    method: Some("zenoss"),
    option_kind: "zenoss",
    summary: "reports to Zenoss",
    rules: &[
        // Differs: U-18, `URL`, `username` and `password` are honoured; upstream ignores them.
        Rule::text("URL", "url"),
        Rule::text("username", "username"),
        Rule::text("password", "password"),
        Rule::text("action", "action"),
        Rule::text("method", "method"),
        Rule::text("type", "type"),
        Rule::new(Shape::Int, "tid", "tid"),
        Rule::text("collector", "collector"),
        Rule::text("summary", "summary").template().default("{{ .Message }}"),
        Rule::text("device", "device").template(),
        Rule::text("component", "component").template(),
        Rule::text("eventClassKey", "eventclasskey").template(),
        Rule::text("eventClass", "eventclass").template(),
        Rule::text("message", "message").template(),
        Rule::new(Shape::Pair, "customField", "customField").template(),
    ],
    is_global: true,
    has_state_changes_only: true,
    ..Kind::BASE
};
