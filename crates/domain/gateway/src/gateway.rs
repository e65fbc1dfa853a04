//! The gateway as writers see it.
//!
//! ```text
//! write ─▶ prepare: checks, filters, routes, encodes ─▶ submit: every record into its queue ─▶ accepted
//!              └─ refused: nothing has left
//! ```
//! [`Gateway::write`] returns when every copy of every point is in the queue of its destination, as durable as that queue
//! makes it. Room is set aside in all queues before any of them takes its part, so a write that waits for room in vain has
//! left nothing anywhere. Only when a disk fails or fills up between, one queue may not take its part while others have
//! taken theirs: the error says which, for who writes again doubles points there, and never loses any.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use levada_model::Timestamp;
use levada_runtime::{TaskKind, Tasks};

use crate::ingest::{self, Bounds, Encoder, Form, Outgoing, Workspace, Write, WriteError, Written};
use crate::rules::{DestinationId, FilterSource, RuleSet, RulesError, RulesSpec, Target};
use crate::wal::{AppendError, Here, Queue, Receipt, Record, Reservation, Waiting};

/// One place that records can go to.
#[derive(Clone)]
pub struct Outlet {
    /// Its name.
    pub name: String,
    /// How it wants its bodies.
    pub form: Form,
    /// Its queue.
    pub queue: Queue,
}

/// Takes bodies, splits them, and queues what comes out.
pub struct Gateway {
    outlets: Vec<Outlet>,
    forms: Vec<Form>,
    rules: RwLock<Arc<RuleSet>>,
    /// Makes changes of rules wait for each other.
    change: Mutex<()>,
    last_reload: Mutex<Option<Reload>>,
    watch: OnceLock<Arc<dyn PutWatch>>,
    bounds: Bounds,
    encoder: Arc<Encoder>,
    idle: Mutex<Vec<Workspace>>,
    stats: GatewayStats,
}

/// How the points of a writer find their destinations.
///
/// Made once for each writer: it keeps the rules that it makes.
#[derive(Debug, Default)]
pub struct Way {
    /// Nothing: the rules decide.
    target: Option<Target>,
    /// The rules in effect, and what they are for this writer.
    known: Mutex<Option<(Arc<RuleSet>, Arc<RuleSet>)>>,
}

/// What was written, from the start of the process.
///
/// `received = filtered + no_field + nowhere + routed`.
#[derive(Debug, Default)]
pub struct GatewayStats {
    /// Bodies that were taken.
    pub bodies: AtomicU64,
    /// Bodies that were refused.
    pub refused_bodies: AtomicU64,
    /// Points in bodies that were taken.
    pub received: AtomicU64,
    /// Points that a filter dropped.
    pub filtered: AtomicU64,
    /// Points without a field.
    pub no_field: AtomicU64,
    /// Points that no sinker and no default wants.
    pub nowhere: AtomicU64,
    /// Points that went to one destination or more.
    pub routed: AtomicU64,
    /// Copies of points, one for each destination.
    pub copies: AtomicU64,
    /// Bodies that some queues have taken and one has not; they count among those that were refused.
    pub partial_bodies: AtomicU64,
    /// Copies of their points that were taken.
    pub partial_copies: AtomicU64,
    /// Things that were changed in points.
    pub warnings: AtomicU64,
    /// Changes of rules that were made.
    pub reloads: AtomicU64,
    /// Changes of rules that were refused.
    pub reload_errors: AtomicU64,
}

/// Hears of bodies that queues have taken: metrics are made of that.
pub trait PutWatch: Send + Sync + 'static {
    /// A queue took a body of so many bytes.
    fn put(&self, queue: &Queue, bytes: u64, took: Duration);
}

/// How reading the rules again went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reload {
    /// When.
    pub at: Timestamp,
    /// Why the rules stay as they were; nothing when the new ones are in effect.
    pub error: Option<String>,
}

/// A body that is ready to be queued.
#[derive(Debug)]
pub struct Prepared {
    /// The records.
    pub outgoing: Vec<Outgoing>,
    /// What became of the points.
    pub written: Written,
}

