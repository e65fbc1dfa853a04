//! What the client calls back: assignments, answers to commits, errors, statistics.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use levada_model::ErrorClass;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use serde::Deserialize;

use super::offsets::{Keeper, Offsets, Start};
use crate::kafka::error::is_fencing;
use crate::kafka::{Events, Problem};

/// How long one question for offsets may take.
const ASK: Duration = Duration::from_secs(5);

/// What the source, its thread and the callbacks share.
pub(super) struct Shared {
    pub(super) topic: String,
    pub(super) keeper: Keeper,
    /// Where a partition starts for which neither the group nor the flow has a position.
    pub(super) fallback: Start,
    pub(super) events: Events,
    pub(super) is_stopping: AtomicBool,
    /// New partitions must not be read yet.
    pub(super) is_paused: AtomicBool,
    /// Records behind; -1: not known.
    pub(super) lag: AtomicI64,
    offsets: Mutex<Offsets>,
    problem: Mutex<Option<Problem>>,
}

/// The context of the consumer.
pub(super) struct Context(pub(super) Arc<Shared>);

pub(super) type KafkaConsumer = BaseConsumer<Context>;

// === impl Shared ===

impl Shared {
    pub(super) fn new(topic: &str, keeper: Keeper, fallback: Start) -> Self {
        Shared {
            topic: topic.to_owned(),
            keeper,
            fallback,
            events: Events::default(),
            is_stopping: AtomicBool::new(false),
            is_paused: AtomicBool::new(false),
            lag: AtomicI64::new(-1),
            offsets: Mutex::default(),
            problem: Mutex::default(),
        }
    }

    pub(super) fn offsets(&self) -> MutexGuard<'_, Offsets> {
        self.offsets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers what the thread must tell the engine; the first one counts.
    pub(super) fn report(&self, problem: Problem) {
        let mut slot = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        slot.get_or_insert(problem);
    }

    pub(super) fn take_problem(&self) -> Option<Problem> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }

    /// Makes a list of partitions of the topic.
    pub(super) fn list(
        &self,
        partitions: impl IntoIterator<Item = (i32, Offset)>,
    ) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in partitions {
            // Fails only for offsets that cannot be written; the partition then keeps none.
            if list.add_partition_offset(&self.topic, partition, offset).is_err() {
                tracing::debug!(partition, ?offset, "an offset cannot be used");
            }
        }
        list
    }

    /// Asks the group for its offsets; blocks. Asks again until there is an answer; nothing: nobody waits any
    /// more, or the group may not be asked, which is reported.
    pub(super) fn committed(
        &self,
        consumer: &KafkaConsumer,
        partitions: &TopicPartitionList,
    ) -> Option<BTreeMap<i32, Option<i64>>> {
        loop {
            let answer = consumer.committed_offsets(partitions.clone(), ASK);
            let answer = answer.and_then(|list| {
                let elements = list.elements();
                let offsets = elements.iter().map(|element| {
                    element.error()?;
                    let offset = match element.offset() {
                        Offset::Offset(offset) => Some(offset),
                        _ => None,
                    };
                    Ok((element.partition(), offset))
                });
                offsets.collect::<KafkaResult<BTreeMap<_, _>>>()
            });
            match answer {
                Ok(offsets) => return Some(offsets),
                Err(_) if self.is_stopping() => return None,
                Err(error) => {
                    let problem = Problem::of("cannot ask the group for its offsets", &error);
                    if !problem.class.is_transient() {
                        self.report(problem);
                        return None;
                    }
                    tracing::warn!(%error, "the group does not give its offsets, asking again");
                    std::thread::sleep(ASK / 10);
                }
            }
        }
    }

    /// Decides where partitions start, and takes them over.
    pub(super) fn starts(
        &self,
        consumer: &KafkaConsumer,
        partitions: &TopicPartitionList,
    ) -> TopicPartitionList {
        if partitions.count() == 0 {
            return TopicPartitionList::new();
        }
        let Some(committed) = self.committed(consumer, partitions) else {
            // Nothing of them is handed on: the source ends, or the flow does.
            let all = partitions.elements();
            return self.list(all.iter().map(|element| (element.partition(), Offset::Stored)));
        };
        let mut starts = Vec::new();
        for element in partitions.elements() {
            let partition = element.partition();
            let known = committed.get(&partition).copied().flatten();
            let start = self.offsets().start(partition, known, self.keeper, self.fallback);
            let offset = match start {
                Start::At(offset) => Offset::Offset(offset),
                Start::Earliest => Offset::Beginning,
                Start::Latest => self.latest(consumer, partition),
            };
            tracing::debug!(partition, ?offset, ?known, "partition starts");
            self.offsets().own(partition, known);
            starts.push((partition, offset));
        }
        self.list(starts)
    }

    /// Gives the end of a partition, and commits it: what comes after it must not be skipped when the
    /// flow starts again before its first commit.
    fn latest(&self, consumer: &KafkaConsumer, partition: i32) -> Offset {
        let Ok((_, end)) = consumer.fetch_watermarks(&self.topic, partition, ASK) else {
            return Offset::End;
        };
        if self.keeper == Keeper::Group {
            let list = self.list([(partition, Offset::Offset(end))]);
            if let Err(error) = consumer.commit(&list, CommitMode::Async) {
                tracing::debug!(%error, partition, "the start could not be committed");
            }
        }
        Offset::Offset(end)
    }

    fn assigned(&self, consumer: &KafkaConsumer, partitions: &TopicPartitionList) {
        if partitions.count() > 0 {
            let is_late = std::mem::replace(&mut self.offsets().has_begun, true);
            if is_late && self.keeper == Keeper::Sink {
                // The sink's positions of these partitions may be newer than those that were given.
                let text = "partitions came from another member of the group";
                self.report(Problem::new(ErrorClass::Transient, text));
            }
        }
        let starts = self.starts(consumer, partitions);
        let result = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(&starts),
            _ => consumer.assign(&starts),
        };
        if let Err(error) = result {
            self.report(Problem::of("cannot take over partitions", &error));
        }
        // The client remembers a pause beyond the assignment: partitions that went while they were paused would come back paused,
        // when nobody knows of it any more.
        let set = match self.is_paused.load(Ordering::Acquire) {
            true => consumer.pause(&starts),
            false => consumer.resume(&starts),
        };
        if let Err(error) = set {
            tracing::debug!(%error, "new partitions could not be paused or resumed");
        }
    }

    fn revoked(&self, consumer: &KafkaConsumer, partitions: &TopicPartitionList) {
        let mut rest = Vec::new();
        {
            let mut offsets = self.offsets();
            for element in partitions.elements() {
                let finished = offsets.give_away(element.partition());
                rest.extend(finished.map(|at| (element.partition(), Offset::Offset(at))));
            }
            if self.keeper != Keeper::Group && partitions.count() > 0 && !self.is_stopping() {
                offsets.is_lost = true;
                let text = "partitions went to another member of the group; what was read of them \
                            is read again there";
                self.report(Problem::new(ErrorClass::Transient, text));
            }
        }
        if !rest.is_empty() && self.keeper != Keeper::Transactions && !consumer.assignment_lost() {
            // When the source stops, closing waits for the answer.
            let mode = match self.is_stopping() {
                true => CommitMode::Async,
                false => CommitMode::Sync,
            };
            if let Err(error) = consumer.commit(&self.list(rest), mode) {
                tracing::debug!(%error, "finished offsets could not be committed any more");
            }
        }
        let result = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(partitions),
            _ => consumer.unassign(),
        };
        if let Err(error) = result {
            self.report(Problem::of("cannot give partitions away", &error));
        }
    }
}

