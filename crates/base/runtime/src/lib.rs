//! Tasks, shutdown, bounded edges with counts, clocks, back-off, durable files.
//!
//! The only place where tasks are spawned and where the system's clock is read.

pub mod backoff;
pub mod clock;
pub mod durable;
pub mod edge;
pub mod fault;
pub mod shutdown;
pub mod tasks;

pub use backoff::{Backoff, BackoffPolicy};
pub use clock::{Clock, SystemClock, VirtualClock};
pub use edge::{Bounds, EdgeReceiver, EdgeSender, EdgeStats, EdgeWatch, Weigh, edge};
pub use shutdown::{Shutdown, ShutdownHandle};
pub use tasks::{TaskKind, Tasks};
