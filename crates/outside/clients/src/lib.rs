//! Clients of foreign servers that more than one part of the product asks.
//!
//! ```text
//! caller ─▶ InfluxDb (trait) ─▶ influxdb::Client ─┐
//! caller ─▶ Post (trait)     ─▶ http::Poster ─────┼─▶ reqwest, with bounds on time and bytes
//! caller ─▶ dataway::Dataway ─────────────────────┤
//! caller ─▶ writer::Writer ───────────────────────┘
//! ```
//! - Nothing is tried again here, except at the next address of one cluster when an address cannot be reached: who calls
//!   knows how long a thing is worth trying. [`ClientError::is_transient`] says whether it may help.
//! - Redirects are not followed and proxies of the environment are not used: requests go where the settings say.
//! - No message holds credentials, and no answer is read beyond a bound.
//!
//! [`smtp`], [`mqtt`] and [`snmp`] send what alerts say, each over the protocol of its name. [`udf`] opens functions that run
//! outside.
//!
//! Where to start: [`influxdb`].

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that fails may panic"))]

pub mod dataway;
pub mod error;
pub mod http;
pub mod influxdb;
pub mod mqtt;
pub mod net;
pub mod smtp;
pub mod snmp;
mod tls;
pub mod udf;
pub mod writer;

pub use error::ClientError;
