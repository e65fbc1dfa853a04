//! Destinations and rules that are read again while the server runs.
//!
//! SIGHUP reads the settings as they would be read at a start. Destinations, sinkers, drop filters and what decides about
//! them take effect at once, all of them or none:
//!
//! | a destination that | |
//! |---|---|
//! | is new | is opened |
//! | is as it was | stays as it is |
//! | is sent to in another way | gets another sender, its queue stays |
//! | queues in another way | goes on as it was until the next start |
//! | is there no more | is closed when its queue has been emptied |
//!
//! Whatever else differs, such as tenants, waits for the next start.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use levada_gateway::destination::{DestinationSpec, Destinations, Unit};
use levada_gateway::metrics::HeadMetrics;
use levada_gateway::rules::Target;
use levada_runtime::{Clock, Shutdown, TaskKind, Tasks};
use levada_settings::{Gateway as Settings, Settings as All};

use super::estate::Estate;
use super::kept::{self, Kept};
use super::specs;

/// Reads the settings again: the file, the environment, the flags.
pub type ReadSettings = Arc<dyn Fn() -> Result<All, String> + Send + Sync>;

/// How often is looked whether a queue that is no longer wanted is empty.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Reads settings again.
pub(super) struct Reloader {
    pub(super) read: ReadSettings,
    pub(super) estate: Arc<Estate>,
    /// The settings of the start.
    pub(super) started: Settings,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) head: Arc<HeadMetrics>,
}

/// What is wanted, under the names that its queues have.
struct Placed {
    wanted: Vec<DestinationSpec>,
    /// What the names of URLs of sinkers stand for.
    names: BTreeMap<String, String>,
}

// === impl Reloader ===

impl Reloader {
    /// Reads at each SIGHUP.
    pub(super) fn watch(self, tasks: &Tasks, mut shutdown: Shutdown) {
        use tokio::signal::unix::{SignalKind, signal};
        let mut hangup = match signal(SignalKind::hangup()) {
            Ok(hangup) => hangup,
            Err(error) => return tracing::warn!(%error, "SIGHUP is not noticed by the gateway"),
        };
        tasks.spawn(TaskKind::Gateway, "settings that are read again", async move {
            let mut has_left = false;
            loop {
                tokio::select! {
                    biased;
                    () = shutdown.draining() => return,
                    received = hangup.recv() => match received {
                        Some(()) => self.reload().await,
                        None => return,
                    },
                    () = self.clock.sleep(LOOK_EVERY), if has_left => self.estate.close_empty().await,
                }
                has_left = self.estate.open().await.has_left();
            }
        });
    }

    async fn reload(&self) {
        let now = self.clock.now();
        match self.read(now).await {
            Ok(()) => {
                self.head.filters_changed(now);
                let rules = self.estate.gateway.rules();
                let (sinkers, filters) =
                    (rules.spec().sinkers.len(), rules.spec().drop_filters.len());
                tracing::info!(sinkers, filters, "the settings of the gateway were read again");
            }
            Err(error) => {
                self.head.filters_refused(&error, "settings", now);
                tracing::error!(error, "the gateway stays as it was");
            }
        }
    }

    async fn read(&self, now: levada_model::Timestamp) -> Result<(), String> {
        let open = &mut *self.estate.open().await;
        let wanted = (self.read)().and_then(|settings| {
            let kept = kept::read(&self.estate.ground.dir);
            let placed = placed(&settings.gateway, &open.destinations, &kept)?;
            Ok((settings.gateway, placed))
        });
        let (settings, Placed { wanted, names }) = match wanted {
            Ok(read) => read,
            Err(error) => return self.estate.gateway.reload(now, Err(error)).map(drop),
        };
        let rules = |targets: BTreeMap<String, Target>| {
            let targets = kept::renamed(&names, targets);
            specs::rules(&settings, &targets).map_err(|error| error.to_string())
        };
        self.estate.change(open, &wanted, rules, now).await?;
        let others = wanted.len() - names.len();
        kept::note(&self.estate.ground.dir, wanted[others..].iter());
        if self.differs(&settings) {
            tracing::warn!(
                "settings of the gateway beside destinations and rules have changed; they take effect at the next start"
            );
        }
        Ok(())
    }

    /// Says whether anything but destinations and rules is another than at the start.
    fn differs(&self, settings: &Settings) -> bool {
        let others = |settings: &Settings| {
            let first = settings.urls.first().map(|url| url.expose().clone());
            (
                (first, settings.pull_filters, settings.token.clone(), settings.tenants.clone()),
                (
                    settings.max_http_body_bytes,
                    settings.max_plain_bytes,
                    settings.max_raw_body_size,
                ),
            )
        };
        others(settings) != others(&self.started)
    }
}

/// Gives what is wanted. The place of a sinker names the destination of its URL, and the place may be another now: then the
/// queue stays with the URL, not with the place.
///
/// - Errors: a destination that cannot be, or a queue that holds points for another URL than the one that has its name now.
fn placed(settings: &Settings, open: &Destinations, kept: &Kept) -> Result<Placed, String> {
    let mut wanted = specs::destinations(settings).map_err(|error| error.to_string())?;
    let of_sinkers = specs::of_sinkers(settings);
    let mut names = BTreeMap::new();
    let is_same = |known: &DestinationSpec, spec: &DestinationSpec| {
        DestinationSpec { name: spec.name.clone(), ..known.clone() } == *spec
    };
    let first = wanted.len() - of_sinkers.len();
    let mut taken: Vec<String> = wanted[..first].iter().map(|spec| spec.name.clone()).collect();
    // Those that are there take their names before those that are new.
    let mut new = Vec::new();
    for (at, spec) in wanted.iter().enumerate().skip(first) {
        let is_free =
            |unit: &&Unit| unit.outlet.name == unit.spec.name && !taken.contains(&unit.spec.name);
        let same = open.units().filter(is_free).filter(|unit| is_same(&unit.spec, spec));
        let same: Vec<&str> = same.map(|unit| &*unit.spec.name).collect();
        match same.iter().find(|name| **name == spec.name).or(same.first()) {
            Some(name) => {
                let name = (*name).to_owned();
                taken.push(name.clone());
                names.insert(spec.name.clone(), name);
            }
            None => new.push(at),
        }
    }
    for at in new {
        let place = wanted[at].name.clone();
        // A queue that is not open may hold points for the URL that it belongs to.
        let is_free = |name: &String| {
            let is_open = open.units().any(|unit| unit.outlet.name == *name);
            is_open || kept.get(name).is_none_or(|mark| *mark == kept::mark(&wanted[at]))
        };
        let next = (of_sinkers.len()..).map(specs::sinker_destination);
        let next = next.filter(|name| !taken.contains(name));
        let name = std::iter::once(place.clone()).chain(next).find(is_free);
        let name = name.unwrap_or_else(|| place.clone());
        let queue = open.units().find(|unit| unit.outlet.name == name);
        let waits = queue.map_or(0, |unit| unit.outlet.queue.counts().queued);
        if taken.contains(&name) || waits > 0 {
            return Err(format!(
                "the queue `{name}` belongs to the URL of another sinker; give the new one a destination with a name"
            ));
        }
        taken.push(name.clone());
        names.insert(place, name);
    }
    for spec in &mut wanted[first..] {
        if let Some(name) = names.get(&spec.name) {
            spec.name.clone_from(name);
        }
    }
    Ok(Placed { wanted, names })
}
