//! `alert`: judges points and batches, reports what changes, and hands on what it reported.

mod definition;
mod levels;
mod running;

pub use definition::{Alert, HandlerCall, KIND};
