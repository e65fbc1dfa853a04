//! The thread that polls the consumer.
//!
//! It fills batches and hands them on through a channel of [`READY_MAX`]. While nobody takes them it first
//! waits, then pauses the partitions, so that it can go on serving rebalances without reading more: a flow
//! whose sink is down stays a good member of its group. After a failure it reads nothing until the engine
//! opens the source again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError};
use std::time::Duration;

use levada_model::{ErrorClass, Position, RecordBatch, Str};
use levada_runtime::Clock;
use rdkafka::Message as _;
use rdkafka::consumer::{Consumer, RebalanceProtocol};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::{Offset, TopicPartitionList};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::context::{KafkaConsumer, Shared};
use super::fill::Filler;
use super::offsets::{Keeper, Start};
use crate::kafka::error::{class_of, is_missing_topic};
use crate::kafka::{Connection, Problem};
use crate::traits::SourceError;

/// Filled batches that wait for the engine.
pub(super) const READY_MAX: usize = 1;

/// Empty batches that wait for the thread.
pub(super) const EMPTY_MAX: usize = READY_MAX + 2;

/// How long one look for events and messages may take; commands wait as long.
const LOOK: Duration = Duration::from_millis(50);

/// Looks that a full channel is waited for before the partitions are paused.
const PAUSE_AFTER: u32 = 20;

/// What the thread hands to the source; `epoch` counts how often the source was opened.
pub(super) struct Item {
    pub(super) epoch: u64,
    /// Nothing: every partition was read to its end.
    pub(super) content: Result<Option<RecordBatch>, SourceError>,
}

/// What the source asks of the thread.
pub(super) enum Command {
    /// Go on from these positions; the answer is the new epoch.
    Reopen(Vec<(Str, Position)>, oneshot::Sender<u64>),
}

/// The thread.
pub(super) struct Worker {
    pub(super) consumer: Arc<KafkaConsumer>,
    pub(super) shared: Arc<Shared>,
    pub(super) connection: Connection,
    pub(super) filler: Filler,
    pub(super) items: mpsc::Sender<Item>,
    pub(super) empty: Receiver<RecordBatch>,
    pub(super) commands: Receiver<Command>,
    pub(super) batch_records: usize,
    pub(super) batch_bytes: usize,
    pub(super) runtime: Handle,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) epoch: u64,
    /// Something failed, and the engine has not opened the source again: nothing more is taken, for what
    /// comes behind a record that was missed must not move its partition's position.
    pub(super) is_halted: bool,
    /// The source ends where its partitions end.
    pub(super) stops_at_end: bool,
    /// The engine was told.
    pub(super) is_told: bool,
    /// Told when the thread has left the group.
    pub(super) done: SyncSender<()>,
}

/// The source is gone.
struct Gone;

// === impl Worker ===

impl Worker {
    /// Polls until the source is gone, then leaves the group.
    pub(super) fn run(mut self) {
        while !self.shared.is_stopping() && self.turn().is_ok() {}
        self.shared.is_stopping.store(true, Ordering::Release);
        let Worker { consumer, done, .. } = self;
        // The last one to let go closes the consumer, which commits and leaves the group.
        drop(consumer);
        // Nobody may wait any more.
        let _gone = done.try_send(()).is_err();
    }

    fn turn(&mut self) -> Result<(), Gone> {
        self.obey()?;
        if let Some(problem) = self.shared.take_problem() {
            self.fail(problem)?;
        }
        let is_empty = self.filler.batch.is_empty();
        if self.stops_at_end && is_empty && !self.is_halted && self.shared.offsets().is_at_end() {
            self.hand_on(Item { epoch: self.epoch, content: Ok(None) })?;
            (self.is_halted, self.is_told) = (true, true);
            self.pause();
        }
        let mut wait = if is_empty || self.is_halted { LOOK } else { Duration::ZERO };
        // What is there goes into one batch, with nothing else to look at in between.
        while self.poll(wait) && !self.is_full() {
            wait = Duration::ZERO;
        }
        match self.filler.batch.is_empty() {
            true => Ok(()),
            false => self.deliver(),
        }
    }

    fn is_full(&self) -> bool {
        let batch = &self.filler.batch;
        batch.len() >= self.batch_records.max(1) || batch.text.len() >= self.batch_bytes
    }

