//! What is open: destinations, and the senders that run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use levada_clients::net::Net;
use levada_gateway::deliver::Senders;
use levada_gateway::destination::{Changes, DestinationSpec, Destinations, Shared, Unit};
use levada_gateway::gateway::{Before, Gateway, Places};
use levada_gateway::ingest::Encoder;
use levada_gateway::metrics::{DatawayMetrics, NetMetrics, forget_queue, show_sender};
use levada_gateway::rules::{RuleSet, RulesSpec, Target};
use levada_model::{Timestamp, with_causes};
use levada_runtime::{ShutdownHandle, TaskKind};
use levada_telemetry::metrics::MetricsError;
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::JoinHandle;

use super::inside::InThisProcess;
use super::specs;
use crate::flows::Host;

/// How long a sender may go on with what is under way after another has taken over.
const TAKEOVER: Duration = Duration::from_secs(5);

/// What destinations are opened with.
pub(super) struct Ground {
    pub(super) host: Host,
    pub(super) dir: PathBuf,
    pub(super) encoder: Arc<Encoder>,
    pub(super) metrics: Arc<DatawayMetrics>,
    pub(super) net: Net,
    pub(super) net_metrics: Arc<NetMetrics>,
}

/// The destinations of a gateway, and who sends them.
pub(super) struct Estate {
    pub(super) ground: Ground,
    pub(super) gateway: Arc<Gateway>,
    pub(super) senders: Arc<Senders>,
    open: Mutex<Open>,
}

/// What is open.
pub(super) struct Open {
    pub(super) destinations: Destinations,
    running: BTreeMap<String, Running>,
    /// What held when a queue was last written to, of those that are only emptied.
    left: BTreeMap<String, Before>,
}

/// A sender that runs.
struct Running {
    /// Ends it; later than the shutdown of the server, so that what is under way may arrive.
    stop: ShutdownHandle,
    ended: JoinHandle<()>,
}

// === impl Ground ===

impl Ground {
    /// Gives what destinations are opened with.
    pub(super) fn shared(&self) -> Shared<'_> {
        Shared {
            dir: &self.dir,
            encoder: Arc::clone(&self.encoder),
            clock: Arc::clone(&self.host.clock),
            tasks: &self.host.tasks,
            watch: Some(Arc::clone(&self.metrics) as _),
            net: self.net.clone(),
            insiders: Some(Arc::new(InThisProcess(self.host.joins.clone()))),
        }
    }

    /// Runs the sender of a queue, once another one has ended.
    fn run(&self, unit: &Unit, before: Option<Running>) -> Running {
        let (stop, stopping) = ShutdownHandle::new();
        let (sender, names) = (Arc::clone(&unit.sender), stopping.clone());
        let name = format!("names of {}", sender.name());
        let work = async move { sender.watch_names(names).await };
        drop(self.host.tasks.spawn(TaskKind::Gateway, &name, work));
        let (sender, clock) = (Arc::clone(&unit.sender), Arc::clone(&self.host.clock));
        let name = format!("sender of {}", sender.name());
        let ended = self.host.tasks.spawn(TaskKind::Gateway, &name, async move {
            if let Some(before) = before {
                before.end(clock.sleep(TAKEOVER)).await;
            }
            sender.run(stopping).await;
        });
        Running { stop, ended }
    }

    fn begin(&self, unit: &Unit) -> Result<(), MetricsError> {
        self.metrics.head().watch_reads(&unit.outlet.queue);
        show_sender(&self.host.metrics, &unit.sender)
    }
}

// === impl Running ===

impl Running {
    /// Ends it: what is under way has until `patience` is over.
    async fn end(mut self, patience: impl Future<Output = ()>) {
        self.stop.drain();
        let ended = tokio::select! {
            ended = &mut self.ended => ended,
            () = patience => {
                self.stop.abort();
                self.ended.await
            }
        };
        if let Err(error) = ended {
            tracing::warn!(%error, "a sender ended unexpectedly");
        }
    }
}

