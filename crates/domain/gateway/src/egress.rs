//! Kinds of receivers: each has a file here and a line in [`Kind::opener`].
//!
//! | kind | endpoints | a body becomes |
//! |---|---|---|
//! | Dataway | URLs | a package, as it is |
//! | InfluxDB | URLs | lines that InfluxDB takes |
//! | remote write | URLs | samples of the fields that are numbers |
//! | Kafka | none, the brokers are one | a message, as it is, with headers that tell what it is |
//! | file | none, the file is one | lines at the end of the file |
//! | inside | none, a flow or the task engine of this process | records or points, without another encoding |
//!
//! A queue holds bodies as points, whatever the kind: what they become is made when they are sent. So dead letters can be
//! read, and bodies that are too large be halved, the same way everywhere.

mod dataway;
mod file;
mod influx;
mod inside;
mod kafka;
mod remote_write;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use levada_clients::ClientError;
use levada_clients::dataway::EndpointError;
use levada_clients::net::Net;
use levada_codec::line_protocol::Precision;
use levada_codec::points::{Point, Unit, json, line, protobuf};
use levada_connectors::ProducerError;
use levada_model::Timestamp;
use levada_runtime::{Clock, Tasks};
use thiserror::Error;

pub use self::file::FileSpec;
pub use self::influx::{InfluxSpec, InfluxTarget};
pub use self::inside::{Inside, Insiders};
pub use self::kafka::KafkaSpec;
pub use self::remote_write::{RemoteWriteSpec, RemoteWriteVersion};

use crate::deliver::{Answer, Receiver};
use crate::destination::EndpointSpec;
use crate::ingest::Encoder;
use crate::wal::{Encoding, Record};

/// What a destination is.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Kind {
    /// Dataways.
    #[default]
    Dataway,
    /// Servers of InfluxDB.
    Influx(InfluxSpec),
    /// Receivers of Prometheus' remote write.
    RemoteWrite(RemoteWriteSpec),
    /// A cluster of Kafka.
    Kafka(KafkaSpec),
    /// A file.
    File(FileSpec),
    /// Something in this process.
    Inside(Inside),
}

/// What receivers work with.
pub struct Tools<'t> {
    /// Compresses, and undoes it.
    pub encoder: &'t Arc<Encoder>,
    /// Tells the time.
    pub clock: &'t Arc<dyn Clock>,
    /// Runs what clients need.
    pub tasks: &'t Tasks,
    /// Names and connections.
    pub net: &'t Net,
    /// Knows what is in this process.
    pub insiders: Option<&'t dyn Insiders>,
}

/// Why a receiver cannot be made.
#[derive(Debug, Error)]
pub enum OpenReceiverError {
    /// A URL that is none.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// A client that cannot be made.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A producer that cannot be made.
    #[error(transparent)]
    Producer(#[from] ProducerError),
    /// It is in this process, where there is nothing.
    #[error("this process has neither flows nor tasks")]
    Alone,
}

/// Makes receivers of one kind.
#[async_trait]
trait Open: Sync {
    /// Says whether the destination names endpoints by URL; otherwise it has one, which its settings describe.
    fn has_urls(&self) -> bool {
        true
    }

    /// Makes the receiver of an endpoint, and asks nobody yet.
    async fn open(
        &self,
        endpoint: &EndpointSpec,
        tools: &Tools<'_>,
    ) -> Result<Arc<dyn Receiver>, OpenReceiverError>;
}

// === impl Kind ===

impl Kind {
    fn opener(&self) -> &dyn Open {
        match self {
            Kind::Dataway => &dataway::Opener,
            Kind::Influx(spec) => spec,
            Kind::RemoteWrite(spec) => spec,
            Kind::Kafka(spec) => spec,
            Kind::File(spec) => spec,
            Kind::Inside(inside) => inside,
        }
    }

    /// Says whether the metrics of the original count what is sent to it.
    pub fn is_dataway(&self) -> bool {
        matches!(self, Kind::Dataway)
    }

    /// Says whether it is in this process.
    pub fn is_inside(&self) -> bool {
        matches!(self, Kind::Inside(_))
    }

    /// Says whether bodies are sent as they wait; otherwise they need not be compressed to be sent.
    pub fn sends_as_queued(&self) -> bool {
        matches!(self, Kind::Dataway | Kind::Kafka(_) | Kind::Inside(_))
    }

    /// Says whether its endpoints are named by URL.
    pub fn has_urls(&self) -> bool {
        self.opener().has_urls()
    }

    /// Makes the receiver of an endpoint, and asks nobody yet.
    pub async fn receiver(
        &self,
        endpoint: &EndpointSpec,
        tools: &Tools<'_>,
    ) -> Result<Arc<dyn Receiver>, OpenReceiverError> {
        self.opener().open(endpoint, tools).await
    }
}

/// Reads the points of a body that is not compressed; what is wrong with it is said in words.
fn points<'b>(record: &Record, plain: &'b Bytes, now: Timestamp) -> Result<Vec<Point<'b>>, String> {
    let nanoseconds = Unit::Fixed(Precision::Nanoseconds);
    match record.encoding {
        Encoding::LineProtocol => {
            let text = std::str::from_utf8(plain).map_err(|error| error.to_string())?;
            line::decode(text, nanoseconds, now).map_err(|error| error.to_string())
        }
        Encoding::Protobuf => protobuf::Reader::new(plain, now)
            .collect::<Result<_, _>>()
            .map_err(|error| error.to_string()),
        Encoding::Json | Encoding::ProtobufJson => {
            let document = json::Document::parse(plain).map_err(|error| error.to_string())?;
            let mut points = Vec::new();
            for point in document.points(nanoseconds, now) {
                points.push(point.map_err(|error| error.to_string())?.into_owned());
            }
            Ok(points)
        }
        Encoding::Other => Err("its points are written in a way that is not known here".to_owned()),
    }
}

/// Refuses a body that cannot be read: whatever is tried later, it stays so.
fn unreadable(what: impl std::fmt::Display) -> Answer {
    Answer::Refused { status: 0, reason: format!("the body cannot be read: {what}") }
}
