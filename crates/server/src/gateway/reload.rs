//! Rules that are read again while the server runs.
//!
//! SIGHUP reads the settings as they would be read at a start. Sinkers, drop filters and what decides about them take effect
//! at once, all of them or none; destinations stay as they are, for their queues are open. A sinker can only send to what is
//! open: a URL that no destination has, like any other difference, waits for the next start.

use std::collections::BTreeMap;
use std::sync::Arc;

use levada_gateway::destination::DestinationSpec;
use levada_gateway::gateway::Gateway;
use levada_gateway::metrics::HeadMetrics;
use levada_gateway::rules::{RulesSpec, Target};
use levada_runtime::{Clock, Shutdown, TaskKind, Tasks};
use levada_settings::{Gateway as Settings, Settings as All};

use super::specs;

/// Reads the settings again: the file, the environment, the flags.
pub type ReadSettings = Arc<dyn Fn() -> Result<All, String> + Send + Sync>;

/// Reads rules again.
pub(super) struct Reloader {
    pub(super) read: ReadSettings,
    pub(super) gateway: Arc<Gateway>,
    /// Destinations that are open, and what their names stand for.
    pub(super) destinations: Vec<DestinationSpec>,
    pub(super) targets: BTreeMap<String, Target>,
    /// The settings of the start.
    pub(super) started: Settings,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) head: Arc<HeadMetrics>,
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
        tasks.spawn(TaskKind::Gateway, "rules that are read again", async move {
            loop {
                tokio::select! {
                    biased;
                    () = shutdown.draining() => return,
                    received = hangup.recv() => match received {
                        Some(()) => self.reload(),
                        None => return,
                    },
                }
            }
        });
    }

    fn reload(&self) {
        let read = (self.read)().and_then(|settings| self.rules(&settings.gateway));
        match self.gateway.reload(self.clock.now(), read) {
            Ok(()) => {
                self.head.filters_changed(self.clock.now());
                let rules = self.gateway.rules();
                let (sinkers, filters) =
                    (rules.spec().sinkers.len(), rules.spec().drop_filters.len());
                tracing::info!(sinkers, filters, "the rules of the gateway were read again");
            }
            Err(error) => {
                self.head.filters_refused(&error, "settings", self.clock.now());
                tracing::error!(error, "the rules of the gateway stay as they were");
            }
        }
    }

    /// Gives the rules of settings, with the destinations that are open.
    fn rules(&self, settings: &Settings) -> Result<RulesSpec, String> {
        let wanted = specs::destinations(settings).map_err(|error| error.to_string())?;
        let mut targets = BTreeMap::new();
        for spec in &wanted {
            // The place of a sinker names the destination of its URL, and the place may be another now.
            let open = self.destinations.iter().find(|open| {
                open.name == spec.name && open.endpoints == spec.endpoints && open.kind == spec.kind
            });
            let open = open.or_else(|| {
                let is_same = |open: &&DestinationSpec| {
                    DestinationSpec { name: spec.name.clone(), ..(*open).clone() } == *spec
                };
                self.destinations.iter().find(is_same)
            });
            let target = open.and_then(|open| self.targets.get(&open.name));
            if let Some(target) = target {
                targets.insert(spec.name.clone(), target.clone());
            }
        }
        let rules = specs::rules(settings, &targets).map_err(|error| {
            format!("{error}; a destination that is new or another than at the start is opened at the next start")
        })?;
        if self.differs(settings) {
            tracing::warn!(
                "settings of the gateway beside its rules have changed; they take effect at the next start"
            );
        }
        Ok(rules)
    }

    /// Says whether anything but rules is another than at the start.
    fn differs(&self, settings: &Settings) -> bool {
        let without_rules = |settings: &Settings| Settings {
            sinkers: Vec::new(),
            filters: BTreeMap::new(),
            sink_mode: self.started.sink_mode,
            filter_compat: self.started.filter_compat,
            enable_sinker: false,
            global_tags: Vec::new(),
            global_customer_keys: Vec::new(),
            ..settings.clone()
        };
        without_rules(settings) != without_rules(&self.started)
    }
}
