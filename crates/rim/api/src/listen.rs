//! Listeners: sockets, TLS, bounds, drain; and the way of a request through them.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::header::{ACCEPT_ENCODING, HeaderMap, HeaderName, HeaderValue, ORIGIN};
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Method, Request as WireRequest, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use levada_runtime::{Shutdown, TaskKind, Tasks};
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use uuid::Uuid;

use crate::answer::{Answer, Wire};
use crate::api::{Api, Visit};
use crate::bodies::{Bodies, Buffer};
use crate::error::ApiError;
use crate::gateway;
use crate::request::{Query, Request};
use crate::router::{Access, Body, Found, Route};

/// The largest head of a request.
pub const HEAD_BYTES_MAX: usize = 64 << 10;
const HEADERS_MAX: usize = 100;
/// After an accept failed (no file descriptors, say) the next one waits.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where a server listens.
pub struct Listener {
    /// The address, e.g. `127.0.0.1:9092`.
    pub address: String,
    /// Accepts TLS, where it does.
    pub tls: Option<TlsAcceptor>,
    /// Connections at a time; more wait in the queue of the system.
    pub connections_max: usize,
    /// How long the head of a request, or a TLS handshake, may take.
    pub head_timeout: Duration,
    /// How long the body of a request may take.
    pub body_timeout: Duration,
    /// How long requests under way may take when the server stops.
    pub drain_timeout: Duration,
}

/// A listener that serves.
#[derive(Clone, Copy, Debug)]
pub struct Served {
    /// The bound address.
    pub address: SocketAddr,
}

struct Server {
    api: Arc<Api>,
    tasks: Tasks,
    shutdown: Shutdown,
    bodies: Arc<Bodies>,
    head_timeout: Duration,
    body_timeout: Duration,
    drain_timeout: Duration,
}

/// Binds a listener and serves it until the shutdown drains.
///
/// - Errors: the address cannot be bound.
pub async fn serve(
    listener: Listener,
    api: Arc<Api>,
    tasks: &Tasks,
    shutdown: &Shutdown,
) -> io::Result<Served> {
    let Listener { address, tls, connections_max, head_timeout, body_timeout, drain_timeout } =
        listener;
    let socket = TcpListener::bind(&address).await?;
    let address = socket.local_addr()?;
    let server = Arc::new(Server {
        api,
        tasks: tasks.clone(),
        shutdown: shutdown.clone(),
        bodies: Arc::default(),
        head_timeout,
        body_timeout,
        drain_timeout,
    });
    let slots = Arc::new(Semaphore::new(connections_max));
    tasks.spawn(TaskKind::Http, "listener", server.accept(socket, tls, slots));
    Ok(Served { address })
}

// === impl Server ===

impl Server {
    async fn accept(
        self: Arc<Self>,
        socket: TcpListener,
        tls: Option<TlsAcceptor>,
        slots: Arc<Semaphore>,
    ) {
        let mut shutdown = self.shutdown.clone();
        loop {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
            let accepted = tokio::select! {
                accepted = socket.accept() => accepted,
                () = shutdown.draining() => return,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let (server, tls) = (Arc::clone(&self), tls.clone());
                    self.tasks.spawn(TaskKind::Http, "connection", async move {
                        server.connection(stream, peer, tls).await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    self.api.clock.sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn connection(&self, stream: TcpStream, peer: SocketAddr, tls: Option<TlsAcceptor>) {
        // Small answers should not wait for more; a failure only costs time.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        let Some(tls) = tls else { return self.requests(stream, peer).await };
        tokio::select! {
            stream = tls.accept(stream) => match stream {
                Ok(stream) => self.requests(stream, peer).await,
                Err(error) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
            },
            () = self.api.clock.sleep(self.head_timeout) => {
                tracing::debug!(%peer, "a TLS handshake took too long");
            }
        }
    }

    async fn requests<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S, peer: SocketAddr) {
        let service =
            service_fn(
                |request| async move { Ok::<_, Infallible>(self.answer(request, peer).await) },
            );
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.head_timeout)
            .max_headers(HEADERS_MAX)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let mut shutdown = self.shutdown.clone();
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = shutdown.draining() => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    result = connection => result,
                    () = self.api.clock.sleep(self.drain_timeout) => Ok(()),
                    () = shutdown.aborting() => Ok(()),
                }
            }
        };
        if let Err(error) = result {
            tracing::debug!(%peer, %error, "a connection ended");
        }
    }

