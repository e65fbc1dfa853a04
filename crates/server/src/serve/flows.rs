//! The flows of a server.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use levada_api::Health;
use levada_runtime::{Shutdown, TaskKind};
use tokio::task::JoinHandle;

use crate::flows::{Host, Job};
use crate::tasks::TaskHost;

/// The flows of a server: one that fails stops alone, and health names it.
pub(super) struct Flows(Vec<JoinHandle<()>>);

/// Why flows do not run any more, by their names.
type Failed = Arc<Mutex<BTreeMap<String, String>>>;

// === impl Flows ===

impl Flows {
    pub(super) fn start(
        jobs: Vec<Job>,
        host: &Host,
        tasks: &TaskHost,
        health: &Health,
        shutdown: &Shutdown,
    ) -> Self {
        let failed = Failed::default();
        if !jobs.is_empty() {
            let failed = Arc::clone(&failed);
            health.add("flows", move || look_at(&failed));
        }
        let start = |job: Job| {
            job.links.put(tasks.targets());
            let name = format!("{}/{}", job.flow.object.namespace, job.flow.object.name);
            let (host, shutdown, failed) = (host.clone(), shutdown.clone(), Arc::clone(&failed));
            let spawner = host.tasks.clone();
            spawner.spawn(TaskKind::Source, &format!("flow {name}"), async move {
                for outcome in host.run(vec![job], &shutdown).await {
                    let counts = &outcome.summary.counts;
                    let (records_in, records_out) = (counts.records_in, counts.records_out);
                    match outcome.error {
                        None => {
                            tracing::info!(flow = name, records_in, records_out, "a flow has ended");
                        }
                        Some(error) => {
                            tracing::error!(flow = name, records_in, records_out, %error, "a flow has failed");
                            let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                            failed.insert(name.clone(), error.to_string());
                        }
                    }
                }
            })
        };
        Flows(jobs.into_iter().map(start).collect())
    }

    /// Waits until all have finished what was under way; they have been told by the shutdown.
    pub(super) async fn stop(self) {
        for flow in self.0 {
            if let Err(error) = flow.await {
                tracing::warn!(%error, "a flow ended unexpectedly");
            }
        }
    }
}

fn look_at(failed: &Failed) -> Option<String> {
    let failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
    let (name, error) = failed.first_key_value()?;
    Some(format!("{} do not run, e.g. `{name}`: {error}", failed.len()))
}
