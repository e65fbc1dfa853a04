//! Room that is set aside before anything is appended.
//!
//! Who writes to several queues asks all of them for room first: then none of them takes its part while another has no
//! room for its own.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use super::engine::Admission;
use super::error::AppendError;
use super::intake::Receipt;
use super::queue::{Queue, Shared, Until, Written};
use super::record::Record;
use super::settings::{Keep, Sync};

/// Room in a queue; what was not used of it is free again when it is dropped.
pub struct Reservation {
    shared: Arc<Shared>,
    bytes: u64,
}

/// What came of a record that was appended without waiting.
pub enum Here {
    /// It is over.
    Done(Result<Receipt, AppendError>),
    /// It is in, and another writes it.
    Waiting(Waiting),
    /// It is not in, and must be appended in the other way.
    Back(Record, Reservation),
}

/// A record that another writes.
pub struct Waiting(Written);

// === impl Queue ===

impl Queue {
    /// Sets room aside for records; `None` when there is none now. Records that a full queue does not keep waiting need none.
    ///
    /// - Errors: they can never fit, or the queue is closed.
    pub fn try_reserve(&self, records: &[&Record]) -> Result<Option<Reservation>, AppendError> {
        let bytes = self.shared().engine.reserve(records)?;
        let shared = Arc::clone(self.shared());
        Ok(bytes.map(|bytes| Reservation { shared, bytes }))
    }

    /// Waits until there is room for records, or until a moment of the monotonic clock of the queue; gives whether there is.
    /// Another may be faster then.
    pub async fn room(
        &self,
        records: &[&Record],
        until: Option<Duration>,
    ) -> Result<bool, AppendError> {
        let until = until.map_or(Until::Ever, Until::Time);
        loop {
            let mut space = pin!(self.shared().space.notified());
            space.as_mut().enable();
            if self.try_reserve(records)?.is_some() {
                return Ok(true);
            }
            if !self.shared().before(until, space).await {
                return Ok(false);
            }
        }
    }

    /// Gives the time on the monotonic clock of the queue.
    pub fn now(&self) -> Duration {
        self.shared().engine.now()
    }
}

// === impl Reservation ===

impl Reservation {
    /// Gives the part of the room that was set aside for one record.
    pub fn part(&mut self, record: &Record) -> Reservation {
        let bytes = record.stored_bytes().min(self.bytes);
        self.bytes -= bytes;
        Reservation { shared: Arc::clone(&self.shared), bytes }
    }

    /// Takes a record that the room was set aside for; returns when it is as durable as the settings say.
    ///
    /// `until` is a moment of the monotonic clock of the queue: after it, what nobody has begun to write is taken back.
    ///
    /// - Errors: the record was not taken, [`AppendError::Full`] when the time was over.
    pub async fn append(
        mut self,
        record: Record,
        until: Option<Duration>,
    ) -> Result<Receipt, AppendError> {
        let until = until.map_or(Until::Ever, Until::Time);
        let shared = Arc::clone(&self.shared);
        shared.append(record, 0, &mut self.bytes, until).await
    }
}

impl Reservation {
    /// The same, but waits for nobody: where no flush has to be waited for, the record is written by this thread, which may
    /// block on the file. A record that is flushed before it is accepted is left to the thread of the queue, where all that
    /// wait share one flush.
    pub fn append_here(mut self, record: Record) -> Here {
        let shared = Arc::clone(&self.shared);
        let settings = &shared.engine.settings;
        if settings.sync == Sync::Always && settings.keep == Keep::Disk {
            return Here::Back(record, self);
        }
        let crc = shared.engine.crc_of(&record);
        match shared.engine.admit_held(record, crc, 0, &mut self.bytes) {
            Err(error) => Here::Done(Err(error)),
            Ok(Admission::Full(record)) => Here::Back(record, self),
            Ok(Admission::Done(receipt)) => {
                shared.admitted();
                Here::Done(Ok(receipt))
            }
            Ok(Admission::Pushed(slot)) => {
                let mut written = Written::new(&shared, slot);
                match shared.write_here(&mut written) {
                    Some(result) => Here::Done(result.map_err(AppendError::Storage)),
                    None => Here::Waiting(Waiting(written)),
                }
            }
        }
    }
}

// === impl Waiting ===

impl Waiting {
    /// Waits until the record is written; `until` is as for [`Reservation::append`].
    pub async fn end(self, until: Option<Duration>) -> Result<Receipt, AppendError> {
        self.0.until(until.map_or(Until::Ever, Until::Time)).await
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.shared.engine.inner().reserved_bytes -= self.bytes;
            self.shared.space.notify_waiters();
        }
    }
}
