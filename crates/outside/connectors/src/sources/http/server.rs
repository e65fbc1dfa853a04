//! The listener of the `http` source: from a connection to an answer.
//!
//! ```text
//! accept ─► TLS ─► head ─► 401 404 405 415 413 429 ─► body (bounded, timed) ─► unpack, check ─► queue ─► source
//!                                                                                                │
//! answer 200 ◄─────────────────────────────────────── released by commit, or at once ◄───────────┘
//! ```
//! HTTP/1.1 only, so a connection carries one request at a time.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::{Body as HttpBody, Bytes};
use axum::http::header::{
    ALLOW, AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use futures_util::StreamExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use levada_codec::compression::{Compression, CompressionError, decompress_all};
use levada_runtime::{EdgeSender, Shutdown, TaskKind, Weigh};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio_rustls::TlsAcceptor;

use super::auth::Guard;
use super::body::{Body, Format};
use super::metrics::HttpSourceMetrics;
use crate::context::BuildContext;

/// Bytes of a request's line and headers. Ours: what common servers accept.
const HEAD_BYTES_MAX: usize = 32 << 10;

/// Headers of a request. Ours, for the same reason.
const HEADERS_MAX: usize = 64;

/// Bodies above this are unpacked and checked on a thread of their own. Ours: below it, that takes
/// less than a tenth of a millisecond.
const INLINE_BYTES_MAX: usize = 64 << 10;

/// What a request costs beside its body, so that many small ones are bounded too. Ours: its task, its
/// place in the queue and its answer, rounded up.
pub(super) const REQUEST_BYTES: u64 = 512;

/// How long requests under way may go on when the source ends.
const GRACE: Duration = Duration::from_secs(5);

/// What the listener works with.
pub(super) struct Server {
    pub(super) settings: Settings,
    pub(super) ctx: BuildContext,
    pub(super) metrics: HttpSourceMetrics,
    pub(super) queue: EdgeSender<Accepted>,
    pub(super) budget: Arc<Budget>,
    pub(super) requests: Semaphore,
    pub(super) connections: Arc<Semaphore>,
    pub(super) stop: Shutdown,
}

/// The settings of requests, resolved.
pub(super) struct Settings {
    pub(super) path: String,
    pub(super) guard: Guard,
    pub(super) format: Format,
    pub(super) body_bytes_max: usize,
    pub(super) response_timeout: Duration,
    /// How long a client may take for a TLS handshake and for the head of a request.
    pub(super) head_timeout: Duration,
    /// Answer when records are finished, and not when they are in memory.
    pub(super) waits: bool,
}

/// The records of one request, on their way to the source.
pub(super) struct Accepted {
    pub(super) body: Body,
    /// Sent to when everything is finished; dropped without when it never will be.
    pub(super) done: Option<oneshot::Sender<()>>,
    /// The memory of the body, given back with it.
    _reserved: Reservation,
}

/// Bytes that all bodies together may hold.
pub(super) struct Budget {
    used: AtomicU64,
    max: u64,
    metrics: HttpSourceMetrics,
}

struct Reservation {
    budget: Arc<Budget>,
    bytes: u64,
}

/// Why a request is not answered with 200.
struct Refusal {
    status: StatusCode,
    message: String,
}

type Answer = Response<HttpBody>;

// === impl Weigh for Accepted ===

impl Weigh for Accepted {
    fn weigh(&self) -> (u64, u64) {
        (self.body.records(), self.body.bytes.len() as u64)
    }
}

// === impl Budget ===

impl Budget {
    pub(super) fn new(max: u64, metrics: HttpSourceMetrics) -> Arc<Self> {
        Arc::new(Budget { used: AtomicU64::new(0), max, metrics })
    }
}

impl Reservation {
    fn new(budget: &Arc<Budget>) -> Self {
        Reservation { budget: budget.clone(), bytes: 0 }
    }

    /// Reserves `bytes` more; tells whether there was room.
    fn grow(&mut self, bytes: u64) -> Result<(), Refusal> {
        let used = self.budget.used.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if used > self.budget.max {
            self.budget.used.fetch_sub(bytes, Ordering::Relaxed);
            let message = "too many bytes are under way; send again later";
            return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, message));
        }
        self.bytes += bytes;
        self.budget.metrics.body_bytes.add(bytes as i64);
        Ok(())
    }

    fn shrink_to(&mut self, bytes: u64) {
        let back = self.bytes.saturating_sub(bytes);
        self.bytes -= back;
        self.budget.used.fetch_sub(back, Ordering::Relaxed);
        self.budget.metrics.body_bytes.sub(back as i64);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

// === impl Server ===

impl Server {
    /// Accepts connections until the source ends.
    pub(super) async fn run(self: Arc<Self>, listener: TcpListener, tls: Option<TlsAcceptor>) {
        let mut stop = self.stop.clone();
        tokio::select! {
            () = stop.draining() => {}
            () = self.accept(listener, tls) => {}
        }
    }

    async fn accept(self: &Arc<Self>, listener: TcpListener, tls: Option<TlsAcceptor>) {
        /// After a failed accept (no file descriptors left), so that the loop does not spin.
        const PAUSE: Duration = Duration::from_millis(100);
        let mut failing = false;
        loop {
            let Ok(permit) = self.connections.clone().acquire_owned().await else { return };
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    if !failing {
                        tracing::warn!(%error, "cannot accept connections");
                    }
                    failing = true;
                    self.ctx.clock.sleep(PAUSE).await;
                    continue;
                }
            };
            failing = false;
            let (server, tls) = (self.clone(), tls.clone());
            let serve = async move {
                server.connection(stream, tls).await;
                drop(permit);
            };
            // Its end is told by the permit.
            drop(self.ctx.tasks.spawn(TaskKind::Http, "http source connection", serve));
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, tls: Option<TlsAcceptor>) {
        // Small answers should not wait for more; a failure only costs time.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        let Some(tls) = tls else { return self.serve(stream).await };
        let handshake = tokio::select! {
            result = tls.accept(stream) => Some(result),
            () = self.ctx.clock.sleep(self.settings.head_timeout) => None,
        };
        match handshake {
            Some(Ok(stream)) => self.serve(stream).await,
            Some(Err(error)) => self.refused(&error),
            None => self.refused(&"the TLS handshake took too long"),
        }
    }

    fn refused(&self, reason: &dyn std::fmt::Display) {
        self.metrics.connections_refused.inc();
        tracing::debug!(%reason, "connection to the http source refused");
    }

    async fn serve<S: AsyncRead + AsyncWrite + Unpin>(self: Arc<Self>, stream: S) {
        let service = service_fn(|request: Request<Incoming>| {
            let server = self.clone();
            async move { Ok::<_, Infallible>(server.answer(request.map(HttpBody::new)).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.settings.head_timeout)
            .max_headers(HEADERS_MAX)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let mut stop = self.stop.clone();
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = stop.draining() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    result = connection => result,
                    () = self.ctx.clock.sleep(GRACE) => Ok(()),
                }
            }
        };
        if let Err(error) = result {
            self.refused(&error);
        }
    }

    async fn answer(&self, request: Request<HttpBody>) -> Answer {
        self.metrics.in_flight.add(1);
        let guard = InFlight(&self.metrics);
        let answer = match self.take(request).await {
            Ok(records) => json(StatusCode::OK, &serde_json::json!({ "accepted": records })),
            Err(refusal) => self.refuse(refusal),
        };
        drop(guard);
        self.metrics.answered(answer.status().as_u16());
        answer
    }

    fn refuse(&self, refusal: Refusal) -> Answer {
        let mut answer = json(refusal.status, &serde_json::json!({ "error": refusal.message }));
        let mut set = |name, value| answer.headers_mut().insert(name, value);
        match refusal.status {
            StatusCode::UNAUTHORIZED => {
                set(WWW_AUTHENTICATE, self.settings.guard.challenge());
            }
            StatusCode::METHOD_NOT_ALLOWED => {
                set(ALLOW, HeaderValue::from_static("POST, PUT"));
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                set(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            // What is left of the body is not read.
            StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT => {
                set(CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        answer
    }

    /// Takes the records of a request; gives their number once they may be answered for.
    async fn take(&self, request: Request<HttpBody>) -> Result<u64, Refusal> {
        let encoding = self.admit(&request)?;
        let Ok(_permit) = self.requests.try_acquire() else {
            let message = "too many requests are under way; send again later";
            return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, message));
        };
        let deadline = self.ctx.clock.sleep(self.settings.response_timeout);
        tokio::pin!(deadline);

        let read = self.read(request.into_body(), encoding);
        let (body, reserved) = until(&mut deadline, read, || {
            Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body took too long")
        })
        .await??;
        let records = body.records();
        if records == 0 {
            return Ok(0);
        }

        let (done, finished) = oneshot::channel();
        let done = self.settings.waits.then_some(done);
        let queued = until(
            &mut deadline,
            self.queue.send(Accepted { body, done, _reserved: reserved }),
            || Refusal::unavailable("the flow is busy; nothing was taken, send again"),
        )
        .await?;
        if queued.is_err() {
            return Err(Refusal::unavailable("the flow has stopped; send again"));
        }
        if !self.settings.waits {
            return Ok(records);
        }
        let late = || {
            let message = "not finished in time; the records are still under way, and sending \
                           them again may deliver them twice";
            Refusal::unavailable(message)
        };
        let outcome = until(&mut deadline, finished, late).await?;
        match outcome {
            Ok(()) => Ok(records),
            Err(_) => {
                let message = "the flow stopped before the records were finished; send them again";
                Err(Refusal::unavailable(message))
            }
        }
    }

    /// Looks at the head of a request; gives the encoding of its body.
    fn admit(&self, request: &Request<HttpBody>) -> Result<Compression, Refusal> {
        if !self.settings.guard.allows(request.headers().get(AUTHORIZATION)) {
            let message = "credentials are missing or wrong";
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, message));
        }
        if request.uri().path() != self.settings.path {
            let message = format!("nothing here; send records to {}", self.settings.path);
            return Err(Refusal::new(StatusCode::NOT_FOUND, message));
        }
        if !matches!(*request.method(), Method::POST | Method::PUT) {
            let message = "send records with POST or PUT";
            return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, message));
        }
        let encoding = encoding(request.headers())?;
        let length = request.headers().get(CONTENT_LENGTH);
        let length = length.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if length.is_some_and(|length| length > self.settings.body_bytes_max as u64) {
            return Err(self.too_large());
        }
        Ok(encoding)
    }

    fn too_large(&self) -> Refusal {
        let max = self.settings.body_bytes_max;
        let message = format!("the body is longer than {max} bytes; send less at once");
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message)
    }

    async fn read(
        &self,
        body: HttpBody,
        encoding: Compression,
    ) -> Result<(Body, Reservation), Refusal> {
        let mut reserved = Reservation::new(&self.budget);
        reserved.grow(REQUEST_BYTES)?;
        let mut bytes = Vec::new();
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk: Bytes = chunk.map_err(|_| {
                Refusal::new(StatusCode::BAD_REQUEST, "the body ended before its end")
            })?;
            if bytes.len() + chunk.len() > self.settings.body_bytes_max {
                return Err(self.too_large());
            }
            reserved.grow(chunk.len() as u64)?;
            bytes.extend_from_slice(&chunk);
        }
        if encoding != Compression::None {
            // What it will become is only known afterwards.
            reserved.grow(self.settings.body_bytes_max as u64)?;
        }
        let (format, max) = (self.settings.format, self.settings.body_bytes_max);
        let is_quick = encoding == Compression::None && bytes.len() <= INLINE_BYTES_MAX;
        let unpack = move || unpack(format, encoding, bytes, max, reserved);
        if is_quick {
            return unpack();
        }
        let thread = self.ctx.tasks.spawn_thread(TaskKind::Http, "http source body", unpack);
        thread.await.unwrap_or_else(|_| {
            Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the body could not be checked"))
        })
    }
}

