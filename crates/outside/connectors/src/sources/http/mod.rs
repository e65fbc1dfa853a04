//! The `http` source: a server that takes records by POST or PUT.
//!
//! A request is answered with `200 {"accepted":N}` when every record of it is finished: delivered,
//! filtered, or written to the error sink. A body is checked as a whole first; when anything of it is
//! wrong, nothing is taken (400 with the line).
//!
//! How long an answer takes: the engine stores positions on an interval and tells the source then,
//! so a request waits up to that interval longer than its records. `respond: accepted` answers as
//! soon as the records are in memory; then a crash loses what was answered for.
//!
//! Answers
//! - 200; 400 (bad record, broken compression), 401, 404, 405, 408 (slow body), 413 (too long, also
//!   unpacked), 415 (unknown encoding), 429 (`maxInFlight` or the memory of all bodies is used up), 503
//!   (busy, late or stopped). After 503 *still under way*, sending again may deliver twice.
//! - Headers: 64 and 32 KiB at most; the head must arrive within 10 s, everything else within
//!   `responseTimeout`. At most 1,024 connections are open.
//! - Records cannot be read again: after a restart there is no position to go back to, and a client
//!   that got no 200 sends again.

mod auth;
pub(crate) mod body;
mod metrics;
mod server;
#[cfg(test)]
mod tests;
mod tls;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration as StdDuration;

use async_trait::async_trait;
use levada_model::value::Str;
use levada_model::{ErrorClass, Position, RecordBatch};
use levada_registry::{FieldPath, Report};
use levada_runtime::{Bounds, EdgeReceiver, ShutdownHandle, TaskKind, edge};
use levada_settings::{ByteSize, Duration};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot};

use crate::context::BuildContext;
use crate::spec::{BuildError, SourceSpec};
use crate::traits::{Source, SourceError};

pub use auth::Auth;
pub use body::Format;
pub use tls::ServerTls;

use metrics::HttpSourceMetrics;
use server::{Accepted, Budget, REQUEST_BYTES, Server, Settings};

/// The one partition.
const PARTITION: &str = "http";

const BODY_BYTES_DEFAULT: ByteSize = ByteSize::mib(16);
const BODIES_BYTES_DEFAULT: ByteSize = ByteSize::mib(256);
const IN_FLIGHT_DEFAULT: u32 = 64;
const RESPONSE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// Longest body that can be allowed: what a batch can address with room for edits.
const BODY_BYTES_CEILING: ByteSize = ByteSize::mib(1024);

/// Requests under way that can be allowed. Ours: each may be a connection.
const IN_FLIGHT_CEILING: u32 = 65_536;

/// Connections beside those of requests under way, for clients that keep theirs open.
const CONNECTIONS: usize = 1024;

/// How long a client may take for the head of a request. Ours: short enough to end a slow attack.
const HEAD_TIMEOUT: StdDuration = StdDuration::from_secs(10);

/// When a request is answered.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Respond {
    /// When every record is finished: at least once, from the client on.
    #[default]
    Delivered,
    /// When the records are in memory: faster, and a crash loses them.
    Accepted,
}

/// Settings of the `http` source.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Spec {
    /// Where to listen, `host:port`. Required.
    pub listen: String,
    /// The path that takes records. Default `/`.
    pub path: Option<String>,
    /// Who may send. Default: anybody, which only a loopback address or `tls.clientCaFile` allows.
    pub auth: Option<Auth>,
    /// How a body holds records. Default `ndjson`.
    pub format: Format,
    /// When a request is answered. Default `delivered`.
    pub respond: Respond,
    /// Longest body, as it arrives and unpacked. Default `16MiB`, at most `1GiB`.
    pub max_body_bytes: Option<ByteSize>,
    /// Requests under way; more are answered with 429. Default 64, at most 65536.
    pub max_in_flight: Option<u32>,
    /// Memory of all bodies that no batch has taken yet; more is answered with 429. Default `256MiB`,
    /// and never below `maxBodyBytes` twice.
    pub max_in_flight_bytes: Option<ByteSize>,
    /// How long a request may take from its head to its answer. Default `30s`.
    pub response_timeout: Option<Duration>,
    /// TLS of the listener. Default: plain text.
    pub tls: Option<ServerTls>,
}

/// The source: hands out what the listener accepted.
struct HttpSource {
    spec: Spec,
    ctx: BuildContext,
    /// Taken by the first `open`.
    settings: Option<Settings>,
    metrics: HttpSourceMetrics,
    running: Option<Running>,
    partition: Str,
    position: u64,
    current: Option<Accepted>,
    /// Requests whose last record was handed out, with the position behind it.
    waiting: VecDeque<(u64, oneshot::Sender<()>)>,
}

struct Running {
    queue: EdgeReceiver<Accepted>,
    stop: ShutdownHandle,
    #[cfg_attr(not(test), expect(dead_code, reason = "tests listen on any free port"))]
    address: SocketAddr,
}

// === impl Spec ===

impl Spec {
    fn path(&self) -> &str {
        self.path.as_deref().unwrap_or("/")
    }

