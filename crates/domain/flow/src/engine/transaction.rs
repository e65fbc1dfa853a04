//! Writes a sink that keeps positions together with records: exactly once.
//!
//! ```text
//! parcels ─▶ prepare … prepare ─▶ nothing else open before them? ─▶ commit(positions) ─▶ acknowledge
//! ```
//! A transaction holds whole parcels, in reading order, so the position behind the last of them says
//! exactly what is in the sink. Records that failed earlier, or fail here, go to the error sink first: the
//! transaction is committed only when everything up to its position is finished or in it.
//!
//! After an error nobody knows what became of the transaction. The sink is opened again and asked for its
//! positions: are they ours, it happened; otherwise everything is prepared anew from memory. When somebody
//! else has moved the positions, or the source's outside keeps them, the flow throws away what is under way and
//! starts from what is stored.

use std::collections::BTreeMap;
use std::time::Duration;

use levada_connectors::{DeliversAtLeastOnce, Outcomes, Sink, SinkError, Transactional};
use levada_model::{Ack, ErrorClass, Position, RecordBatch, RecordError, Str, with_causes};
use levada_runtime::{Backoff, fault};
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::batching::append;
use super::report::Guarantee;
use super::writer::{Event, Operation, Stop, Writer};

/// What a writer needs to write exactly once.
pub(super) struct ExactlyOnce {
    /// Where the reader waits for the positions that the sink holds.
    pub(super) positions: oneshot::Sender<Vec<(Str, Position)>>,
    /// Used when the sink may not keep positions and the flow does not insist on it.
    pub(super) fallback: Option<Box<dyn Sink>>,
    /// Forget the positions first.
    pub(super) from_start: bool,
}

/// How long a transaction stays open at least, unless it is full: a commit costs round trips.
const LINGER_MIN: Duration = Duration::from_millis(100);

/// What a transaction holds at most where the sink has no bounds of its own.
const RECORDS_MAX: usize = 20_000;
const BYTES_MAX: usize = 8 << 20;

/// Attempts to take positions over before a flow that does not insist goes on without. Only where the
/// source's outside keeps them: a broker may have no coordinator for transactions at all.
const ATTEMPTS_MAX: u32 = 3;

/// How often a transaction that must wait for dead letters looks whether they are written.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// Why a transaction was undone.
struct Spoilt {
    error: SinkError,
    /// Records were rejected, so what is prepared again is not the same.
    is_smaller: bool,
}

/// What is in the transaction under way.
#[derive(Default)]
struct Transaction {
    /// Parcels without their rejected records, in reading order.
    #[expect(clippy::vec_box, reason = "batches travel in their boxes")]
    batches: Vec<Box<RecordBatch>>,
    records: usize,
    bytes: usize,
    /// When it must be committed.
    deadline: Option<Duration>,
}

impl Transaction {
    /// Gives the position behind everything in it, per partition.
    fn positions(&self) -> Vec<(Str, Position)> {
        let mut last: BTreeMap<&Str, &Position> = BTreeMap::new();
        for batch in &self.batches {
            for origin in &batch.origins {
                last.insert(&origin.partition, &origin.position);
            }
        }
        last.into_iter().map(|(name, at)| (name.clone(), at.clone())).collect()
    }

    /// Gives how many records of each origin are in it.
    fn own(&self) -> Vec<(Ack, u64)> {
        let mut own = Vec::new();
        let mut counts = Vec::new();
        for batch in &self.batches {
            batch.count_by_origin(&mut counts);
            for (origin, &count) in batch.origins.iter().zip(&counts) {
                if let Some(ack) = &origin.ack {
                    own.push((ack.clone(), count));
                }
            }
        }
        own
    }
}

