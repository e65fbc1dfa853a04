//! Functions that run outside: other programs that take the points or batches of a node and give others.
//!
//! ```text
//! settings ─▶ Udfs ─ ask: info ─▶ Function (edges, options) ─▶ scripts that call `@name()`
//!
//! node ─ frames ─▶ Link (bounded) ─▶ Conversation ─▶ program or socket
//!   ▲                │  ▲                │
//!   └── its turn ◀── wake └── points ◀───┘
//! ```
//!
//! - A node never waits for its function while the task runs: it hands over bytes and takes what has come when the task has
//!   its turn. A function that is slow makes its task take less from its queue, and no other task; one that hangs ends its
//!   task when it has not said anything for its timeout.
//! - What waits is bounded in both directions, in points and in bytes.
//! - Each node has a program, or a connection, of its own. It ends with the node: its input is closed, and it is killed when
//!   it does not end by itself.
//! - The state of a function is asked for with each checkpoint and given back when the node starts again.
//!
//! Source: kapacitor reference §5.26.

mod ask;
mod conversation;
mod convert;
mod link;
mod reading;
mod side;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

pub use levada_clients::udf::Agent;
use levada_codec::udf::Init;
use levada_model::Str;

use crate::effect::NodeName;
use crate::nodes::udf::Function;

pub use link::{Given, Link, Patience, UdfStatistics, Waited};
pub use side::UdfSide;

pub(crate) use convert::{option_value, wire_batch, wire_point};

/// How long a function may say nothing, unless the settings say otherwise. Source: kapacitor: the sample configuration.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// A timeout must be longer. Source: kapacitor reference §5.26.
pub const TIMEOUT_MIN: Duration = Duration::from_millis(1);
/// Bytes of one message. Ours.
pub const FRAME_BYTES_DEFAULT: usize = 64 << 20;
/// Points that wait in one direction. Ours: half of what a task takes in.
pub const QUEUE_POINTS_DEFAULT: usize = 50_000;
/// Bytes that wait in one direction. Ours.
pub const QUEUE_BYTES_DEFAULT: usize = 64 << 20;

/// How a function is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdfConfig {
    /// Where it is.
    pub agent: Agent,
    /// How long it may say nothing.
    pub timeout: Duration,
    /// Its bounds.
    pub limits: UdfLimits,
}

/// The bounds of one node with a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdfLimits {
    /// Bytes of one message that it sends.
    pub frame_bytes: usize,
    /// Points that wait in each direction; the task takes no more while so many wait.
    pub queue_points: usize,
    /// Bytes that wait in each direction.
    pub queue_bytes: usize,
}

/// What a function is started with for a node.
#[derive(Debug)]
pub struct UdfStart<'s> {
    /// The function.
    pub function: &'s str,
    /// The task.
    pub task: &'s Str,
    /// The node.
    pub node: &'s NodeName,
    /// What the node says first.
    pub init: Init,
    /// What it gives.
    pub provides: crate::spec::Edge,
}

/// The functions of the settings, and what they have announced; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Udfs(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    configs: BTreeMap<String, Arc<UdfConfig>>,
    known: RwLock<BTreeMap<String, Known>>,
}

/// What a function has announced, or why it has not.
type Known = Result<Function, Str>;

/// What is said of a function that was not asked yet.
const NOT_ASKED: &str = "it has not said yet what it is";

// === impl UdfLimits ===

impl Default for UdfLimits {
    fn default() -> Self {
        UdfLimits {
            frame_bytes: FRAME_BYTES_DEFAULT,
            queue_points: QUEUE_POINTS_DEFAULT,
            queue_bytes: QUEUE_BYTES_DEFAULT,
        }
    }
}

// === impl UdfConfig ===

impl UdfConfig {
    /// Checks what the original checks; the text is its own where it has one.
    pub fn check(&self) -> Result<(), String> {
        if self.timeout <= TIMEOUT_MIN {
            let nanos = i64::try_from(self.timeout.as_nanos()).unwrap_or(i64::MAX);
            let timeout = levada_template::go::duration::text(nanos);
            return Err(format!("timeout is too small: {timeout}"));
        }
        match &self.agent {
            Agent::Program { program, .. } if program.is_empty() => {
                Err("must set either prog or socket".to_owned())
            }
            Agent::Socket(path) if path.as_os_str().is_empty() => {
                Err("must set either prog or socket".to_owned())
            }
            _ => Ok(()),
        }
    }
}

// === impl Udfs ===

impl Udfs {
    /// Takes the functions of the settings; what they are is not known before they have been asked.
    pub fn new(configs: BTreeMap<String, UdfConfig>) -> Self {
        let known = configs.keys().map(|name| (name.clone(), Err(NOT_ASKED.into()))).collect();
        let configs = configs.into_iter().map(|(name, config)| (name, Arc::new(config))).collect();
        Udfs(Arc::new(Inner { configs, known: RwLock::new(known) }))
    }

    /// Says whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.known.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Gives all functions, and why some cannot be used.
    pub fn known(&self) -> BTreeMap<String, Result<Function, Str>> {
        self.0.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn config(&self, name: &str) -> Option<&Arc<UdfConfig>> {
        self.0.configs.get(name)
    }

    fn note(&self, name: &str, known: Known) {
        let mut all = self.0.known.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(name.to_owned(), known);
    }
}

/// Functions that are known and cannot be run.
impl From<BTreeMap<String, Function>> for Udfs {
    fn from(known: BTreeMap<String, Function>) -> Self {
        let known = known.into_iter().map(|(name, function)| (name, Ok(function))).collect();
        Udfs(Arc::new(Inner { configs: BTreeMap::new(), known: RwLock::new(known) }))
    }
}
