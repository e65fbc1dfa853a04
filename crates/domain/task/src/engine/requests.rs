//! The requests of httpPost on their way out, and their answers on their way back.
//!
//! - Each node has a queue of its own and one request under way: a server sees the requests of a node in their order, and a
//!   slow one holds up nobody else.
//! - A queue is bounded in requests and in bytes; a request that finds it full is refused at once.
//! - Every request that was taken is answered, also when the task ends before it was sent.

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use levada_clients::http::{Post, PostRequest};
use levada_model::Str;
use levada_runtime::TaskKind;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::input::Input;
use super::side::{Closing, SideDeps};
use crate::effect::{Answer, HttpPost, NodeName};

/// Requests of one node that wait. Ours: as many items as the node lets wait for their answers.
pub const NODE_REQUESTS_MAX: usize = 1_000;
/// Bytes of their bodies. Ours.
pub const NODE_BYTES_MAX: usize = 64 << 20;
/// How long a request may take when the script does not say. Ours: upstream has no bound.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// Bytes of a refusal that are kept when the script asks for them. Ours.
pub const REFUSAL_BYTES_MAX: usize = 64 << 10;

/// What is said of requests that were not answered when the task had to end.
const NO_TIME: &str = "the task was stopped before the request was answered";

/// The bounds of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    /// Requests that wait.
    pub requests: usize,
    /// Bytes of their bodies; one request always fits into an empty queue.
    pub bytes: usize,
    /// How long a request may take when the script does not say.
    pub timeout: Duration,
}

/// What a node did, and what it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestStatistics {
    /// Requests that got a status of success.
    pub succeeded: u64,
    /// Requests that got another status.
    pub refused: u64,
    /// Requests without an answer.
    pub failed: u64,
    /// Requests that found the queue full.
    pub rejected: u64,
    /// Requests that wait, the one under way included.
    pub held: u64,
    /// Bytes of their bodies.
    pub bytes_held: u64,
}

/// The httpPost nodes of one actor.
pub struct RequestQueues {
    deps: SideDeps,
    limits: RequestLimits,
    post: Arc<dyn Post>,
    closing: Closing,
    nodes: Mutex<Vec<Option<Node>>>,
}

struct Node {
    queue: mpsc::Sender<HttpPost>,
    counters: Arc<Counters>,
    worker: JoinHandle<()>,
}

#[derive(Default)]
struct Counters {
    succeeded: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    rejected: AtomicU64,
    held: AtomicU64,
    bytes_held: AtomicU64,
}

struct Worker {
    deps: SideDeps,
    post: Arc<dyn Post>,
    closing: Closing,
    counters: Arc<Counters>,
    place: usize,
    timeout: Duration,
}

// === impl RequestLimits ===

impl Default for RequestLimits {
    fn default() -> Self {
        RequestLimits {
            requests: NODE_REQUESTS_MAX,
            bytes: NODE_BYTES_MAX,
            timeout: TIMEOUT_DEFAULT,
        }
    }
}

// === impl RequestQueues ===

impl RequestQueues {
    /// Makes the side of an actor.
    pub fn new(deps: SideDeps, limits: RequestLimits, post: Arc<dyn Post>) -> Self {
        RequestQueues { deps, limits, post, closing: Closing::new(), nodes: Mutex::default() }
    }

    /// Takes a request; never waits. The answer comes as [`Input::Answer`] with the token of the request.
    ///
    /// - Errors: the queue of the node is full, or the task is being stopped.
    pub fn request(&self, node: &NodeName, request: HttpPost) -> Result<(), Str> {
        let mut nodes = self.lock();
        if self.closing.is_closing() {
            return Err("requests are not taken any more".into());
        }
        while nodes.len() <= node.index {
            nodes.push(None);
        }
        let entry = nodes[node.index].get_or_insert_with(|| self.start(node));
        let counters = &entry.counters;
        let bytes = request.body.len() as u64;
        let held = counters.bytes_held.load(Ordering::Acquire);
        let full = if held > 0 && held.saturating_add(bytes) > self.limits.bytes as u64 {
            Some(format!("requests of {held} bytes wait already"))
        } else if counters.held.load(Ordering::Acquire) >= self.limits.requests.max(1) as u64 {
            Some(format!("{} requests wait already", self.limits.requests.max(1)))
        } else {
            // Before it is sent: the worker may be done with it before this thread goes on.
            counters.held.fetch_add(1, Ordering::AcqRel);
            counters.bytes_held.fetch_add(bytes, Ordering::AcqRel);
            match entry.queue.try_send(request) {
                Ok(()) => None,
                Err(_) => {
                    counters.release(bytes);
                    Some("the queue of requests is gone".to_owned())
                }
            }
        };
        match full {
            None => Ok(()),
            Some(text) => {
                counters.rejected.fetch_add(1, Ordering::Relaxed);
                Err(text.into())
            }
        }
    }

