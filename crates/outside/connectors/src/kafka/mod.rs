//! What the Kafka source and the Kafka sink share of the client library.
//!
//! - [`connection`]: from the settings of a block to those of the client.
//! - [`error`]: which class an error has.
//! - [`events`]: what the client says by itself, and what of that explains a failure.
//! - [`probe`]: whether the cluster answers, and for the topic.
//! - [`membership`]: what a source tells a sink that commits for it.
//! - [`producer`]: single messages, for who is no sink.
//!
//! The client is librdkafka. It keeps connections alive, follows leaders and repeats what failed for a
//! passing reason by itself; what reaches us is what it gave up.

pub(crate) mod connection;
pub(crate) mod error;
pub(crate) mod events;
pub(crate) mod membership;
mod murmur3;
pub(crate) mod probe;
pub(crate) mod producer;
pub(crate) mod slot;

pub(crate) use connection::Connection;
pub(crate) use error::{Problem, is_missing_topic};
pub(crate) use events::Events;
