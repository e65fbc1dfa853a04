//! Stand-ins for tests of side actors.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use levada_clients::ClientError;
use levada_clients::influxdb::{FluxQuery, InfluxDb, Query, WriteTarget};
use levada_model::{ErrorKind, Timestamp};
use levada_runtime::{Tasks, VirtualClock};
use tokio::sync::Semaphore;

use super::SideDeps;
use crate::engine::input::{Inbox, Input};

/// Keeps what comes.
pub(crate) struct Kept {
    pub(crate) inputs: Mutex<Vec<Input>>,
    pub(crate) is_full: AtomicBool,
}

/// A server in this process: answers in turn, then with success.
pub(crate) struct FakeInflux {
    pub(crate) writes: Mutex<Vec<(WriteTarget, String)>>,
    pub(crate) queries: Mutex<Vec<String>>,
    pub(crate) answers: Mutex<VecDeque<Result<String, ClientError>>>,
    pub(crate) created: Mutex<Vec<(String, String)>>,
    /// Every call takes a permit; there are plenty unless a test takes them away.
    pub(crate) gate: Semaphore,
    /// Calls that were begun and not dropped.
    pub(crate) under_way: Arc<()>,
}

pub(crate) fn deps() -> (SideDeps, Arc<Kept>, Arc<VirtualClock>) {
    deps_at(Timestamp(1_000_000_000_000))
}

pub(crate) fn deps_at(now: Timestamp) -> (SideDeps, Arc<Kept>, Arc<VirtualClock>) {
    let kept = Arc::new(Kept { inputs: Mutex::default(), is_full: AtomicBool::new(false) });
    let clock = VirtualClock::new(now);
    let deps = SideDeps::new(kept.clone(), clock.clone(), Tasks::new());
    (deps, kept, clock)
}

/// Waits until a condition holds; fails when it takes too long.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..2_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("{what}: not within two seconds");
}

/// Gives everything that can run the time to do so.
pub(crate) async fn settle() {
    tokio::time::sleep(Duration::from_millis(15)).await;
}

pub(crate) fn refused(status: u16, text: &str) -> Result<String, ClientError> {
    Err(ClientError::answered(status, text))
}

pub(crate) fn unreachable() -> Result<String, ClientError> {
    Err(ClientError::new(ErrorKind::Unavailable, "nobody there"))
}

// === impl Kept ===

impl Kept {
    pub(crate) fn take(&self) -> Vec<Input> {
        std::mem::take(&mut self.inputs.lock().unwrap())
    }

    pub(crate) fn len(&self) -> usize {
        self.inputs.lock().unwrap().len()
    }

    pub(crate) async fn count(&self, count: usize) {
        until(&format!("{count} inputs"), || self.len() >= count).await;
    }
}

impl Inbox for Kept {
    fn push(&self, input: Input) -> bool {
        if self.is_full.load(Ordering::SeqCst) && matches!(input, Input::Batches { .. }) {
            return false;
        }
        self.inputs.lock().unwrap().push(input);
        true
    }

    fn is_open(&self) -> bool {
        true
    }
}

// === impl FakeInflux ===

impl FakeInflux {
    pub(crate) fn new(answers: Vec<Result<String, ClientError>>) -> Arc<Self> {
        Arc::new(FakeInflux {
            writes: Mutex::default(),
            queries: Mutex::default(),
            answers: Mutex::new(answers.into()),
            created: Mutex::default(),
            gate: Semaphore::new(1_000_000),
            under_way: Arc::new(()),
        })
    }

    /// Calls wait from now on.
    pub(crate) fn shut(&self) {
        self.gate.forget_permits(1_000_000);
    }

    pub(crate) fn writes(&self) -> Vec<(WriteTarget, String)> {
        self.writes.lock().unwrap().clone()
    }

    pub(crate) fn queries(&self) -> Vec<String> {
        self.queries.lock().unwrap().clone()
    }

    pub(crate) fn under_way(&self) -> usize {
        Arc::strong_count(&self.under_way) - 1
    }

    async fn answer(&self) -> Result<String, ClientError> {
        let _here = self.under_way.clone();
        self.gate.acquire().await.unwrap().forget();
        self.answers.lock().unwrap().pop_front().unwrap_or_else(|| Ok(String::new()))
    }
}

#[async_trait]
impl InfluxDb for FakeInflux {
    async fn ping(&self) -> Result<String, ClientError> {
        self.answer().await
    }

    async fn query(&self, query: &Query) -> Result<String, ClientError> {
        self.queries.lock().unwrap().push(query.text.clone());
        self.answer().await
    }

    async fn flux(&self, query: &FluxQuery) -> Result<String, ClientError> {
        let asked = format!("{}|{}|{}", query.now.rfc3339_nano(), query.org, query.text);
        self.queries.lock().unwrap().push(asked);
        self.answer().await
    }

    async fn write(&self, target: &WriteTarget, lines: Bytes) -> Result<(), ClientError> {
        let lines = String::from_utf8(lines.to_vec()).unwrap();
        self.writes.lock().unwrap().push((target.clone(), lines));
        self.answer().await.map(|_| ())
    }

    async fn create_database(&self, database: &str, retention: &str) -> Result<(), ClientError> {
        self.created.lock().unwrap().push((database.to_owned(), retention.to_owned()));
        self.answer().await.map(|_| ())
    }
}
