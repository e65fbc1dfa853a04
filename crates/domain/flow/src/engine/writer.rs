//! Writes one sink: gathers, writes, repeats, answers for every record.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use levada_connectors::{Outcomes, Sink, SinkBatching, SinkError};
use levada_model::{Ack, ErrorClass, RecordBatch, RecordError, with_causes};
use levada_runtime::{Backoff, EdgeReceiver, EdgeSender, Shutdown, fault};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::warn;

use super::batching::{Parcel, append};
use super::dead_letter::DeadLetter;
use super::metrics::SinkMetrics;
use super::processor::Shared;
use super::report::{Counters, FlowError};
use super::transaction::ExactlyOnce;
use crate::spec::AckPolicy;

/// What the sink is for.
pub(super) enum Duty {
    /// The main sink or a route: rejected records go to the error sink.
    Deliver {
        /// The edge of the error sink.
        letters: Option<EdgeSender<Parcel>>,
    },
    /// The error sink: nothing comes after it.
    Bury,
}

/// A request to make durable what was written.
pub(super) type SyncRequest = oneshot::Sender<Result<(), String>>;

/// What becomes of sinks that have written everything and made it durable.
///
/// A sink is closed only when the source has ended and the last positions are stored. Otherwise the next
/// start goes on where this run stops, and what got its final name now would be replaced by the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// It is not decided yet.
    Open,
    /// They are closed.
    Close,
    /// They are left as they are, for the next start.
    Suspend,
}

/// The task that owns a sink.
pub(super) struct Writer {
    pub(super) sink: Box<dyn Sink>,
    pub(super) kind: &'static str,
    /// `default`, the label of a route, or `error`.
    pub(super) route: String,
    pub(super) duty: Duty,
    pub(super) batching: SinkBatching,
    pub(super) shared: Arc<Shared>,
    pub(super) input: EdgeReceiver<Parcel>,
    pub(super) syncs: mpsc::Receiver<SyncRequest>,
    pub(super) metrics: SinkMetrics,
    pub(super) shutdown: Shutdown,
    /// Told when everything is written and durable.
    pub(super) drained: Option<oneshot::Sender<()>>,
    pub(super) ending: watch::Receiver<Ending>,
    /// How it keeps positions, when the flow delivers exactly once.
    pub(super) exactly_once: Option<ExactlyOnce>,
    /// An empty batch to gather into.
    pub(super) spare: Option<Box<RecordBatch>>,
    /// The last write failed, so the sink is opened again before the next.
    pub(super) has_failed: bool,
}

/// How long a sink that stops early may take to make durable what it wrote; less than an abort takes.
const LAST_SYNC_MAX: Duration = Duration::from_secs(3);

/// Why a writer stops before its edge is empty.
pub(super) enum Stop {
    /// The flow is aborted; what is left stays unfinished.
    Aborted,
    /// The sink failed for good.
    Failed(FlowError),
}

/// Dead letters whose position waits for the main sink.
#[derive(Default)]
pub(super) struct Waiting(Mutex<Vec<(Ack, u64)>>);

impl Waiting {
    fn add(&self, acks: impl IntoIterator<Item = (Ack, u64)>) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend(acks);
    }

    pub(super) fn release(&self) {
        let waiting =
            std::mem::take(&mut *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        for (ack, count) in waiting {
            ack.done(count);
        }
    }
}

impl Writer {
    /// Writes until the edge is closed and empty.
    pub(super) async fn run(mut self) -> Result<(), FlowError> {
        let result = self.write_all().await;
        if result.is_err() {
            self.keep_what_was_written().await;
            self.tell_drained();
        }
        self.metrics.connected.set(0.0);
        match result {
            Ok(()) => Ok(()),
            Err(Stop::Aborted) => Ok(()),
            Err(Stop::Failed(error)) => {
                self.shared.fail(error.clone());
                Err(error)
            }
        }
    }

    /// Makes durable what was answered for; when that fails, its positions must not be stored.
    async fn keep_what_was_written(&mut self) {
        let kept = tokio::time::timeout(LAST_SYNC_MAX, self.sink.sync()).await;
        if let Err(text) = match kept {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(with_causes(&error)),
            Err(_) => Err("it took too long".to_owned()),
        } {
            warn!(
                route = self.route,
                error = text,
                "the sink's last records could not be made durable"
            );
            self.shared.forbid_commits();
        }
    }

