//! The record engine: flow spec, transforms, router, processor.
//!
//! - [`spec`]: a `DataFlow` as it is written, checked and brought into one form.
//! - [`transforms`]: the steps, one file and one line each.

pub mod transforms;
