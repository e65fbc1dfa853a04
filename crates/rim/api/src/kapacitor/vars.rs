//! `debug/vars` and `sideload/reload`. Source: reference (server) §1.3, §7.6.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::{Method, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use uuid::{Builder, Uuid};

use crate::answer::Answer;
use crate::api::Api;
use crate::error::ApiError;
use crate::router::Route;
use crate::vitals::Statistic;

pub(super) const ROUTES: &[Route] = &[
    Route::new(Method::GET, "/kapacitor/v1/debug/vars", |api, _| Box::pin(vars(api))),
    Route::new(Method::POST, "/kapacitor/v1/sideload/reload", |api, _| Box::pin(reload(api))),
];

/// The keys are sorted, as upstream's.
#[derive(Serialize)]
struct Vars<'a> {
    cluster_id: &'a str,
    /// Differs: arguments are left out, they may be secrets.
    cmdline: [&'static str; 1],
    host: &'a str,
    kapacitor: BTreeMap<String, Statistic>,
    memstats: Map<String, Value>,
    num_enabled_tasks: u64,
    num_subscriptions: u64,
    num_tasks: u64,
    platform: &'static str,
    product: &'static str,
    server_id: &'a str,
    version: &'a str,
}

async fn vars(api: Arc<Api>) -> Result<Answer, ApiError> {
    let (counts, statistics, memory) = tokio::task::block_in_place(|| {
        (api.vitals.counts(), api.vitals.statistics(), api.vitals.memory())
    });
    let statistics = statistics.into_iter().filter(|statistic| !statistic.values.is_empty());
    let vars = Vars {
        cluster_id: &api.identity.cluster_id,
        cmdline: ["kapacitord"],
        host: &api.identity.host,
        kapacitor: statistics.map(|statistic| (key(&statistic).to_string(), statistic)).collect(),
        memstats: memory,
        num_enabled_tasks: counts.enabled_tasks,
        num_subscriptions: counts.subscriptions,
        num_tasks: counts.tasks,
        platform: "OSS",
        product: "kapacitor",
        server_id: &api.identity.server_id,
        version: &api.identity.kapacitor_version,
    };
    Ok(Answer::json(StatusCode::OK, &vars))
}

/// Gives the key of a statistic: the same thing has the same one every time, also after a restart.
fn key(statistic: &Statistic) -> Uuid {
    let mut hash = Sha256::new();
    hash.update(statistic.name);
    for (name, value) in &statistic.tags {
        // A zero byte is in no name.
        hash.update([0]);
        hash.update(name);
        hash.update([0]);
        hash.update(value);
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    Builder::from_random_bytes(bytes).into_uuid()
}

async fn reload(api: Arc<Api>) -> Result<Answer, ApiError> {
    tokio::task::block_in_place(|| api.vitals.reload_sources()).map_err(ApiError::internal)?;
    Ok(Answer::empty(StatusCode::NO_CONTENT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tell_statistics_apart() {
        let statistic = |name, tags: &[(&'static str, &str)]| Statistic {
            name,
            tags: tags.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
            values: Map::new(),
        };
        let all = [
            statistic("nodes", &[]),
            statistic("edges", &[]),
            statistic("nodes", &[("task", "a")]),
            statistic("nodes", &[("task", "a"), ("node", "b")]),
        ];
        let keys: std::collections::BTreeSet<Uuid> = all.iter().map(key).collect();
        assert_eq!(keys.len(), all.len());
        assert_eq!(key(&all[0]), key(&all[0].clone()));
    }
}