    async fn write_all(&mut self) -> Result<(), Stop> {
        if let Some(setup) = self.exactly_once.take()
            && self.take_over(setup).await?
        {
            self.metrics.connected.set(1.0);
            return self.write_transactions().await;
        }
        self.repeat(Operation::Open).await?;
        self.metrics.connected.set(1.0);
        let mut pending: Option<Box<RecordBatch>> = None;
        let mut deadline: Option<Duration> = None;
        loop {
            let now = self.shared.clock.monotonic();
            // Without a linger what waits already is gathered, and nothing is waited for.
            let is_due = |at| {
                now >= at && (!self.batching.linger.is_zero() || self.input.stats().records == 0)
            };
            if let (Some(at), true) = (deadline, pending.is_some())
                && is_due(at)
                && let Some(batch) = pending.take()
            {
                deadline = None;
                self.write(batch).await?;
                continue;
            }
            let wait = deadline.map_or(Duration::from_secs(3600), |at| at.saturating_sub(now));
            let timer = self.shared.clock.sleep(wait);
            let event = tokio::select! {
                biased;
                () = self.shutdown.aborting() => return Err(Stop::Aborted),
                Some(request) = self.syncs.recv() => Event::Sync(request),
                parcel = self.input.recv() => Event::Parcel(parcel),
                () = timer, if pending.is_some() => Event::Due,
            };
            match event {
                Event::Due => {}
                Event::Sync(request) => self.sync(request).await,
                Event::Parcel(None) => break,
                Event::Parcel(Some(parcel)) if self.batching.records == 0 => {
                    self.write(parcel.batch).await?;
                }
                // Nothing to gather: it need not be copied.
                Event::Parcel(Some(parcel))
                    if self.batching.linger.is_zero()
                        && pending.is_none()
                        && parcel.batch.len() <= self.batching.records
                        && self.input.stats().records == 0 =>
                {
                    self.write(parcel.batch).await?;
                }
                Event::Parcel(Some(parcel)) => {
                    self.gather(parcel.batch, &mut pending).await?;
                    deadline = match (&pending, deadline) {
                        (None, _) => None,
                        (Some(_), Some(at)) => Some(at),
                        (Some(_), None) => {
                            Some(self.shared.clock.monotonic() + self.batching.linger)
                        }
                    };
                }
            }
        }
        if let Some(batch) = pending {
            self.write(batch).await?;
        }
        self.end().await
    }

    /// Makes everything durable, waits for the decision of what to do then, and does it.
    pub(super) async fn end(&mut self) -> Result<(), Stop> {
        self.repeat(Operation::Sync).await?;
        if let Duty::Deliver { letters } = &mut self.duty {
            // The error sink drains when the last of these is gone.
            *letters = None;
        }
        self.tell_drained();
        let mut ending = self.ending.clone();
        let ending = loop {
            let decided = async {
                let ending = ending.wait_for(|ending| *ending != Ending::Open).await;
                ending.map_or(Ending::Suspend, |ending| *ending)
            };
            tokio::select! {
                biased;
                () = self.shutdown.aborting() => return Err(Stop::Aborted),
                ending = decided => break ending,
                Some(request) = self.syncs.recv() => {
                    let result = self.sink.sync().await.map_err(|error| with_causes(&error));
                    // The committer may be gone; then nobody needs the answer.
                    let _gone = request.send(result).is_err();
                }
            }
        };
        match ending {
            Ending::Close => self.repeat(Operation::Close).await,
            Ending::Open | Ending::Suspend => Ok(()),
        }
    }

    fn tell_drained(&mut self) {
        if let Some(drained) = self.drained.take() {
            // Nobody waits when the flow is aborted.
            let _gone = drained.send(()).is_err();
        }
    }

    async fn sync(&mut self, request: SyncRequest) {
        let result = self.sink.sync().await.map_err(|error| with_causes(&error));
        // The committer may be gone; then nobody needs the answer.
        let _gone = request.send(result).is_err();
    }