/// A larger body is prepared on a thread of its own, so that small ones need not wait behind it.
const INLINE_BYTES_MAX: usize = 64 << 10;
/// Workspaces that are kept.
const IDLE_MAX: usize = 16;

/// Counts a body as taken whose writer did not wait for the end.
struct Taking {
    gateway: Arc<Gateway>,
    written: Option<Written>,
}

impl Drop for Taking {
    fn drop(&mut self) {
        if let Some(written) = &self.written {
            self.gateway.stats.taken(written);
        }
    }
}

/// A body for which there is room in all queues.
struct Submission {
    taking: Taking,
    done: Vec<Queued>,
    rest: Vec<Unqueued>,
}

/// A record that a queue has taken, or refused.
struct Queued {
    destination: DestinationId,
    points: u64,
    result: Result<Receipt, AppendError>,
}

/// A record that is on its way into its queue.
struct Unqueued {
    destination: DestinationId,
    points: u64,
    bytes: u64,
    started: Duration,
    step: QueueStep,
}

enum QueueStep {
    /// It is to be appended, into the room that was set aside.
    Append(Record, Reservation),
    /// It is being written.
    Wait(Waiting),
    /// Nothing is left to do.
    Over,
}

/// Room in queues.
type Rooms = Vec<(DestinationId, Reservation)>;
/// The records of one queue.
type Group<'r> = (DestinationId, Vec<&'r Record>);

fn groups(outgoing: &[Outgoing]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for Outgoing { destination, record } in outgoing {
        match groups.iter_mut().find(|(known, _)| known == destination) {
            Some((_, records)) => records.push(record),
            None => groups.push((*destination, vec![record])),
        }
    }
    groups
}

// === impl GatewayStats ===

impl GatewayStats {
    fn taken(&self, written: &Written) {
        let add = |counter: &AtomicU64, amount: u64| counter.fetch_add(amount, Ordering::Relaxed);
        add(&self.bodies, 1);
        add(&self.received, written.points);
        add(&self.filtered, written.filtered);
        add(&self.no_field, written.no_field);
        add(&self.nowhere, written.nowhere);
        add(&self.routed, written.routed);
        add(&self.copies, written.copies);
        add(&self.warnings, written.warnings.total());
    }
}

// === impl Gateway ===

impl Gateway {
    /// Makes a gateway.
    ///
    /// - Errors: everything that is wrong with the rules.
    pub fn new(
        outlets: Vec<Outlet>,
        rules: RulesSpec,
        bounds: Bounds,
        encoder: Arc<Encoder>,
    ) -> Result<Self, RulesError> {
        let rules = RuleSet::new(rules, outlets.len())?;
        Ok(Gateway {
            forms: outlets.iter().map(|outlet| outlet.form).collect(),
            outlets,
            rules: RwLock::new(Arc::new(rules)),
            change: Mutex::default(),
            last_reload: Mutex::default(),
            watch: OnceLock::new(),
            bounds,
            encoder,
            idle: Mutex::default(),
            stats: GatewayStats::default(),
        })
    }

    /// Takes a body; see the module for what that promises. Waits for room as long as it takes.
    pub async fn write(
        self: &Arc<Self>,
        write: Write,
        tasks: &Tasks,
    ) -> Result<Written, WriteError> {
        self.write_on(&Way::default(), write, tasks, None).await
    }

    /// Takes a body whose points may go a way of their own; waits no longer than `patience` for room.
    pub async fn write_on(
        self: &Arc<Self>,
        way: &Way,
        write: Write,
        tasks: &Tasks,
        patience: Option<Duration>,
    ) -> Result<Written, WriteError> {
        let rules = way.rules(self);
        if write.body.len() <= INLINE_BYTES_MAX {
            let prepared = self.prepare_with(&write, &rules)?;
            return self.submit(prepared, patience).await;
        }
        let gateway = Arc::clone(self);
        let work = move || gateway.prepare_with(&write, &rules).map(|it| gateway.begin(it));
        let begun = tasks.spawn_thread(TaskKind::Gateway, "write", work).await;
        match begun.unwrap_or(Err(WriteError::Stopped))? {
            Ok(submission) => {
                let until = patience.map(|patience| self.now() + patience);
                self.finish(submission, until).await
            }
            Err(prepared) => self.submit(prepared, patience).await,
        }
    }

