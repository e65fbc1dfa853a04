//! TLS of clients that are not HTTP.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use levada_model::ErrorKind;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls_platform_verifier::Verifier;

use crate::error::ClientError;
use crate::http::{TlsOptions, read};

/// What knows the authorities of the system; clients that are made one soon after the other share it. A gateway has a client
/// for each destination, and would hold a hundred certificates for each.
#[derive(Clone, Debug, Default)]
pub struct Authorities(Arc<Mutex<Option<Read>>>);

#[derive(Debug)]
struct Read {
    at: Duration,
    verifier: Arc<Verifier>,
}

/// After this the authorities of the system are read again: they may have changed.
const SHARED_MAX: Duration = Duration::from_secs(60);

// === impl Authorities ===

impl Authorities {
    /// - `now`: of a monotonic clock.
    fn get(
        &self,
        provider: &Arc<CryptoProvider>,
        now: Duration,
    ) -> Result<Arc<Verifier>, rustls::Error> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(read) = &*known
            && now.saturating_sub(read.at) < SHARED_MAX
        {
            return Ok(Arc::clone(&read.verifier));
        }
        let verifier = Arc::new(Verifier::new(Arc::clone(provider))?);
        *known = Some(Read { at: now, verifier: Arc::clone(&verifier) });
        Ok(verifier)
    }
}

/// Makes what TLS connections need; reads the files of `options`.
///
/// - A CA wins over `insecure_skip_verify`; without either the authorities of the system are trusted.
/// - `now`: of a monotonic clock.
pub(crate) async fn client_config(
    options: &TlsOptions,
    authorities: &Authorities,
    now: Duration,
) -> Result<ClientConfig, ClientError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let internal = |error: rustls::Error| {
        ClientError::new(ErrorKind::Internal, format!("cannot set up TLS: {error}"))
    };
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(internal)?;
    let has = |path: &PathBuf| !path.as_os_str().is_empty();
    let builder = if has(&options.ca_file) {
        builder.with_root_certificates(roots(&options.ca_file).await?)
    } else if options.insecure_skip_verify {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyServer(provider)))
    } else {
        let verifier = authorities.get(&provider, now).map_err(internal)?;
        builder.dangerous().with_custom_certificate_verifier(verifier)
    };
    if has(&options.cert_file) != has(&options.key_file) {
        let text = "a client certificate needs both its file and that of its key";
        return Err(ClientError::new(ErrorKind::Invalid, text));
    }
    if !has(&options.cert_file) {
        return Ok(builder.with_no_client_auth());
    }
    let (certificate, key) = (read(&options.cert_file).await?, read(&options.key_file).await?);
    let wrong = |path: &PathBuf, what: &str| {
        let message = format!("`{}` holds no {what} in PEM form", path.display());
        ClientError::new(ErrorKind::Invalid, message)
    };
    let chain =
        certificates(&certificate).ok_or_else(|| wrong(&options.cert_file, "certificate"))?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| wrong(&options.key_file, "key"))?;
    builder.with_client_auth_cert(chain, key).map_err(|error| {
        let message = format!("the client certificate cannot be used: {error}");
        ClientError::new(ErrorKind::Invalid, message)
    })
}

async fn roots(path: &PathBuf) -> Result<RootCertStore, ClientError> {
    let pem = read(path).await?;
    let mut roots = RootCertStore::empty();
    let (added, _ignored) = roots.add_parsable_certificates(certificates(&pem).unwrap_or_default());
    if added == 0 {
        let message = format!("`{}` holds no certificate in PEM form", path.display());
        return Err(ClientError::new(ErrorKind::Invalid, message));
    }
    Ok(roots)
}

fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    found.ok().filter(|found| !found.is_empty())
}

/// Believes any server that holds the key of the certificate it shows.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn authorities_are_shared_for_a_while() {
        let (authorities, provider) =
            (Authorities::default(), Arc::new(rustls::crypto::ring::default_provider()));
        let at = |seconds| authorities.get(&provider, Duration::from_secs(seconds)).unwrap();
        let first = at(7);
        assert!(Arc::ptr_eq(&first, &at(7)) && Arc::ptr_eq(&first, &at(66)));
        let second = at(67);
        assert!(!Arc::ptr_eq(&first, &second) && Arc::ptr_eq(&second, &at(100)));
    }
}
