//! Queues that outlive the process: a log of records, what became of them, and dead letters.
//!
//! ```text
//! append ─▶ pending ─▶ one write (and flush) for all that wait ─▶ segment ─▶ accepted
//!                                                                  │  └ latest records stay in memory
//!   finished ◀─ delivered, dropped, dead-lettered ◀─ lease ◀─ fresh lane, backlog lane
//!      └▶ cursor (contiguous prefix, and ranges behind it) ─▶ spent segments are removed
//!
//! <dir>/<first sequence, 20 digits>.seg   records, see `record` and `segment`
//! <dir>/cursor                            progress, see `cursor`
//! <dir>/reserve                           given up so that a full disk can still note progress
//! <dir>/dead-letters/<sequence>.letter    what receivers refused for good
//! <dir>/quarantine/                       damaged regions, for people
//! <dir>/lock                              who has the queue
//! ```
//!
//! Invariants:
//! - An accepted record is delivered at least once, or its points are counted under a reason. It is delivered again only
//!   when the process ended before the cursor noted it: at most what was finished in the last 100 ms, or the last 100.
//! - `accepted = delivered + dropped + dead-lettered + queued`, in points, at every instant and after every crash.
//! - A segment is removed only after a cursor that has passed all of it is durable.
//! - Opening reads one segment, however much waits.
//! - No bytes in the files panic, hang, or make it allocate more than a file has.
//!
//! Deliberately not here: sending, retry times and circuit breakers; whoever holds a lease decides when it is over.

mod attributes;
mod cursor;
mod dead_letter;
mod engine;
mod error;
mod fetch;
mod files;
mod import;
mod intake;
mod lanes;
mod lease;
mod ledger;
mod log;
mod queue;
mod ranges;
mod record;
mod recover;
mod reserve;
mod segment;
mod settings;
mod settle;
mod state;
mod stats;
mod threads;
mod upkeep;

pub use attributes::{Attributes, AttributesTooLong};
pub use dead_letter::DeadLetter;
pub use error::{AppendError, DeadLetterError, OpenError, StorageError};
pub use import::{ImportError, ImportReport, ImportTable, UnknownTable, import_old_cache};
pub use intake::Receipt;
pub use lanes::Lane;
pub use lease::{Lease, Outcome};
pub use ledger::{Counts, DropReason};
pub use queue::{Queue, QueueStatus, ReadWatch};
pub use record::{Encoding, Record};
pub use reserve::{Here, Reservation, Waiting};
pub use settings::{Categories, Keep, QueueSettings, Sync, WhenFull};
pub use state::PerCategory;
pub use stats::IoStats;

#[cfg(test)]
mod tests;
