//! The `levada` binary, as its users call it.

mod cli;
mod delivery;
mod readme;
mod serve;
mod servers;
