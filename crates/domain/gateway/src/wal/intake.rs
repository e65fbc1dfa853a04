//! What waits to be written, and who waits for that.

use std::task::Waker;

use super::error::StorageError;
use super::ledger::DropReason;
use super::record::Record;

/// A record that is to be written.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) record: Record,
    pub(super) crc: u32,
    pub(super) attempts: u16,
    pub(super) slot: usize,
}

/// What became of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// The record is kept, as durably as the settings say, until it is delivered.
    Kept {
        /// Its number.
        sequence: u64,
    },
    /// It was dropped, as the settings say, and counted.
    Dropped(DropReason),
}

/// The result of an append, in whose place somebody waits.
#[derive(Debug)]
enum Slot {
    Free,
    Waiting(Option<Waker>),
    Done(Result<Receipt, StorageError>),
    /// Nobody waits any more.
    Abandoned,
}

/// Records that are to be written, in order. Its parts are used again, so that an append allocates nothing.
#[derive(Debug, Default)]
pub(super) struct Intake {
    pub(super) pending: std::collections::VecDeque<Pending>,
    pub(super) pending_bytes: u64,
    slots: Vec<Slot>,
    free: Vec<usize>,
}

// === impl Intake ===

impl Intake {
    /// Adds a record; gives the place of its result.
    pub(super) fn push(&mut self, record: Record, crc: u32, attempts: u16) -> usize {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::Free);
            self.slots.len() - 1
        });
        self.slots[slot] = Slot::Waiting(None);
        self.pending_bytes += record.stored_bytes();
        self.pending.push_back(Pending { record, crc, attempts, slot });
        slot
    }

    /// Takes the next record that is to be written.
    pub(super) fn pop(&mut self) -> Option<Pending> {
        let pending = self.pending.pop_front()?;
        self.pending_bytes -= pending.record.stored_bytes();
        Some(pending)
    }

    /// Puts a record back that could not be written now.
    pub(super) fn unpop(&mut self, pending: Pending) {
        self.pending_bytes += pending.record.stored_bytes();
        self.pending.push_front(pending);
    }

    /// Says what became of a record.
    pub(super) fn resolve(&mut self, slot: usize, result: Result<Receipt, StorageError>) {
        match std::mem::replace(&mut self.slots[slot], Slot::Done(result)) {
            Slot::Waiting(Some(waker)) => waker.wake(),
            Slot::Abandoned => self.release(slot),
            Slot::Waiting(None) | Slot::Free | Slot::Done(_) => {}
        }
    }

    /// Gives the result, or remembers whom to wake.
    pub(super) fn poll(
        &mut self,
        slot: usize,
        waker: &Waker,
    ) -> Option<Result<Receipt, StorageError>> {
        match &mut self.slots[slot] {
            Slot::Done(result) => {
                let result = result.clone();
                self.release(slot);
                Some(result)
            }
            Slot::Waiting(waiting) => {
                match waiting {
                    Some(known) => known.clone_from(waker),
                    None => *waiting = Some(waker.clone()),
                }
                None
            }
            Slot::Free | Slot::Abandoned => None,
        }
    }

    /// Takes a record back that nobody has begun to write; gives whether that was in time.
    pub(super) fn withdraw(&mut self, slot: usize) -> bool {
        let Some(at) = self.pending.iter().position(|pending| pending.slot == slot) else {
            return false;
        };
        if let Some(pending) = self.pending.remove(at) {
            self.pending_bytes -= pending.record.stored_bytes();
        }
        self.release(slot);
        true
    }

    /// Nobody waits for this result any more.
    pub(super) fn abandon(&mut self, slot: usize) {
        match &self.slots[slot] {
            Slot::Done(_) => self.release(slot),
            _ => self.slots[slot] = Slot::Abandoned,
        }
    }

    fn release(&mut self, slot: usize) {
        self.slots[slot] = Slot::Free;
        self.free.push(slot);
    }
}
