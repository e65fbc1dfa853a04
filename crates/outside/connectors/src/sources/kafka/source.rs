//! The source as the engine sees it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use async_trait::async_trait;
use levada_model::{ErrorClass, Position, RecordBatch, Str};
use levada_runtime::{TaskKind, Tasks};
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::{ClientConfig, Offset};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::context::{Context, KafkaConsumer, Shared};
use super::fill::Filler;
use super::metrics::dropped_headers;
use super::offsets::{Keeper, Start, parse};
use super::payload::Decode;
use super::rewind::rewind;
use super::worker::{Command, EMPTY_MAX, Item, READY_MAX, Worker};
use crate::context::DeliversAtLeastOnce;
use crate::kafka::membership::{CommitsForSource, GroupOffsets, Membership};
use crate::kafka::{Connection, Problem, probe};
use crate::{BuildContext, Source, SourceError};

/// How long a source that ends waits until it has left its group.
const LEAVE_MAX: Duration = Duration::from_secs(3);

/// How long the cluster may take to tell its id.
const CLUSTER_ID: Duration = Duration::from_secs(5);

/// What the source is made of.
pub(super) struct Plan {
    pub(super) connection: Connection,
    /// The settings of the consumer beside those of the connection.
    pub(super) settings: Vec<(&'static str, String)>,
    pub(super) fallback: Start,
    pub(super) decoder: Option<Box<dyn Decode>>,
    /// The source ends where its partitions end.
    pub(super) stops_at_end: bool,
}

/// Reads one topic as a member of a group.
pub(super) struct KafkaSource {
    plan: Plan,
    ctx: BuildContext,
    running: Option<Running>,
}

/// The consumer and its thread.
struct Running {
    /// Let go first when the source ends.
    consumer: Option<Arc<KafkaConsumer>>,
    shared: Arc<Shared>,
    items: mpsc::Receiver<Item>,
    empty: SyncSender<RecordBatch>,
    commands: SyncSender<Command>,
    done: Receiver<()>,
    epoch: u64,
}

// === impl KafkaSource ===

impl KafkaSource {
    pub(super) fn new(plan: Plan, ctx: &BuildContext) -> Self {
        KafkaSource { plan, ctx: ctx.clone(), running: None }
    }

    fn keeper(&self) -> Keeper {
        let links = &self.ctx.links;
        let is_exactly_once =
            self.ctx.is_exactly_once && links.get::<DeliversAtLeastOnce>().is_none();
        match (is_exactly_once, links.get::<CommitsForSource>()) {
            (false, _) => Keeper::Group,
            (true, Some(_)) => Keeper::Transactions,
            (true, None) => Keeper::Sink,
        }
    }

    async fn start(&mut self, positions: &[(Str, Position)]) -> Result<Running, SourceError> {
        let connection = self.plan.connection.clone();
        let shared = Arc::new(Shared::new(&connection.topic, self.keeper(), self.plan.fallback));
        shared.offsets().give(positions, &connection.topic);
        let mut config =
            connection.client().map_err(|text| SourceError::new(ErrorClass::InvalidData, text))?;
        for (key, value) in &self.plan.settings {
            config.set(*key, value);
        }
        let connected = shared.clone();
        let tasks = self.ctx.tasks.clone();
        let consumer = blocking(&tasks, move || connect(&config, &connection, connected)).await??;
        if shared.keeper == Keeper::Transactions {
            leave_membership(&self.ctx, &consumer, &shared).await?;
        }
        Ok(self.spawn(consumer, shared))
    }