// === impl Context ===

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.events.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.events.error(&error, reason);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        if let Some(lag) = lag(statistics, &self.0.topic) {
            self.0.lag.store(lag, Ordering::Relaxed);
        }
    }
}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        consumer: &KafkaConsumer,
        error: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let is_assignment = error == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        tracing::debug!(is_assignment, count = partitions.count(), "rebalance");
        match is_assignment {
            true => self.0.assigned(consumer, partitions),
            false => self.0.revoked(consumer, partitions),
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        let Err(error) = result else {
            let mut known = self.0.offsets();
            for element in offsets.elements() {
                if let (Ok(()), Offset::Offset(offset)) = (element.error(), element.offset()) {
                    known.confirm(element.partition(), offset);
                }
            }
            return;
        };
        match error.rdkafka_error_code() {
            Some(code) if is_fencing(code) => {
                tracing::debug!(%error, "a commit came too late; the group has moved on");
            }
            _ => {
                tracing::warn!(%error, "offsets could not be committed; the next commit covers them")
            }
        }
    }
}

#[derive(Deserialize)]
struct Statistics {
    #[serde(default)]
    topics: BTreeMap<String, TopicStatistics>,
}

#[derive(Deserialize)]
struct TopicStatistics {
    #[serde(default)]
    partitions: BTreeMap<String, PartitionStatistics>,
}

#[derive(Deserialize)]
struct PartitionStatistics {
    #[serde(default)]
    fetch_state: String,
    /// Behind the last record that was handed to us, and behind what is committed; negative: not known.
    #[serde(default)]
    app_offset: i64,
    #[serde(default)]
    committed_offset: i64,
    #[serde(default)]
    lo_offset: i64,
    /// The end of what is committed in a transaction, and the end.
    #[serde(default)]
    ls_offset: i64,
    #[serde(default)]
    hi_offset: i64,
}

impl PartitionStatistics {
    fn lag(&self) -> Option<i64> {
        let known = |offsets: &[i64]| offsets.iter().copied().find(|&offset| offset >= 0);
        let end = known(&[self.ls_offset, self.hi_offset])?;
        let at = known(&[self.app_offset, self.committed_offset, self.lo_offset])?;
        Some((end - at).max(0))
    }
}

/// Gives how many records the partitions that are read have before them, as far as is known.
fn lag(statistics: &[u8], topic: &str) -> Option<i64> {
    let statistics: Statistics = serde_json::from_slice(statistics).ok()?;
    let partitions = &statistics.topics.get(topic)?.partitions;
    let read = partitions.values().filter(|one| one.fetch_state == "active");
    let known: Vec<i64> = read.filter_map(PartitionStatistics::lag).collect();
    (!known.is_empty()).then(|| known.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_the_sum_over_what_is_read() {
        let statistics = br#"{"name":"x","topics":{"t":{"topic":"t","partitions":{
            "0":{"fetch_state":"active","app_offset":10,"ls_offset":15,"hi_offset":17},
            "1":{"fetch_state":"active","app_offset":10,"ls_offset":-1001,"hi_offset":-1001},
            "2":{"fetch_state":"active","app_offset":-1001,"committed_offset":3,"ls_offset":-1,"hi_offset":10},
            "3":{"fetch_state":"none","app_offset":1,"hi_offset":9},
            "-1":{"fetch_state":"none"}}}}}"#;
        assert_eq!(lag(statistics, "t"), Some(12));
        assert_eq!(lag(statistics, "u"), None);
        assert_eq!(lag(b"{", "t"), None);
    }
}