impl Writer {
    /// Opens the sink and asks for its positions; `false`: it may not keep any, and is written without.
    pub(super) async fn take_over(&mut self, setup: ExactlyOnce) -> Result<bool, Stop> {
        let ExactlyOnce { positions, mut fallback, from_start } = setup;
        let mut backoff = Backoff::new(self.shared.limits.retry, self.shared.seed());
        let stored = loop {
            let error = match self.open_and_ask(from_start).await? {
                Ok(stored) => break stored,
                Err(error) => error,
            };
            // Without positions in the sink nothing is lost when it is written as any other.
            let is_outside =
                self.sink.transactional().is_some_and(|sink| sink.keeps_positions_of_source());
            let is_refused = match error.class {
                ErrorClass::AuthError => true,
                class if class.is_transient() => backoff.attempts() + 1 >= ATTEMPTS_MAX,
                _ => true,
            };
            if let Some(plain) = fallback
                .take_if(|_| error.class == ErrorClass::AuthError || is_outside && is_refused)
            {
                warn!(
                    error = with_causes(&error),
                    "the sink may not keep positions, so records are delivered at least once"
                );
                self.sink = plain;
                self.shared.links.put(DeliversAtLeastOnce);
                // The reader may have stopped meanwhile.
                let _stopped = positions.send(Vec::new()).is_err();
                return Ok(false);
            }
            let delay = if error.class.is_transient() { backoff.next_delay() } else { None };
            match delay {
                // Nothing is under way yet that a restart would have to throw away.
                Some(delay) => self.wait(&error, delay).await?,
                None => {
                    let text =
                        format!("it may not keep the source's positions: {}", with_causes(&error));
                    return Err(self.failed(error.class, text));
                }
            }
        };
        info!(positions = stored.len(), "records are delivered exactly once");
        self.shared.set_guarantee(Guarantee::ExactlyOnce);
        let _stopped = positions.send(stored).is_err();
        Ok(true)
    }

    /// Opens the sink and asks for its positions; the outer error ends the writer.
    async fn open_and_ask(
        &mut self,
        from_start: bool,
    ) -> Result<Result<Vec<(Str, Position)>, SinkError>, Stop> {
        self.repeat(Operation::Open).await?;
        let sink = &mut self.sink;
        let work = async {
            let sink = transactional(sink)?;
            let stored = sink.stored().await?;
            if from_start && !stored.is_empty() {
                sink.rewind(&[]).await?;
                return Ok(Vec::new());
            }
            Ok(stored)
        };
        tokio::select! {
            biased;
            () = self.shutdown.aborting() => Err(Stop::Aborted),
            stored = work => Ok(stored),
        }
    }

    /// Waits before the next attempt, or gives up.
    async fn pause(&mut self, error: &SinkError, backoff: &mut Backoff) -> Result<(), Stop> {
        self.shared.metrics.connector_error(self.kind, "sink", "commit", error.class);
        let is_outside =
            self.sink.transactional().is_some_and(|sink| sink.keeps_positions_of_source());
        if error.class == ErrorClass::ContextCanceled || is_outside && error.class.is_transient() {
            self.shared.restart(with_causes(error));
            return Err(Stop::Aborted);
        }
        let delay = if error.class.is_transient() { backoff.next_delay() } else { None };
        match delay {
            Some(delay) => self.wait(error, delay).await,
            None => Err(self.failed(error.class, with_causes(error))),
        }
    }

    /// Writes transactions until the edge is closed and empty.
    pub(super) async fn write_transactions(&mut self) -> Result<(), Stop> {
        let mut transaction = Transaction::default();
        loop {
            let now = self.shared.clock.monotonic();
            let wait =
                transaction.deadline.map_or(Duration::from_secs(3600), |at| at.saturating_sub(now));
            let event = tokio::select! {
                biased;
                () = self.shutdown.aborting() => return Err(Stop::Aborted),
                // Everything acknowledged was committed.
                Some(request) = self.syncs.recv() => Event::Sync(request),
                () = self.shared.clock.sleep(wait), if transaction.deadline.is_some() => Event::Due,
                parcel = self.input.recv() => Event::Parcel(parcel),
            };
            match event {
                Event::Sync(request) => {
                    let _gone = request.send(Ok(())).is_err();
                }
                Event::Due => self.commit(&mut transaction).await?,
                Event::Parcel(None) => break,
                Event::Parcel(Some(parcel)) => {
                    self.add(&mut transaction, parcel.batch).await?;
                    let (records, bytes) = match self.batching.linger.is_zero() {
                        true => (RECORDS_MAX, BYTES_MAX),
                        false => (self.batching.records, self.batching.bytes),
                    };
                    let is_full = transaction.records >= records || transaction.bytes >= bytes;
                    if is_full {
                        self.commit(&mut transaction).await?;
                    }
                }
            }
        }
        self.commit(&mut transaction).await?;
        self.end().await
    }