    fn spawn(&mut self, consumer: Arc<KafkaConsumer>, shared: Arc<Shared>) -> Running {
        let (item_sender, items) = mpsc::channel(READY_MAX);
        let (empty, empty_receiver) = sync_channel(EMPTY_MAX);
        let (commands, command_receiver) = sync_channel(1);
        let (done_sender, done) = sync_channel(1);
        let (ctx, plan) = (&self.ctx, &mut self.plan);
        let runtime = Handle::current();
        let worker = Worker {
            consumer: consumer.clone(),
            shared: shared.clone(),
            connection: plan.connection.clone(),
            filler: Filler::new(
                &shared.topic,
                plan.decoder.take(),
                runtime.clone(),
                dropped_headers(&ctx.metrics, &ctx.flow),
            ),
            items: item_sender,
            empty: empty_receiver,
            commands: command_receiver,
            batch_records: ctx.batch_records,
            batch_bytes: ctx.batch_bytes,
            runtime,
            clock: ctx.clock.clone(),
            epoch: 0,
            is_halted: false,
            stops_at_end: plan.stops_at_end,
            is_told: false,
            done: done_sender,
        };
        ctx.tasks.spawn_thread(TaskKind::Connector, "kafka source", move || worker.run());
        Running { consumer: Some(consumer), shared, items, empty, commands, done, epoch: 0 }
    }

    /// Goes on with a consumer that lives: the group keeps its member.
    async fn reopen(&mut self, positions: &[(Str, Position)]) -> Result<(), SourceError> {
        let Some(running) = &self.running else { return Ok(()) };
        let Some(consumer) = running.consumer.clone() else { return Ok(()) };
        let (shared, connection) = (running.shared.clone(), self.plan.connection.clone());
        let tasks = self.ctx.tasks.clone();
        let ask = move || probe::topic(consumer.client(), &connection, &shared.events, || ());
        blocking(&tasks, ask).await??;
        let (answer, answered) = oneshot::channel();
        let Some(running) = &mut self.running else { return Ok(()) };
        let command = Command::Reopen(positions.to_vec(), answer);
        if running.commands.try_send(command).is_err() {
            // An earlier call was given up and its command waits still.
            let text = "the source is being opened already";
            return Err(SourceError::new(ErrorClass::Transient, text));
        }
        running.epoch = answered.await.map_err(|_| ended())?;
        Ok(())
    }
}

/// Runs what blocks on a thread of its own.
async fn blocking<T, F>(tasks: &Tasks, work: F) -> Result<T, SourceError>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let thread = tasks.spawn_thread(TaskKind::Connector, "kafka connect", work);
    thread.await.map_err(|error| {
        let text = format!("connecting ended unexpectedly ({error})");
        SourceError::new(ErrorClass::Unknown, text)
    })
}

/// Leaves what a Kafka sink needs to commit for this source.
async fn leave_membership(
    ctx: &BuildContext,
    consumer: &Arc<KafkaConsumer>,
    shared: &Arc<Shared>,
) -> Result<(), SourceError> {
    let asked = consumer.clone();
    let cluster = blocking(&ctx.tasks, move || asked.client().fetch_cluster_id(CLUSTER_ID)).await?;
    // The sink must not keep a consumer alive that the source has given up.
    let consumer = Arc::downgrade(consumer);
    let shared = shared.clone();
    ctx.links.put(Membership::new(cluster, move |positions| {
        let gone = || Problem::new(ErrorClass::Transient, "the source is not open");
        let consumer = consumer.upgrade().ok_or_else(gone)?;
        group_offsets(&consumer, &shared, positions)
    }));
    Ok(())
}

/// Connects a consumer and subscribes; blocks.
fn connect(
    config: &ClientConfig,
    connection: &Connection,
    shared: Arc<Shared>,
) -> Result<Arc<KafkaConsumer>, SourceError> {
    let context = Context(shared.clone());
    let consumer = KafkaConsumer::from_config_and_context(config, context)
        .map_err(|error| SourceError::from(Problem::of("cannot make a consumer", &error)))?;
    // Before the subscription nothing but errors can come.
    probe::topic(consumer.client(), connection, &shared.events, || {
        drop(consumer.poll(Duration::ZERO));
    })?;
    consumer
        .subscribe(&[&connection.topic])
        .map_err(|error| SourceError::from(Problem::of("cannot subscribe", &error)))?;
    Ok(Arc::new(consumer))
}

