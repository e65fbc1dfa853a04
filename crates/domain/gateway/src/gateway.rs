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

mod submit;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, Weak};
use std::time::Duration;

use levada_codec::compression::Compression;
use levada_model::{Category, Timestamp};
use levada_runtime::{Clock, Tasks};

use self::submit::{Begun, Entered, Prepared};
use crate::crew::{Crew, CrewSettings};
use crate::ingest::{self, Bounds, Encoder, Form, HOPS_MAX, Workspace, Write, WriteError, Written};
use crate::rules::{DestinationId, FilterSource, RuleSet, RulesError, RulesSpec, Target};
use crate::wal::{Encoding, Queue};

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
    state: RwLock<Arc<State>>,
    /// Makes changes of rules and destinations wait for each other.
    change: Mutex<()>,
    last_reload: Mutex<Option<Reload>>,
    watch: OnceLock<(Arc<dyn PutWatch>, Arc<dyn Clock>)>,
    bounds: Bounds,
    encoder: Arc<Encoder>,
    idle: Mutex<Vec<Workspace>>,
    crew: Arc<Crew>,
    stats: GatewayStats,
}

/// Destinations, by the place that rules call them by.
#[derive(Clone, Default)]
pub struct Places {
    /// Where records can be put; nothing where a destination was that is closed. The place is the [`DestinationId`].
    pub slots: Vec<Option<Outlet>>,
    /// What the name of a destination stands for in rules.
    pub targets: BTreeMap<String, Target>,
    /// Names of queues that only wait to be emptied.
    pub leaving: BTreeSet<String>,
}

/// What a body is decided by: rules, and the destinations that they speak of.
struct State {
    places: Places,
    outlets: Arc<[Outlet]>,
    forms: Vec<Form>,
    rules: Arc<RuleSet>,
}

/// What held before a change. Bodies that had come by then still go where it says.
#[derive(Clone)]
pub struct Before(Weak<State>);

/// How the points of a writer find their destinations.
///
/// Made once for each writer: it keeps the rules that it makes.
#[derive(Debug, Default)]
pub struct Way {
    /// The name of a destination; nothing: the rules decide.
    target: Option<String>,
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

    /// A body with so many points was read and waits for its queues.
    fn entered(&self, _category: Category, _points: u64) {}

    /// That body waits no more; queues may have taken it.
    fn left(&self, _category: Category, _points: u64, _is_taken: bool) {}
}

/// How reading the rules again went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reload {
    /// When.
    pub at: Timestamp,
    /// Why the rules stay as they were; nothing when the new ones are in effect.
    pub error: Option<String>,
}

/// A larger body is prepared on a thread beside, so that small ones need not wait behind it.
const INLINE_BYTES_MAX: usize = 64 << 10;
/// Workspaces that are kept.
const IDLE_MAX: usize = 16;
/// Threads that prepare bodies, for each core: some may wait for a file while others work.
const WRITERS_PER_CORE: usize = 2;