    /// Says whether a body would be taken; nothing is counted, and nothing queued.
    ///
    /// - Errors: why it would be refused.
    pub fn check(&self, write: &Write) -> Result<(), WriteError> {
        let mut workspace = Workspace::default();
        let (buckets, _) = ingest::prepare(write, &self.rules(), &self.bounds, &mut workspace)?;
        self.encoder.encode(&buckets, write, &self.forms).map(drop)
    }

    /// Does all that needs no waiting: the body is read whole, and refused whole when anything is wrong.
    fn prepare_with(&self, write: &Write, rules: &RuleSet) -> Result<Prepared, WriteError> {
        let mut workspace = self.workspace();
        let prepared = ingest::prepare(write, rules, &self.bounds, &mut workspace).and_then(
            |(buckets, mut written)| {
                let outgoing = self.encoder.encode(&buckets, write, &self.forms)?;
                written.sunk = workspace.scratch.sunk();
                written.bodies = outgoing.len() as u64;
                rules.count(&mut workspace.scratch);
                workspace.reclaim(buckets);
                Ok(Prepared { outgoing, written })
            },
        );
        if prepared.is_ok() {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < IDLE_MAX {
                idle.push(workspace);
            }
        } else {
            // What the workspace has counted belongs to a body that is refused.
            self.stats.refused_bodies.fetch_add(1, Ordering::Relaxed);
        }
        prepared
    }

    /// Queues what a body became as far as nothing has to be waited for, on a thread that may block; gives it back when a
    /// queue has no room now.
    ///
    /// A hundred small records cost less when they are written here than when a hundred threads are woken for them.
    fn begin(self: &Arc<Self>, prepared: Prepared) -> Result<Submission, Prepared> {
        let groups = groups(&prepared.outgoing);
        let Ok(Ok(rooms)) = self.try_rooms(&groups) else { return Err(prepared) };
        let mut submission = self.submission(prepared, rooms);
        for mut one in std::mem::take(&mut submission.rest) {
            one.started = self.now();
            one.step = match std::mem::replace(&mut one.step, QueueStep::Over) {
                QueueStep::Append(record, room) => match room.append_here(record) {
                    Here::Done(result) => {
                        submission.done.push(self.queued(&one, result));
                        continue;
                    }
                    Here::Waiting(waiting) => QueueStep::Wait(waiting),
                    Here::Back(record, room) => QueueStep::Append(record, room),
                },
                step => step,
            };
            submission.rest.push(one);
        }
        Ok(submission)
    }

    /// Queues what a body became. Dropped while it waits for room, nothing is taken; dropped later, all of it is.
    async fn submit(
        self: &Arc<Self>,
        mut prepared: Prepared,
        patience: Option<Duration>,
    ) -> Result<Written, WriteError> {
        let started = self.now();
        let until = patience.map(|patience| started + patience);
        let rooms = match self.rooms(&prepared.outgoing, until).await {
            Ok((rooms, waits)) => {
                if waits > 0 {
                    prepared.written.waited = self.now().saturating_sub(started);
                    prepared.written.waits = waits;
                }
                rooms
            }
            Err(error) => {
                self.stats.refused_bodies.fetch_add(1, Ordering::Relaxed);
                return Err(error);
            }
        };
        let submission = self.submission(prepared, rooms);
        self.finish(submission, until).await
    }

    /// Gives each record its part of the room.
    fn submission(self: &Arc<Self>, prepared: Prepared, mut rooms: Rooms) -> Submission {
        let Prepared { outgoing, written } = prepared;
        let started = self.now();
        let rest = outgoing.into_iter().filter_map(|Outgoing { destination, record }| {
            // There is room for all of them.
            let (_, room) = rooms.iter_mut().find(|(known, _)| *known == destination)?;
            Some(Unqueued {
                destination,
                points: record.points.into(),
                bytes: record.stored_bytes(),
                started,
                step: {
                    let room = room.part(&record);
                    QueueStep::Append(record, room)
                },
            })
        });
        let rest = rest.collect();
        let taking = Taking { gateway: Arc::clone(self), written: Some(written) };
        Submission { taking, done: Vec::new(), rest }
    }

