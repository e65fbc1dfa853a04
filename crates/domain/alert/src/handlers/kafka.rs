//! `kafka`: writes to a Kafka topic.

use super::kind::{Kind, Rule, Shape, Trouble};
use super::spec::HandlerSpec;

pub(super) static KIND: Kind = Kind {
    method: Some("kafka"),
    option_kind: "kafka",
    summary: "writes to a Kafka topic",
    rules: &[
        Rule::text("cluster", "cluster"),
        Rule::text("kafkaTopic", "topic"),
        Rule::text("template", "template").template(),
        Rule::new(Shape::Flag, "disablePartitionById", "disablePartitionById"),
        Rule::text("partitionHashAlgorithm", "partitionAlgorithm").default("crc32"),
    ],
    check,
    ..Kind::BASE
};

/// Source: reference (server) §4.5.
const ALGORITHMS: &[&str] = &["crc32", "murmur2", "murmur3", "fnv-1a"];

fn check(spec: &HandlerSpec) -> Result<(), Trouble> {
    let algorithm = spec.text("partitionHashAlgorithm").unwrap_or_default();
    match ALGORITHMS.contains(&algorithm) {
        true => Ok(()),
        false => Err(Trouble::enable(format!(
            "unknown partition hash algorithm `{algorithm}`; known: {}",
            ALGORITHMS.join(", ")
        ))),
    }
}