fn writers() -> CrewSettings {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    CrewSettings {
        name: "write",
        threads_max: cores.max(2) * WRITERS_PER_CORE,
        waiting_per_thread: 0,
        linger: Duration::from_millis(100),
    }
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
        let slots = outlets.into_iter().map(Some).collect();
        Self::with(Places { slots, ..Places::default() }, rules, bounds, encoder)
    }

    /// Makes a gateway whose destinations have names.
    ///
    /// - Errors: everything that is wrong with the rules.
    pub fn with(
        places: Places,
        rules: RulesSpec,
        bounds: Bounds,
        encoder: Arc<Encoder>,
    ) -> Result<Self, RulesError> {
        let rules = RuleSet::new(rules, places.slots.len())?;
        Ok(Gateway {
            state: RwLock::new(Arc::new(State::new(places, Arc::new(rules)))),
            change: Mutex::default(),
            last_reload: Mutex::default(),
            watch: OnceLock::new(),
            bounds,
            encoder,
            idle: Mutex::default(),
            crew: Crew::new(writers()),
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
        if write.hops > HOPS_MAX {
            self.stats.refused_bodies.fetch_add(1, Ordering::Relaxed);
            return Err(WriteError::Circle);
        }
        let state = self.state();
        let rules = way.rules(&state)?;
        if write.body.len() <= INLINE_BYTES_MAX {
            let prepared = self.prepare_with(&write, &rules, state)?;
            return self.submit(prepared, patience).await;
        }
        let gateway = Arc::clone(self);
        let work = move || gateway.prepare_with(&write, &rules, state).map(|it| gateway.begin(it));
        let begun = self.crew.run(tasks, work).await;
        match begun.unwrap_or(Err(WriteError::Stopped))? {
            Begun::Yes(submission) => {
                let until = patience.map(|patience| submission.now() + patience);
                self.finish(submission, until).await
            }
            Begun::No(prepared) => self.submit(prepared, patience).await,
        }
    }

    /// Says whether a body would be taken; nothing is counted, and nothing queued.
    ///
    /// - Errors: why it would be refused.
    pub fn check(&self, write: &Write) -> Result<(), WriteError> {
        let (mut workspace, state) = (Workspace::default(), self.state());
        let (buckets, _) = ingest::prepare(write, &state.rules, &self.bounds, &mut workspace)?;
        self.encoder.encode(&buckets, write, &state.forms).map(drop)
    }

    /// Does all that needs no waiting: the body is read whole, and refused whole when anything is wrong.
    fn prepare_with(
        &self,
        write: &Write,
        rules: &RuleSet,
        state: Arc<State>,
    ) -> Result<Prepared, WriteError> {
        let mut workspace = self.workspace();
        let prepared = ingest::prepare(write, rules, &self.bounds, &mut workspace).and_then(
            |(buckets, mut written)| {
                let outgoing = self.encoder.encode(&buckets, write, &state.forms)?;
                written.sunk = workspace.scratch.sunk();
                written.filters_took = workspace.scratch.filters_took();
                written.bodies = outgoing.len() as u64;
                rules.count(&mut workspace.scratch);
                workspace.reclaim(buckets);
                let watch = self.watch.get().map(|(watch, _)| watch);
                let entered = Entered::new(watch, &outgoing, written.routed);
                Ok(Prepared { outgoing, written, state, entered })
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

    /// Lets somebody hear of bodies that queues take, and measures what that takes; the first one stays.
    pub fn watch(&self, watch: Arc<dyn PutWatch>, clock: Arc<dyn Clock>) {
        if self.watch.set((watch, clock)).is_err() {
            tracing::debug!("somebody hears of the queues already");
        }
    }

    /// Gives the rules that are in effect.
    pub fn rules(&self) -> Arc<RuleSet> {
        Arc::clone(&self.state().rules)
    }

    fn state(&self) -> Arc<State> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts other rules in the place of those that are in effect, for all bodies that come from now on.
    ///
    /// - Errors: everything that is wrong; then nothing changes.
    pub fn rules_replace(&self, spec: RulesSpec) -> Result<(), RulesError> {
        let _one_at_a_time = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        self.replace(spec, None).map(drop)
    }

    /// Puts destinations and rules that were read again in the place of those that are in effect, or keeps those when they
    /// could not be read or are wrong; either is remembered. Drop filters that came by a pull stay while the new rules have
    /// none.
    pub fn reload(
        &self,
        at: Timestamp,
        read: Result<(Places, RulesSpec), String>,
    ) -> Result<Before, String> {
        let _one_at_a_time = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = match read {
            Ok((places, mut spec)) => {
                let rules = self.rules();
                let known = rules.spec();
                if spec.drop_filters.is_empty() && known.drop_source == FilterSource::Remote {
                    spec.drop_filters.clone_from(&known.drop_filters);
                    spec.drop_source = FilterSource::Remote;
                }
                self.replace(spec, Some(places)).map_err(|error| error.to_string())
            }
            Err(error) => {
                self.stats.reload_errors.fetch_add(1, Ordering::Relaxed);
                Err(error)
            }
        };
        let error = outcome.as_ref().err().cloned();
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
        filters: Vec<(Category, Vec<String>)>,
        source: FilterSource,
    ) -> Result<bool, RulesError> {
        let _one_at_a_time = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let mut spec = self.rules().spec().clone();
        let is_local = spec.drop_source == FilterSource::Local && !spec.drop_filters.is_empty();
        if source == FilterSource::Remote && is_local {
            return Ok(false);
        }
        (spec.drop_filters, spec.drop_source) = (filters, source);
        self.replace(spec, None).map(|_| true)
    }

    /// Gives the destinations, also those that only wait to be emptied.
    pub fn outlets(&self) -> Arc<[Outlet]> {
        Arc::clone(&self.state().outlets)
    }

    /// Gives where everything is.
    pub fn places(&self) -> Places {
        self.state().places.clone()
    }

    /// Gives the names of destinations that can be written to.
    pub fn targets(&self) -> Vec<String> {
        self.state().places.targets.keys().cloned().collect()
    }

    /// Says whether a destination can be written to.
    pub fn has_target(&self, name: &str) -> bool {
        self.state().places.targets.contains_key(name)
    }

    /// Says whether a queue only waits to be emptied.
    pub fn is_leaving(&self, queue: &str) -> bool {
        self.state().places.leaving.contains(queue)
    }

    /// Forgets a queue that no rule speaks of any more.
    pub fn forget(&self, queue: &str) {
        let _one_at_a_time = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.state();
        if !known.places.leaving.contains(queue) {
            return;
        }
        let mut places = known.places.clone();
        places.leaving.remove(queue);
        for slot in &mut places.slots {
            if slot.as_ref().is_some_and(|outlet| outlet.name == queue) {
                *slot = None;
            }
        }
        let state = Arc::new(State::new(places, Arc::clone(&known.rules)));
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// Gives what was written.
    pub fn stats(&self) -> &GatewayStats {
        &self.stats
    }

    fn replace(&self, spec: RulesSpec, places: Option<Places>) -> Result<Before, RulesError> {
        let known = self.state();
        let places = places.unwrap_or_else(|| known.places.clone());
        let mut new = match RuleSet::new(spec, places.slots.len()) {
            Ok(new) => new,
            Err(error) => {
                self.stats.reload_errors.fetch_add(1, Ordering::Relaxed);
                return Err(error);
            }
        };
        new.inherit(&known.rules);
        let state = Arc::new(State::new(places, Arc::new(new)));
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = state;
        self.stats.reloads.fetch_add(1, Ordering::Relaxed);
        Ok(Before(Arc::downgrade(&known)))
    }

    fn workspace(&self) -> Workspace {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.unwrap_or_else(|| {
            let mut workspace = Workspace::default();
            if let Some((_, clock)) = self.watch.get() {
                workspace.scratch.set_clock(Arc::clone(clock));
            }
            workspace
        })
    }
}

// === impl State ===

impl State {
    fn new(places: Places, rules: Arc<RuleSet>) -> Self {
        // No record has the form of a place where nothing is.
        let nothing = Form {
            encoding: Encoding::LineProtocol,
            compression: Compression::None,
            has_global_tags: false,
        };
        let forms = places.slots.iter().map(|slot| slot.as_ref().map_or(nothing, |one| one.form));
        State {
            forms: forms.collect(),
            outlets: places.slots.iter().flatten().cloned().collect(),
            places,
            rules,
        }
    }

    fn outlet(&self, destination: DestinationId) -> Result<&Outlet, WriteError> {
        let slot = self.places.slots.get(usize::from(destination));
        slot.and_then(Option::as_ref).ok_or(WriteError::Stopped)
    }
}

// === impl Before ===

impl Before {
    /// Says whether no body goes where it says any more.
    pub fn is_over(&self) -> bool {
        self.0.strong_count() == 0
    }
}

// === impl Way ===

impl Way {
    /// Makes a way straight to a destination: sinkers are not asked, drop filters are.
    pub fn to(destination: impl Into<String>) -> Self {
        Way { target: Some(destination.into()), known: Mutex::default() }
    }

    /// Gives the rules for this writer; they follow those of the gateway.
    ///
    /// - Errors: there is no such destination any more.
    fn rules(&self, state: &State) -> Result<Arc<RuleSet>, WriteError> {
        let usual = &state.rules;
        let Some(name) = &self.target else { return Ok(Arc::clone(usual)) };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((base, own)) = &*known
            && Arc::ptr_eq(base, usual)
        {
            return Ok(Arc::clone(own));
        }
        let gone = || WriteError::NoDestination(name.clone());
        let target = state.places.targets.get(name).ok_or_else(gone)?;
        let spec = RulesSpec {
            sinkers: Vec::new(),
            default: Some(target.clone()),
            ..usual.spec().clone()
        };
        // Both parts are those of rules that were checked: the filters of the gateway, and a target that it has opened.
        let own = RuleSet::new(spec, state.places.slots.len()).map_err(|error| {
            tracing::error!(%error, destination = name, "points cannot go straight to a destination");
            gone()
        })?;
        let own = Arc::new(own);
        *known = Some((Arc::clone(usual), Arc::clone(&own)));
        Ok(own)
    }
}