    fn queued(&self, one: &Unqueued, result: Result<Receipt, AppendError>) -> Queued {
        let queue = &self.outlets[usize::from(one.destination)].queue;
        if let (Ok(Receipt::Kept { .. }), Some(watch)) = (&result, self.watch.get()) {
            watch.put(queue, one.bytes, queue.now().saturating_sub(one.started));
        }
        Queued { destination: one.destination, points: one.points, result }
    }

    /// Waits until all records are in their queues.
    async fn finish(
        &self,
        submission: Submission,
        until: Option<Duration>,
    ) -> Result<Written, WriteError> {
        let Submission { mut taking, mut done, rest } = submission;
        let appends = rest.into_iter().map(|mut one| async move {
            let step = std::mem::replace(&mut one.step, QueueStep::Over);
            let result = match step {
                QueueStep::Append(record, room) => room.append(record, until).await,
                QueueStep::Wait(waiting) => waiting.end(until).await,
                QueueStep::Over => Err(AppendError::Closed),
            };
            self.queued(&one, result)
        });
        // Queues flush side by side.
        done.extend(futures_util::future::join_all(appends).await);
        let mut written = taking.written.take().unwrap_or_default();
        let mut taken: BTreeMap<&str, u64> = BTreeMap::new();
        let mut failure = None;
        for Queued { destination, points, result } in done {
            let name = &*self.outlets[usize::from(destination)].name;
            match result {
                Ok(receipt) => {
                    *taken.entry(name).or_default() += points;
                    written.dropped += match receipt {
                        Receipt::Kept { .. } => 0,
                        Receipt::Dropped(_) => points,
                    };
                }
                Err(error) => failure = Some((name, error)),
            }
        }
        let Some((name, error)) = failure else {
            self.stats.taken(&written);
            return Ok(written);
        };
        self.stats.refused_bodies.fetch_add(1, Ordering::Relaxed);
        if taken.is_empty() {
            return Err(match error {
                AppendError::Full => WriteError::Full,
                error => error.into(),
            });
        }
        self.stats.partial_bodies.fetch_add(1, Ordering::Relaxed);
        self.stats.partial_copies.fetch_add(taken.values().sum(), Ordering::Relaxed);
        let taken = taken.into_iter().map(|(name, points)| (name.to_owned(), points)).collect();
        Err(WriteError::Partial { destination: name.to_owned(), taken, source: error })
    }

    /// Sets room aside in every queue that records go to, or in none of them while one has no room.
    async fn rooms(
        &self,
        outgoing: &[Outgoing],
        until: Option<Duration>,
    ) -> Result<(Rooms, u32), WriteError> {
        let groups = groups(outgoing);
        let mut waits = 0;
        loop {
            let full = match self.try_rooms(&groups)? {
                Ok(rooms) => return Ok((rooms, waits)),
                Err(full) => full,
            };
            // Who waits holds nothing that others wait for.
            waits += 1;
            let (destination, records) = &groups[full];
            let queue = &self.outlets[usize::from(*destination)].queue;
            if !queue.room(records, until).await? {
                return Err(WriteError::Full);
            }
        }
    }

