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

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use levada_model::Timestamp;
use levada_runtime::{TaskKind, Tasks};

use self::submit::Begun;
use crate::ingest::{self, Bounds, Encoder, Form, Outgoing, Workspace, Write, WriteError, Written};
use crate::rules::{FilterSource, RuleSet, RulesError, RulesSpec, Target};
use crate::wal::Queue;

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
            Begun::Yes(submission) => {
                let until = patience.map(|patience| self.now() + patience);
                self.finish(submission, until).await
            }
            Begun::No(prepared) => self.submit(prepared, patience).await,
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
