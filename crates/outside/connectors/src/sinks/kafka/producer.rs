//! The producer, and the delivery reports of what is under way.
//!
//! One batch is in flight at a time. A message carries the number of its flight and its index in the batch
//! through the client, so a delivery costs no allocation, and reports of a flight that was given up (the
//! write was dropped) count for nothing.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use levada_model::RecordBatch;
use levada_runtime::{TaskKind, Tasks};
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext as _, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use tokio::sync::Notify;

use super::record::fields;
use crate::kafka::{Connection, Events, Problem, probe};

/// How long one look for delivery reports may take; a producer that is let go is noticed as late.
const LOOK: Duration = Duration::from_millis(100);

/// How long a full client is waited for before it is tried again.
const ROOM: Duration = Duration::from_millis(10);

/// Opaque numbers of the client hold a flight and an index.
const _: () = assert!(usize::BITS >= 64, "the sink numbers messages with 64 bits");

pub(super) type KafkaProducer = BaseProducer<Context>;

/// A producer and the thread that takes its delivery reports.
pub(super) struct Producer {
    pub(super) client: Arc<KafkaProducer>,
    deliveries: Arc<Deliveries>,
    is_stopping: Arc<AtomicBool>,
}

/// The context of the producer.
pub(super) struct Context(Arc<Deliveries>);

/// What is under way.
#[derive(Default)]
struct Deliveries {
    /// The number of the flight in the upper half, what it waits for in the lower.
    flight: AtomicU64,
    /// Flight, index and reason of messages that failed.
    failures: Mutex<Vec<(u32, u32, Code)>>,
    arrived: Notify,
    events: Events,
}

/// What became of a batch.
#[derive(Default)]
pub(super) struct Flight {
    /// Records that failed, in order, with the reason.
    pub(super) failures: Vec<(usize, Failure)>,
    /// How many records were handed to the client; the others failed with `stopped`.
    pub(super) sent: usize,
    pub(super) stopped: Option<KafkaError>,
}

/// Why a record was not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The client did not take it: this record is at fault.
    Refused(Code),
    /// The brokers did not take the request that it was in.
    Undelivered(Code),
}

// === impl Producer ===

impl Producer {
    /// Connects; blocks.
    pub(super) fn connect(
        config: &ClientConfig,
        connection: &Connection,
        tasks: &Tasks,
    ) -> Result<Self, Problem> {
        let deliveries = Arc::new(Deliveries::default());
        let client = KafkaProducer::from_config_and_context(config, Context(deliveries.clone()))
            .map_err(|error| Problem::of("cannot make a producer", &error))?;
        probe::topic(client.client(), connection, &deliveries.events, || {
            client.poll(Duration::ZERO);
        })?;
        let client = Arc::new(client);
        let is_stopping = Arc::new(AtomicBool::new(false));
        let (polled, observed) = (client.clone(), is_stopping.clone());
        tasks.spawn_thread(TaskKind::Connector, "kafka sink", move || {
            while !observed.load(Ordering::Acquire) {
                polled.poll(LOOK);
            }
        });
        Ok(Producer { client, deliveries, is_stopping })
    }

    /// What the client reported by itself.
    pub(super) fn events(&self) -> &Events {
        &self.deliveries.events
    }

    /// Tells whether this producer cannot be used any more.
    pub(super) fn is_broken(&self) -> bool {
        self.client.client().fatal_error().is_some()
    }

    /// Sends a batch and waits for its delivery reports.
    pub(super) async fn send(&self, topic: &str, batch: &RecordBatch) -> Flight {
        let mut flight = Flight::default();
        let number = self.deliveries.begin(batch.len());
        for index in 0..batch.len() {
            match self.enqueue(topic, batch, index, number).await {
                Ok(()) => {}
                Err(Code::MessageSizeTooLarge) => {
                    let failure = Failure::Refused(Code::MessageSizeTooLarge);
                    flight.failures.push((index, failure));
                    self.deliveries.settle(number, 1);
                }
                Err(code) => {
                    flight.stopped = Some(KafkaError::MessageProduction(code));
                    self.deliveries.settle(number, batch.len() - index);
                    break;
                }
            }
            flight.sent = index + 1;
        }
        self.deliveries.wait(number).await;
        self.deliveries.take_failures(number, &mut flight.failures);
        flight
    }

