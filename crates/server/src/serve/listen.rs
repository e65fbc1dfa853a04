//! The listeners of the settings: who may come, what is answered, by which routes.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;

use levada_api::auth::{UserGate, Users};
use levada_api::{
    Api, DIALECTS, Gate, Limits, Listener, NAMED_ONLY, NoGate, Route, Router, kapacitor,
};
use levada_runtime::Shutdown;
use levada_settings::{Http, ListenerAuth};

use super::{ServeError, tls};
use crate::flows::Host;

/// An address that is listened on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    /// The address.
    pub(crate) address: SocketAddr,
    /// It takes TLS only.
    pub(crate) is_tls: bool,
    /// `InfluxDB` can send points there.
    pub(crate) takes_points: bool,
}

/// What listeners differ in.
pub(super) struct Parts {
    pub(super) router: Arc<Router>,
    pub(super) gate: Arc<dyn Gate>,
    pub(super) limits: Limits,
}

/// A name, and the tables of its routes.
type Dialect = (&'static str, &'static [&'static [Route]]);

/// The dialect with `/write`.
const OF_POINTS: &str = "kapacitor";

// === impl Parts ===

impl Parts {
    /// Makes the parts of a listener.
    ///
    /// - `prefix`: the start of its keys, for errors.
    pub(super) fn new(
        http: &Http,
        users: Option<&Arc<Users>>,
        prefix: &str,
    ) -> Result<Self, ServeError> {
        let users = users.filter(|_| http.auth != ListenerAuth::None);
        let mut tables: Vec<&[Route]> = Vec::new();
        for (_, routes) in dialects(http, prefix)? {
            tables.extend_from_slice(routes);
        }
        let gate: Arc<dyn Gate> = match users {
            Some(users) => {
                if speaks(http, OF_POINTS) {
                    tables.push(kapacitor::users::ROUTES);
                }
                Arc::new(UserGate(Arc::clone(users)))
            }
            None => Arc::new(NoGate),
        };
        let router = Arc::new(Router::new(&tables).map_err(ServeError::Internal)?);
        let limits = Limits {
            document_bytes: http.document_bytes.as_usize(),
            points_bytes: http.points_bytes.as_usize(),
        };
        Ok(Parts { router, gate, limits })
    }
}

/// Listens wherever the settings want it.
///
/// - `api`: that of the first listener.
/// - Errors: an address cannot be had, or everybody could come.
pub(super) async fn all(
    api: &Api,
    host: &Host,
    shutdown: &Shutdown,
) -> Result<Vec<Bound>, ServeError> {
    // Nobody is let in before it is clear that all of them may be.
    let mut listeners = Vec::new();
    for (prefix, http) in host.settings.http.all() {
        let Parts { router, gate, limits } = Parts::new(http, api.users.as_ref(), &prefix)?;
        let api = Arc::new(Api { router, gate, limits, ..api.clone() });
        let failed = |reason| ServeError::Tls { listener: prefix.clone(), reason };
        let tls = match http.is_tls() {
            true => Some(tls::acceptor(&http.tls_certificate, &http.tls_key).map_err(failed)?),
            false => None,
        };
        if !http.allow_anyone && !api.gate.asks() {
            for address in http.addresses() {
                refuse_strangers(address, &prefix)?;
            }
        }
        listeners.push((prefix, http, api, tls));
    }
    let mut bound = Vec::new();
    for (prefix, http, api, tls) in listeners {
        for address in http.addresses() {
            let listener = Listener {
                address: address.to_owned(),
                tls: tls.clone(),
                connections_max: http.connections_max,
                head_timeout: http.head_timeout.into(),
                body_timeout: http.body_timeout.into(),
                drain_timeout: host.settings.runtime.drain_timeout.into(),
            };
            let served = levada_api::serve(listener, Arc::clone(&api), &host.tasks, shutdown).await;
            let served = served.map_err(|source| failed(address, &prefix, source))?;
            bound.push(Bound {
                address: served.address,
                is_tls: http.is_tls(),
                takes_points: speaks(http, OF_POINTS),
            });
        }
    }
    Ok(bound)
}

fn refuse_strangers(address: &str, prefix: &str) -> Result<(), ServeError> {
    let found = address.to_socket_addrs().map_err(|source| failed(address, prefix, source))?;
    match found.into_iter().find(|found| !found.ip().is_loopback()) {
        Some(address) => Err(ServeError::Anyone { address, listener: prefix.to_owned() }),
        None => Ok(()),
    }
}

fn failed(address: &str, prefix: &str, source: std::io::Error) -> ServeError {
    ServeError::Listen { address: address.to_owned(), setting: format!("{prefix}listen"), source }
}

fn speaks(http: &Http, dialect: &str) -> bool {
    let has_all = http.dialects.trim().is_empty() && dialect != NAMED_ONLY;
    has_all || http.dialect_names().any(|name| name == dialect)
}

/// Gives the dialects of a listener.
fn dialects(http: &Http, prefix: &str) -> Result<Vec<Dialect>, ServeError> {
    let is_known = |name: &str| DIALECTS.iter().any(|(known, _)| *known == name);
    if let Some(name) = http.dialect_names().find(|name| !is_known(name)) {
        let known: Vec<&str> = DIALECTS.iter().map(|(name, _)| *name).collect();
        let (listener, name) = (prefix.to_owned(), name.to_owned());
        return Err(ServeError::Dialect { listener, name, known: known.join(", ") });
    }
    Ok(DIALECTS.iter().copied().filter(|(name, _)| speaks(http, name)).collect())
}
