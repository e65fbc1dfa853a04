//! Changes where a flow goes on, in every place that keeps a position: the checkpoint, the sink of a flow
//! that delivers exactly once, and what the source's outside keeps (a consumer group).

use std::collections::BTreeMap;
use std::sync::Arc;

use levada_connectors::Links;
use levada_model::{ErrorKind, Position, Str, with_causes};
use levada_runtime::TaskKind;
use levada_store::{Checkpoint, CheckpointStore, StoreError};
use tracing::info;

use super::built::{Built, Planned};
use super::committer::{SOURCE, store_error};
use super::limits::Limits;
use super::processor::{Deps, flow_name, panicked};
use super::report::FlowError;
use crate::spec::Flow;

/// What was changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Rewound {
    /// Where the flow stood: the sink's positions where it keeps them, else the checkpoint's.
    pub before: BTreeMap<Str, Position>,
    /// Where it goes on now; what is missing starts as the source's settings say.
    pub after: BTreeMap<Str, Position>,
    /// The places that were changed: `checkpoint`, `source`, `sink`.
    pub places: Vec<&'static str>,
}

/// Makes a flow that does not run go on somewhere else.
///
/// `to`: positions of some partitions, the others stay; nothing: all positions are forgotten.
///
/// Errors: the flow runs, or one of the places cannot be reached. What was changed until then stays so;
/// calling again is safe.
pub async fn rewind(
    flow: &Flow,
    to: Option<&[(Str, Position)]>,
    limits: &Limits,
    deps: &Deps,
) -> Result<Rewound, FlowError> {
    let name = flow_name(flow);
    let Built { mut source, sinks, delivery, .. } =
        Built::new(flow, None, limits, deps, true, Links::default())?;
    let store = deps.store.as_ref().ok_or_else(|| failed("checkpoint", "none is kept".into()))?;
    let of = name.clone();
    let open = move |store: &dyn CheckpointStore| Ok((store.acquire(&of)?, store.load(&of)?));
    let (lease, loaded) = in_store(deps, store, open).await?;
    let mut places = Vec::new();
    let mut before = BTreeMap::new();
    if let Some(loaded) = loaded {
        let positions = loaded.checkpoint.sources.get(SOURCE).cloned().unwrap_or_default();
        before.extend(positions.into_iter().map(|(name, at)| (Str::from(name), at)));
    }
    let mut kept = None;
    if !matches!(delivery, Planned::AtLeastOnce)
        && let Some(main) = sinks.into_iter().next()
    {
        let mut sink = main.0.sink;
        let error = |error| failed("sink", with_causes(&error));
        sink.open().await.map_err(error)?;
        if let Some(transactional) = sink.transactional() {
            // A sink that may not keep positions has none to change.
            if let Ok(stored) = transactional.stored().await {
                before.extend(stored);
                kept = Some(sink);
            }
        }
    }
    let after: BTreeMap<Str, Position> = match to {
        None => BTreeMap::new(),
        Some(to) => before.clone().into_iter().chain(to.iter().cloned()).collect(),
    };
    let all: Vec<(Str, Position)> = after.clone().into_iter().collect();

    // The sink's positions count for more than the checkpoint's, so they are changed first.
    if let Some(mut sink) = kept
        && let Some(transactional) = sink.transactional()
    {
        transactional.rewind(&all).await.map_err(|error| failed("sink", with_causes(&error)))?;
        places.push("sink");
    }
    let error = |error| failed("source", with_causes(&error));
    if source.rewind(to.unwrap_or_default()).await.map_err(error)? {
        places.push("source");
    }
    let now = deps.clock.now().0;
    let (of, positions) = (name.clone(), after.clone());
    let save = move |store: &dyn CheckpointStore| {
        store.reset(&of)?;
        if !positions.is_empty() {
            let mut checkpoint = Checkpoint::new(&of, lease.epoch(), now);
            for (partition, position) in positions {
                checkpoint.set_position(SOURCE, &partition, position);
            }
            store.save(&of, &checkpoint)?;
        }
        // Given back here: that talks to the store too.
        drop(lease);
        Ok(())
    };
    in_store(deps, store, save).await?;
    places.push("checkpoint");
    info!(flow = name, ?before, ?after, "positions were changed by command");
    Ok(Rewound { before, after, places })
}

/// Runs what keeps its caller waiting, such as a store in a database, on a thread of its own.
async fn in_store<T: Send + 'static>(
    deps: &Deps,
    store: &Arc<dyn CheckpointStore>,
    work: impl FnOnce(&dyn CheckpointStore) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, FlowError> {
    let store = store.clone();
    let done = deps.tasks.spawn_thread(TaskKind::Commit, "store", move || work(&*store));
    done.await.map_err(|error| panicked("checkpoint", &error))?.map_err(store_error)
}

fn failed(stage: &str, message: String) -> FlowError {
    FlowError::Stage { stage: stage.to_owned(), message, kind: ErrorKind::Unavailable }
}
