//! `sensu`: reports a check result to Sensu.

use super::kind::{Kind, Rule, Shape};

pub(super) static KIND: Kind = Kind {
    method: Some("sensu"),
    option_kind: "sensu",
    summary: "reports a check result to Sensu",
    rules: &[
        Rule::text("source", "source").template(),
        Rule::texts("handlers", "handlers"),
        Rule::new(Shape::Pair, "metadata", "metadata"),
    ],
    ..Kind::BASE
};