    fn body_bytes_max(&self) -> ByteSize {
        self.max_body_bytes.unwrap_or(BODY_BYTES_DEFAULT)
    }

    fn in_flight(&self) -> u32 {
        self.max_in_flight.unwrap_or(IN_FLIGHT_DEFAULT)
    }

    /// Other machines reach the listener, and nothing says who may send.
    fn is_open_to_others(&self) -> bool {
        let checks_clients = self.tls.as_ref().is_some_and(|tls| !tls.client_ca_file.is_empty());
        self.auth.is_none() && !checks_clients && !is_loopback(&self.listen)
    }

    fn check_listen(&self, at: &FieldPath, report: &mut Report) {
        let at = at.child("listen");
        if self.listen.is_empty() {
            return report.required(&at, "listen is required, host:port");
        }
        let port = self.listen.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
        if !matches!(port, Some(Ok(_))) || self.listen.starts_with(':') {
            let detail = "must be host:port, e.g. 127.0.0.1:8080";
            report.invalid(&at, self.listen.as_str(), detail);
        } else if self.is_open_to_others() {
            let detail = "other machines reach this address: set auth, or auth: {none: true} if \
                          anybody may send";
            report.invalid(&at, self.listen.as_str(), detail);
        }
    }

    fn check_limits(&self, at: &FieldPath, report: &mut Report) {
        if let Some(size) = self.max_body_bytes
            && (size.bytes() == 0 || size > BODY_BYTES_CEILING)
        {
            let detail = "must be from 1 byte to 1GiB";
            report.invalid(&at.child("maxBodyBytes"), size.to_string(), detail);
        }
        if let Some(count) = self.max_in_flight
            && !(1..=IN_FLIGHT_CEILING).contains(&count)
        {
            report.invalid(&at.child("maxInFlight"), count, "must be from 1 to 65536");
        }
        if self.max_in_flight_bytes.is_some_and(|size| size.bytes() == 0) {
            report.invalid(&at.child("maxInFlightBytes"), 0, "must be greater than zero");
        }
        if self.response_timeout.is_some_and(Duration::is_zero) {
            report.invalid(&at.child("responseTimeout"), "0s", "must be greater than zero");
        }
    }
}

impl SourceSpec for Spec {
    const NAME: &'static str = "http";
    const SUMMARY: &'static str =
        "Takes records by POST or PUT, and answers when they are delivered";

    fn check(&self, at: &FieldPath, report: &mut Report) {
        self.check_listen(at, report);
        if !self.path().starts_with('/') || self.path().contains(['?', '#', ' ']) {
            let detail = "must begin with / and hold no query";
            report.invalid(&at.child("path"), self.path(), detail);
        }
        if let Some(auth) = &self.auth {
            auth.check(&at.child("auth"), report);
        }
        if let Some(tls) = &self.tls {
            tls.check(&at.child("tls"), report);
        }
        self.check_limits(at, report);
        let sends_secret = self.auth.as_ref().is_some_and(|auth| !auth.none);
        if sends_secret && self.tls.is_none() && !is_loopback(&self.listen) {
            let text = "without tls, credentials and records cross the network in clear text";
            report.warning(&at.child("auth"), text.into());
        }
    }

    fn build(self, ctx: &BuildContext) -> Result<Box<dyn Source>, BuildError> {
        Ok(Box::new(HttpSource::new(self, ctx)?))
    }
}

