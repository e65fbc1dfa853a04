//! Messages of functions that run outside, in Protocol Buffers, each behind its length.
//!
//! ```text
//! stream:   length (varint) message length message …
//! Request:  info 1, init 2, keepalive 3, snapshot 4, restore 5, begin 16, point 17, end 18
//! Response: info 1, init 2, keepalive 3, snapshot 4, restore 5, error 6, begin 16, point 17, end 18
//! ```
//!
//! - What is not known is skipped; what stands twice counts the last time, as the format demands.
//! - A frame is bounded before anything is kept of it: [`Frames`] holds at most one frame and what came with it.
//! - Both directions are read and written, so that either end can be made of it.
//!
//! Source: kapacitor reference §5.26; Protocol Buffers, encoding of `proto3`.

mod content;
mod frame;
mod message;
#[cfg(test)]
mod tests;
mod wire;

use thiserror::Error;

use crate::wire::WireError;

pub use frame::Frames;
pub use message::{
    Begin, EdgeKind, End, Fields, Info, Init, InitOption, OptionValue, Outcome, Point, Request,
    Response, Tags, ValueType,
};

/// Why bytes are no message.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum UdfError {
    /// A frame is larger than it may be.
    #[error("a message of {bytes} bytes is larger than the {limit} that are allowed")]
    TooLarge {
        /// What its length says.
        bytes: u64,
        /// The bound.
        limit: usize,
    },
    /// The bytes are not laid out as a message.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A number that stands for nothing.
    #[error("there is no {what} {number}")]
    Unknown {
        /// What it was read as.
        what: &'static str,
        /// The number.
        number: u64,
    },
    /// There is nothing in a message, or nothing known.
    #[error("a message without a content that is known")]
    Empty,
}