    /// Adds a batch to what is gathered, and writes every time the bound is reached.
    async fn gather(
        &mut self,
        batch: Box<RecordBatch>,
        pending: &mut Option<Box<RecordBatch>>,
    ) -> Result<(), Stop> {
        let mut from = 0;
        while from < batch.len() {
            let spare = &mut self.spare;
            let pool = &self.shared.pool;
            let target = pending.get_or_insert_with(|| spare.take().unwrap_or_else(|| pool.take()));
            let room = self.batching.records.saturating_sub(target.len()).max(1);
            let mut to = from;
            let mut bytes = target.text.len();
            while to < batch.len() && to - from < room {
                let record = &batch.records[to];
                bytes += (record.end - record.start) as usize;
                if bytes > self.batching.bytes && to > from {
                    break;
                }
                to += 1;
            }
            append(target, &batch, from..to);
            from = to;
            let is_full = target.len() >= self.batching.records
                || target.text.len() >= self.batching.bytes
                || from < batch.len();
            if is_full && let Some(full) = pending.take() {
                self.write(full).await?;
            }
        }
        self.shared.pool.give(batch);
        Ok(())
    }

    /// Writes one batch until every record is answered for.
    async fn write(&mut self, batch: Box<RecordBatch>) -> Result<(), Stop> {
        let waited = self.shared.clock.now().0.saturating_sub(batch.processed_at.0);
        self.metrics.wait.observe(waited.max(0) as f64 / 1e9);
        let mut outcomes = Outcomes::default();
        let mut backoff = Backoff::new(self.shared.limits.retry, self.shared.seed());
        // Parts still to be written, the next one last; a batch is split when a bad record hides in it.
        let mut parts = vec![batch];
        while let Some(mut part) = parts.pop() {
            if std::mem::take(&mut self.has_failed) {
                self.repeat(Operation::Open).await?;
            }
            outcomes.clear();
            fault::point("sink.before-write");
            let started = self.shared.clock.monotonic();
            let result = tokio::select! {
                biased;
                () = self.shutdown.aborting() => return Err(Stop::Aborted),
                result = self.sink.write(&part, &mut outcomes) => result,
            };
            let elapsed = self.shared.clock.monotonic().saturating_sub(started);
            self.metrics.duration.observe(elapsed.as_secs_f64());
            let attempts = backoff.attempts() + 1;
            fault::point(match self.duty {
                Duty::Deliver { .. } => "sink.written",
                Duty::Bury => "letter.written",
            });
            self.settle(&mut part, &outcomes, attempts).await;
            let is_done = outcomes.resolved() >= part.len();
            match result {
                Ok(()) if is_done => {}
                Ok(()) => {
                    let message = "the sink did not answer for every record; this is a defect";
                    return Err(self.failed(ErrorClass::Unknown, message.into()));
                }
                Err(error) => {
                    let class = error.class;
                    let operation = "write";
                    self.shared.metrics.connector_error(self.kind, "sink", operation, class);
                    let rest = match is_done {
                        true => None,
                        false => Some(self.unresolved(&part, &outcomes)),
                    };
                    if let Some(rest) = rest {
                        self.retry_or_split(rest, error, &mut backoff, &mut parts).await?;
                    }
                }
            }
            self.give_back(part);
        }
        Ok(())
    }

    /// Keeps one large batch for the next gathering: among the others it would make all of them large.
    fn give_back(&mut self, mut batch: Box<RecordBatch>) {
        if self.batching.records > 0 && self.spare.is_none() {
            batch.clear();
            self.spare = Some(batch);
        } else {
            self.shared.pool.give(batch);
        }
    }

    /// Decides what happens to records that a failed write left open.
    #[expect(clippy::vec_box, reason = "batches travel in their boxes")]
    async fn retry_or_split(
        &mut self,
        rest: Box<RecordBatch>,
        error: SinkError,
        backoff: &mut Backoff,
        parts: &mut Vec<Box<RecordBatch>>,
    ) -> Result<(), Stop> {
        if error.class.is_transient() {
            let Some(delay) = backoff.next_delay() else {
                return Err(self.failed(error.class, format!("gave up: {}", with_causes(&error))));
            };
            self.wait(&error, delay).await?;
            self.has_failed = true;
            parts.push(rest);
            return Ok(());
        }
        if !error.is_about_records {
            return Err(self.failed(error.class, with_causes(&error)));
        }
        if rest.len() == 1 {
            let mut outcomes = Outcomes::default();
            outcomes.rejected(0, RecordError { class: error.class, message: with_causes(&error) });
            let mut rest = rest;
            self.settle(&mut rest, &outcomes, backoff.attempts() + 1).await;
            self.shared.pool.give(rest);
            return Ok(());
        }
        // Bisection: the half without the bad record passes, the other is split again.
        let middle = rest.len() / 2;
        for range in [middle..rest.len(), 0..middle] {
            let mut half = self.shared.pool.take();
            append(&mut half, &rest, range);
            parts.push(half);
        }
        self.shared.pool.give(rest);
        Ok(())
    }

