//! TLS of the listener.

use std::path::Path;
use std::sync::Arc;

use levada_model::ErrorClass;
use levada_registry::{FieldPath, Report};
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio_rustls::TlsAcceptor;

use crate::traits::SourceError;

/// TLS of a listener: its certificate, and whose clients it accepts. TLS 1.2 and 1.3.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ServerTls {
    /// Path of the certificate chain, PEM, the own certificate first. Required.
    pub cert_file: String,
    /// Path of the private key, PEM. Required.
    pub key_file: String,
    /// Path of CA certificates, PEM. When set, clients must show a certificate of one of them.
    /// Default: clients show none.
    pub client_ca_file: String,
}

// === impl ServerTls ===

impl ServerTls {
    /// Reports what is missing; `at` is the path of the block.
    pub(super) fn check(&self, at: &FieldPath, report: &mut Report) {
        for (field, value) in [("certFile", &self.cert_file), ("keyFile", &self.key_file)] {
            if value.is_empty() {
                report.required(&at.child(field), &format!("{field} is required"));
            }
        }
    }

    /// Reads the files, relative to `folder`, and makes what accepts connections.
    ///
    /// - Errors: a file that cannot be read or does not hold what it should, by its path.
    pub(super) async fn acceptor(&self, folder: &Path) -> Result<TlsAcceptor, SourceError> {
        let certs = certificates(&folder.join(&self.cert_file)).await?;
        let key_path = folder.join(&self.key_file);
        let key = PrivateKeyDer::from_pem_slice(&read(&key_path).await?)
            .map_err(|_| invalid(&key_path, "holds no private key in PEM form"))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| tls_error("cannot set up TLS", error))?;
        let builder = if self.client_ca_file.is_empty() {
            builder.with_no_client_auth()
        } else {
            let path = folder.join(&self.client_ca_file);
            let mut roots = RootCertStore::empty();
            for certificate in certificates(&path).await? {
                roots
                    .add(certificate)
                    .map_err(|_| invalid(&path, "holds a certificate that cannot be a CA"))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider)
                .build()
                .map_err(|_| invalid(&path, "holds no usable CA certificate"))?;
            builder.with_client_cert_verifier(verifier)
        };
        let mut config = builder
            .with_single_cert(certs, key)
            .map_err(|error| tls_error("certificate and private key do not fit", error))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

async fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, SourceError> {
    let pem = read(path).await?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(invalid(path, "holds no certificate in PEM form")),
    }
}

async fn read(path: &Path) -> Result<Vec<u8>, SourceError> {
    /// A longer file is no certificate but a mistake.
    const FILE_BYTES_MAX: u64 = 4 << 20;
    let failed = |error| SourceError::io(format!("cannot read `{}`", path.display()), error);
    let metadata = tokio::fs::metadata(path).await.map_err(failed)?;
    if metadata.len() > FILE_BYTES_MAX {
        return Err(invalid(path, "is too long for a PEM file"));
    }
    tokio::fs::read(path).await.map_err(failed)
}

fn invalid(path: &Path, problem: &str) -> SourceError {
    SourceError::new(ErrorClass::InvalidData, format!("`{}` {problem}", path.display()))
}

fn tls_error(message: &str, error: rustls::Error) -> SourceError {
    SourceError {
        class: ErrorClass::InvalidData,
        message: message.to_owned(),
        source: Some(Box::new(error)),
    }
}
