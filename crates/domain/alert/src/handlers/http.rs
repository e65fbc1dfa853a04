//! HTTP clients that all handlers share.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use levada_model::with_causes;
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Certificate, Client, ClientBuilder, Identity, Response};

use super::address_filter::{AddressFilter, FilteredResolver};
use crate::services::Element;
use crate::topics::HandlerError;

/// Bytes of an answer that are read.
pub(super) const ANSWER_MAX: usize = 64 << 10;

/// Redirects that are followed. Source: Go `net/http`.
const REDIRECTS_MAX: usize = 10;

/// Clients that are kept. Ours: one per kind of TLS settings, of which a configuration has few; past it they are made anew.
const CLIENTS_MAX: usize = 32;

/// Bytes of a file with certificates or a key. Ours: a bundle of all public authorities has a fifth of it.
const PEM_MAX: u64 = 1 << 20;

/// One client per kind of TLS settings, made when first used; cheap to clone.
///
/// Differs: upstream makes a pool of connections per event, and sockets pile up.
#[derive(Clone, Default)]
pub struct Clients(Arc<Shared>);

#[derive(Default)]
struct Shared {
    filter: AddressFilter,
    made: Mutex<HashMap<Key, Client>>,
}

/// Files that change make a new client.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    tls: Tls,
    files: [Option<Version>; 3],
}

/// When a file was written last, and its length.
type Version = (SystemTime, u64);

/// How the certificates of receivers are checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tls {
    /// Any certificate is good.
    pub skips_verification: bool,
    /// A PEM file with the authorities that are trusted in place of the system's; empty for none.
    pub ca: String,
    /// A PEM file with our own certificate; empty for none.
    pub cert: String,
    /// A PEM file with the key of our own certificate; empty when it is in the same file.
    pub key: String,
}

// === impl Tls ===

impl Tls {
    /// Checks nothing, or as the system does.
    pub fn skipping(skips_verification: bool) -> Self {
        Tls { skips_verification, ..Tls::default() }
    }

    /// Reads the TLS options of a section, as far as it has them.
    pub fn of(element: &Element) -> Self {
        let text = |name: &str| element.text(name).to_owned();
        Tls {
            skips_verification: element.flag("insecure-skip-verify"),
            ca: text("ssl-ca"),
            cert: text("ssl-cert"),
            key: text("ssl-key"),
        }
    }
}

// === impl Clients ===

impl Clients {
    /// Makes clients that do not reach what the filter denies.
    pub fn new(filter: AddressFilter) -> Self {
        Clients(Arc::new(Shared { filter, made: Mutex::default() }))
    }

    /// Gives the filter.
    pub fn filter(&self) -> &AddressFilter {
        &self.0.filter
    }

    /// Gives a client.
    ///
    /// It checks names and redirects; whoever sends a request checks its URL.
    pub(super) fn client(&self, tls: &Tls) -> Result<Client, HandlerError> {
        let files = [&tls.ca, &tls.cert, &tls.key].map(|path| version(path));
        let key = Key { tls: tls.clone(), files };
        if let Some(client) = self.lock().get(&key) {
            return Ok(client.clone());
        }
        let client = make(&self.0.filter, tls).map_err(HandlerError::new)?;
        let mut made = self.lock();
        if made.len() >= CLIENTS_MAX {
            made.clear();
        }
        made.insert(key, client.clone());
        Ok(client)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Client>> {
        self.0.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clients({} made, {:?})", self.lock().len(), self.0.filter)
    }
}

fn version(path: &str) -> Option<Version> {
    if path.is_empty() {
        return None;
    }
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn make(filter: &AddressFilter, tls: &Tls) -> Result<Client, String> {
    // Another part of the process may have chosen already, and it is the same choice.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::trace!("the TLS provider was installed before");
    }
    let of_redirects = filter.clone();
    let builder = Client::builder()
        .redirect(Policy::custom(move |attempt| redirect(&of_redirects, attempt)))
        .dns_resolver(FilteredResolver(filter.clone()))
        .no_proxy()
        .tls_backend_rustls()
        .tls_danger_accept_invalid_certs(tls.skips_verification)
        .retry(reqwest::retry::never())
        .user_agent(concat!("levada/", env!("CARGO_PKG_VERSION")));
    with_files(builder, tls)?.build().map_err(|error| {
        format!("cannot set up the HTTP client: {}", with_causes(&error.without_url()))
    })
}

fn redirect(filter: &AddressFilter, attempt: Attempt<'_>) -> reqwest::redirect::Action {
    if attempt.previous().len() > REDIRECTS_MAX {
        return attempt.error(format!("more than {REDIRECTS_MAX} redirects"));
    }
    match filter.check_url(attempt.url()) {
        Ok(()) => attempt.follow(),
        Err(denied) => attempt.error(denied),
    }
}

fn with_files(mut builder: ClientBuilder, tls: &Tls) -> Result<ClientBuilder, String> {
    if !tls.ca.is_empty() {
        let authorities = Certificate::from_pem_bundle(&read_pem(&tls.ca)?);
        let authorities = authorities.ok().filter(|authorities| !authorities.is_empty());
        let authorities = authorities.ok_or_else(|| format!("no certificates in `{}`", tls.ca))?;
        builder = builder.tls_certs_only(authorities);
    }
    if !tls.cert.is_empty() {
        let mut pem = read_pem(&tls.cert)?;
        if !tls.key.is_empty() {
            pem.push(b'\n');
            pem.extend(read_pem(&tls.key)?);
        }
        let identity = Identity::from_pem(&pem)
            .map_err(|_| format!("no certificate with its key in `{}`", tls.cert))?;
        builder = builder.identity(identity);
    }
    Ok(builder)
}

fn read_pem(path: &str) -> Result<Vec<u8>, String> {
    let failed = |error: std::io::Error| format!("cannot read `{path}`: {error}");
    let length = std::fs::metadata(path).map_err(failed)?.len();
    if length > PEM_MAX {
        return Err(format!("`{path}` is larger than {PEM_MAX} bytes"));
    }
    std::fs::read(Path::new(path)).map_err(failed)
}

/// Reads an answer up to [`ANSWER_MAX`] bytes.
pub(super) async fn read_answer(mut answer: Response) -> String {
    let mut body = Vec::new();
    // An answer that breaks off is shown as far as it came.
    while let Ok(Some(part)) = answer.chunk().await {
        let room = ANSWER_MAX - body.len();
        body.extend_from_slice(&part[..part.len().min(room)]);
        if body.len() == ANSWER_MAX {
            break;
        }
    }
    String::from_utf8_lossy(&body).into_owned()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn clients_are_shared_and_not_kept_without_end() {
        let clients = Clients::default();
        let tls = |number: usize| Tls { key: format!("/no/such/{number}"), ..Tls::default() };
        for number in 0..CLIENTS_MAX {
            clients.client(&tls(number)).unwrap();
            clients.client(&tls(number)).unwrap();
        }
        assert_eq!(clients.lock().len(), CLIENTS_MAX);
        clients.client(&tls(CLIENTS_MAX)).unwrap();
        assert_eq!(clients.lock().len(), 1);
    }
}
