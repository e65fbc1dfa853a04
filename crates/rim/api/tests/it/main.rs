//! The API over real sockets.

#![allow(clippy::unwrap_used, reason = "tests")]
