//! Where memory sinks and memory sources of one process meet.
//!
//! ```text
//! sink ─┐                                 ┌─ source     each block goes to one source
//! sink ─┴─► channel "orders": blocks … ───┴─ source     bounded in records and bytes
//! ```
//! Invariants
//! - A full channel makes the sink wait; one block always fits into an empty channel.
//! - A channel ends when it had a sink, all its sinks have closed, and it is empty.
//! - A channel is forgotten when nobody uses it and it is empty; records that wait for a source that
//!   is not there yet stay, within the bounds.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use levada_model::{Meta, RecordBatch};
use tokio::sync::Notify;

/// The channels of this process by name.
static CHANNELS: LazyLock<Mutex<HashMap<String, Arc<Channel>>>> = LazyLock::new(Mutex::default);

/// Records on their way from a sink to a source.
#[derive(Debug, Default)]
pub(crate) struct Block {
    /// Payloads, a line feed behind each.
    pub(crate) text: Vec<u8>,
    /// Where the payloads stand.
    pub(crate) spans: Vec<(u32, u32)>,
    /// The metadata of each record; empty when no record has any.
    pub(crate) metas: Vec<Option<Arc<Meta>>>,
}

/// What a channel may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Records at most.
    pub(crate) records: u64,
    /// Payload bytes at most.
    pub(crate) bytes: u64,
}

/// The end that puts blocks in.
#[derive(Debug)]
pub(crate) struct HubSink {
    name: String,
    channel: Arc<Channel>,
}

/// The end that takes blocks out.
#[derive(Debug)]
pub(crate) struct HubSource {
    name: String,
    channel: Arc<Channel>,
}

#[derive(Debug, Default)]
struct Channel {
    state: Mutex<State>,
    not_full: Notify,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    blocks: VecDeque<Block>,
    records: u64,
    bytes: u64,
    sinks: usize,
    sources: usize,
    had_sink: bool,
}

// === impl Block ===

impl Block {
    /// Copies a range of records as they would leave.
    pub(crate) fn copy(batch: &RecordBatch, range: std::ops::Range<usize>) -> Self {
        let mut block = Block::default();
        for index in range.clone() {
            let start = block.text.len() as u32;
            batch.print(index, &mut block.text);
            block.spans.push((start, block.text.len() as u32));
            block.text.push(b'\n');
        }
        if range.clone().any(|index| batch.meta(index).is_some()) {
            block.metas = range.map(|index| batch.meta_arc(index)).collect();
        }
        block
    }

    /// Adds the records to a batch.
    pub(crate) fn append_to(&self, batch: &mut RecordBatch, origin: u32, position: u64) {
        let base = batch.text.len() as u32;
        batch.text.extend_from_slice(&self.text);
        let first = batch.len();
        for (start, end) in &self.spans {
            batch.push_span(base + start, base + end, origin, position);
        }
        for (index, meta) in self.metas.iter().enumerate() {
            if meta.is_some() {
                batch.set_meta(first + index, meta.clone());
            }
        }
    }

    fn weigh(&self) -> (u64, u64) {
        (self.spans.len() as u64, self.text.len() as u64)
    }
}

// === impl Channel ===

impl Channel {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn channels() -> MutexGuard<'static, HashMap<String, Arc<Channel>>> {
    CHANNELS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Joins the channel `name`, making it when it is new, and changes its state with `join`.
fn join(name: &str, join: impl FnOnce(&mut State)) -> Arc<Channel> {
    // Joining and leaving happen under the lock of the table, so no channel is forgotten while
    // somebody joins it.
    let mut channels = channels();
    let channel = channels.entry(name.to_owned()).or_default().clone();
    join(&mut channel.lock());
    channel.changed.notify_waiters();
    channel
}

fn leave(name: &str, channel: &Channel, leave: impl FnOnce(&mut State)) {
    let mut channels = channels();
    let mut state = channel.lock();
    leave(&mut state);
    if state.sinks == 0 && state.sources == 0 && state.blocks.is_empty() {
        channels.remove(name);
    }
    drop(state);
    drop(channels);
    channel.changed.notify_waiters();
    channel.not_full.notify_waiters();
}

// === impl HubSink ===

impl HubSink {
    /// Joins the channel `name` as one of its sinks.
    pub(crate) fn join(name: &str) -> Self {
        let channel = join(name, |state| {
            state.sinks += 1;
            state.had_sink = true;
        });
        HubSink { name: name.to_owned(), channel }
    }

    /// Puts a block in, waiting while the channel is full.
    pub(crate) async fn send(&self, block: Block, bounds: Bounds) {
        let mut block = Some(block);
        loop {
            let notified = self.channel.not_full.notified();
            tokio::pin!(notified);
            // Register before looking, so that a wake between the two is not missed.
            notified.as_mut().enable();
            if self.try_put(&mut block, bounds) {
                return;
            }
            notified.await;
        }
    }

    fn try_put(&self, block: &mut Option<Block>, bounds: Bounds) -> bool {
        let mut state = self.channel.lock();
        let (records, bytes) = block.as_ref().map(Block::weigh).unwrap_or_default();
        let is_full =
            state.records + records > bounds.records || state.bytes + bytes > bounds.bytes;
        if is_full && !state.blocks.is_empty() {
            return false;
        }
        if let Some(block) = block.take() {
            state.records += records;
            state.bytes += bytes;
            state.blocks.push_back(block);
        }
        drop(state);
        self.channel.changed.notify_waiters();
        true
    }
}

impl Drop for HubSink {
    fn drop(&mut self) {
        leave(&self.name, &self.channel, |state| state.sinks -= 1);
    }
}

// === impl HubSource ===

impl HubSource {
    /// Joins the channel `name` as one of its sources.
    pub(crate) fn join(name: &str) -> Self {
        let channel = join(name, |state| state.sources += 1);
        HubSource { name: name.to_owned(), channel }
    }

    /// Takes the next block, waiting while there is none; nothing when the channel has ended.
    ///
    /// Cancel-safe: a block is taken only by the poll that gives it.
    pub(crate) async fn recv(&self) -> Option<Block> {
        loop {
            let notified = self.channel.changed.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if let Some(taken) = self.try_take() {
                return taken;
            }
            notified.await;
        }
    }

    /// Gives how many records wait.
    pub(crate) fn records(&self) -> u64 {
        self.channel.lock().records
    }

    /// `Some(None)`: the channel has ended. `None`: nothing there now.
    fn try_take(&self) -> Option<Option<Block>> {
        let mut state = self.channel.lock();
        let Some(block) = state.blocks.pop_front() else {
            return (state.had_sink && state.sinks == 0).then_some(None);
        };
        let (records, bytes) = block.weigh();
        state.records -= records;
        state.bytes -= bytes;
        drop(state);
        self.channel.not_full.notify_waiters();
        Some(Some(block))
    }
}

impl Drop for HubSource {
    fn drop(&mut self) {
        leave(&self.name, &self.channel, |state| state.sources -= 1);
    }
}

/// Tells whether the hub still knows a channel; for tests.
#[cfg(test)]
pub(crate) fn is_known(name: &str) -> bool {
    channels().contains_key(name)
}
