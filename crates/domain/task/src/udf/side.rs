//! The functions of the nodes of one actor.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use levada_codec::udf::Request;
use levada_model::Str;
use levada_runtime::{Clock, TaskKind, Tasks};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::conversation::Conversation;
use super::link::Link;
use super::{UdfStart, Udfs};
use crate::engine::side::LateInbox;
use crate::engine::{Closing, SideDeps};

/// The functions of the nodes of one actor.
///
/// - Dropping it ends them: their inputs are closed, and what does not end by itself is killed.
pub struct UdfSide {
    deps: SideDeps,
    udfs: Udfs,
    nodes: Mutex<Vec<Open>>,
}

struct Open {
    place: usize,
    link: Arc<Link>,
    closing: Closing,
    talk: JoinHandle<()>,
}

// === impl UdfSide ===

impl UdfSide {
    /// Makes the side of an actor.
    pub fn new(deps: SideDeps, udfs: Udfs) -> Self {
        UdfSide { deps, udfs, nodes: Mutex::default() }
    }

    /// Makes the side of an actor that is looked after without being woken: a replay, a dry run.
    pub fn alone(clock: Arc<dyn Clock>, tasks: Tasks, runtime: Handle, udfs: Udfs) -> Self {
        let inbox = LateInbox::new();
        UdfSide::new(SideDeps { inbox, clock, tasks, runtime }, udfs)
    }

    /// Starts the function of a node; one that the node had before is ended.
    ///
    /// - That a function cannot be opened, or refuses to start, fails the task when the node takes what it gave.
    /// - Errors: there is no such function.
    pub fn open(&self, start: UdfStart<'_>) -> Result<Arc<Link>, String> {
        let UdfStart { function, task, node, init, provides } = start;
        let config = self
            .udfs
            .config(function)
            .ok_or_else(|| format!("the function {function} is not configured"))?;
        let link = Arc::new(Link::new(config.limits, Arc::clone(&self.deps.inbox)));
        link.ask(&Request::Init(init));
        let closing = Closing::new();
        let conversation = Conversation {
            link: Arc::clone(&link),
            config: Arc::clone(config),
            clock: Arc::clone(&self.deps.clock),
            closing: closing.clone(),
            provides,
            name: function.into(),
            task: Str::clone(task),
            node: Str::clone(&node.name),
        };
        let mut nodes = self.nodes();
        for earlier in nodes.iter().filter(|open| open.place == node.index) {
            self.close_one(earlier, Duration::ZERO);
        }
        nodes.retain(|open| !open.talk.is_finished());
        let talk = self.deps.spawn(TaskKind::Connector, &node.name, conversation.run());
        nodes.push(Open { place: node.index, link: Arc::clone(&link), closing, talk });
        Ok(link)
    }

    /// Asks all functions for their states; see [`UdfSide::have_answered`].
    pub fn ask_snapshots(&self) {
        self.nodes().iter().for_each(|open| open.link.ask_snapshot());
    }

    /// Says whether all have given the states that were asked for.
    pub fn have_answered(&self) -> bool {
        self.nodes().iter().all(|open| open.link.has_answered())
    }

    /// Closes the inputs; what has not ended when `patience` is over is left to be killed.
    pub fn close(&self, patience: Duration) {
        self.nodes().iter().for_each(|open| self.close_one(open, patience));
    }

    /// Says whether all have ended, after [`UdfSide::close`].
    pub fn is_done(&self) -> bool {
        self.nodes().iter().all(|open| open.talk.is_finished())
    }

    fn close_one(&self, open: &Open, patience: Duration) {
        open.link.close();
        open.closing.close(self.deps.clock.monotonic().saturating_add(patience));
    }

    fn nodes(&self) -> MutexGuard<'_, Vec<Open>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UdfSide {
    fn drop(&mut self) {
        self.close(Duration::ZERO);
    }
}
