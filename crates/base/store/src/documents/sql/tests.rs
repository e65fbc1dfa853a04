#![allow(clippy::unwrap_used, reason = "tests")]

#[cfg(feature = "sqlite")]
mod crash;
#[cfg(feature = "sqlite")]
mod disk;
#[cfg(feature = "sqlite")]
mod file;
#[cfg(feature = "sqlite")]
mod memory;
mod migrations;
#[cfg(feature = "postgresql")]
mod server;
mod speed;

use std::error::Error as _;

use crate::DocumentError;

/// Gives the text of an error with its cause.
fn told(error: &DocumentError) -> String {
    format!("{error}: {}", error.source().unwrap())
}
