//! What nodes share while they run, and what they get when they are made.

use std::sync::Arc;

use levada_model::{Group, GroupKey, Str, Timestamp};
use levada_tick::lambda::Env;

use super::groups::Groups;
use super::services::Services;
use super::timers::Timers;
use crate::effect::{Effects, NodeName};

/// Bounds of one task.
///
/// - Source of the defaults: what keeps a task within a few hundred megabytes.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Groups at one time.
    pub groups: usize,
    /// Points held back in all nodes together.
    pub buffered_points: usize,
    /// Nanoseconds after which a group without data is forgotten; 0 means never.
    pub group_ttl: i64,
}

/// Switches that bring back what upstream does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compat {
    /// `compat = "1.8"`: rows U-1, U-2, U-3, U-6, U-16, U-19, U-21, U-34 of the register as upstream has them.
    pub is_1_8: bool,
}

/// What the nodes of a task share.
pub struct Context {
    /// The groups.
    pub groups: Groups,
    /// The time on the task's clock.
    pub now: Timestamp,
    /// Where effects go.
    pub effects: Box<dyn Effects>,
    /// Timers that nodes have set.
    pub timers: Timers,
    /// Bounds.
    pub limits: Limits,
    /// The name of the task.
    pub task: Str,
    /// Points held back in nodes, as the nodes say through [`Context::hold`].
    pub held: usize,
    /// Points refused because too many are held back.
    pub refused_points: u64,
    /// Time zone and clock for lambdas.
    pub env: Env,
    /// Measures how long nodes take; nothing when nobody wants to know.
    pub meter: Option<Meter>,
    /// How long the end may wait for what runs outside.
    pub patience: crate::udf::Patience,
}

/// Measures how long nodes take, for one item out of many.
pub struct Meter {
    /// The clock.
    pub clock: Arc<dyn levada_runtime::Clock>,
    /// The item at hand is measured.
    pub is_on: bool,
    /// Nanoseconds spent in the nodes behind the one at hand.
    pub behind: u64,
}

/// What a node gets when it is made.
pub struct StartContext<'c> {
    /// Who it is.
    pub node: NodeName,
    /// The task.
    pub task: Str,
    /// What travels to it.
    pub wants: crate::spec::Edge,
    /// How many parents it has.
    pub parents: usize,
    /// The databases and retention policies of the task.
    pub dbrps: &'c [(Str, Str)],
    /// What is configured around tasks.
    pub services: &'c dyn Services,
    /// Bounds.
    pub limits: &'c Limits,
    /// Switches.
    pub compat: Compat,
    /// The place of the node that a stats node watches.
    pub watched: Option<usize>,
    /// A seed for functions that draw random numbers.
    pub seed: u64,
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Limits { groups: 1_000_000, buffered_points: 10_000_000, group_ttl: 0 }
    }
}

// === impl Context ===

impl Context {
    /// Says whether the item at hand is measured.
    #[inline]
    pub fn is_measuring(&self) -> bool {
        self.meter.as_ref().is_some_and(|meter| meter.is_on)
    }

    /// Interns a group; `None` when there are too many, which is counted.
    pub fn group(&mut self, key: GroupKey) -> Option<Arc<Group>> {
        self.groups.intern(key)
    }

    /// Asks for [`super::Node::timer`] at `at`; the node ignores one that is out of date.
    pub fn set_timer(&mut self, node: usize, token: u64, at: Timestamp) {
        self.timers.set(node, token, at);
    }

    /// Counts `count` more points as held back; `false` when the bound is reached and they must not be.
    pub fn hold(&mut self, count: usize) -> bool {
        if self.held + count > self.limits.buffered_points {
            self.refused_points += count as u64;
            return false;
        }
        self.held += count;
        true
    }

    /// Counts points as no longer held back.
    pub fn let_go(&mut self, count: usize) {
        self.held = self.held.saturating_sub(count);
    }
}
