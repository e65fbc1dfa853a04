//! Connections that follow the name of their server, and are measured.
//!
//! A pool keeps connections as long as they are used, also when the name points elsewhere by now. [`Fresh`] looks at the
//! addresses of the name from time to time; when they are others, it begins with new connections, and the old ones end with
//! their requests. The name is looked up without its port (B37). Files of certificates are read again then, too.
//!
//! Source: dataway reference §5.5.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use levada_runtime::{Clock, SystemClock};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, ClientBuilder, Response, Url};
use rustls::NamedGroup;
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue,
    Tls13ClientSessionValue,
};
use rustls_pki_types::ServerName;
use tower_layer::Layer;
use tower_service::Service;

use crate::error::ClientError;
use crate::http::{self, TlsOptions};
use crate::tls;

pub use crate::tls::Authorities;

/// How long a name may be looked up. Source: dataway reference §5.5.
const LOOK_UP_MAX: Duration = Duration::from_secs(10);

/// Knows the addresses of names.
#[async_trait]
pub trait Names: fmt::Debug + Send + Sync + 'static {
    /// Gives the addresses of a name.
    async fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// The names that the system knows.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemNames;

/// Hears of connections: metrics are made of that.
pub trait NetWatch: Send + Sync + 'static {
    /// A name was looked up for a connection.
    fn looked_up(&self, took: Duration);
    /// A connection was made, TLS included.
    fn connected(&self, took: Duration);
    /// A connection was made secure; that is a part of what it took to make it.
    fn secured(&self, took: Duration);
    /// The head of an answer has come: over which connection, how long after the request; and for one that was used before,
    /// how long it was idle.
    fn answered(&self, remote: Option<SocketAddr>, took: Duration, idle: Option<Duration>);
    /// A name was looked up again, to see whether it has moved.
    fn watched(&self, domain: &str, took: Duration, is_found: bool, has_moved: bool);
}

/// What clients need from the network.
#[derive(Clone)]
pub struct Net {
    /// Knows names.
    pub names: Arc<dyn Names>,
    /// Hears of connections.
    pub watch: Option<Arc<dyn NetWatch>>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// What is trusted where nothing else is said.
    pub authorities: Authorities,
}

/// A client whose connections go where the name of its server points.
pub(crate) struct Fresh {
    make: Make,
    /// What is looked up; nothing for an address.
    host: Option<String>,
    current: RwLock<Client>,
    known: Mutex<BTreeSet<IpAddr>>,
    links: Arc<Links>,
}

/// What a client is made of.
struct Make {
    tls: TlsOptions,
    proxy: String,
    idle_max: usize,
    net: Net,
}

/// Connections of one client, counted.
struct Links {
    net: Net,
    made: AtomicU64,
    /// Of those that were made, how many an answer has come over.
    used: AtomicU64,
    /// When the last answer was over.
    last: Mutex<Duration>,
}

// === impl Net ===

impl Default for Net {
    fn default() -> Self {
        Net {
            names: Arc::new(SystemNames),
            watch: None,
            clock: SystemClock::new(),
            authorities: Authorities::default(),
        }
    }
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Net({:?})", self.names)
    }
}

#[async_trait]
impl Names for SystemNames {
    async fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let found = tokio::net::lookup_host((host, 0)).await?;
        Ok(found.map(|address| address.ip()).collect())
    }
}

// === impl Fresh ===

impl Fresh {
    /// Makes a client for what is at `url`; reads the files of `tls`, and asks nobody yet.
    pub(crate) async fn new(
        url: &Url,
        tls: &TlsOptions,
        proxy: &str,
        idle_max: usize,
        net: &Net,
    ) -> Result<Self, ClientError> {
        // Behind a proxy only its own name is looked up here.
        let first = if proxy.is_empty() { url.clone() } else { http::address(proxy)? };
        let host = first
            .host_str()
            .filter(|host| host.trim_matches(['[', ']']).parse::<IpAddr>().is_err());
        let make = Make { tls: tls.clone(), proxy: proxy.to_owned(), idle_max, net: net.clone() };
        let links = Arc::new(Links {
            net: net.clone(),
            made: AtomicU64::new(0),
            used: AtomicU64::new(0),
            last: Mutex::new(net.clock.monotonic()),
        });
        let current = make.client(&links).await?;
        let current = RwLock::new(current);
        Ok(Fresh { host: host.map(str::to_owned), make, current, known: Mutex::default(), links })
    }

