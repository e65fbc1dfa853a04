//! The `levada` binary, as its users call it.

mod cli;
mod delivery;
mod import;
mod readme;
mod readme_walk;
mod serve;
mod servers;
mod serving;
