//! Blocking calls from async code.

use tokio::runtime::{Handle, RuntimeFlavor};

/// Runs blocking work where it stands and lets other tasks of this thread go on elsewhere.
///
/// On a runtime of one thread, which only tests use, they wait. Handing the batch to a thread of its
/// own would cost a copy of its text; this costs some microseconds per batch.
pub(crate) fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current() {
        Ok(handle) if handle.runtime_flavor() == RuntimeFlavor::MultiThread => {
            tokio::task::block_in_place(work)
        }
        _ => work(),
    }
}
