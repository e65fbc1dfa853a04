//! Reads the source: batches in, positions out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use levada_connectors::{Source, SourceError};
use levada_model::{ErrorKind, Position, Str, with_causes};
use levada_runtime::{Backoff, EdgeSender, Shutdown, fault};
use tokio::sync::{mpsc, oneshot};
use tracing::{info, warn};

use super::batching::Parcel;
use super::processor::Shared;
use super::report::{Counters, FlowError};

/// The task that owns the source.
pub(super) struct Reader {
    pub(super) source: Box<dyn Source>,
    pub(super) shared: Arc<Shared>,
    pub(super) output: EdgeSender<Parcel>,
    /// Positions that are stored, for the source to know.
    pub(super) commits: mpsc::Receiver<Vec<(Str, Position)>>,
    /// Where each partition stands; after a failure the source goes on from here.
    pub(super) positions: BTreeMap<Str, Position>,
    /// Where a sink that keeps positions tells them; they are the truth.
    pub(super) sink_positions: Option<oneshot::Receiver<Vec<(Str, Position)>>>,
    /// What the outside keeps for this source is replaced by this before the source is opened.
    pub(super) rewind: Option<Vec<(Str, Position)>>,
    pub(super) shutdown: Shutdown,
}

impl Reader {
    /// Reads until the source ends, the flow drains, or an error does not pass.
    ///
    /// Gives the source back, so that the last positions can be told to it, and whether it has ended.
    pub(super) async fn run(mut self) -> (Box<dyn Source>, Result<bool, FlowError>) {
        let result = self.read().await;
        (self.source, result)
    }

    async fn read(&mut self) -> Result<bool, FlowError> {
        let limits = &self.shared.limits;
        let mut backoff = Backoff::new(limits.retry, self.shared.seed());
        let mut is_open = false;
        let mut sequence = 0;
        let mut counts = Vec::new();
        let mut shutdown = self.shutdown.clone();
        while !shutdown.is_draining() {
            let attempt = async {
                if !is_open {
                    self.open().await?;
                }
                self.next().await
            };
            let read = tokio::select! {
                biased;
                () = shutdown.draining() => break,
                read = attempt => read,
            };
            match read {
                Ok(Some(mut parcel)) => {
                    is_open = true;
                    backoff.reset();
                    self.account(&mut parcel, &mut counts);
                    fault::point("source.read");
                    parcel.sequence = sequence;
                    sequence += 1;
                    if self.output.send(parcel).await.is_err() {
                        break;
                    }
                }
                Ok(None) => return Ok(true),
                Err(error) => {
                    is_open = false;
                    self.shared.metrics.source_connected.set(0.0);
                    self.failed(error, &mut backoff).await?;
                }
            }
        }
        Ok(false)
    }

    async fn open(&mut self) -> Result<(), SourceError> {
        if let Some(to) = &self.rewind {
            self.source.rewind(to).await?;
            self.rewind = None;
        }
        if let Some(told) = &mut self.sink_positions {
            // A sink that ended without an answer has failed, and the flow drains.
            let stored = told.await.unwrap_or_default();
            self.sink_positions = None;
            self.positions.extend(stored);
        }
        let positions: Vec<(Str, Position)> =
            self.positions.iter().map(|(name, at)| (name.clone(), at.clone())).collect();
        self.source.open(&positions).await?;
        self.shared.metrics.source_connected.set(1.0);
        self.shared.is_ready.store(true, Ordering::Release);
        info!(positions = positions.len(), "source opened");
        Ok(())
    }

    /// Waits for room in the window, then for the next batch; tells the source of commits meanwhile.
    async fn next(&mut self) -> Result<Option<Parcel>, SourceError> {
        let shared = self.shared.clone();
        let limits = &shared.limits;
        let mut batch = shared.pool.take();
        loop {
            let finished = shared.ledger.finished.notified();
            if !shared.ledger.is_full(limits.window_records, limits.window_bytes) {
                break;
            }
            tokio::select! {
                () = finished => {}
                Some(positions) = self.commits.recv() => self.commit(&positions).await?,
            }
        }
        loop {
            tokio::select! {
                biased;
                Some(positions) = self.commits.recv() => self.commit(&positions).await?,
                more = self.source.next(&mut batch) => {
                    return Ok(more?.then_some(Parcel { sequence: 0, batch }));
                }
            }
        }
    }

    async fn commit(&mut self, positions: &[(Str, Position)]) -> Result<(), SourceError> {
        self.source.commit(positions).await?;
        fault::point("source.committed");
        Ok(())
    }

    fn account(&mut self, parcel: &mut Parcel, counts: &mut Vec<u64>) {
        let shared = &self.shared;
        let batch = &mut parcel.batch;
        if batch.received_at == levada_model::Timestamp::default() {
            batch.received_at = shared.clock.now();
        }
        for origin in &batch.origins {
            match self.positions.get_mut(&origin.partition) {
                Some(position) => position.clone_from(&origin.position),
                None => {
                    self.positions.insert(origin.partition.clone(), origin.position.clone());
                }
            }
        }
        shared.ledger.register(batch, counts);
        let (records, bytes) = (batch.len() as u64, batch.payload_bytes());
        Counters::add(&shared.counters.records_in, records);
        Counters::add(&shared.counters.bytes_in, bytes);
        shared.metrics.received.add(records);
        shared.metrics.read.add(records);
        shared.metrics.bytes_received.add(bytes);
        if let Some(mean) = bytes.checked_div(records) {
            shared.metrics.size_input.observe_many(mean as f64, records);
        }
        if let Some(lag) = self.source.lag() {
            shared.counters.lag.store(lag, Ordering::Relaxed);
            shared.metrics.lag.set(lag as f64);
        }
    }

    async fn failed(&mut self, error: SourceError, backoff: &mut Backoff) -> Result<(), FlowError> {
        let shared = &self.shared;
        let kind = shared.source_type;
        shared.metrics.connector_error(kind, "source", "read", error.class);
        let delay = match error.class.is_transient() {
            true => backoff.next_delay(),
            false => None,
        };
        if delay.is_some() && shared.is_exactly_once() {
            // Records under way may be read again: their transaction must not be committed.
            shared.restart(with_causes(&error));
            return Ok(());
        }
        let Some(delay) = delay else {
            return Err(FlowError::Stage {
                stage: format!("source {kind}"),
                message: with_causes(&error),
                kind: source_kind(&error),
            });
        };
        Counters::add(&shared.counters.retries, 1);
        warn!(error = with_causes(&error), ?delay, "source failed, trying again");
        let sleep = shared.clock.sleep(delay);
        tokio::select! {
            () = self.shutdown.draining() => {}
            () = sleep => {}
        }
        Ok(())
    }
}

fn source_kind(error: &SourceError) -> ErrorKind {
    error.class.kind()
}
