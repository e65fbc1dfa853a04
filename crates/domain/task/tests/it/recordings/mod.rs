//! Recordings and replays over a folder and documents in memory.

mod record;
mod replay;
mod start;
pub(crate) mod world;
