//! Pulls drop filters from a centre.
//!
//! A pull that fails, or brings filters that are wrong, changes nothing and is tried again at the next turn, also when the
//! answer is the same then (B29).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use levada_clients::ClientError;
use levada_clients::dataway::{Dataway, Endpoint};
use levada_runtime::{Clock, Shutdown};

use crate::gateway::Gateway;
use crate::metrics::HeadMetrics;
use crate::rules::{FilterSource, PullError, RulesError, read_pull};

/// How often is pulled until an answer says otherwise. Source: dataway reference §4.13.
pub const INTERVAL: Duration = Duration::from_secs(30);

/// Pulls drop filters for a gateway.
pub struct Puller {
    client: Dataway,
    endpoint: Endpoint,
    gateway: Arc<Gateway>,
    clock: Arc<dyn Clock>,
    stats: PullStats,
    watch: Option<Arc<HeadMetrics>>,
}

/// What a puller has done.
#[derive(Debug, Default)]
pub struct PullStats {
    /// Pulls that were answered.
    pub answered: AtomicU64,
    /// Pulls that failed, or brought what is not understood.
    pub failed: AtomicU64,
    /// Times that new filters took effect.
    pub updated: AtomicU64,
}

/// Why a pull changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum PullFailure {
    /// No answer that is a success.
    #[error("datakitPull failed")]
    Client(#[from] ClientError),
    /// An answer that says nothing.
    #[error(transparent)]
    Answer(#[from] PullError),
    /// Filters that are wrong.
    #[error("the filters of the pull are wrong")]
    Rules(#[from] RulesError),
}

// === impl Puller ===

impl Puller {
    /// Makes one.
    pub fn new(
        client: Dataway,
        endpoint: Endpoint,
        gateway: Arc<Gateway>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Puller { client, endpoint, gateway, clock, stats: PullStats::default(), watch: None }
    }

    /// Lets pulls be counted.
    #[must_use]
    pub fn watched(self, watch: Arc<HeadMetrics>) -> Self {
        Puller { watch: Some(watch), ..self }
    }

    /// Gives what it has done.
    pub fn stats(&self) -> &PullStats {
        &self.stats
    }

    /// Pulls until the shutdown begins.
    pub async fn run(&self, mut shutdown: Shutdown) {
        let (mut interval, mut known) = (INTERVAL, None);
        loop {
            tokio::select! {
                biased;
                () = shutdown.draining() => return,
                pulled = self.pull(&mut known) => match pulled {
                    Ok(next) => interval = next.unwrap_or(interval),
                    Err(error) => {
                        self.stats.failed.fetch_add(1, Ordering::Relaxed);
                        let cause = std::error::Error::source(&error).map(ToString::to_string);
                        tracing::warn!(%error, cause, "filters stay as they are");
                    }
                },
            }
            tokio::select! {
                biased;
                () = shutdown.draining() => return,
                () = self.clock.sleep(interval) => {}
            }
        }
    }

    /// Pulls once; `known` is the answer that is in effect. Gives the interval that the answer asks for.
    pub async fn pull(&self, known: &mut Option<Bytes>) -> Result<Option<Duration>, PullFailure> {
        let (started, before) =
            (self.clock.monotonic(), self.stats.updated.load(Ordering::Relaxed));
        let pulled = self.pull_once(known).await;
        if let Some(watch) = &self.watch {
            let is_done = !matches!(pulled, Err(PullFailure::Client(_)));
            watch.pulled(self.clock.monotonic().saturating_sub(started), is_done);
            if let Err(PullFailure::Rules(error)) = &pulled {
                watch.filters_refused(&error.to_string(), "pull", self.clock.now());
            }
            if self.stats.updated.load(Ordering::Relaxed) > before {
                watch.filters_changed(self.clock.now());
            }
        }
        pulled
    }

    async fn pull_once(&self, known: &mut Option<Bytes>) -> Result<Option<Duration>, PullFailure> {
        let answer =
            self.client.get(&self.endpoint, "/v1/datakit/pull", &[("filters", "true")]).await?;
        self.stats.answered.fetch_add(1, Ordering::Relaxed);
        let pulled = read_pull(&answer)?;
        if known.as_ref() == Some(&answer) {
            return Ok(pulled.interval);
        }
        for category in &pulled.unknown {
            tracing::warn!(category, "filters of a category that is not known");
        }
        if self.gateway.drop_filters_replace(pulled.filters, FilterSource::Remote)? {
            self.stats.updated.fetch_add(1, Ordering::Relaxed);
        }
        *known = Some(answer);
        Ok(pulled.interval)
    }
}