    /// Sets room aside in every queue, or in none of them; then gives the place of the group for which there is none.
    fn try_rooms(&self, groups: &[Group<'_>]) -> Result<Result<Rooms, usize>, WriteError> {
        let mut rooms = Vec::with_capacity(groups.len());
        for (at, (destination, records)) in groups.iter().enumerate() {
            let queue = &self.outlets[usize::from(*destination)].queue;
            match queue.try_reserve(records)? {
                Some(room) => rooms.push((*destination, room)),
                None => return Ok(Err(at)),
            }
        }
        Ok(Ok(rooms))
    }

    /// Gives the time on the clock of the queues.
    fn now(&self) -> Duration {
        self.outlets.first().map(|outlet| outlet.queue.now()).unwrap_or_default()
    }

    /// Lets somebody hear of bodies that queues take; the first one stays.
    pub fn watch(&self, watch: Arc<dyn PutWatch>) {
        if self.watch.set(watch).is_err() {
            tracing::debug!("somebody hears of the queues already");
        }
    }

    /// Gives the rules that are in effect.
    pub fn rules(&self) -> Arc<RuleSet> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts other rules in the place of those that are in effect, for all bodies that come from now on.
    ///
    /// - Errors: everything that is wrong; then nothing changes.
    pub fn rules_replace(&self, spec: RulesSpec) -> Result<(), RulesError> {
        let _one_at_a_time = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        self.replace(spec)
    }

    /// Puts rules that were read again in the place of those that are in effect, or keeps those when they could not be read
    /// or are wrong; either is remembered. Drop filters that came by a pull stay while the new rules have none.
    pub fn reload(&self, at: Timestamp, read: Result<RulesSpec, String>) -> Result<(), String> {
        let _one_at_a_time = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = match read {
            Ok(mut spec) => {
                let rules = self.rules();
                let known = rules.spec();
                if spec.drop_filters.is_empty() && known.drop_source == FilterSource::Remote {
                    spec.drop_filters.clone_from(&known.drop_filters);
                    spec.drop_source = FilterSource::Remote;
                }
                self.replace(spec).map_err(|error| error.to_string())
            }
            Err(error) => {
                self.stats.reload_errors.fetch_add(1, Ordering::Relaxed);
                Err(error)
            }
        };
        let error = outcome.clone().err();
        let mut last = self.last_reload.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(Reload { at, error });
        outcome
    }

    /// Says how reading the rules again went the last time.
    pub fn last_reload(&self) -> Option<Reload> {
        self.last_reload.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts other drop filters in the place of those that are in effect.
    ///
    /// Filters of the settings are stronger than those of a pull: then nothing changes, and the answer is false.
    pub fn drop_filters_replace(
        &self,
        filters: Vec<(levada_model::Category, Vec<String>)>,
        source: FilterSource,
    ) -> Result<bool, RulesError> {
        let _one_at_a_time = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let mut spec = self.rules().spec().clone();
        let is_local = spec.drop_source == FilterSource::Local && !spec.drop_filters.is_empty();
        if source == FilterSource::Remote && is_local {
            return Ok(false);
        }
        (spec.drop_filters, spec.drop_source) = (filters, source);
        self.replace(spec).map(|()| true)
    }

    /// Gives the destinations.
    pub fn outlets(&self) -> &[Outlet] {
        &self.outlets
    }

    /// Gives what was written.
    pub fn stats(&self) -> &GatewayStats {
        &self.stats
    }

    fn replace(&self, spec: RulesSpec) -> Result<(), RulesError> {
        let mut new = match RuleSet::new(spec, self.outlets.len()) {
            Ok(new) => new,
            Err(error) => {
                self.stats.reload_errors.fetch_add(1, Ordering::Relaxed);
                return Err(error);
            }
        };
        let mut rules = self.rules.write().unwrap_or_else(PoisonError::into_inner);
        new.inherit(&rules);
        *rules = Arc::new(new);
        self.stats.reloads.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn workspace(&self) -> Workspace {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }
}

// === impl Way ===

impl Way {
    /// Makes a way straight to a target: sinkers are not asked, drop filters are.
    pub fn to(target: Target) -> Self {
        Way { target: Some(target), known: Mutex::default() }
    }

    /// Gives the rules for this writer; they follow those of the gateway.
    fn rules(&self, gateway: &Gateway) -> Arc<RuleSet> {
        let usual = gateway.rules();
        let Some(target) = &self.target else { return usual };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((base, own)) = &*known
            && Arc::ptr_eq(base, &usual)
        {
            return Arc::clone(own);
        }
        let spec = RulesSpec {
            sinkers: Vec::new(),
            default: Some(target.clone()),
            ..usual.spec().clone()
        };
        // Both parts are those of rules that were checked: the filters of the gateway, and a target that it has opened.
        let own = match RuleSet::new(spec, gateway.outlets.len()) {
            Ok(own) => Arc::new(own),
            Err(error) => {
                tracing::error!(%error, "points go where the usual rules say");
                return usual;
            }
        };
        *known = Some((usual, Arc::clone(&own)));
        own
    }
}
#[cfg(test)]
mod tests;
