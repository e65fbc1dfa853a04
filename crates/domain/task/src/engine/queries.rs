//! The queries of batch tasks: asked when their time has come, answers handed in as batches.
//!
//! ```text
//! Schedule ─ tick ─▶ one execution at a time ─▶ QueryPlan::text ─▶ InfluxDb ─▶ decode ─▶ Inbox
//!              └──▶ waits while one runs, in a bounded row; what finds it full is lost and counted
//! ```
//! - Each query node has a driver of its own; nothing synchronises two of them, as upstream has it.
//! - A driver that is told to end ends at once: the query under way is dropped, and with it its connection, at which the
//!   server gives the query up (U-47).
//!
//! Source: kapacitor reference §8.3, §8.4, §8.5.

pub mod ask;
mod driver;
mod known;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::tz::TimeZone;
use levada_clients::influxdb::{ClusterError, Clusters, InfluxDb};
use levada_model::Str;
use levada_runtime::TaskKind;
use tokio::task::JoinHandle;

use super::side::{Closing, SideDeps};
use crate::nodes::query::plan::PlannedQuery;

pub use ask::{Asked, ask};

/// What becomes of ticks that come while a query runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CatchUp {
    /// One waits, two of an aligned schedule; what comes then is lost.
    ///
    /// - Source: kapacitor reference §8.3.
    #[default]
    None,
    /// So many wait, each for its own range; what comes then is lost.
    All(usize),
}

/// How answers are read, and what else is the same for all queries of a task.
#[derive(Clone, Debug)]
pub struct QuerySettings {
    /// Numbers without a fraction are integers; off, every number is a float.
    pub keep_integers: bool,
    /// Values that are taken of one answer.
    pub cells_max: usize,
    /// What becomes of ticks that come while a query runs.
    pub catch_up: CatchUp,
    /// The time zone of cron.
    pub zone: TimeZone,
}

/// What a query node did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryStatistics {
    /// Queries that were answered.
    pub answered: u64,
    /// Queries that failed.
    pub failed: u64,
    /// Results within answers that were errors.
    pub results_failed: u64,
    /// Ticks that were lost while a query ran.
    pub ticks_lost: u64,
    /// Batches that were handed in.
    pub batches: u64,
    /// Their points.
    pub points: u64,
    /// Batches that the task had no room for.
    pub batches_lost: u64,
    /// A query is under way.
    pub is_running: bool,
}

/// The query nodes of one actor, at work.
#[derive(Debug)]
pub struct Queries {
    closing: Closing,
    nodes: Vec<(usize, Arc<Counters>)>,
    drivers: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Counters {
    answered: AtomicU64,
    failed: AtomicU64,
    results_failed: AtomicU64,
    ticks_lost: AtomicU64,
    batches: AtomicU64,
    points: AtomicU64,
    batches_lost: AtomicU64,
    is_running: AtomicBool,
}

// === impl QuerySettings ===

impl Default for QuerySettings {
    /// The time zone is UTC; that of the server is for the caller to say.
    fn default() -> Self {
        QuerySettings {
            keep_integers: false,
            cells_max: levada_influxql::result::CELLS_MAX,
            catch_up: CatchUp::None,
            zone: TimeZone::UTC,
        }
    }
}

// === impl Queries ===

impl Queries {
    /// Checks what the queries read, and starts them.
    ///
    /// - `dbrps` is what the task may read.
    /// - Errors: upstream's; nothing was started then.
    pub fn start(
        deps: &SideDeps,
        task: &Str,
        plans: Vec<PlannedQuery>,
        dbrps: &[(Str, Str)],
        clusters: &Clusters,
        settings: &QuerySettings,
    ) -> Result<Self, String> {
        let mut clients = Vec::with_capacity(plans.len());
        for planned in &plans {
            planned.plan.check_sources(dbrps)?;
            clients.push(client(clusters, &planned.plan.cluster)?);
        }
        let closing = Closing::new();
        let (mut nodes, mut drivers) = (Vec::new(), Vec::new());
        for (planned, client) in plans.into_iter().zip(clients) {
            let counters = Arc::new(Counters::default());
            nodes.push((planned.place, Arc::clone(&counters)));
            let name = format!("{task} {}", planned.name);
            let driver = driver::Driver {
                deps: deps.clone(),
                closing: closing.clone(),
                counters,
                place: planned.place,
                plan: Arc::new(planned.plan),
                client,
                settings: settings.clone(),
            };
            drivers.push(deps.spawn(TaskKind::Source, &name, driver.run()));
        }
        Ok(Queries { closing, nodes, drivers: Mutex::new(drivers) })
    }

    /// Gives what the node at a place did.
    pub fn statistics(&self, place: usize) -> Option<QueryStatistics> {
        let (_, counters) = self.nodes.iter().find(|(known, _)| *known == place)?;
        Some(counters.read())
    }

    /// Ends the queries, also those under way.
    pub fn close(&self) {
        self.closing.close(Duration::ZERO);
    }

    /// Says whether all have ended.
    pub fn is_done(&self) -> bool {
        self.drivers().iter().all(JoinHandle::is_finished)
    }

    /// Ends the queries and waits for that.
    pub async fn stop(&self) {
        self.close();
        let drivers = std::mem::take(&mut *self.drivers());
        for driver in drivers {
            if driver.await.is_err() {
                tracing::warn!("the driver of a query ended before its time");
            }
        }
    }

    fn drivers(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.drivers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Queries {
    fn drop(&mut self) {
        self.close();
    }
}

/// Gives the client that a query asks; errors are upstream's.
pub(crate) fn client(clusters: &Clusters, cluster: &str) -> Result<Arc<dyn InfluxDb>, String> {
    clusters.get(cluster).map_err(|error| match error {
        ClusterError::None => {
            "InfluxDB not configured, cannot query InfluxDB for batch query".to_owned()
        }
        error @ ClusterError::Unknown(_) => format!("failed to get InfluxDB client: {error}"),
    })
}

// === impl Counters ===

impl Counters {
    fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }

    fn read(&self) -> QueryStatistics {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        QueryStatistics {
            answered: read(&self.answered),
            failed: read(&self.failed),
            results_failed: read(&self.results_failed),
            ticks_lost: read(&self.ticks_lost),
            batches: read(&self.batches),
            points: read(&self.points),
            batches_lost: read(&self.batches_lost),
            is_running: self.is_running.load(Ordering::Relaxed),
        }
    }
}
