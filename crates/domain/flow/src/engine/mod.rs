//! The processor: source → steps → router → sinks, with acknowledgements and an error sink.
//!
//! ```text
//!            window (unfinished records)                       bound per sink
//! source ──▶ edge ──▶ workers (threads) ──▶ in order, by route ──▶ edge ──▶ writer ──▶ sink
//!   ▲                    │ rejected                                           │ rejected
//!   │                    └──────────────▶ edge ──▶ writer ──▶ error sink ◀────┘
//!   └── ledger: contiguous finished positions ──▶ sync sinks ──▶ checkpoint ──▶ commit
//! ```
//! Invariants
//! - Every record that a source hands out ends in exactly one of: delivered, filtered, dead-lettered,
//!   dropped by policy, or still unfinished; a position is stored only behind finished records.
//! - A transient error is tried again until it passes or the flow is stopped; it is never dead-lettered.
//! - No stage queues more than its bound; the source waits when the window is full.
//!
//! Start reading at [`processor`].

mod batching;
mod built;
mod committer;
mod dead_letter;
mod ledger;
mod limits;
mod metrics;
mod pipeline;
mod pool;
mod positions;
mod processor;
mod reader;
mod report;
mod transaction;
mod worker;
mod writer;

pub use dead_letter::{DeadLetter, LetterContext};
pub use limits::Limits;
pub use pipeline::{Pipeline, Rejected, StepCount, stage_name};
pub use positions::{Rewound, rewind};
pub use processor::{Deps, Outcome, Start, run};
pub use report::{Counters, FlowError, Guarantee, Snapshot, Summary};
