//! Line protocol without HTTP: datagrams, and connections.
//!
//! ```text
//! socket ─▶ reader (bounds) ─▶ queue of chunks ─▶ feed (parser, batches) ─▶ tasks
//! ```
//!
//! Source: reference (server) §3.5. A listener whose address is taken does not keep the server from starting: it tries again, and
//! health says so.

mod feed;
pub(crate) mod metrics;
mod tcp;
mod udp;

use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use levada_api::Health;
use levada_api::kapacitor::Seen;
use levada_codec::line_protocol::Precision;
use levada_model::Str;
use levada_runtime::{Backoff, BackoffPolicy, Clock, Shutdown, ShutdownHandle, TaskKind, Tasks};
use levada_settings::Settings;
use levada_task::engine::Routes;
use tokio::task::JoinHandle;

use metrics::{Counts, InputMetrics};
pub(crate) use udp::UdpSpec;

/// How often an address that is taken is tried.
const BIND_RETRY: BackoffPolicy = BackoffPolicy {
    initial: Duration::from_millis(200),
    max: Duration::from_secs(10),
    attempts_max: 0,
};
/// How long what was received may take to reach the tasks when the server stops.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// What listeners work with; cheap to clone.
#[derive(Clone)]
pub(crate) struct InputDeps {
    /// Where points go.
    pub(crate) routes: Routes,
    /// Counts them.
    pub(crate) seen: Seen,
    /// The clock.
    pub(crate) clock: Arc<dyn Clock>,
    /// The tasks of the process.
    pub(crate) tasks: Tasks,
    /// The counters.
    pub(crate) metrics: Arc<InputMetrics>,
}

/// Which points a listener makes, and how they go on.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// The database.
    pub(crate) database: Str,
    /// The retention policy.
    pub(crate) retention: Str,
    /// The unit of times.
    pub(crate) precision: Precision,
    /// Points that go to tasks together.
    pub(crate) batch_points: usize,
    /// How long points wait for others.
    pub(crate) batch_timeout: Duration,
}

/// The listeners of the settings.
#[derive(Default)]
pub struct Inputs {
    listeners: Vec<Listener>,
}

/// A listener; it ends when it is dropped.
pub(crate) struct Listener {
    shared: Arc<Shared>,
    stop: ShutdownHandle,
    clock: Arc<dyn Clock>,
    handle: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    protocol: &'static str,
    bind: String,
    address: OnceLock<SocketAddr>,
    problem: Mutex<Option<String>>,
    counts: Counts,
}

/// What became of the datagrams of a listener. Source: reference (server) §3.5, `udp`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UdpStatistics {
    /// Where it listens, as in the settings.
    pub bind: String,
    /// The fields by name.
    pub fields: Vec<(&'static str, u64)>,
}

// === impl Inputs ===

impl Inputs {
    /// Starts the listeners of the settings.
    pub(crate) fn start(settings: &Settings, deps: &InputDeps, health: &Health) -> Self {
        let mut inputs = Inputs::default();
        for udp in settings.udp.all() {
            let target = Target {
                database: udp.database.as_str().into(),
                retention: udp.retention_policy.as_str().into(),
                precision: precision(&udp.precision),
                batch_points: udp.batch_size,
                batch_timeout: udp.batch_timeout.into(),
            };
            let spec = UdpSpec {
                bind: udp.bind_address.clone(),
                shown: udp.bind_address.clone(),
                read_buffer: udp.read_buffer.as_usize(),
                buffer: udp.buffer,
                target,
            };
            inputs.add(deps, health, "udp", &udp.bind_address, {
                let deps = deps.clone();
                move |shared, stop| udp::open(spec.clone(), deps.clone(), shared, stop)
            });
        }
        for tcp in settings.tcp.all() {
            let target = Target {
                database: tcp.database.as_str().into(),
                retention: tcp.retention_policy.as_str().into(),
                precision: precision(&tcp.precision),
                batch_points: tcp.batch_size,
                batch_timeout: tcp.batch_timeout.into(),
            };
            let spec = tcp::TcpSpec {
                bind: tcp.bind_address.clone(),
                connections_max: tcp.connections_max,
                line_bytes: tcp.line_bytes.as_usize(),
                idle_timeout: tcp.idle_timeout.into(),
                target,
            };
            inputs.add(deps, health, "tcp", &tcp.bind_address, {
                let deps = deps.clone();
                move |shared, stop| tcp::open(spec.clone(), deps.clone(), shared, stop)
            });
        }
        inputs
    }

