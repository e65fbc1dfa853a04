//! The record engine: flow spec, transforms, router, processor.
//!
//! - [`spec`]: a `DataFlow` as it is written, checked and brought into one form.
//! - [`transforms`]: the steps, one file and one line each.
//! - [`engine`]: runs a flow.
//! - [`graph`]: the picture of a flow.
//! - [`dry_run`] and [`cases`]: what would leave, without running anything.

pub mod cases;
pub mod dry_run;
pub mod engine;
pub mod graph;
pub mod spec;
pub mod transforms;
