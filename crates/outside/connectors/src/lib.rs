//! Sources and sinks: one file per connector, one line per table.
//!
//! - [`SOURCES`] and [`SINKS`] are the tables; their order is the order of the documentation.
//! - [`SourceSpec`] and [`SinkSpec`] are what a connector tells the system about itself.
//! - [`Source`] and [`Sink`] are what runs.
//! - [`blocks`] holds settings that several connectors share: TLS, SASL, references to secrets.
//!
//! To add a connector: write `sources/name.rs` or `sinks/name.rs`, add its `mod` line and its line in
//! the table. Schema, check, help, docs page and metric labels follow.

pub mod blocks;
mod clickhouse;
pub mod context;
mod formats;
pub mod gateway;
mod http_client;
#[cfg(feature = "kafka")]
mod kafka;
mod mapping;
pub mod points;
#[cfg(feature = "postgresql")]
mod postgres;
pub mod sinks;
pub mod sources;
pub mod spec;
pub mod traits;
mod trino;

pub use context::{BuildContext, DeliversAtLeastOnce, Links, StandardInput, StandardOutput};
#[cfg(feature = "kafka")]
pub use kafka::producer::{
    MessageProducer, ProducerError, ProducerLogin, ProducerPartitioner, ProducerSettings,
    ProducerTls,
};
pub use sinks::SINKS;
pub use sources::SOURCES;
pub use spec::{AnySink, AnySource, BuildError, SinkEntry, SinkSpec, SourceEntry, SourceSpec};
pub use traits::{Outcomes, Sink, SinkBatching, SinkError, Source, SourceError, Transactional};