    /// Gives the client of now; a clone is cheap.
    pub(crate) fn client(&self) -> Client {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells that the head of an answer has come to a request of `started`.
    pub(crate) fn answered(&self, response: &Response, started: Duration) {
        let Some(watch) = &self.links.net.watch else { return };
        let now = self.links.net.clock.monotonic();
        let mut last = self.links.last.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = started.saturating_sub(*last);
        *last = now;
        drop(last);
        // Each connection is new to one answer.
        let made = self.links.made.load(Ordering::Acquire);
        let is_new = self
            .links
            .used
            .try_update(Ordering::AcqRel, Ordering::Acquire, |used| {
                (used < made).then_some(used + 1)
            })
            .is_ok();
        let took = now.saturating_sub(started);
        watch.answered(response.remote_addr(), took, (!is_new).then_some(idle));
    }

    /// Gives the time, for [`Fresh::answered`].
    pub(crate) fn now(&self) -> Duration {
        self.links.net.clock.monotonic()
    }

    /// Looks whether the name has moved, and begins with new connections when it has.
    pub(crate) async fn look_up(&self) {
        let Some(host) = &self.host else { return };
        let net = &self.make.net;
        let started = net.clock.monotonic();
        let found = tokio::select! {
            found = net.names.addresses(host) => found,
            () = net.clock.sleep(LOOK_UP_MAX) => Err(io::ErrorKind::TimedOut.into()),
        };
        let took = net.clock.monotonic().saturating_sub(started);
        let found: BTreeSet<IpAddr> = match found {
            Ok(found) => found.into_iter().collect(),
            Err(error) => {
                tracing::debug!(host, %error, "the addresses of a name are not known");
                BTreeSet::new()
            }
        };
        let is_found = !found.is_empty();
        let has_moved = is_found && {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            !known.is_empty() && *known != found
        };
        if let Some(watch) = &net.watch {
            watch.watched(host, took, is_found, has_moved);
        }
        if has_moved {
            match self.make.client(&self.links).await {
                Ok(client) => {
                    tracing::info!(host, addresses = ?found, "a name has moved, connections are made anew");
                    *self.current.write().unwrap_or_else(PoisonError::into_inner) = client;
                }
                Err(error) => {
                    return tracing::warn!(host, %error, "a name has moved, but there is no new client");
                }
            }
        }
        if is_found {
            *self.known.lock().unwrap_or_else(PoisonError::into_inner) = found;
        }
    }
}

// === impl Make ===

impl Make {
    async fn client(&self, links: &Arc<Links>) -> Result<Client, ClientError> {
        let mut builder = http::builder_through(&self.tls, &self.proxy, self.idle_max).await?;
        if self.net.watch.is_some() {
            let Net { clock, authorities, .. } = &self.net;
            let config = tls::client_config(&self.tls, authorities, clock.monotonic());
            let mut config = config.await?;
            config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            config.resumption = Resumption::store(Arc::new(Sessions {
                kept: ClientSessionMemoryCache::new(SESSIONS_MAX),
                clock: Arc::clone(&self.net.clock),
            }));
            builder = builder.tls_backend_preconfigured(config);
        }
        http::built(followed(builder, links))
    }
}

fn followed(builder: ClientBuilder, links: &Arc<Links>) -> ClientBuilder {
    let builder = builder.dns_resolver(Resolver(links.clone()));
    match links.net.watch {
        Some(_) => builder.connector_layer(Measured(links.clone())),
        None => builder,
    }
}

/// Looks names up as [`Names`] knows them.
struct Resolver(Arc<Links>);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let net = self.0.net.clone();
        Box::pin(async move {
            let started = net.clock.monotonic();
            let found = net.names.addresses(name.as_str()).await?;
            if let Some(watch) = &net.watch {
                watch.looked_up(net.clock.monotonic().saturating_sub(started));
            }
            // The port of the URL takes the place of none.
            let addresses: Addrs =
                Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}

/// Measures how long connections take to be made.
#[derive(Clone)]
struct Measured(Arc<Links>);

#[derive(Clone)]
struct Connecting<S> {
    inner: S,
    links: Arc<Links>,
}

impl<S> Layer<S> for Measured {
    type Service = Connecting<S>;

    fn layer(&self, inner: S) -> Connecting<S> {
        Connecting { inner, links: self.0.clone() }
    }
}

impl<S, R> Service<R> for Connecting<S>
where
    S: Service<R>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, ctx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(ctx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let links = self.links.clone();
        let started = links.net.clock.monotonic();
        let connecting = self.inner.call(request);
        let connecting = HELLO.scope(Cell::new(None), async {
            let connection = connecting.await?;
            Ok::<_, S::Error>((connection, HELLO.with(Cell::get)))
        });
        Box::pin(async move {
            let (connection, hello) = connecting.await?;
            links.made.fetch_add(1, Ordering::AcqRel);
            if let Some(watch) = &links.net.watch {
                let now = links.net.clock.monotonic();
                if let Some(hello) = hello {
                    watch.secured(now.saturating_sub(hello));
                }
                watch.connected(now.saturating_sub(started));
            }
            Ok(connection)
        })
    }
}

tokio::task_local! {
    /// When the last handshake began of the connection that is being made: behind a proxy, that with the server.
    static HELLO: Cell<Option<Duration>>;
}

/// Sessions of TLS that can be gone on with, as many as the library keeps by itself.
const SESSIONS_MAX: usize = 256;

/// Sessions of TLS. A handshake begins with a look at them, and nothing else tells when it begins.
struct Sessions {
    kept: ClientSessionMemoryCache,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kept.fmt(f)
    }
}

impl ClientSessionStore for Sessions {
    fn set_kx_hint(&self, server: ServerName<'static>, group: NamedGroup) {
        self.kept.set_kx_hint(server, group);
    }

    fn kx_hint(&self, server: &ServerName<'_>) -> Option<NamedGroup> {
        let noted = HELLO.try_with(|hello| hello.set(Some(self.clock.monotonic())));
        if noted.is_err() {
            tracing::trace!("a handshake outside of a connection is not measured");
        }
        self.kept.kx_hint(server)
    }

    fn set_tls12_session(&self, server: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.kept.set_tls12_session(server, value);
    }

    fn tls12_session(&self, server: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.kept.tls12_session(server)
    }

    fn remove_tls12_session(&self, server: &ServerName<'static>) {
        self.kept.remove_tls12_session(server);
    }

    fn insert_tls13_ticket(&self, server: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.kept.insert_tls13_ticket(server, value);
    }

    fn take_tls13_ticket(&self, server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.kept.take_tls13_ticket(server)
    }
}

#[cfg(test)]
mod tests;