    pub(super) async fn wait(&mut self, error: &SinkError, delay: Duration) -> Result<(), Stop> {
        Counters::add(&self.shared.counters.retries, 1);
        self.metrics.retries.add(1);
        self.metrics.connected.set(0.0);
        let cause = with_causes(error);
        warn!(route = self.route, error = cause, ?delay, "sink failed, trying again");
        let sleep = self.shared.clock.sleep(delay);
        tokio::pin!(sleep);
        loop {
            tokio::select! {
                biased;
                () = self.shutdown.aborting() => return Err(Stop::Aborted),
                // What others wrote meanwhile may be committed; this sink owes nothing it has not written.
                Some(request) = self.syncs.recv() => {
                    let result = self.sink.sync().await.map_err(|error| with_causes(&error));
                    // The committer may be gone; then nobody needs the answer.
                    let _gone = request.send(result).is_err();
                }
                () = &mut sleep => break,
            }
        }
        self.metrics.connected.set(1.0);
        Ok(())
    }

    fn unresolved(&self, part: &RecordBatch, outcomes: &Outcomes) -> Box<RecordBatch> {
        let mut rest = self.shared.pool.take();
        for (index, is_resolved) in outcomes.resolved_flags(part.len()).into_iter().enumerate() {
            if !is_resolved {
                append(&mut rest, part, index..index + 1);
            }
        }
        rest
    }

    /// Acknowledges what was written and passes on what was rejected.
    async fn settle(&mut self, part: &mut RecordBatch, outcomes: &Outcomes, attempts: u32) {
        self.deliver(part, outcomes.delivered_ranges());
        fault::point("sink.acknowledged");
        let rejected = outcomes.rejected_records();
        if !rejected.is_empty() {
            self.reject(part, rejected, attempts).await;
        }
    }

    /// Counts and acknowledges records that were written.
    pub(super) fn deliver(&self, part: &RecordBatch, ranges: &[std::ops::Range<usize>]) {
        let mut delivered = 0;
        let mut bytes = 0;
        let mut acks: Vec<(u32, u64)> = Vec::new();
        for range in ranges {
            delivered += range.len() as u64;
            for record in &part.records[range.clone()] {
                bytes += u64::from(record.end - record.start);
                match acks.last_mut() {
                    Some((origin, count)) if *origin == record.origin => *count += 1,
                    _ => acks.push((record.origin, 1)),
                }
            }
        }
        if delivered == 0 {
            return;
        }
        self.metrics.sent.add(delivered);
        self.metrics.written.add(delivered);
        self.metrics.bytes_sent.add(bytes);
        let since = |time: levada_model::Timestamp| {
            self.shared.clock.now().0.saturating_sub(time.0).max(0) as f64 / 1e9
        };
        self.shared.metrics.end_to_end.observe(since(part.received_at));
        if part.processed_at != levada_model::Timestamp::default() {
            self.shared.metrics.latency_out.observe(since(part.processed_at));
        }
        if let Some(mean) = bytes.checked_div(delivered) {
            self.shared.metrics.size_output.observe_many(mean as f64, delivered);
        }
        self.acknowledge(part, &acks, delivered, bytes);
    }