struct InFlight<'a>(&'a HttpSourceMetrics);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.sub(1);
    }
}

// === impl Refusal ===

impl Refusal {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Refusal { status, message: message.into() }
    }

    fn unavailable(message: &str) -> Self {
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }
}

/// Waits for `work` until the deadline.
async fn until<T>(
    deadline: &mut (impl Future<Output = ()> + Unpin),
    work: impl Future<Output = T>,
    late: impl FnOnce() -> Refusal,
) -> Result<T, Refusal> {
    tokio::select! {
        biased;
        result = work => Ok(result),
        () = deadline => Err(late()),
    }
}

fn encoding(headers: &HeaderMap) -> Result<Compression, Refusal> {
    let mut values = headers.get_all(CONTENT_ENCODING).iter();
    let encoding = match (values.next(), values.next()) {
        (None, _) => Some(Compression::None),
        (Some(value), None) => value.to_str().ok().and_then(Compression::from_content_encoding),
        _ => None,
    };
    encoding.ok_or_else(|| {
        let message = "unknown content encoding; known: identity, gzip, zstd";
        Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
    })
}

fn unpack(
    format: Format,
    encoding: Compression,
    bytes: Vec<u8>,
    max: usize,
    mut reserved: Reservation,
) -> Result<(Body, Reservation), Refusal> {
    let plain = match encoding {
        Compression::None => bytes,
        _ => decompress_all(encoding, &bytes, max).map_err(|error| {
            let status = match error {
                CompressionError::ExpansionLimit { .. }
                | CompressionError::WindowTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
                _ => StatusCode::BAD_REQUEST,
            };
            Refusal::new(status, error.to_string())
        })?,
    };
    reserved.shrink_to(REQUEST_BYTES + plain.len() as u64);
    let body = Body::check(format, plain)
        .map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, error.to_string()))?;
    Ok((body, reserved))
}

fn json(status: StatusCode, value: &serde_json::Value) -> Answer {
    let mut answer = Response::new(HttpBody::from(value.to_string()));
    *answer.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, json);
    answer
}