fn is_loopback(listen: &str) -> bool {
    if let Ok(address) = listen.parse::<SocketAddr>() {
        return address.ip().is_loopback();
    }
    let host = listen.rsplit_once(':').map_or(listen, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

// === impl HttpSource ===

impl HttpSource {
    fn new(spec: Spec, ctx: &BuildContext) -> Result<Self, BuildError> {
        let invalid = |text: String| Err(BuildError::Invalid(text));
        if spec.is_open_to_others() {
            let listen = &spec.listen;
            return invalid(format!(
                "other machines reach `{listen}`: set auth, or auth: {{none: true}} if anybody may send"
            ));
        }
        let guard = match spec.auth.clone().unwrap_or_default().guard() {
            Ok(guard) => guard,
            Err(text) => return invalid(text),
        };
        let metrics = match HttpSourceMetrics::new(&ctx.metrics, &ctx.flow) {
            Ok(metrics) => metrics,
            Err(error) => return invalid(error.to_string()),
        };
        let settings = Settings {
            path: spec.path().to_owned(),
            guard,
            format: spec.format,
            body_bytes_max: spec.body_bytes_max().min(BODY_BYTES_CEILING).as_usize(),
            response_timeout: spec.response_timeout.unwrap_or(RESPONSE_TIMEOUT_DEFAULT).get(),
            head_timeout: HEAD_TIMEOUT,
            waits: spec.respond == Respond::Delivered,
        };
        Ok(HttpSource {
            spec,
            ctx: ctx.clone(),
            settings: Some(settings),
            metrics,
            running: None,
            partition: PARTITION.into(),
            position: 0,
            current: None,
            waiting: VecDeque::new(),
        })
    }

    async fn start(&mut self) -> Result<(), SourceError> {
        let listen = &self.spec.listen;
        let tls = match &self.spec.tls {
            Some(tls) => Some(tls.acceptor(&self.ctx.base_dir).await?),
            None => None,
        };
        let failed = |error| SourceError::io(format!("cannot listen on `{listen}`"), error);
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let Some(settings) = self.settings.take() else {
            return Err(SourceError::new(ErrorClass::Unknown, "the listener has ended"));
        };

        let bodies = self.spec.max_in_flight_bytes.unwrap_or(BODIES_BYTES_DEFAULT).bytes();
        let bodies = bodies.max(2 * (settings.body_bytes_max as u64 + REQUEST_BYTES));
        let in_flight = self.spec.in_flight().clamp(1, IN_FLIGHT_CEILING) as usize;
        // The bytes are bounded by the budget, so that a full queue is told at once.
        let (queue, receiver) = edge(Bounds { records: u64::MAX / 2, bytes: u64::MAX / 2 });
        let (stop, observer) = ShutdownHandle::new();
        let server = Arc::new(Server {
            settings,
            ctx: self.ctx.clone(),
            metrics: self.metrics.clone(),
            queue,
            budget: Budget::new(bodies, self.metrics.clone()),
            requests: Semaphore::new(in_flight),
            connections: Arc::new(Semaphore::new(CONNECTIONS + in_flight)),
            stop: observer,
        });
        let run = server.run(listener, tls);
        // It ends when the source does.
        drop(self.ctx.tasks.spawn(TaskKind::Http, "http source", run));
        tracing::info!(%address, tls = self.spec.tls.is_some(), "http source listens");
        self.running = Some(Running { queue: receiver, stop, address });
        Ok(())
    }

    /// Hands out records of the current request until it ends or the batch is full.
    fn fill(&mut self, batch: &mut RecordBatch) {
        let Some(accepted) = &mut self.current else { return };
        self.position += 1;
        let origin = batch.push_origin(self.partition.clone(), self.position.into());
        let body = &mut accepted.body;
        while !self.ctx.is_full(batch.len(), batch.text.len()) {
            let Some(place) = body.next() else { break };
            let start = batch.text.len();
            batch.push(&body.bytes[place], origin, self.position);
            if self.spec.format == Format::Json {
                one_line(&mut batch.text[start..]);
            }
        }
        if body.records() == 0 {
            let done = self.current.take().and_then(|accepted| accepted.done);
            self.waiting.extend(done.map(|done| (self.position, done)));
        }
    }
}

/// Line feeds in a JSON value are white space; behind it stands the one that ends the record.
fn one_line(text: &mut [u8]) {
    let Some((_, record)) = text.split_last_mut() else { return };
    for byte in record {
        if matches!(*byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
}

#[async_trait]
impl Source for HttpSource {
    async fn open(&mut self, positions: &[(Str, Position)]) -> Result<(), SourceError> {
        // Only a number that grows: there is nothing to go back to.
        for (_, position) in positions.iter().filter(|(partition, _)| *partition == self.partition)
        {
            self.position = self.position.max(position.as_u64().unwrap_or(0));
        }
        // What was handed out before a failure is not handed out again: its clients must send again.
        self.waiting.clear();
        self.current = None;
        match self.running {
            Some(_) => Ok(()),
            None => self.start().await,
        }
    }

    async fn next(&mut self, batch: &mut RecordBatch) -> Result<bool, SourceError> {
        batch.expects_json = self.spec.format != Format::Raw;
        while !self.ctx.is_full(batch.len(), batch.text.len()) {
            if self.current.is_none() {
                let Some(running) = &self.running else {
                    return Err(SourceError::new(ErrorClass::Unknown, "the source is not open"));
                };
                let accepted = match batch.is_empty() {
                    true => running.queue.recv().await,
                    false => running.queue.try_recv(),
                };
                match accepted {
                    Some(accepted) => self.current = Some(accepted),
                    None if batch.is_empty() => {
                        let message = "the listener of the http source has ended";
                        return Err(SourceError::new(ErrorClass::Unknown, message));
                    }
                    None => break,
                }
            }
            self.fill(batch);
        }
        Ok(true)
    }

    async fn commit(&mut self, upto: &[(Str, Position)]) -> Result<(), SourceError> {
        for (_, position) in upto.iter().filter(|(partition, _)| *partition == self.partition) {
            let position = position.as_u64().unwrap_or(0);
            while self.waiting.front().is_some_and(|(behind, _)| *behind <= position) {
                let done = self.waiting.pop_front().map(|(_, done)| done);
                if done.is_some_and(|done| done.send(()).is_err()) {
                    tracing::debug!("the client had gone before its records were finished");
                }
            }
        }
        Ok(())
    }

    fn lag(&self) -> Option<u64> {
        let queued = self.running.as_ref().map_or(0, |running| running.queue.stats().records);
        let current = self.current.as_ref().map_or(0, |accepted| accepted.body.records());
        Some(queued + current)
    }
}

impl Drop for HttpSource {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.stop.drain();
        }
    }
}