    /// Prepares one more parcel.
    async fn add(
        &mut self,
        transaction: &mut Transaction,
        batch: Box<RecordBatch>,
    ) -> Result<(), Stop> {
        let waited = self.shared.clock.now().0.saturating_sub(batch.processed_at.0);
        self.metrics.wait.observe(waited.max(0) as f64 / 1e9);
        if transaction.deadline.is_none() {
            let linger = self.batching.linger.max(LINGER_MIN);
            transaction.deadline = Some(self.shared.clock.monotonic() + linger);
        }
        transaction.bytes += batch.text.len();
        transaction.batches.push(batch);
        let mut backoff = Backoff::new(self.shared.limits.retry, self.shared.seed());
        let last = transaction.batches.len() - 1;
        if let Err(spoilt) = self.prepare(transaction, last, 1).await? {
            self.prepare_again(transaction, spoilt, &mut backoff).await?;
        }
        transaction.records = transaction.batches.iter().map(|batch| batch.len()).sum();
        fault::point("transaction.prepared");
        Ok(())
    }

    /// Prepares the batches from `from` on; rejected records leave the transaction.
    ///
    /// The inner error undid the transaction.
    async fn prepare(
        &mut self,
        transaction: &mut Transaction,
        from: usize,
        attempts: u32,
    ) -> Result<Result<(), Spoilt>, Stop> {
        let mut outcomes = Outcomes::default();
        for batch in &mut transaction.batches[from..] {
            outcomes.clear();
            let count = batch.len();
            let started = self.shared.clock.monotonic();
            let sink = &mut self.sink;
            let work = async { transactional(sink)?.prepare(batch, &mut outcomes).await };
            let result = tokio::select! {
                biased;
                () = self.shutdown.aborting() => return Err(Stop::Aborted),
                result = work => result,
            };
            let elapsed = self.shared.clock.monotonic().saturating_sub(started);
            self.metrics.duration.observe(elapsed.as_secs_f64());
            let rejected = outcomes.rejected_records();
            if !rejected.is_empty() {
                self.reject(batch, rejected, attempts).await;
                remove(batch, rejected);
            }
            match result {
                Ok(()) if outcomes.resolved() >= count => {}
                Ok(()) => {
                    let message = "the sink did not answer for every record; this is a defect";
                    return Err(self.failed(ErrorClass::Unknown, message.into()));
                }
                Err(error) => {
                    let is_smaller = !rejected.is_empty();
                    return Ok(Err(Spoilt { error, is_smaller }));
                }
            }
        }
        Ok(Ok(()))
    }

    /// Prepares everything again after an error, until it is in the transaction.
    async fn prepare_again(
        &mut self,
        transaction: &mut Transaction,
        mut spoilt: Spoilt,
        backoff: &mut Backoff,
    ) -> Result<(), Stop> {
        loop {
            // Records that spoilt the transaction have left it, so the others are tried at once.
            if spoilt.error.is_about_records && !spoilt.is_smaller {
                self.isolate(transaction, backoff).await?;
            } else if !spoilt.is_smaller {
                self.pause(&spoilt.error, backoff).await?;
            }
            self.open_again(backoff).await?;
            match self.prepare(transaction, 0, backoff.attempts() + 1).await? {
                Ok(()) => return Ok(()),
                Err(again) => spoilt = again,
            }
        }
    }

    async fn open_again(&mut self, backoff: &mut Backoff) -> Result<(), Stop> {
        while let Err(error) = self.open_and_ask(false).await? {
            self.pause(&error, backoff).await?;
        }
        Ok(())
    }

    /// Finds the records that spoil a transaction, by halves, and rejects them.
    ///
    /// Every attempt is a transaction of its own that is undone.
    async fn isolate(
        &mut self,
        transaction: &mut Transaction,
        backoff: &mut Backoff,
    ) -> Result<(), Stop> {
        let mut outcomes = Outcomes::default();
        for batch in &mut transaction.batches {
            let mut bad: Vec<(usize, RecordError)> = Vec::new();
            let mut parts: Vec<_> = std::iter::once(0..batch.len()).collect();
            while let Some(range) = parts.pop() {
                self.open_again(backoff).await?;
                let mut part = self.shared.pool.take();
                append(&mut part, batch, range.clone());
                outcomes.clear();
                let sink = &mut self.sink;
                let attempt = async {
                    let sink = transactional(sink)?;
                    sink.prepare(&part, &mut outcomes).await?;
                    sink.rollback().await
                };
                let result = tokio::select! {
                    biased;
                    () = self.shutdown.aborting() => return Err(Stop::Aborted),
                    result = attempt => result,
                };
                self.shared.pool.give(part);
                let rejected = outcomes.rejected_records().iter().cloned();
                bad.extend(rejected.map(|(index, error)| (range.start + index, error)));
                match result {
                    Ok(()) => {}
                    Err(error) if !error.is_about_records => {
                        self.pause(&error, backoff).await?;
                        parts.push(range);
                    }
                    Err(error) if range.len() <= 1 => {
                        let message = with_causes(&error);
                        bad.push((range.start, RecordError { class: error.class, message }));
                    }
                    Err(_) => {
                        let middle = range.start + range.len() / 2;
                        parts.extend([middle..range.end, range.start..middle]);
                    }
                }
            }
            if !bad.is_empty() {
                bad.sort_by_key(|(index, _)| *index);
                bad.dedup_by_key(|(index, _)| *index);
                self.reject(batch, &bad, backoff.attempts() + 1).await;
                remove(batch, &bad);
            }
        }
        Ok(())
    }

