//! `alerta`: reports to Alerta.

use super::kind::{Kind, Place, Rule, Shape};

pub(super) static KIND: Kind = Kind {
    method: Some("alerta"),
    option_kind: "alerta",
    summary: "reports to Alerta",
    rules: &[
        Rule::text("token", "token"),
        Rule::text("tokenPrefix", "token-prefix").at(Place::Options),
        Rule::text("resource", "resource").template().default("{{ .Name }}"),
        Rule::text("event", "event").template().default("{{ .ID }}"),
        Rule::text("environment", "environment").template(),
        Rule::text("group", "group").template().default("{{ .Group }}"),
        Rule::text("value", "value").template(),
        Rule::text("origin", "origin"),
        Rule::texts("services", "service").template(),
        Rule::texts("correlated", "correlate").template(),
        Rule::new(Shape::Pair, "attribute", "attributes").template(),
        Rule::new(Shape::Duration, "timeout", "timeout"),
    ],
    ..Kind::BASE
};