    /// Starts a listener that tries until its address is free.
    fn add<O>(
        &mut self,
        deps: &InputDeps,
        health: &Health,
        protocol: &'static str,
        bind: &str,
        open: O,
    ) where
        O: Fn(Arc<Shared>, Shutdown) -> io::Result<JoinHandle<()>> + Send + 'static,
    {
        let listener = Listener::new(deps, protocol, bind);
        let (shared, clock) = (Arc::clone(&listener.shared), Arc::clone(&deps.clock));
        let mut stopped = listener.stop.observe();
        let task = async move {
            let mut backoff = Backoff::new(BIND_RETRY, clock.now().0 as u64);
            loop {
                match open(Arc::clone(&shared), stopped.clone()) {
                    Ok(reader) => {
                        shared.tell(None);
                        if let Err(error) = reader.await {
                            shared.tell(Some(format!("ended unexpectedly: {error}")));
                        }
                        return;
                    }
                    Err(error) => shared.tell(Some(format!("cannot listen: {error}"))),
                }
                let delay = backoff.next_delay().unwrap_or(BIND_RETRY.max);
                tokio::select! {
                    () = clock.sleep(delay) => {}
                    () = stopped.draining() => return,
                }
            }
        };
        listener.set_handle(deps.tasks.spawn(TaskKind::Source, "input", task));
        let shown = Arc::clone(&listener.shared);
        health.add(format!("{protocol} {bind}"), move || shown.lock().clone());
        self.listeners.push(listener);
    }

    /// Gives protocol and bound address of each listener that listens.
    pub fn addresses(&self) -> Vec<(&'static str, SocketAddr)> {
        let listening =
            |listener: &Listener| Some((listener.shared.protocol, *listener.shared.address.get()?));
        self.listeners.iter().filter_map(listening).collect()
    }

    /// Gives what became of datagrams, for each listener.
    pub fn udp_statistics(&self) -> Vec<UdpStatistics> {
        let is_udp = |listener: &&Listener| listener.shared.protocol == "udp";
        self.listeners.iter().filter(is_udp).map(Listener::statistics).collect()
    }

    /// Takes no more; waits until what was received has reached the tasks.
    pub(crate) async fn stop(&self) {
        self.listeners.iter().for_each(|listener| listener.stop.drain());
        for listener in &self.listeners {
            listener.ended().await;
        }
    }
}

// === impl Listener ===

impl Listener {
    fn new(deps: &InputDeps, protocol: &'static str, bind: &str) -> Self {
        let shared = Shared {
            protocol,
            bind: bind.to_owned(),
            address: OnceLock::new(),
            problem: Mutex::new(None),
            counts: deps.metrics.counts(protocol, bind),
        };
        Listener {
            shared: Arc::new(shared),
            stop: ShutdownHandle::new().0,
            clock: Arc::clone(&deps.clock),
            handle: Mutex::default(),
        }
    }

    /// Starts a listener for datagrams whose address must be free now.
    ///
    /// - Errors: the address cannot be bound.
    pub(crate) fn udp(spec: UdpSpec, deps: &InputDeps) -> io::Result<Self> {
        let listener = Self::new(deps, "udp", &spec.shown);
        let shared = Arc::clone(&listener.shared);
        listener.set_handle(udp::open(spec, deps.clone(), shared, listener.stop.observe())?);
        Ok(listener)
    }

    /// Takes no more; waits until what was received has reached the tasks.
    pub(crate) async fn stop(&self) {
        self.stop.drain();
        self.ended().await;
    }

    /// Gives the bound port, 0 when there is none yet.
    pub(crate) fn port(&self) -> u16 {
        self.shared.address.get().map_or(0, SocketAddr::port)
    }

    /// Gives what became of its datagrams.
    pub(crate) fn statistics(&self) -> UdpStatistics {
        UdpStatistics { bind: self.shared.bind.clone(), fields: self.shared.counts.udp_fields() }
    }

    fn set_handle(&self, handle: JoinHandle<()>) {
        *self.handle.lock().unwrap_or_else(PoisonError::into_inner) = Some(handle);
    }

    async fn ended(&self) {
        let handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(handle) = handle else { return };
        tokio::select! {
            ended = handle => if let Err(error) = ended {
                tracing::warn!(bind = self.shared.bind, %error, "a listener ended unexpectedly");
            },
            () = self.clock.sleep(STOP_PATIENCE) => {
                tracing::warn!(bind = self.shared.bind, "a listener did not end in time");
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.drain();
    }
}

// === impl Shared ===

impl Shared {
    /// Says what is wrong, once per change.
    fn tell(&self, problem: Option<String>) {
        let mut known = self.lock();
        if *known != problem {
            match &problem {
                Some(problem) => tracing::warn!(
                    protocol = self.protocol,
                    bind = self.bind,
                    problem,
                    "a listener does not work"
                ),
                None => tracing::info!(
                    protocol = self.protocol,
                    bind = self.bind,
                    "a listener works again"
                ),
            }
            *known = problem;
        }
    }

    fn bound(&self, address: SocketAddr) {
        if self.address.set(address).is_err() {
            tracing::debug!(%address, "a listener was bound again");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn precision(name: &str) -> Precision {
    // The settings were checked.
    name.parse().unwrap_or_default()
}

/// Finds the address of a setting; without a machine, as in `:9100`, it is every address of this one.
fn resolve(bind: &str) -> io::Result<SocketAddr> {
    let text = match bind.strip_prefix(':') {
        Some(port) => format!("0.0.0.0:{port}"),
        None => bind.to_owned(),
    };
    let missing = || io::Error::new(io::ErrorKind::InvalidInput, "it names no address");
    text.to_socket_addrs()?.next().ok_or_else(missing)
}