// === impl Estate ===

impl Estate {
    /// Begins to send what is open.
    pub(super) fn new(
        ground: Ground,
        gateway: Arc<Gateway>,
        destinations: Destinations,
    ) -> Result<Self, MetricsError> {
        ground.net_metrics.watches(specs::names(destinations.specs()));
        let mut running = BTreeMap::new();
        for unit in destinations.units() {
            ground.begin(unit)?;
            running.insert(unit.outlet.name.clone(), ground.run(unit, None));
        }
        let senders = Arc::new(Senders::default());
        senders.set(destinations.units().map(|unit| Arc::clone(&unit.sender)).collect());
        let open = Mutex::new(Open { destinations, running, left: BTreeMap::new() });
        ground.metrics.set_sunk_to(sunk_to(gateway.rules().spec(), &gateway.places()));
        Ok(Estate { ground, gateway, senders, open })
    }

    /// Gives what is open; nobody else changes it meanwhile.
    pub(super) async fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().await
    }

    /// Puts other destinations and rules in the place of those that there are: all of them, or none.
    ///
    /// - Errors: anything that is wrong, in words; then nothing has changed.
    pub(super) async fn change(
        &self,
        open: &mut Open,
        wanted: &[DestinationSpec],
        rules: impl FnOnce(BTreeMap<String, Target>) -> Result<RulesSpec, String>,
        at: Timestamp,
    ) -> Result<(), String> {
        let (shared, circles) = (self.ground.shared(), self.ground.host.joins.circles());
        let mut ways = None;
        let prepared = async {
            let plan =
                open.destinations.plan(wanted, &shared).await.map_err(|e| with_causes(&e))?;
            let rules = rules(plan.targets())?;
            RuleSet::new(rules.clone(), plan.places()).map_err(|error| error.to_string())?;
            ways = Some(circles.set_gateway(wanted, &rules, &plan.targets())?);
            let (new, changes) = plan.open(&shared).await.map_err(|e| with_causes(&e))?;
            Ok((new, changes, rules))
        };
        let outcome = match prepared.await {
            Ok((new, changes, rules)) => match self.gateway.reload(at, Ok((new.places(), rules))) {
                Ok(before) => {
                    self.changed(open, new, changes, &before);
                    return Ok(());
                }
                Err(error) => {
                    for unit in changes.opened {
                        unit.outlet.queue.close().await;
                    }
                    Err(error)
                }
            },
            Err(error) => self.gateway.reload(at, Err(error)).map(drop),
        };
        if let Some(ways) = ways {
            circles.restore_gateway(ways);
        }
        outcome
    }

    /// Begins to send what is new, and to wait for what is no longer wanted.
    fn changed(&self, open: &mut Open, new: Destinations, changes: Changes, before: &Before) {
        let Ground { net_metrics, metrics, .. } = &self.ground;
        let is_new = |spec: &&DestinationSpec| !open.destinations.specs().any(|one| one == *spec);
        net_metrics.watches(specs::names(new.specs().filter(is_new)));
        let (known, leaving) = (open.destinations.leaving().clone(), new.leaving().clone());
        open.destinations = new;
        for unit in changes.opened.iter().chain(&changes.resent) {
            if let Err(error) = self.ground.begin(unit) {
                tracing::error!(%error, destination = unit.outlet.name, "there are no metrics of a sender");
            }
            let running = open.running.remove(&unit.outlet.name);
            open.running.insert(unit.outlet.name.clone(), self.ground.run(unit, running));
        }
        let units = open.destinations.units();
        self.senders.set(units.map(|unit| Arc::clone(&unit.sender)).collect());
        metrics.set_sunk_to(sunk_to(self.gateway.rules().spec(), &self.gateway.places()));
        for unit in &changes.opened {
            tracing::info!(destination = unit.outlet.name, "a destination is opened");
        }
        for unit in &changes.resent {
            tracing::info!(destination = unit.outlet.name, "a destination is sent otherwise");
        }
        for name in &changes.later {
            tracing::warn!(
                destination = name,
                "a queue has other settings; they take effect at the next start"
            );
        }
        for name in leaving.difference(&known) {
            open.left.insert(name.clone(), before.clone());
            if let Some(sender) = self.senders.find(name) {
                sender.hurry();
                let queued = sender.queue().counts().queued;
                tracing::info!(
                    destination = name,
                    points = queued,
                    "a destination is no longer wanted; it is closed when its queue is empty"
                );
            }
        }
        for name in known.difference(&leaving) {
            open.left.remove(name);
            tracing::info!(destination = name, "a destination is wanted again");
        }
    }

    /// Closes queues that are no longer wanted and empty; letters that nobody has looked at keep theirs open.
    pub(super) async fn close_empty(&self) {
        let mut open = self.open.lock().await;
        let Open { destinations, left, .. } = &*open;
        let is_empty = |unit: &&Unit| {
            let status = unit.outlet.queue.status();
            status.counts.queued == 0 && status.dead_letters == 0
        };
        let is_left = |unit: &&Unit| left.get(&unit.outlet.name).is_some_and(Before::is_over);
        let empty = destinations.units().filter(is_left).filter(is_empty);
        let names: BTreeSet<String> = empty.map(|unit| unit.outlet.name.clone()).collect();
        for name in names {
            self.gateway.forget(&name);
            open.left.remove(&name);
            if let Some(running) = open.running.remove(&name) {
                running.end(self.ground.host.clock.sleep(TAKEOVER)).await;
            }
            let Some(unit) = open.destinations.remove(&name) else { continue };
            unit.outlet.queue.close().await;
            let units = open.destinations.units();
            self.senders.set(units.map(|unit| Arc::clone(&unit.sender)).collect());
            forget_queue(&self.ground.host.metrics, &unit.outlet);
            tracing::info!(destination = name, "a destination is closed");
        }
    }

    /// Takes no more, and sends what may still be sent.
    pub(super) fn hurry(&self) {
        self.gateway.outlets().iter().for_each(|outlet| outlet.queue.drain());
        self.senders.list().iter().for_each(|sender| sender.hurry());
    }

    /// Ends everything; what is under way may take until a moment of the monotonic clock.
    pub(super) async fn end(&self, deadline: Duration) {
        let mut open = self.open.lock().await;
        let clock = &self.ground.host.clock;
        let running = std::mem::take(&mut open.running);
        running.values().for_each(|running| running.stop.drain());
        for running in running.into_values() {
            running.end(clock.sleep(deadline.saturating_sub(clock.monotonic()))).await;
        }
        for unit in open.destinations.units() {
            let (queue, name) = (&unit.outlet.queue, &unit.outlet.name);
            queue.close().await;
            let left = queue.counts().queued;
            if left > 0 {
                tracing::info!(destination = name, points = left, "points wait for the next start");
            }
        }
    }

    /// Gives how many copies of points wait for some queues.
    pub(super) async fn queued(&self, is_wanted: impl Fn(&DestinationSpec) -> bool) -> u64 {
        let open = self.open.lock().await;
        let units = open.destinations.units().filter(|unit| is_wanted(&unit.spec));
        units.map(|unit| unit.outlet.queue.counts().queued).sum()
    }
}

// === impl Open ===

impl Open {
    /// Says whether there is a queue that is only emptied.
    pub(super) fn has_left(&self) -> bool {
        !self.left.is_empty()
    }
}

/// Gives the queues that only sinkers send to.
fn sunk_to(rules: &RulesSpec, places: &Places) -> BTreeSet<String> {
    let of_default = rules.default.as_ref().map(specs::ids).unwrap_or_default();
    let ids = rules.sinkers.iter().flat_map(|sinker| specs::ids(&sinker.target));
    let ids = ids.filter(|id| !of_default.contains(id));
    let outlets = ids.filter_map(|id| places.slots.get(usize::from(id))?.as_ref());
    outlets.map(|outlet| outlet.name.clone()).collect()
}
