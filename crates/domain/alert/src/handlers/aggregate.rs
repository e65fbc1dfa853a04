//! `aggregate`: sends one event for all of an interval to another topic.

use super::kind::{Kind, Place, Rule, Shape, Trouble};
use super::spec::HandlerSpec;

pub(super) static KIND: Kind = Kind {
    option_kind: "aggregate",
    summary: "sends one event for all of an interval to another topic",
    rules: &[
        Rule::text("id", "id").at(Place::Options),
        Rule::new(Shape::Duration, "interval", "interval").at(Place::Options),
        Rule::text("topic", "topic").at(Place::Options),
        Rule::text("message", "message")
            .at(Place::Options)
            .default("Received {{ .Count }} events in the last {{.Interval}}."),
    ],
    check,
    ..Kind::BASE
};

fn check(spec: &HandlerSpec) -> Result<(), Trouble> {
    // Differs: upstream crashes without an interval.
    if spec.duration("interval").is_none_or(|interval| interval <= 0) {
        return Err(Trouble::define("aggregate interval must be positive"));
    }
    match spec.text("topic") {
        Some(_) => Ok(()),
        None => Err(Trouble::define("aggregate topic must not be empty")),
    }
}
