//! Composition root: settings become running roles.
//!
//! The only crate that knows every domain. [`serve`] is the server; [`flows`] and [`tasks`] are what runs in it, and in `levada run`.

mod alerts;
pub mod flows;
pub mod gateway;
mod identity;
pub mod influxdb;
pub mod inputs;
pub mod joins;
pub mod probes;
pub mod serve;
pub mod signals;
pub mod tasks;