    async fn answer(&self, request: WireRequest<Incoming>, peer: SocketAddr) -> Wire {
        let started = self.api.clock.monotonic();
        let method = request.method().clone();
        let path = request.uri().path().to_owned();
        let origin = request.headers().get(ORIGIN).cloned();
        let accepts_gzip = accepts_gzip(request.headers());
        let access = crate::access::Access::of(&request, self.api.clock.now());
        let id = Uuid::now_v1(&node_id(&self.api.identity.server_id)).to_string();
        // A panic is the fault of one request: it must not end the connection, let alone others.
        let outcome = std::panic::AssertUnwindSafe(self.dispatch(request)).catch_unwind().await;
        let answer = match outcome {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => error.answer(),
            Err(_) => {
                tracing::error!(%method, path, "a request panicked");
                ApiError::internal("internal error; see the log of the server").answer()
            }
        };
        let status = answer.status().as_u16();
        let duration = self.api.clock.monotonic().saturating_sub(started);
        if let Some(access) = access {
            access.log(peer, status, &id, duration);
        }
        let mut wire = answer.into_wire(accepts_gzip);
        let headers = wire.headers_mut();
        set(headers, "x-kapacitor-version", &self.api.identity.kapacitor_version);
        set(headers, "request-id", &id);
        if let Some(origin) = origin {
            headers.insert("access-control-allow-origin", origin);
            set(headers, "access-control-allow-methods", "DELETE, GET, OPTIONS, POST, PATCH");
            set(
                headers,
                "access-control-allow-headers",
                "Accept, Accept-Encoding, Authorization, Content-Length, Content-Type, X-CSRF-Token, X-HTTP-Method-Override",
            );
        }
        wire
    }

    async fn dispatch(&self, request: WireRequest<Incoming>) -> Result<Answer, ApiError> {
        let (head, body) = request.into_parts();
        let path = percent_decode_str(head.uri.path()).decode_utf8_lossy().into_owned();
        let (place, params) = match self.api.router.find(&head.method, &path) {
            Found::Route(place, params) => (place, params),
            Found::Moved(path) => return Ok(moved(&path, head.uri.query())),
            Found::Unknown => return Err(ApiError::not_found("Not Found")),
        };
        if head.method == Method::OPTIONS {
            return Ok(Answer::empty(StatusCode::OK));
        }
        let route = &self.api.router.routes()[place];
        let request = (head, body, path, params);
        self.handle(route, request).await.or_else(|error| Ok((route.refuse)(&error)))
    }

    async fn handle(
        &self,
        route: &Route,
        (head, body, path, params): (Parts, Incoming, String, Vec<(String, String)>),
    ) -> Result<Answer, ApiError> {
        let query = Query::parse(head.uri.query().unwrap_or_default());
        let visit = Visit {
            method: &head.method,
            path: &path,
            access: route.access,
            headers: &head.headers,
            query: &query,
        };
        let user = match route.access {
            Access::Token => gateway::admit(&self.api, visit).await?,
            _ => self.api.gate.admit(visit).await?,
        };
        let body = match route.body {
            Body::None => Bytes::new(),
            Body::Gateway => {
                let gateway = self.api.gateway.as_ref();
                let most = gateway.map_or(0, |gateway| gateway.body_bytes_max);
                let buffer = self.bodies.take(body.size_hint().lower());
                self.read(body, buffer, most).await?
            }
            kind => {
                let buffer = match kind {
                    Body::Points => self.bodies.take(body.size_hint().lower()),
                    _ => Buffer::new(),
                };
                self.read(body, buffer, self.api.limits.of(kind)).await?
            }
        };
        let request =
            Request { method: head.method, path, params, query, headers: head.headers, body, user };
        (route.handle)(Arc::clone(&self.api), request).await
    }

    async fn read(
        &self,
        body: Incoming,
        mut buffer: Buffer,
        most: usize,
    ) -> Result<Bytes, ApiError> {
        let mut body = Limited::new(body, most);
        // Each part is copied as it comes, so that the connection reads the next one into the same memory.
        let whole = async {
            while let Some(frame) = body.frame().await {
                frame?.into_data().iter().for_each(|data| buffer.extend(data));
            }
            Ok(())
        };
        let read: Result<(), Box<dyn std::error::Error + Send + Sync>> = tokio::select! {
            read = whole => read,
            () = self.api.clock.sleep(self.body_timeout) => {
                let text = format!("the body took more than {:?}", self.body_timeout);
                return Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, text));
            }
        };
        match read {
            Ok(()) => Ok(buffer.freeze()),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                let text = format!("the body has more than {most} bytes; send it in parts");
                Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, text))
            }
            Err(error) => Err(ApiError::bad_request(error.to_string())),
        }
    }
}

fn moved(path: &str, query: Option<&str>) -> Answer {
    const KEPT: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
        .remove(b'/')
        .remove(b'-')
        .remove(b'_')
        .remove(b'.')
        .remove(b'~')
        .remove(b':');
    let path = percent_encoding::utf8_percent_encode(path, KEPT);
    let query = query.map_or_else(String::new, |query| format!("?{query}"));
    Answer::empty(StatusCode::MOVED_PERMANENTLY).header("location", &format!("{path}{query}"))
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT_ENCODING).iter();
    accepted.filter_map(|value| value.to_str().ok()).any(|value| value.contains("gzip"))
}

/// The part of time-based IDs that tells servers apart.
fn node_id(server_id: &str) -> [u8; 6] {
    let mut node = [0_u8; 6];
    for (place, byte) in server_id.bytes().enumerate() {
        node[place % 6] = node[place % 6].rotate_left(3) ^ byte;
    }
    node
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}
