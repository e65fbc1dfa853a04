//! Records to a Dataway.

use async_trait::async_trait;
use levada_clients::dataway::{Dataway, Endpoint, Package};
use levada_codec::compression::Compression;
use levada_model::Timestamp;

use super::{Answer, Receiver, of_failure, of_reply};
use crate::ingest::{GLOBAL_TAGS, PACKAGE_ID, STORAGE_INDEX};
use crate::wal::{Encoding, Record};

/// One endpoint of a Dataway.
#[derive(Debug)]
pub struct DatawayReceiver {
    client: Dataway,
    endpoint: Endpoint,
    label: String,
}

// === impl DatawayReceiver ===

impl DatawayReceiver {
    /// Makes one.
    pub fn new(client: Dataway, endpoint: Endpoint) -> Self {
        let label = endpoint.shown();
        DatawayReceiver { client, endpoint, label }
    }
}

#[async_trait]
impl Receiver for DatawayReceiver {
    fn label(&self) -> &str {
        &self.label
    }

    async fn look_up(&self) {
        self.client.look_up().await;
    }

    async fn send(&self, record: &Record, is_retry: bool, now: Timestamp) -> Answer {
        let attribute = |name: &str| record.attributes.get(name).map(str::to_owned);
        let package = Package {
            category: record.category,
            body: record.body.clone(),
            content_type: content_type(record.encoding),
            content_encoding: match record.compression {
                Compression::None => "",
                other => other.name(),
            },
            points: record.points,
            id: attribute(PACKAGE_ID).unwrap_or_default(),
            global_tags: attribute(GLOBAL_TAGS),
            storage_index: attribute(STORAGE_INDEX),
            is_retry,
        };
        match self.client.post(&self.endpoint, &package, now).await {
            Ok(reply) => of_reply(&reply),
            Err(error) => of_failure(&error),
        }
    }
}

/// Gives how a body is written. Source: dataway reference §5.3.
pub(crate) fn content_type(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::LineProtocol => "application/line-protocol",
        Encoding::Protobuf => "application/protobuf; proto=com.guance.Point",
        Encoding::Json => "application/json",
        Encoding::ProtobufJson => "application/pbjson; proto=com.guance.Point",
        Encoding::Other => "application/octet-stream",
    }
}
