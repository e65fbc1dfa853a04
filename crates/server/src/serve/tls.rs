//! TLS of the listeners.

use std::path::Path;
use std::sync::Arc;

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// Reads a certificate chain and its key; TLS 1.2 and 1.3.
///
/// - `key`: empty means it is in the file of the certificate.
/// - Errors: which file, and what is wrong with it.
pub(super) fn acceptor(certificate: &str, key: &str) -> Result<TlsAcceptor, String> {
    let key = if key.is_empty() { certificate } else { key };
    let read = |path: &str| {
        std::fs::read(Path::new(path)).map_err(|error| format!("cannot read `{path}`: {error}"))
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&read(certificate)?)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("`{certificate}` holds no certificates in PEM form: {error}"))?;
    if chain.is_empty() {
        return Err(format!("`{certificate}` holds no certificate in PEM form"));
    }
    let private = PrivateKeyDer::from_pem_slice(&read(key)?)
        .map_err(|error| format!("`{key}` holds no private key in PEM form: {error}"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| format!("`{certificate}` and `{key}` do not go together: {error}"))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
