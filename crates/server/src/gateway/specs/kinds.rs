//! Kinds of destinations, as the gateway understands them.

use levada_codec::compression::Compression;
use levada_gateway::egress::{
    FileSpec, InfluxSpec, InfluxTarget, Inside, KafkaSpec, Kind, RemoteWriteSpec,
    RemoteWriteVersion,
};
use levada_gateway::ingest::Form;
use levada_gateway::wal::Encoding;
use levada_settings::Gateway as Settings;
use levada_settings::gateway as set;

use super::tls;
use crate::tasks::DBRP_DEFAULT;

/// Gives what a destination is; the settings have been checked.
pub(super) fn kind(settings: &Settings, one: &set::Destination) -> Kind {
    let is_gzip = one.gzip.unwrap_or(settings.gzip);
    match one.kind {
        set::Kind::Dataway => Kind::Dataway,
        set::Kind::Influx => {
            let target = one.influx.clone().unwrap_or_default();
            Kind::Influx(InfluxSpec {
                target: match target.bucket.is_empty() {
                    true => InfluxTarget::Database {
                        name: target.database,
                        retention_policy: target.retention_policy,
                    },
                    false => InfluxTarget::Bucket { name: target.bucket, organization: target.org },
                },
                username: target.username,
                password: target.password,
                is_gzip,
            })
        }
        set::Kind::RemoteWrite => {
            let target = one.remote_write.clone().unwrap_or_default();
            let headers = target.headers.iter();
            Kind::RemoteWrite(RemoteWriteSpec {
                version: match target.version {
                    set::RemoteWriteVersion::V1 => RemoteWriteVersion::V1,
                    set::RemoteWriteVersion::V2 => RemoteWriteVersion::V2,
                },
                username: target.username,
                password: target.password,
                headers: headers
                    .map(|(key, value)| (key.clone(), value.expose().clone()))
                    .collect(),
            })
        }
        set::Kind::Kafka => {
            let target = one.kafka.clone().unwrap_or_default();
            Kind::Kafka(KafkaSpec {
                brokers: target.brokers,
                topic: target.topic,
                tls: target.tls.then(|| tls(settings)),
                mechanism: target.mechanism,
                username: target.username,
                password: target.password,
                timeout: settings.timeout.into(),
            })
        }
        set::Kind::Flow => {
            let target = one.flow.clone().unwrap_or_default();
            Kind::Inside(Inside::Flow { name: or(target.name, &one.name) })
        }
        set::Kind::Task => {
            let target = one.task.clone().unwrap_or_default();
            Kind::Inside(Inside::Task {
                name: target.name,
                database: or(target.database, DBRP_DEFAULT.0),
                retention: or(target.retention_policy, DBRP_DEFAULT.1),
            })
        }
        set::Kind::File => {
            let target = one.file.clone().unwrap_or_default();
            Kind::File(FileSpec {
                path: target.path,
                bytes_max: target.max_bytes.bytes(),
                kept_max: target.keep,
                is_synced: target.sync,
            })
        }
    }
}

fn or(text: String, usual: &str) -> String {
    if text.is_empty() { usual.to_owned() } else { text }
}

/// Gives how bodies of a destination wait. What is not sent as it waits is kept in a form that is cheap to read again.
pub(super) fn form(settings: &Settings, one: &set::Destination) -> Form {
    let encoding = match one.content_encoding.unwrap_or(settings.content_encoding) {
        set::PointEncoding::V1 => Encoding::LineProtocol,
        set::PointEncoding::V2 => Encoding::Protobuf,
        set::PointEncoding::Json => Encoding::Json,
        set::PointEncoding::Pbjson => Encoding::ProtobufJson,
    };
    let gzip = match one.gzip.unwrap_or(settings.gzip) {
        true => Compression::Gzip,
        false => Compression::None,
    };
    let (encoding, compression) = match one.kind {
        set::Kind::Dataway | set::Kind::Kafka => (encoding, gzip),
        set::Kind::Influx | set::Kind::RemoteWrite => (Encoding::LineProtocol, Compression::Zstd),
        // What stays in this process is not written in another way.
        set::Kind::Flow | set::Kind::Task => (Encoding::LineProtocol, Compression::None),
        // Lines, unless the destination itself says otherwise.
        set::Kind::File => match one.content_encoding {
            Some(_) => (encoding, Compression::None),
            None => (Encoding::LineProtocol, Compression::None),
        },
    };
    Form { encoding, compression, has_global_tags: one.kind == set::Kind::Dataway }
}
