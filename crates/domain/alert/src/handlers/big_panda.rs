//! `bigPanda`: reports to BigPanda.

use super::kind::{Kind, Place, Rule, Shape};

pub(super) static KIND: Kind = Kind {
    method: Some("bigPanda"),
    option_kind: "bigpanda",
    summary: "reports to BigPanda",
    rules: &[
        Rule::text("appKey", "app-key"),
        Rule::text("url", "url").at(Place::Options),
        Rule::text("host", "host").template(),
        Rule::text("primaryProperty", "primary-property"),
        Rule::text("secondaryProperty", "secondary-property"),
        Rule::new(Shape::Pair, "attribute", "attributes").template(),
    ],
    is_global: true,
    has_state_changes_only: true,
    ..Kind::BASE
};
