//! Batches from a reader thread to an async source, and their memory back.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use levada_model::{ErrorClass, RecordBatch};
use tokio::sync::mpsc;

use crate::traits::SourceError;

/// Filled batches that wait for the engine: one that is being taken and one that is ready.
const READY_MAX: usize = 2;

/// Empty batches that wait for the reader.
const EMPTY_MAX: usize = READY_MAX + 2;

/// The end of the source.
pub(crate) struct Pump {
    filled: mpsc::Receiver<Item>,
    empty: SyncSender<RecordBatch>,
    has_ended: bool,
}

/// The end of the reader thread.
pub(crate) struct PumpThread {
    filled: mpsc::Sender<Item>,
    empty: Receiver<RecordBatch>,
}

enum Item {
    Batch(RecordBatch),
    Failed(SourceError),
    /// Said aloud, so that a thread that died is not taken for one that finished.
    End,
}

/// The source is gone; the reader stops.
#[derive(Debug)]
pub(crate) struct Gone;

/// Makes both ends.
pub(crate) fn pump() -> (Pump, PumpThread) {
    let (filled_tx, filled_rx) = mpsc::channel(READY_MAX);
    let (empty_tx, empty_rx) = sync_channel(EMPTY_MAX);
    let pump = Pump { filled: filled_rx, empty: empty_tx, has_ended: false };
    (pump, PumpThread { filled: filled_tx, empty: empty_rx })
}

// === impl Pump ===

impl Pump {
    /// Swaps `batch` for the next filled one; see [`crate::Source::next`].
    ///
    /// Cancel-safe: the only wait is for the channel, which gives nothing when it is given up.
    pub(crate) async fn next(&mut self, batch: &mut RecordBatch) -> Result<bool, SourceError> {
        if self.has_ended {
            return Ok(false);
        }
        match self.filled.recv().await {
            Some(Item::Batch(mut filled)) => {
                std::mem::swap(batch, &mut filled);
                filled.clear();
                // A full list means that there is memory enough.
                drop(self.empty.try_send(filled));
                Ok(true)
            }
            Some(Item::End) => {
                self.has_ended = true;
                Ok(false)
            }
            Some(Item::Failed(error)) => Err(error),
            None => Err(SourceError::new(
                ErrorClass::Unknown,
                "the reader thread ended without saying why; start the flow again",
            )),
        }
    }
}

// === impl PumpThread ===

impl PumpThread {
    /// Gives an empty batch, with the memory of one that was used before if there is one.
    pub(crate) fn empty(&self) -> RecordBatch {
        self.empty.try_recv().unwrap_or_default()
    }

    /// Hands a filled batch on, waiting while the engine is behind.
    pub(crate) fn send(&self, batch: RecordBatch) -> Result<(), Gone> {
        self.put(Item::Batch(batch))
    }

    /// Ends the source with an error.
    pub(crate) fn fail(&self, error: SourceError) -> Result<(), Gone> {
        self.put(Item::Failed(error))
    }

    /// Ends the source.
    pub(crate) fn end(&self) -> Result<(), Gone> {
        self.put(Item::End)
    }

    /// Tells whether nobody listens any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.filled.is_closed()
    }

    /// Waits until nobody listens any more.
    pub(crate) async fn gone(&self) {
        self.filled.closed().await;
    }

    fn put(&self, item: Item) -> Result<(), Gone> {
        self.filled.blocking_send(item).map_err(|_| Gone)
    }
}
