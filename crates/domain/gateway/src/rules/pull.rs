//! Answers of `GET /v1/datakit/pull`: which points a centre wants dropped.

use std::time::Duration;

use levada_model::Category;
use serde::Deserialize;
use thiserror::Error;

/// What a pull gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pulled {
    /// The drop filters.
    pub filters: Vec<(Category, Vec<String>)>,
    /// How long to wait until the next pull, if the answer says so.
    pub interval: Option<Duration>,
    /// Categories that are not known here; their filters are not in effect.
    pub unknown: Vec<String>,
}

/// An answer that says nothing.
#[derive(Debug, Error)]
#[error("the answer to the pull is not understood")]
pub struct PullError(#[source] serde_json::Error);

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    filters: Option<serde_json::Map<String, serde_json::Value>>,
    /// Nanoseconds.
    #[serde(default)]
    pull_interval: Option<i64>,
}

/// The shortest time between two pulls that is believed.
const INTERVAL_MIN: Duration = Duration::from_millis(1);
/// The longest.
const INTERVAL_MAX: Duration = Duration::from_secs(86_400);

/// Reads an answer.
pub fn read_pull(body: &[u8]) -> Result<Pulled, PullError> {
    let answer: Answer = serde_json::from_slice(body).map_err(PullError)?;
    let mut pulled = Pulled::default();
    for (name, filters) in answer.filters.unwrap_or_default() {
        let filters: Option<Vec<String>> = serde_json::from_value(filters).map_err(PullError)?;
        let filters = filters.unwrap_or_default();
        match Category::of_name(&name) {
            Some(category) if category != Category::Unknown => {
                pulled.filters.push((category, filters));
            }
            _ => pulled.unknown.push(name),
        }
    }
    pulled.interval = answer
        .pull_interval
        .and_then(|nanos| u64::try_from(nanos).ok())
        .filter(|nanos| *nanos > 0)
        .map(|nanos| Duration::from_nanos(nanos).clamp(INTERVAL_MIN, INTERVAL_MAX));
    Ok(pulled)
}