    /// Gives what a node did; `None` when it had no request.
    pub fn statistics(&self, place: usize) -> Option<RequestStatistics> {
        Some(self.lock().get(place)?.as_ref()?.counters.read())
    }

    /// Takes nothing more; what is not answered when `patience` is over is given up.
    pub fn close(&self, patience: Duration) {
        let until = self.deps.clock.monotonic().saturating_add(patience);
        // Under the lock: no request may come after its worker has ended.
        let _nodes = self.lock();
        self.closing.close(until);
    }

    /// Says whether all workers have ended, after [`RequestQueues::close`].
    pub fn is_done(&self) -> bool {
        self.lock().iter().flatten().all(|node| node.worker.is_finished())
    }

    /// Closes and waits for the end.
    pub async fn stop(&self, patience: Duration) {
        self.close(patience);
        let workers: Vec<_> = self.lock().iter_mut().filter_map(Option::take).collect();
        for node in workers {
            if node.worker.await.is_err() {
                tracing::warn!("a worker of requests ended before its time");
            }
        }
    }

    fn start(&self, node: &NodeName) -> Node {
        let (queue, requests) = mpsc::channel(self.limits.requests.max(1));
        let counters = Arc::new(Counters::default());
        let worker = Worker {
            deps: self.deps.clone(),
            post: Arc::clone(&self.post),
            closing: self.closing.clone(),
            counters: Arc::clone(&counters),
            place: node.index,
            timeout: self.limits.timeout,
        };
        let worker = self.deps.spawn(TaskKind::Connector, &node.name, worker.run(requests));
        Node { queue, counters, worker }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Option<Node>>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for RequestQueues {
    /// Workers that nobody waits for end at once.
    fn drop(&mut self) {
        if !self.closing.is_closing() {
            self.close(Duration::ZERO);
        }
    }
}

// === impl Counters ===

impl Counters {
    fn release(&self, bytes: u64) {
        self.held.fetch_sub(1, Ordering::AcqRel);
        self.bytes_held.fetch_sub(bytes, Ordering::AcqRel);
    }

    fn read(&self) -> RequestStatistics {
        let read = |counter: &AtomicU64| counter.load(Ordering::Acquire);
        RequestStatistics {
            succeeded: read(&self.succeeded),
            refused: read(&self.refused),
            failed: read(&self.failed),
            rejected: read(&self.rejected),
            held: read(&self.held),
            bytes_held: read(&self.bytes_held),
        }
    }
}

// === impl Worker ===

impl Worker {
    async fn run(self, mut requests: mpsc::Receiver<HttpPost>) {
        loop {
            let request = tokio::select! {
                biased;
                request = requests.recv() => request,
                // What is queued was taken before, and nothing comes after.
                () = self.closing.started() => requests.try_recv().ok(),
            };
            let Some(request) = request else { return };
            let (token, bytes) = (request.token, request.body.len() as u64);
            let answer = tokio::select! {
                biased;
                () = self.closing.expired(&*self.deps.clock) => Answer::Failed(NO_TIME.into()),
                answer = self.send(request) => answer,
            };
            self.count(&answer);
            self.counters.release(bytes);
            let input = Input::Answer { place: self.place, token, answer };
            if !self.deps.inbox.push(input) {
                tracing::trace!(place = self.place, "an answer came when the task was gone");
            }
        }
    }

    async fn send(&self, request: HttpPost) -> Answer {
        let captures = request.captures_response;
        let request = PostRequest {
            url: request.url,
            headers: request.headers,
            body: request.body,
            timeout: request.timeout.unwrap_or(self.timeout),
            answer_bytes_max: if captures { REFUSAL_BYTES_MAX } else { 0 },
        };
        match self.post.post(request).await {
            Ok(answer) => {
                let is_kept = captures && !(200..300).contains(&answer.status);
                let body = is_kept.then(|| String::from_utf8_lossy(&answer.body).into());
                Answer::Status { code: answer.status, body }
            }
            Err(error) => Answer::Failed(error.to_string().into()),
        }
    }

    fn count(&self, answer: &Answer) {
        let counter = match answer {
            Answer::Status { code: 200..300, .. } => &self.counters.succeeded,
            Answer::Status { .. } => &self.counters.refused,
            Answer::Failed(_) => &self.counters.failed,
        };
        counter.fetch_add(1, Ordering::AcqRel);
    }
}