/// Makes what a sink commits for this source.
fn group_offsets(
    consumer: &KafkaConsumer,
    shared: &Shared,
    positions: &[(Str, Position)],
) -> Result<GroupOffsets, Problem> {
    // Held while the membership is read: a partition that is given away marks the offsets as lost first.
    let offsets = shared.offsets();
    let parsed = positions.iter().filter_map(|(name, at)| parse(name, at, &shared.topic));
    let parsed: Vec<(i32, i64)> = parsed.collect();
    let is_owned = parsed.iter().all(|(partition, _)| offsets.owns(*partition));
    if offsets.is_lost || !is_owned {
        let text = "partitions went to another member of the group, so their records are given up";
        return Err(Problem::new(ErrorClass::Transient, text));
    }
    let metadata = consumer.group_metadata().ok_or_else(|| {
        Problem::new(ErrorClass::Transient, "the source is not a member of its group")
    })?;
    let list = shared.list(parsed.into_iter().map(|(one, at)| (one, Offset::Offset(at))));
    Ok((list, metadata))
}

fn ended() -> SourceError {
    let text = "the reader thread ended without saying why; start the flow again";
    SourceError::new(ErrorClass::Unknown, text)
}

#[async_trait]
impl Source for KafkaSource {
    async fn open(&mut self, positions: &[(Str, Position)]) -> Result<(), SourceError> {
        if self.running.is_some() {
            return self.reopen(positions).await;
        }
        self.running = Some(self.start(positions).await?);
        Ok(())
    }

    async fn next(&mut self, batch: &mut RecordBatch) -> Result<bool, SourceError> {
        let Some(running) = &mut self.running else {
            return Err(SourceError::new(ErrorClass::Unknown, "the kafka source is not open"));
        };
        loop {
            let item = running.items.recv().await.ok_or_else(ended)?;
            if item.epoch != running.epoch {
                continue;
            }
            let Some(mut filled) = item.content? else { return Ok(false) };
            std::mem::swap(batch, &mut filled);
            // A full list means that there is memory enough.
            drop(running.empty.try_send(filled));
            return Ok(true);
        }
    }

    async fn commit(&mut self, upto: &[(Str, Position)]) -> Result<(), SourceError> {
        let Some(Running { consumer: Some(consumer), shared, .. }) = &self.running else {
            return Ok(());
        };
        if shared.keeper == Keeper::Transactions {
            return Ok(());
        }
        let commits = shared.offsets().finish(upto, &shared.topic);
        if commits.is_empty() {
            return Ok(());
        }
        let list = shared.list(commits.into_iter().map(|(one, at)| (one, Offset::Offset(at))));
        if let Err(error) = consumer.commit(&list, CommitMode::Async) {
            tracing::debug!(%error, "offsets could not be committed; the next commit covers them");
        }
        Ok(())
    }

    async fn rewind(&mut self, to: &[(Str, Position)]) -> Result<bool, SourceError> {
        let connection = self.plan.connection.clone();
        let mut config =
            connection.client().map_err(|text| SourceError::new(ErrorClass::InvalidData, text))?;
        let group = self.plan.settings.iter().find(|(key, _)| *key == "group.id");
        if let Some((key, value)) = group {
            config.set(*key, value);
        }
        let (to, fallback) = (to.to_vec(), self.plan.fallback);
        let work = move || rewind(&config, &connection.topic, fallback, &to);
        blocking(&self.ctx.tasks, work).await??;
        Ok(true)
    }

    fn lag(&self) -> Option<u64> {
        let lag = self.running.as_ref()?.shared.lag.load(Ordering::Relaxed);
        u64::try_from(lag).ok()
    }
}

impl Drop for Running {
    /// Commits what is finished and leaves the group, so that whoever comes next need not wait until this
    /// member is missed.
    fn drop(&mut self) {
        self.shared.is_stopping.store(true, Ordering::Release);
        self.items.close();
        self.consumer = None;
        if self.done.recv_timeout(LEAVE_MAX).is_err() {
            tracing::debug!("the group was not left in time");
        }
    }
}
