//! The `http` source and sink, over real sockets.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use async_trait::async_trait;
use levada_connectors::{Sink, Source};
use levada_testkit::conformance::{payloads, sink, source};
use levada_testkit::http::{Behave, Server, free_port, request};
use levada_testkit::{build, sink_suite, source_suite};
use serde_json::json;

source_suite!(http_source, Http);
sink_suite!(http_sink, Http);
sink_suite!(http_sink_gzip, HttpGzip);

/// Records of one request.
const REQUEST_RECORDS: usize = 100;

/// Memory of requests whose records nobody has asked for, and how many records of the case that are.
const IN_FLIGHT_BYTES: u64 = 128 << 10;
const AHEAD_MAX: u64 = IN_FLIGHT_BYTES / 80;

struct Http;

struct HttpGzip;

// === The source ===

struct Clients {
    address: String,
    all: Vec<Vec<u8>>,
    taken: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    client: Option<JoinHandle<()>>,
}

#[async_trait]
impl source::SourceHarness for Http {
    fn name(&self) -> String {
        "http source".into()
    }

    fn abilities(&self) -> source::Abilities {
        source::Abilities {
            ends: Err("a server waits for more"),
            resumes: Err("records that were taken cannot be asked for again; clients send again"),
            has_poison: Err("a body with a bad record is refused as a whole, with 400"),
            disconnects: Err("it listens; a client that goes away sends again"),
            holds_back: Ok(()),
            ahead_max: AHEAD_MAX,
        }
    }

    async fn scene(&self, plan: source::Plan) -> Box<dyn source::SourceScene> {
        Box::new(Clients {
            address: format!("127.0.0.1:{}", free_port()),
            all: payloads(plan.records, plan.bytes),
            taken: Arc::default(),
            is_over: Arc::default(),
            client: None,
        })
    }
}

#[async_trait]
impl source::SourceScene for Clients {
    async fn source(&mut self) -> Box<dyn Source> {
        let settings = json!({
            "listen": self.address, "path": "/in", "respond": "accepted",
            "maxBodyBytes": IN_FLIGHT_BYTES / 2, "maxInFlightBytes": IN_FLIGHT_BYTES,
        });
        build::source("http", &settings, std::path::Path::new("."))
    }

    fn expected(&self) -> Option<Vec<Vec<u8>>> {
        Some(self.all.clone())
    }

    async fn begin(&mut self) {
        let (all, address) = (self.all.clone(), self.address.clone());
        let (taken, is_over) = (self.taken.clone(), self.is_over.clone());
        self.client = Some(thread::spawn(move || {
            for part in all.chunks(REQUEST_RECORDS) {
                let body = part.join(&b'\n');
                while !is_over.load(Ordering::Acquire) {
                    match request(&address, "POST", "/in", &[], &body) {
                        Ok((200, _)) => {
                            taken.fetch_add(part.len() as u64, Ordering::AcqRel);
                            break;
                        }
                        Ok((429 | 503, _)) => thread::sleep(Duration::from_millis(5)),
                        other => panic!("{other:?}"),
                    }
                }
            }
        }));
    }

    fn taken(&self) -> u64 {
        self.taken.load(Ordering::Acquire)
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
    }
}

// === The sink ===

struct Target {
    server: Server,
    settings: serde_json::Value,
}

fn abilities() -> sink::Abilities {
    sink::Abilities {
        reads_back: Ok(()),
        has_poison: Ok(()),
        disconnects: Ok(()),
        slows: Ok(()),
        // A write ends when it is answered.
        ahead_max: 0,
        restarts: Ok(()),
        is_idempotent: false,
    }
}

/// The text that the server refuses.
const POISON: &str = "\"poison\"";

#[async_trait]
impl sink::SinkHarness for Http {
    fn name(&self) -> String {
        "http sink".into()
    }

    fn abilities(&self) -> sink::Abilities {
        abilities()
    }

    async fn scene(&self) -> Box<dyn sink::SinkScene> {
        let server = Server::start(Behave::Refuse(POISON));
        let settings = json!({"url": server.url("/in"), "timeout": "5s"});
        Box::new(Target { server, settings })
    }
}

#[async_trait]
impl sink::SinkHarness for HttpGzip {
    fn name(&self) -> String {
        "http sink (gzip)".into()
    }

    fn abilities(&self) -> sink::Abilities {
        let unreadable = Err("the server of this test does not unpack");
        sink::Abilities {
            reads_back: unreadable,
            has_poison: unreadable,
            disconnects: unreadable,
            slows: unreadable,
            restarts: unreadable,
            ..abilities()
        }
    }

    async fn scene(&self) -> Box<dyn sink::SinkScene> {
        let server = Server::start(Behave::Accept);
        let settings = json!({"url": server.url("/in"), "compression": "gzip"});
        Box::new(Target { server, settings })
    }
}

#[async_trait]
impl sink::SinkScene for Target {
    async fn sink(&mut self) -> Box<dyn Sink> {
        build::sink("http", &self.settings, std::path::Path::new(".")).0
    }

    async fn arrived(&mut self) -> Vec<Vec<u8>> {
        self.server.lines()
    }

    async fn set(&mut self, target: sink::Target) {
        self.server.behave(match target {
            sink::Target::Well => Behave::Refuse(POISON),
            sink::Target::Away => Behave::Answer(503),
            sink::Target::Slow => Behave::Hold,
        });
    }

    fn poison(&self) -> Vec<u8> {
        format!("{{\"id\":{POISON}}}").into_bytes()
    }
}
