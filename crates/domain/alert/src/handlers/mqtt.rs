//! `mqtt`: publishes to an MQTT topic.

use super::kind::{Kind, Place, Rule, Shape, Trouble};
use super::spec::HandlerSpec;

pub(super) static KIND: Kind = Kind {
    method: Some("mqtt"),
    option_kind: "mqtt",
    summary: "publishes to an MQTT topic",
    rules: &[
        Rule::text("brokerName", "broker-name"),
        Rule::text("topic", "topic").template().at(Place::Both),
        Rule::new(Shape::Qos, "qos", "qos"),
        Rule::new(Shape::Bool, "retained", "retained"),
    ],
    check,
    ..Kind::BASE
};

fn check(spec: &HandlerSpec) -> Result<(), Trouble> {
    match spec.int("qos") {
        Some(quality) if !(0..=2).contains(&quality) => {
            Err(Trouble::enable(format!("invalid QoS {quality}; it must be 0, 1 or 2")))
        }
        _ => Ok(()),
    }
}
