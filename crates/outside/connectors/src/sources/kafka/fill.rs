//! Fills a batch with messages.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use levada_model::envelope::{Envelope, push_header};
use levada_model::{Meta, Position, RecordBatch, Str, Timestamp, Value};
use levada_telemetry::metrics::Counter;
use rdkafka::Message;
use rdkafka::message::{BorrowedHeaders, BorrowedMessage, Headers};
use tokio::runtime::Handle;

use super::offsets::name;
use super::payload::{Decode, Undecodable};
use crate::kafka::Problem;

/// A batch under way, and where each of its partitions stands.
pub(super) struct Filler {
    topic: String,
    pub(super) batch: RecordBatch,
    /// What records of a partition share, by partition.
    partitions: Vec<Option<Partition>>,
    /// Partition of each origin of the batch, and the offset behind its last record.
    origins: Vec<(i32, i64)>,
    /// The origin of the message before.
    current: Option<usize>,
    /// Records of partitions came mixed, so they are put in order at the end.
    is_mixed: bool,
    decoder: Option<Box<dyn Decode>>,
    runtime: Handle,
    dropped: Dropped,
}

/// Counts headers that are left out, and says so once.
pub(super) struct Dropped {
    pub(super) counter: Option<Counter>,
    pub(super) is_told: bool,
}

#[derive(Clone)]
struct Partition {
    name: Str,
    meta: Arc<Meta>,
}

// === impl Filler ===

impl Filler {
    pub(super) fn new(
        topic: &str,
        decoder: Option<Box<dyn Decode>>,
        runtime: Handle,
        dropped: Option<Counter>,
    ) -> Self {
        Filler {
            topic: topic.to_owned(),
            batch: RecordBatch::new(),
            partitions: Vec::new(),
            origins: Vec::new(),
            current: None,
            is_mixed: false,
            decoder,
            runtime,
            dropped: Dropped { counter: dropped, is_told: false },
        }
    }

    /// Adds a message.
    ///
    /// - Errors: what is needed to decode it is away; the batch is as it was before.
    pub(super) fn push(&mut self, message: &BorrowedMessage<'_>) -> Result<(), Problem> {
        let (partition, offset) = (message.partition(), message.offset());
        let index = match self.current {
            Some(index) if self.origins[index].0 == partition => index,
            _ => self.change_to(partition),
        };
        let batch = &mut self.batch;
        let begin = batch.text.len();
        let key = message.key().map(|key| span(&mut batch.text, key));
        let headers = message.headers().map(|headers| {
            let start = batch.text.len() as u32;
            self.dropped.push_headers(&self.topic, headers, &mut batch.text);
            (start, batch.text.len() as u32)
        });
        let payload = message.payload();
        let (origin, position) = (index as u32, offset as u64);
        match (&mut self.decoder, payload) {
            (Some(decoder), Some(payload)) => {
                let start = batch.text.len();
                match self.runtime.block_on(decoder.decode(payload, &mut batch.text)) {
                    Ok(()) => {
                        let end = batch.text.len();
                        batch.text.push(b'\n');
                        batch.push_span(start as u32, end as u32, origin, position);
                    }
                    Err(Undecodable::Record(error)) => {
                        batch.text.truncate(start);
                        batch.push_broken(payload, origin, position, error);
                    }
                    Err(Undecodable::Away(problem)) => {
                        batch.text.truncate(begin);
                        self.forget_empty_origin();
                        return Err(problem);
                    }
                }
            }
            (_, payload) => batch.push(payload.unwrap_or_default(), origin, position),
        }
        let time = message.timestamp().to_millis();
        batch.set_envelope(Envelope {
            key,
            headers,
            time: time.and_then(|millis| millis.checked_mul(1_000_000)).map(Timestamp),
            offset,
            is_tombstone: payload.is_none(),
        });
        self.origins[index].1 = offset + 1;
        Ok(())
    }

    /// An origin without a record would move its partition's position.
    fn forget_empty_origin(&mut self) {
        if self.origins.last().is_some_and(|(_, next)| *next == 0) {
            self.origins.pop();
            self.batch.origins.pop();
            self.current = None;
        }
    }

    fn change_to(&mut self, partition: i32) -> usize {
        let slot = usize::try_from(partition).unwrap_or_default();
        if self.partitions.len() <= slot {
            self.partitions.resize(slot + 1, None);
        }
        let topic = &self.topic;
        let known = self.partitions[slot].get_or_insert_with(|| Partition {
            name: name(topic, partition),
            meta: Arc::new(shared_meta(topic, partition)),
        });
        self.batch.set_shared_meta(Some(known.meta.clone()));
        let index = match self.origins.iter().position(|(of, _)| *of == partition) {
            Some(index) => index,
            None => {
                self.batch.push_origin(known.name.clone(), Position::Null);
                self.origins.push((partition, 0));
                self.origins.len() - 1
            }
        };
        self.is_mixed |= self.current.is_some_and(|before| before > index);
        self.current = Some(index);
        index
    }

    /// Takes the batch out, its records in the order of their partitions, and goes on with `empty`.
    pub(super) fn take(&mut self, empty: RecordBatch) -> RecordBatch {
        let mut batch = std::mem::replace(&mut self.batch, empty);
        for (origin, (_, next)) in batch.origins.iter_mut().zip(&self.origins) {
            origin.position = Position::from(*next);
        }
        if self.is_mixed {
            // Stable: the order within a partition stays.
            batch.records.sort_by_key(|record| record.origin);
        }
        self.origins.clear();
        self.current = None;
        self.is_mixed = false;
        batch
    }

    /// Forgets what was filled in.
    pub(super) fn discard(&mut self) {
        let mut batch = self.take(RecordBatch::new());
        batch.clear();
        self.batch = batch;
    }
}

fn span(text: &mut Vec<u8>, bytes: &[u8]) -> (u32, u32) {
    let start = text.len() as u32;
    text.extend_from_slice(bytes);
    (start, text.len() as u32)
}

// === impl Dropped ===

impl Dropped {
    /// Appends headers.
    ///
    /// The client library panics on a name that is not UTF-8, and gives no other way to such a header. They
    /// are left out: no name of ours could be written for them.
    fn push_headers(&mut self, topic: &str, headers: &BorrowedHeaders, text: &mut Vec<u8>) {
        for index in 0..headers.count() {
            let header = catch_unwind(AssertUnwindSafe(|| headers.try_get(index)));
            match header {
                Ok(Some(header)) => push_header(text, header.key, header.value),
                Ok(None) => {}
                Err(_) => self.count(topic),
            }
        }
    }

    fn count(&mut self, topic: &str) {
        if let Some(counter) = &self.counter {
            counter.add(1);
        }
        if !std::mem::replace(&mut self.is_told, true) {
            tracing::warn!(
                topic,
                "headers whose name is not UTF-8 are left out and counted (levada_kafka_source_dropped_headers_total)"
            );
        }
    }
}

/// Source: dataflow-operator.md §2.1; what differs per record stands in its envelope.
fn shared_meta(topic: &str, partition: i32) -> Meta {
    let mut meta = Meta::new();
    meta.set("topic", topic.into());
    meta.set("partition", Value::Int(partition.into()));
    meta
}
