//! What a server knows of its own work.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

/// Knows how the work goes.
pub trait Vitals: fmt::Debug + Send + Sync + 'static {
    /// Counts what there is.
    fn counts(&self) -> Counts;

    /// Gives all statistics, without those of [`Vitals::memory`]. It may take a while: call it where that is allowed.
    fn statistics(&self) -> Vec<Statistic>;

    /// Gives what is known of the memory of the process, by Go's names.
    fn memory(&self) -> Map<String, Value>;

    /// Reads every source of sideload nodes again.
    ///
    /// - Errors: what went wrong; the sources that can be read are new then.
    fn reload_sources(&self) -> Result<(), String>;
}

/// What there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Tasks.
    pub tasks: u64,
    /// Tasks that run.
    pub enabled_tasks: u64,
    /// Subscriptions at databases.
    pub subscriptions: u64,
}

/// Numbers of one thing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Statistic {
    /// The kind of thing: the measurement of its points.
    pub name: &'static str,
    /// Which one.
    pub tags: BTreeMap<&'static str, String>,
    /// The numbers.
    pub values: Map<String, Value>,
}