    fn acknowledge(&self, part: &RecordBatch, acks: &[(u32, u64)], records: u64, bytes: u64) {
        let counters = &self.shared.counters;
        let ack_of = |origin: u32| part.origins[origin as usize].ack.as_ref();
        match &self.duty {
            Duty::Deliver { .. } => {
                Counters::add(&counters.records_out, records);
                Counters::add(&counters.bytes_out, bytes);
                for &(origin, count) in acks {
                    if let Some(ack) = ack_of(origin) {
                        ack.done(count);
                    }
                }
                self.shared.waiting.release();
            }
            Duty::Bury => {
                Counters::add(&counters.dead_lettered, records);
                for &(origin, count) in acks {
                    let Some(ack) = ack_of(origin) else { continue };
                    match self.shared.ack_policy {
                        AckPolicy::AfterWrite => ack.done(count),
                        AckPolicy::Never => ack.hold(count),
                        AckPolicy::AfterMainSinkSuccess => {
                            self.shared.waiting.add([(ack.clone(), count)]);
                        }
                    }
                }
            }
        }
    }

    /// Sends rejected records to the error sink; without one, or when this is it, the flow stops.
    pub(super) async fn reject(
        &mut self,
        part: &mut RecordBatch,
        rejected: &[(usize, RecordError)],
        attempts: u32,
    ) {
        let stage = match self.route.as_str() {
            "default" => "sink".to_owned(),
            route => format!("route:{route}"),
        };
        let metric_stage =
            if matches!(self.duty, Duty::Bury) { "error_sink_write" } else { "sink_write" };
        let mut letters = self.shared.pool.take();
        for (index, error) in rejected {
            self.shared.metrics.stage_error(metric_stage, error.class, 1);
            self.shared.count_sink_failure();
            let record = part.records[*index];
            match &self.duty {
                Duty::Deliver { letters: Some(_) } => {
                    let letter = DeadLetter {
                        error,
                        stage: &stage,
                        original_sink: self.kind,
                        attempts,
                        now: self.shared.clock.now(),
                    };
                    self.shared.letters.write(part, *index, &letter, &mut letters);
                }
                Duty::Deliver { letters: None } | Duty::Bury => {
                    let partition = &part.origins[record.origin as usize].partition;
                    self.shared.fail(FlowError::Record {
                        stage: if matches!(self.duty, Duty::Bury) {
                            "error sink".into()
                        } else {
                            stage.clone()
                        },
                        partition: partition.to_string(),
                        offset: record.position,
                        message: error.message.clone(),
                    });
                }
            }
        }
        if let (Duty::Deliver { letters: Some(edge) }, false) = (&self.duty, letters.is_empty()) {
            // Closed only when the error sink failed; then the records stay unfinished.
            let _closed = edge.send(Parcel { sequence: 0, batch: letters }).await.is_err();
        }
    }

    /// Opens, syncs or closes the sink, trying again while the error is transient.
    pub(super) async fn repeat(&mut self, operation: Operation) -> Result<(), Stop> {
        let mut backoff = Backoff::new(self.shared.limits.retry, self.shared.seed());
        loop {
            let work = async {
                match operation {
                    Operation::Open => self.sink.open().await,
                    Operation::Sync => self.sink.sync().await,
                    Operation::Close => self.sink.close().await,
                }
            };
            let result = tokio::select! {
                biased;
                () = self.shutdown.aborting() => return Err(Stop::Aborted),
                result = work => result,
            };
            let Err(error) = result else { return Ok(()) };
            let name = operation.name();
            self.shared.metrics.connector_error(self.kind, "sink", name, error.class);
            let delay = match error.class.is_transient() {
                true => backoff.next_delay(),
                false => None,
            };
            match delay {
                Some(delay) => self.wait(&error, delay).await?,
                None => return Err(self.failed(error.class, with_causes(&error))),
            }
        }
    }

    pub(super) fn failed(&self, class: ErrorClass, message: String) -> Stop {
        let stage = match self.route.as_str() {
            "default" => format!("sink {}", self.kind),
            "error" => format!("error sink {}", self.kind),
            route => format!("route {route}, sink {}", self.kind),
        };
        Stop::Failed(FlowError::Stage { stage, message, kind: class.kind() })
    }
}

pub(super) enum Event {
    Due,
    Sync(SyncRequest),
    Parcel(Option<Parcel>),
}

#[derive(Clone, Copy)]
pub(super) enum Operation {
    Open,
    Sync,
    Close,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Operation::Open => "connect",
            Operation::Sync => "sync",
            Operation::Close => "close",
        }
    }
}