    async fn enqueue(
        &self,
        topic: &str,
        batch: &RecordBatch,
        index: usize,
        number: u32,
    ) -> Result<(), Code> {
        loop {
            match self.try_enqueue(topic, batch, index, number) {
                Err(Code::QueueFull) => {
                    // The wait is for any delivery; its length only bounds a report that was missed.
                    let arrived = self.deliveries.arrived.notified();
                    drop(tokio::time::timeout(ROOM, arrived).await);
                }
                result => return result,
            }
        }
    }

    fn try_enqueue(
        &self,
        topic: &str,
        batch: &RecordBatch,
        index: usize,
        number: u32,
    ) -> Result<(), Code> {
        let fields = fields(batch, index);
        let opaque = (u64::from(number) << 32 | index as u64) as usize;
        let mut record: BaseRecord<'_, [u8], [u8], usize> =
            BaseRecord::with_opaque_to(topic, opaque);
        record.key = fields.key;
        record.payload = fields.payload.as_deref();
        record.headers = fields.headers;
        // Zero means now to the client, and below is no time.
        record.timestamp = fields.time.filter(|&time| time > 0);
        match self.client.send(record) {
            Ok(()) => Ok(()),
            Err((error, _)) => Err(error.rdkafka_error_code().unwrap_or(Code::Fail)),
        }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        // The thread is the last to let go, so closing the client holds nobody up.
        self.is_stopping.store(true, Ordering::Release);
    }
}

// === impl Deliveries ===

impl Deliveries {
    /// Begins a flight of so many messages and gives its number.
    fn begin(&self, messages: usize) -> u32 {
        let number = ((self.flight.load(Ordering::Acquire) >> 32) as u32).wrapping_add(1);
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.flight.store(u64::from(number) << 32 | messages as u64, Ordering::Release);
        number
    }

    /// Counts messages of a flight as answered for; those of another count for nothing.
    fn settle(&self, number: u32, messages: usize) {
        let settled = self.flight.fetch_update(Ordering::AcqRel, Ordering::Acquire, |flight| {
            let is_same = (flight >> 32) as u32 == number;
            is_same.then(|| flight - messages as u64)
        });
        if settled.is_ok_and(|before| before & u64::from(u32::MAX) == messages as u64) {
            self.arrived.notify_one();
        }
    }

    async fn wait(&self, number: u32) {
        let landed = u64::from(number) << 32;
        loop {
            let arrived = self.arrived.notified();
            if self.flight.load(Ordering::Acquire) == landed {
                return;
            }
            arrived.await;
        }
    }

    fn take_failures(&self, number: u32, into: &mut Vec<(usize, Failure)>) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        for (of, index, code) in failures.drain(..) {
            if of == number {
                into.push((index as usize, Failure::Undelivered(code)));
            }
        }
        into.sort_unstable_by_key(|(index, _)| *index);
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
}

impl ProducerContext for Context {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: usize) {
        let (number, index) = ((opaque as u64 >> 32) as u32, opaque as u32);
        if let Err((error, _)) = result {
            let code = error.rdkafka_error_code().unwrap_or(Code::Fail);
            let mut failures = self.0.failures.lock().unwrap_or_else(PoisonError::into_inner);
            failures.push((number, index, code));
        }
        self.0.settle(number, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn reports_of_an_earlier_flight_count_for_nothing() {
        let deliveries = Deliveries::default();
        let old = deliveries.begin(2);
        deliveries.settle(old, 1);
        let number = deliveries.begin(2);
        deliveries.settle(old, 1);
        deliveries.failures.lock().expect("no panic").push((old, 0, Code::PurgeQueue));
        deliveries.failures.lock().expect("no panic").push((number, 1, Code::PurgeQueue));
        deliveries.settle(number, 1);
        assert!(tokio::time::timeout(ROOM, deliveries.wait(number)).await.is_err());
        deliveries.settle(number, 1);
        deliveries.wait(number).await;
        let mut failures = vec![(0, Failure::Refused(Code::MessageSizeTooLarge))];
        deliveries.take_failures(number, &mut failures);
        let expected = [
            (0, Failure::Refused(Code::MessageSizeTooLarge)),
            (1, Failure::Undelivered(Code::PurgeQueue)),
        ];
        assert_eq!(failures, expected);
    }
}
