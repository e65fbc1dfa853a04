//! One cluster: asked whether it is there, and linked, until its settings change or the server stops.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use levada_api::Identity;
use levada_api::auth::Users;
use levada_clients::influxdb::InfluxDb;
use levada_runtime::{Backoff, BackoffPolicy, Clock, Shutdown};
use levada_settings::Influxdb;

use super::filter::Filter;
use super::link::Links;
use super::metrics::ClusterMetrics;
use crate::inputs::InputDeps;
use crate::serve::Bound;

/// How often a cluster is asked whether it is there, and how often at most while it is not.
const LOOK_EVERY: Duration = Duration::from_secs(10);
const RETRY: BackoffPolicy =
    BackoffPolicy { initial: Duration::from_millis(250), max: LOOK_EVERY, attempts_max: 0 };
/// How long that answer may take.
const PING_PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take to compare subscriptions.
const LINK_PATIENCE: Duration = Duration::from_secs(120);
/// How long a cluster that is no longer wanted is told so.
const LEAVE_PATIENCE: Duration = Duration::from_secs(10);

/// One cluster.
pub(super) struct Cluster {
    pub(super) name: String,
    pub(super) server: Arc<dyn InfluxDb>,
    pub(super) settings: Influxdb,
    pub(super) wanted: Filter,
    pub(super) identity: Identity,
    pub(super) users: Option<Arc<Users>>,
    pub(super) inputs: InputDeps,
    pub(super) clock: Arc<dyn Clock>,
    /// Nothing before the server listens.
    pub(super) here: OnceLock<Here>,
    pub(super) problem: Mutex<Option<String>>,
    /// What is told once: the server has no subscriptions.
    pub(super) is_unlinkable: Mutex<bool>,
    pub(super) count: AtomicUsize,
    pub(super) links: Links,
    pub(super) metrics: ClusterMetrics,
}

/// Where this server is reached.
pub(super) struct Here {
    pub(super) host: String,
    pub(super) port: u16,
    /// Only by this machine.
    pub(super) is_local: bool,
    /// With TLS only.
    pub(super) is_tls: bool,
}

// === impl Cluster ===

impl Cluster {
    /// Settles where `InfluxDB` finds this server.
    pub(super) fn is_at(&self, addresses: &[Bound]) {
        let here = Here::new(&self.settings, addresses, &self.identity.host);
        if self.here.set(here).is_err() {
            tracing::debug!(cluster = self.name, "a cluster was started twice");
        }
    }

    /// Looks at the cluster until the server stops.
    pub(super) async fn keep(self: Arc<Self>, mut shutdown: Shutdown) {
        let mut backoff = Backoff::new(RETRY, self.clock.now().0 as u64);
        let mut link_at = Duration::ZERO;
        loop {
            let looked = tokio::select! {
                looked = self.look(&mut link_at) => looked,
                () = shutdown.draining() => return,
            };
            self.metrics.up.set(i64::from(looked.is_ok()));
            let wait = match looked {
                Ok(()) => {
                    self.tell(None);
                    backoff.reset();
                    LOOK_EVERY.min(link_at.saturating_sub(self.clock.monotonic()))
                }
                Err(problem) => {
                    self.tell(Some(problem));
                    link_at = Duration::ZERO;
                    backoff.next_delay().unwrap_or(RETRY.max)
                }
            };
            tokio::select! {
                () = self.clock.sleep(wait) => {}
                () = shutdown.draining() => return,
            }
        }
    }

    /// Asks whether it is there, and compares subscriptions when it is time to.
    async fn look(&self, link_at: &mut Duration) -> Result<(), String> {
        tokio::select! {
            answer = self.server.ping() => answer.map(|_| ()).map_err(|error| error.to_string())?,
            () = self.clock.sleep(PING_PATIENCE) => return Err("did not answer in time".to_owned()),
        }
        let now = self.clock.monotonic();
        if self.settings.disable_subscriptions {
            *link_at = now + LOOK_EVERY;
        } else if now >= *link_at {
            self.link().await?;
            *link_at = now + Duration::from(self.settings.subscriptions_sync_interval);
        }
        Ok(())
    }

