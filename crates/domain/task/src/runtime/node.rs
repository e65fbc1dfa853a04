//! What a node does with the items that reach it.

use std::sync::Arc;

use levada_model::{BatchRef, Group, Point, Timestamp};
use thiserror::Error;

use super::context::Context;
use super::out::Out;
use super::state::{Reader, StateError, Writer};
use crate::udf::Patience;

/// The end of a task: what a node could not go on after.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{node}: {text}")]
pub struct Failure {
    /// The node, e.g. `combine2`.
    pub node: String,
    /// Why.
    pub text: String,
}

/// How a step of a node ends.
///
/// Trouble with one item is reported through [`Out::error`] and is not a failure.
pub type Step = Result<(), Box<Failure>>;

/// A promise that no data of the group older than `time` follow.
#[derive(Clone, Debug)]
pub struct Barrier {
    /// Whose data.
    pub group: Arc<Group>,
    /// Older than this.
    pub time: Timestamp,
}

/// A node of a running task.
///
/// - Calls come one after another, on whichever thread runs the task.
/// - `input` is the place of the parent that sent the item: 0 but for join and union.
/// - A node gives items to [`Out`], which pushes them through the children before it returns.
pub trait Node: Send {
    /// Takes a point, on stream edges.
    fn point(&mut self, input: usize, point: &Point, group: &Arc<Group>, out: &mut Out<'_>)
    -> Step;

    /// Takes a batch, on batch edges.
    fn batch(&mut self, input: usize, batch: BatchRef<'_>, out: &mut Out<'_>) -> Step;

    /// Says whether the node can take the points of a window as they come instead of a batch when it closes.
    fn folds(&self) -> bool {
        false
    }

    /// Is told, before the first item, that the only child folds: points go to [`Out::fold`], the end of a window to
    /// [`Out::close`].
    fn fuse(&mut self) {}

    /// Takes a point of a window that has not closed; `is_first` begins the window anew.
    ///
    /// - Only for a node that folds; problems are kept until the window closes.
    fn fold(&mut self, _point: &Point, _group: &Arc<Group>, _is_first: bool, _ctx: &mut Context) {}

    /// Takes the end of a window whose points were folded: as if `batch` with those points had come.
    ///
    /// - `is_empty` says that no point was folded since the window before.
    fn close(&mut self, _batch: BatchRef<'_>, _is_empty: bool, _out: &mut Out<'_>) -> Step {
        Ok(())
    }

    /// Takes a barrier.
    fn barrier(&mut self, _input: usize, barrier: &Barrier, out: &mut Out<'_>) -> Step {
        out.barrier(barrier)
    }

    /// Forgets a group: all state of its slot goes away, for the slot will be used by another group.
    fn delete(&mut self, _input: usize, group: &Arc<Group>, out: &mut Out<'_>) -> Step {
        self.forget(group.slot);
        out.delete(group)
    }

    /// Drops the state of a slot.
    fn forget(&mut self, slot: u32);

    /// Starts the node, before the first item: sets timers that do not wait for data.
    fn begin(&mut self, _out: &mut Out<'_>) -> Step {
        Ok(())
    }

    /// Goes on after saved state was taken over: sets the timers that the state calls for.
    fn restored(&mut self, _out: &mut Out<'_>) {}

    /// Takes the end of all input: gives what upstream gives when its parents close.
    ///
    /// - Parents end before their children.
    fn finish(&mut self, _out: &mut Out<'_>) -> Step {
        Ok(())
    }

    /// Takes a watermark, when the task has them on: no data older than `time` follow, of any group.
    ///
    /// - Gives what it holds for older times; the graph hands the watermark on to the children.
    fn watermark(&mut self, _time: Timestamp, _out: &mut Out<'_>) -> Step {
        Ok(())
    }

    /// Takes a timer that the node set through [`super::Context::set_timer`]; one that is out of date is ignored.
    fn timer(&mut self, _token: u64, _now: Timestamp, _out: &mut Out<'_>) -> Step {
        Ok(())
    }

    /// Takes the answer to a request that the node made through effects.
    fn answer(&mut self, _token: u64, _answer: crate::effect::Answer, _out: &mut Out<'_>) -> Step {
        Ok(())
    }

    /// Says whether something outside gives the node items that no input led to.
    fn runs_outside(&self) -> bool {
        false
    }

    /// Says whether the task is to take no more until what is outside has caught up; it is woken then.
    fn is_congested(&self) -> bool {
        false
    }

    /// Gives some of what has come from outside; `true` when it gave something.
    fn collect(&mut self, _out: &mut Out<'_>) -> Result<bool, Box<Failure>> {
        Ok(false)
    }

    /// Waits until what is outside has worked on what it was given, and has given its state; before the last save.
    fn settle(&mut self, _patience: &Patience, _out: &mut Out<'_>) -> Step {
        Ok(())
    }

    /// Reads again what it took from outside when it was made: a sideload node does.
    ///
    /// - After an error the node goes on with what it has.
    fn reload(&mut self, _services: &dyn super::Services) -> Result<(), String> {
        Ok(())
    }

    /// Names the node whose counts this one reports: a stats node does.
    fn watches(&self) -> Option<usize> {
        None
    }

    /// Takes the points that the watched node gave to its first child so far, per group, before a timer.
    fn take_counts(&mut self, _counts: Vec<(Arc<Group>, u64)>) {}

    /// Counts the groups that have state here (`working_cardinality`).
    fn cardinality(&self) -> usize;

    /// Counts the points held back here.
    fn buffered(&self) -> usize {
        0
    }

    /// Gives the statistics beyond those of every node, in key order.
    fn statistics(&self) -> Vec<(&'static str, i64)> {
        Vec::new()
    }

    /// Gives what httpOut serves; nothing for other nodes.
    fn served(&self) -> Option<Served> {
        None
    }

    /// Appends all state; a restored node goes on as if nothing had happened.
    fn save(&self, writer: &mut Writer<'_>);

    /// Takes over saved state; the node is new.
    fn load(&mut self, reader: &mut Reader<'_>) -> Result<(), StateError>;
}

/// What an httpOut node serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// The end of the path.
    pub endpoint: String,
    /// `{"series":…}`, or why there is none.
    pub body: Result<Vec<u8>, String>,
}