    /// Commits what was prepared and acknowledges it.
    async fn commit(&mut self, transaction: &mut Transaction) -> Result<(), Stop> {
        transaction.deadline = None;
        if transaction.batches.is_empty() {
            return Ok(());
        }
        self.wait_for_others(transaction).await?;
        let positions = transaction.positions();
        let mut backoff = Backoff::new(self.shared.limits.retry, self.shared.seed());
        loop {
            let sink = &mut self.sink;
            let work = async { transactional(sink)?.commit(&positions).await };
            let result = tokio::select! {
                biased;
                () = self.shutdown.aborting() => return Err(Stop::Aborted),
                result = work => result,
            };
            let Err(error) = result else { break };
            self.pause(&error, &mut backoff).await?;
            if self.has_happened(&positions, &mut backoff).await? {
                break;
            }
            if let Err(spoilt) = self.prepare(transaction, 0, backoff.attempts() + 1).await? {
                self.prepare_again(transaction, spoilt, &mut backoff).await?;
            }
            self.wait_for_others(transaction).await?;
        }
        fault::point("transaction.committed");
        for batch in transaction.batches.drain(..) {
            self.deliver(&batch, std::slice::from_ref(&(0..batch.len())));
            self.shared.pool.give(batch);
        }
        fault::point("sink.acknowledged");
        (transaction.records, transaction.bytes) = (0, 0);
        Ok(())
    }

    /// Tells whether a commit whose answer was lost took place.
    async fn has_happened(
        &mut self,
        positions: &[(Str, Position)],
        backoff: &mut Backoff,
    ) -> Result<bool, Stop> {
        let stored = loop {
            match self.open_and_ask(false).await? {
                Ok(stored) => break stored,
                Err(error) => self.pause(&error, backoff).await?,
            }
        };
        let stored: BTreeMap<Str, Position> = stored.into_iter().collect();
        Ok(positions.iter().all(|(name, at)| stored.get(name) == Some(at)))
    }

    /// Waits until everything before the end of the transaction is finished or in it.
    async fn wait_for_others(&mut self, transaction: &Transaction) -> Result<(), Stop> {
        let own = transaction.own();
        while !self.shared.ledger.is_settled(&own) {
            if self.shared.has_failed() {
                // A record that failed stays open, so nothing behind it may be stored.
                let sink = &mut self.sink;
                let undone = async { transactional(sink)?.rollback().await }.await;
                if let Err(error) = undone {
                    warn!(error = with_causes(&error), "the last transaction could not be undone");
                }
                return Err(Stop::Aborted);
            }
            tokio::select! {
                biased;
                () = self.shutdown.aborting() => return Err(Stop::Aborted),
                Some(request) = self.syncs.recv() => {
                    let _gone = request.send(Ok(())).is_err();
                }
                () = self.shared.clock.sleep(LOOK_INTERVAL) => {}
            }
        }
        Ok(())
    }
}

fn transactional(sink: &mut Box<dyn Sink>) -> Result<&mut dyn Transactional, SinkError> {
    let text = "the sink cannot keep positions; this is a defect";
    sink.transactional().ok_or_else(|| SinkError::new(ErrorClass::Unknown, text))
}

/// Takes rejected records out of a batch.
fn remove(batch: &mut RecordBatch, rejected: &[(usize, RecordError)]) {
    let mut flags = vec![false; batch.len()];
    for (index, _) in rejected {
        if let Some(flag) = flags.get_mut(*index) {
            *flag = true;
        }
    }
    let mut flags = flags.into_iter();
    batch.records.retain(|_| !flags.next().unwrap_or(false));
}
