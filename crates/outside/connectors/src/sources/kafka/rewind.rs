//! Sets the offsets of a group that nobody is a member of.
//!
//! Only the partitions of the source's topic are touched: other flows may share the group. A position that is
//! forgotten becomes where the source would start without one, so that a later start does not depend on it.

use std::time::Duration;

use levada_model::{ErrorClass, Position, Str};
use rdkafka::config::{ClientConfig, FromClientConfig as _};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};

use super::offsets::{Start, parse};
use crate::kafka::Problem;
use crate::kafka::error::is_fencing;

/// How long one question may take.
const ASK: Duration = Duration::from_secs(10);

/// Commits these positions for a group; an empty list: where each partition starts without one. Blocks.
///
/// - Errors: the group has members, or the brokers do not answer.
pub(super) fn rewind(
    config: &ClientConfig,
    topic: &str,
    fallback: Start,
    to: &[(Str, Position)],
) -> Result<(), Problem> {
    let failed = |error| Problem::of("cannot change the offsets of the group", &error);
    let consumer = BaseConsumer::from_config(config).map_err(failed)?;
    let mut offsets: Vec<(i32, i64)> =
        to.iter().filter_map(|(name, at)| parse(name, at, topic)).collect();
    if let Some((name, at)) = to.iter().find(|(name, at)| parse(name, at, topic).is_none()) {
        let text = format!(
            "`{name}={at}` is no position of topic `{topic}`; positions look like `{topic}/0=42`"
        );
        return Err(Problem::new(ErrorClass::InvalidData, text));
    }
    if to.is_empty() {
        let metadata = consumer.fetch_metadata(Some(topic), ASK).map_err(failed)?;
        let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
        for partition in partitions.map(|partition| partition.id()) {
            let (low, high) = consumer.fetch_watermarks(topic, partition, ASK).map_err(failed)?;
            let at = match fallback {
                Start::At(at) => at,
                Start::Earliest => low,
                Start::Latest => high,
            };
            offsets.push((partition, at));
        }
    }
    let mut list = TopicPartitionList::new();
    for (partition, at) in offsets {
        list.add_partition_offset(topic, partition, Offset::Offset(at)).map_err(failed)?;
    }
    if list.count() == 0 {
        return Ok(());
    }
    consumer.commit(&list, CommitMode::Sync).map_err(|error| {
        match error.rdkafka_error_code().is_some_and(is_fencing) {
            true => {
                let text =
                    "the group has members, so its offsets cannot be changed; stop them first";
                Problem::new(ErrorClass::Unknown, text)
            }
            false => failed(error),
        }
    })
}