    /// Compares subscriptions with what should be, and makes them so.
    pub(super) async fn link(&self) -> Result<(), String> {
        let linked = tokio::select! {
            linked = self.compare() => linked,
            () = self.clock.sleep(LINK_PATIENCE) => {
                self.metrics.failures.inc();
                return Err("subscriptions took too long".to_owned());
            }
        };
        match linked {
            Ok(count) => {
                self.count.store(count, Ordering::Relaxed);
                self.metrics.subscriptions.set(i64::try_from(count).unwrap_or(i64::MAX));
                Ok(())
            }
            Err(error) if error.is_unsupported() => {
                self.tell_unsupported(&error.to_string());
                Ok(())
            }
            Err(error) => {
                self.metrics.failures.inc();
                Err(format!("subscriptions: {error}"))
            }
        }
    }

    /// Ends what was asked of it: it is no longer wanted, or not for this.
    pub(super) async fn leave(&self) {
        self.metrics.up.set(0);
        self.metrics.subscriptions.set(0);
        self.links.stop().await;
        tokio::select! {
            left = self.unlink() => if let Err(error) = left {
                tracing::warn!(
                    cluster = self.name, %error,
                    "subscriptions of an InfluxDB cluster that is no longer wanted may still be there"
                );
            },
            () = self.clock.sleep(LEAVE_PATIENCE) => {
                tracing::warn!(cluster = self.name, "an InfluxDB cluster did not answer when it was left");
            }
        }
    }

    /// Says what is wrong, once per change.
    fn tell(&self, problem: Option<String>) {
        let mut known = self.problem();
        if *known == problem {
            return;
        }
        match &problem {
            Some(problem) => {
                tracing::warn!(cluster = self.name, problem, "an InfluxDB cluster does not work");
            }
            None => tracing::info!(cluster = self.name, "an InfluxDB cluster works"),
        }
        *known = problem;
    }

    fn tell_unsupported(&self, reason: &str) {
        let mut is_told = self.is_unlinkable.lock().unwrap_or_else(PoisonError::into_inner);
        if !*is_told {
            tracing::info!(
                cluster = self.name,
                reason,
                "an InfluxDB cluster has no subscriptions; have its points written to this server directly"
            );
            *is_told = true;
        }
    }

    pub(super) fn problem(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Here ===

impl Here {
    pub(super) fn new(settings: &Influxdb, addresses: &[Bound], machine: &str) -> Self {
        // An address that others reach is the one to tell them.
        let taking = || addresses.iter().filter(|bound| bound.takes_points);
        let open = taking().find(|bound| !bound.address.ip().is_loopback());
        let told = open.or(taking().next());
        let open = open.map(|bound| &bound.address);
        let host = match (&*settings.kapacitor_hostname, open) {
            ("", None) => "localhost".to_owned(),
            ("", Some(open)) if !open.ip().is_unspecified() => open.ip().to_string(),
            ("", Some(_)) => machine.to_owned(),
            (host, _) => host.trim_matches(['[', ']']).to_owned(),
        };
        let port = match settings.http_port {
            0 => told.map_or(0, |bound| bound.address.port()),
            port => port,
        };
        let is_here = ["localhost", "127.0.0.1", "::1"].contains(&&*host);
        let is_tls = told.is_some_and(|bound| bound.is_tls);
        Here { host, port, is_local: open.is_none() && is_here, is_tls }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_address_told_is_one_that_others_reach() {
        let mut settings = levada_settings::Settings::default().influxdb;
        for (listen, host, port, expected) in [
            ("127.0.0.1:9092", "", 0, "localhost:9092"),
            ("127.0.0.1:9092", "tunnel", 0, "tunnel:9092"),
            ("127.0.0.1:9092 0.0.0.0:9093", "", 0, "machine:9093"),
            ("[::1]:1 10.1.2.3:2", "", 0, "10.1.2.3:2"),
            ("[fe80::1]:2", "", 0, "fe80::1:2"),
            ("10.1.2.3:2", "proxy", 0, "proxy:2"),
            ("10.1.2.3:2", "[::7]", 80, "::7:80"),
        ] {
            settings.kapacitor_hostname = host.to_owned();
            settings.http_port = port;
            let bound = |address: &str, takes_points| {
                let address = address.parse().unwrap();
                Bound { address, is_tls: address.is_ipv4(), takes_points }
            };
            let mut addresses = vec![bound("10.9.9.9:9", false)];
            addresses.extend(listen.split(' ').map(|address| bound(address, true)));
            let here = Here::new(&settings, &addresses, "machine");
            assert_eq!(format!("{}:{}", here.host, here.port), expected, "{listen} {host}");
            assert_eq!(here.is_local, expected.starts_with("localhost"));
            assert_eq!(here.is_tls, listen != "[fe80::1]:2", "{listen}");
        }
    }
}