    /// Looks for one event or message, and tells whether there was a message.
    fn poll(&mut self, wait: Duration) -> bool {
        match self.consumer.poll(wait) {
            // What comes after a failure is read again.
            Some(Ok(_)) if self.is_halted => false,
            Some(Ok(message)) => match self.filler.push(&message) {
                Ok(()) => {
                    if self.stops_at_end {
                        self.shared.offsets().at_end.remove(&message.partition());
                    }
                    true
                }
                Err(problem) => {
                    self.is_halted = true;
                    self.shared.report(problem);
                    false
                }
            },
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                self.shared.offsets().at_end.insert(partition);
                false
            }
            Some(Err(error)) => {
                if let Some(problem) = self.explain(&error) {
                    self.is_halted = true;
                    self.shared.report(problem);
                }
                false
            }
            None => false,
        }
    }

    /// Decides whether an error of the client is one of the source.
    fn explain(&self, error: &KafkaError) -> Option<Problem> {
        // The end of a partition is no error, and is not asked for.
        let code = error.rdkafka_error_code()?;
        let (topic, brokers) = (&self.shared.topic, self.connection.brokers());
        let events = &self.shared.events;
        let problem = match code {
            Code::AllBrokersDown => {
                events.explain(format!("no connection to {brokers}"), ErrorClass::ConnectionError)
            }
            Code::Authentication => {
                events.explain(format!("cannot log in to {brokers}"), ErrorClass::AuthError)
            }
            Code::TopicAuthorizationFailed => {
                let text = format!("no right to read topic `{topic}` on {brokers}");
                Problem::new(ErrorClass::AuthError, text)
            }
            Code::GroupAuthorizationFailed => {
                let text = format!("no right to use the consumer group on {brokers}");
                Problem::new(ErrorClass::AuthError, text)
            }
            code if is_missing_topic(code) => {
                let text = format!("topic `{topic}` on {brokers} is not there any more");
                Problem::new(class_of(code), text)
            }
            Code::AutoOffsetReset | Code::OffsetOutOfRange => {
                tracing::warn!(%error, "an offset is not there any more; reading what is left");
                return None;
            }
            code if is_unreadable(code) => {
                // The client would go on behind it.
                let text =
                    format!("topic `{topic}` on {brokers} holds what cannot be read: {error}");
                Problem::new(ErrorClass::InvalidData, text)
            }
            _ if matches!(error, KafkaError::MessageConsumptionFatal(_)) => {
                // A new consumer has none of this.
                events.explain(format!("the consumer cannot go on: {error}"), ErrorClass::Unknown)
            }
            // Everything else the client repeats by itself.
            _ => return None,
        };
        Some(problem)
    }

    /// Hands what was filled on.
    fn deliver(&mut self) -> Result<(), Gone> {
        let mut empty = self.empty.try_recv().unwrap_or_default();
        empty.clear();
        let mut batch = self.filler.take(empty);
        batch.received_at = self.clock.now();
        self.hand_on(Item { epoch: self.epoch, content: Ok(Some(batch)) })
    }

    /// Tells the engine of a failure, and reads nothing until it opens the source again.
    fn fail(&mut self, problem: Problem) -> Result<(), Gone> {
        if self.is_told {
            return Ok(());
        }
        self.is_halted = true;
        if !self.filler.batch.is_empty() {
            self.deliver()?;
        }
        let epoch = self.epoch;
        self.hand_on(Item { epoch, content: Err(problem.into()) })?;
        if self.epoch == epoch {
            self.is_told = true;
            self.pause();
        }
        Ok(())
    }

    /// Waits until an item is taken, serving the group meanwhile.
    fn hand_on(&mut self, item: Item) -> Result<(), Gone> {
        let epoch = self.epoch;
        let mut item = match self.items.try_send(item) {
            Ok(()) => return Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(Gone),
            Err(mpsc::error::TrySendError::Full(item)) => Some(item),
        };
        let items = self.items.clone();
        let mut looks = 0;
        while let Some(waiting) = item.take() {
            let room = tokio::time::timeout(LOOK, items.reserve());
            match self.runtime.block_on(room) {
                Ok(Ok(permit)) => {
                    permit.send(waiting);
                    break;
                }
                Ok(Err(_)) => return Err(Gone),
                Err(_) => item = Some(waiting),
            }
            if self.shared.is_stopping() {
                return Err(Gone);
            }
            self.obey()?;
            if self.epoch != epoch {
                // The engine goes on from elsewhere; what waits is read again if it is wanted.
                return Ok(());
            }
            looks += 1;
            if looks == PAUSE_AFTER {
                self.pause();
            }
            if looks >= PAUSE_AFTER && self.poll(Duration::ZERO) {
                // Partitions that were just assigned; their messages begin the next batch.
                self.pause();
            }
        }
        if !self.is_halted {
            self.resume();
        }
        Ok(())
    }

    fn obey(&mut self) -> Result<(), Gone> {
        match self.commands.try_recv() {
            Ok(Command::Reopen(positions, answer)) => {
                self.reopen(&positions);
                // The source may have given up; then it asks again.
                let _gone = answer.send(self.epoch).is_err();
                Ok(())
            }
            Err(TryRecvError::Empty) => Ok(()),
            Err(TryRecvError::Disconnected) => Err(Gone),
        }
    }

    /// Goes on from `positions`, and where there is none from where the partition was begun.
    fn reopen(&mut self, positions: &[(Str, Position)]) {
        self.epoch += 1;
        self.filler.discard();
        drop(self.shared.take_problem());
        let (owned, starts) = {
            let mut offsets = self.shared.offsets();
            offsets.give(positions, &self.shared.topic);
            offsets.is_lost = false;
            let owned: Vec<i32> = offsets.owned().collect();
            offsets.has_begun = !owned.is_empty();
            (self.shared.list(owned.iter().map(|&one| (one, Offset::Invalid))), owned)
        };
        if !starts.is_empty() {
            let starts = self.starts_again(&owned);
            if let Err(error) = self.assign_again(&owned, &starts) {
                self.shared.report(Problem::of("cannot go back to a position", &error));
            }
        }
        (self.is_halted, self.is_told) = (false, false);
        self.shared.is_paused.store(true, Ordering::Release);
        self.resume();
    }

    /// A source that commits for itself goes on where the engine is, whose records are under way still;
    /// in a transaction they were thrown away, so what the group has counts.
    fn starts_again(&self, owned: &TopicPartitionList) -> TopicPartitionList {
        if self.shared.keeper != Keeper::Group {
            return self.shared.starts(&self.consumer, owned);
        }
        let unknown: Vec<(i32, Offset)> = {
            let offsets = self.shared.offsets();
            let partitions = offsets.owned().filter(|one| !offsets.given.contains_key(one));
            partitions.map(|one| (one, Offset::Invalid)).collect()
        };
        let mut list = self.shared.starts(&self.consumer, &self.shared.list(unknown));
        let given: Vec<(i32, i64)> = {
            let mut offsets = self.shared.offsets();
            let known: Vec<(i32, i64)> =
                offsets.given.iter().map(|(&one, &at)| (one, at)).collect();
            let known: Vec<(i32, i64)> =
                known.into_iter().filter(|(one, _)| offsets.owns(*one)).collect();
            for &(partition, at) in &known {
                offsets.rewind(partition, at);
            }
            known
        };
        for (partition, at) in given {
            if list.add_partition_offset(&self.shared.topic, partition, Offset::Offset(at)).is_err()
            {
                tracing::debug!(partition, at, "an offset cannot be used");
            }
        }
        list
    }

    /// Assigning anew drops what was fetched from elsewhere.
    fn assign_again(
        &self,
        owned: &TopicPartitionList,
        starts: &TopicPartitionList,
    ) -> Result<(), KafkaError> {
        match self.consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => {
                self.consumer.incremental_unassign(owned)?;
                self.consumer.incremental_assign(starts)
            }
            _ => self.consumer.assign(starts),
        }
    }

    fn pause(&self) {
        self.shared.is_paused.store(true, Ordering::Release);
        let paused = self.consumer.assignment().and_then(|all| self.consumer.pause(&all));
        if let Err(error) = paused {
            tracing::debug!(%error, "partitions could not be paused");
        }
    }

    fn resume(&self) {
        if !self.shared.is_paused.swap(false, Ordering::AcqRel) {
            return;
        }
        let resumed = self.consumer.assignment().and_then(|all| self.consumer.resume(&all));
        if let Err(error) = resumed {
            tracing::debug!(%error, "partitions could not be resumed");
        }
    }
}

/// Tells whether records were passed over that cannot be read: damaged, too large, or in a form that this
/// client does not know.
fn is_unreadable(code: Code) -> bool {
    matches!(
        code,
        Code::BadMessage
            | Code::BadCompression
            | Code::InvalidMessage
            | Code::InvalidMessageSize
            | Code::MessageSizeTooLarge
            | Code::NotImplemented
            | Code::UnsupportedFeature
            | Code::UnsupportedCompressionType
            | Code::Underflow
    )
}

/// Reads where partitions start without a position.
pub(super) fn fallback(word: &str) -> Start {
    match word {
        "latest" => Start::Latest,
        _ => Start::Earliest,
    }
}
