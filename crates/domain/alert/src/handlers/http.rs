//! HTTP clients that all handlers share.

use std::sync::{Arc, OnceLock};

use reqwest::{Client, Response};

use crate::topics::HandlerError;

/// Bytes of an answer that are kept for a message.
pub(super) const ANSWER_MAX: usize = 64 << 10;

/// Redirects that are followed. Source: Go `net/http`.
const REDIRECTS_MAX: usize = 10;

/// Two clients: one that checks certificates, one that does not. Made when first used; cheap to clone.
///
/// Differs: upstream makes a pool of connections per event, and sockets pile up.
#[derive(Clone, Debug, Default)]
pub struct Clients(Arc<[OnceLock<Result<Client, String>>; 2]>);

// === impl Clients ===

impl Clients {
    /// Gives a client.
    pub fn client(&self, skips_verification: bool) -> Result<Client, HandlerError> {
        let client =
            self.0[usize::from(skips_verification)].get_or_init(|| make(skips_verification));
        client.clone().map_err(HandlerError::new)
    }
}

fn make(skips_verification: bool) -> Result<Client, String> {
    // Another part of the process may have chosen already, and it is the same choice.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::trace!("the TLS provider was installed before");
    }
    Client::builder()
        .redirect(reqwest::redirect::Policy::limited(REDIRECTS_MAX))
        .no_proxy()
        .tls_backend_rustls()
        .tls_danger_accept_invalid_certs(skips_verification)
        .retry(reqwest::retry::never())
        .user_agent(concat!("levada/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| format!("cannot set up the HTTP client: {}", error.without_url()))
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
