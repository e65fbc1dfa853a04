//! Composition root: settings become running roles.
//!
//! The only crate that knows every domain. So far one role: flows, with their probes and metrics.

pub mod flows;
pub mod probes;
pub mod signals;
pub mod tasks;
