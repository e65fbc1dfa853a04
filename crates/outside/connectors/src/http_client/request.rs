//! The client itself, why a server gave no answer, bounded bodies.
//!
//! Redirects are not followed and proxies of the environment are not used: requests go where the
//! settings say. Certificates are always checked, unless a `tls` block says otherwise.

use std::path::Path;
use std::time::Duration;

use levada_model::ErrorClass;
use reqwest::{Client, Response, Url};
use thiserror::Error;

use crate::blocks::Tls;
use crate::traits::{SinkError, SourceError, class_of_io};

/// How long a connection may take, and how long a server may say nothing. Ours: requests have time-outs of
/// their own, but answers that are read as they come have none.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const SILENCE_MAX: Duration = Duration::from_secs(600);

/// Why a server was not asked, or did not answer.
#[derive(Debug, Error)]
#[error("{message}")]
pub(crate) struct HttpError {
    /// Transient classes may pass later.
    pub(crate) class: ErrorClass,
    /// For people; holds no credentials.
    pub(crate) message: String,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

// === impl HttpError ===

impl HttpError {
    /// Makes an error without a cause.
    pub(crate) fn new(class: ErrorClass, message: impl Into<String>) -> Self {
        HttpError { class, message: message.into(), source: None }
    }

    /// Says why `target` gave no answer, or not a whole one.
    pub(crate) fn no_answer(target: &str, error: reqwest::Error) -> Self {
        // The address may hold secrets.
        let error = error.without_url();
        let (class, what) = if error.is_timeout() {
            (ErrorClass::Timeout, "did not answer in time")
        } else if error.is_builder() {
            (ErrorClass::InvalidData, "cannot be asked")
        } else if has_certificate_problem(&error) {
            // Trying again does not help: somebody has to change a certificate or a setting.
            (ErrorClass::AuthError, "cannot be trusted, or does not trust this client")
        } else {
            (ErrorClass::ConnectionError, "cannot be reached, or the connection broke")
        };
        HttpError { class, message: format!("`{target}` {what}"), source: Some(Box::new(error)) }
    }
}

impl From<HttpError> for SourceError {
    fn from(error: HttpError) -> Self {
        SourceError { class: error.class, message: error.message, source: error.source }
    }
}

impl From<HttpError> for SinkError {
    fn from(error: HttpError) -> Self {
        SinkError {
            class: error.class,
            message: error.message,
            is_about_records: false,
            source: error.source,
        }
    }
}

/// Makes a client; reads the files of `tls`, relative to `folder`.
pub(crate) async fn client(tls: Option<&Tls>, folder: &Path) -> Result<Client, HttpError> {
    // Another part of the process may have chosen already, and it is the same choice.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::trace!("the TLS provider was installed before");
    }
    let mut builder = Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .tls_backend_rustls()
        // The engine tries again, with its own back-off.
        .retry(reqwest::retry::never())
        .user_agent(concat!("levada/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(SILENCE_MAX)
        .pool_max_idle_per_host(1);
    if let Some(tls) = tls {
        if !tls.ca_file.is_empty() {
            let pem = pem(&tls.ca_file, folder).await?;
            let certificates = reqwest::Certificate::from_pem_bundle(&pem)
                .ok()
                .filter(|certificates| !certificates.is_empty())
                .ok_or_else(|| invalid("tls.caFile holds no certificate in PEM form"))?;
            builder = builder.tls_certs_only(certificates);
        } else if tls.insecure_skip_verify {
            builder = builder.tls_danger_accept_invalid_certs(true);
        }
        if !tls.cert_file.is_empty() && !tls.key_file.is_empty() {
            let mut both = pem(&tls.cert_file, folder).await?;
            both.push(b'\n');
            both.extend_from_slice(&pem(&tls.key_file, folder).await?);
            let identity = reqwest::Identity::from_pem(&both).map_err(|_| {
                invalid("tls.certFile and tls.keyFile hold no certificate and key in PEM form")
            })?;
            builder = builder.identity(identity);
        }
    }
    builder.build().map_err(|error| HttpError {
        source: Some(Box::new(error.without_url())),
        ..invalid("cannot set up the HTTP client")
    })
}

fn invalid(message: &str) -> HttpError {
    HttpError::new(ErrorClass::InvalidData, message)
}

/// Reads PEM text: a secret may hold it itself, else it is the path of a file.
async fn pem(text_or_path: &str, folder: &Path) -> Result<Vec<u8>, HttpError> {
    if text_or_path.contains("-----BEGIN") {
        return Ok(text_or_path.as_bytes().to_vec());
    }
    let path = folder.join(text_or_path);
    tokio::fs::read(&path).await.map_err(|error| HttpError {
        class: class_of_io(&error),
        message: format!("cannot read `{}`", path.display()),
        source: Some(Box::new(error)),
    })
}

/// Reads a body whole, if it is no longer than `bytes_max`; nothing when it is.
pub(crate) async fn body(
    target: &str,
    mut response: Response,
    bytes_max: usize,
) -> Result<Option<Vec<u8>>, HttpError> {
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if bytes.len() + chunk.len() > bytes_max => return Ok(None),
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => return Ok(Some(bytes)),
            Err(error) => return Err(HttpError::no_answer(target, error)),
        }
    }
}

/// Gives the class of a status that is not a success.
pub(crate) fn class_of_status(status: u16) -> ErrorClass {
    match status {
        401 | 403 | 407 => ErrorClass::AuthError,
        408 => ErrorClass::Timeout,
        425 | 429 | 500.. => ErrorClass::Transient,
        _ => ErrorClass::Unknown,
    }
}

/// Gives an address for messages: without credentials and query.
pub(crate) fn shown_url(url: &Url) -> String {
    let mut url = url.clone();
    // Such an address has no credentials that could stay.
    let _has_none = url.set_username("").is_err() | url.set_password(None).is_err();
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

/// Tells whether TLS failed for the sake of a certificate.
pub(crate) fn has_certificate_problem(error: &(dyn std::error::Error + 'static)) -> bool {
    use rustls::{AlertDescription as Alert, Error as Tls};
    match tls_error(error) {
        Some(Tls::InvalidCertificate(_) | Tls::NoCertificatesPresented) => true,
        Some(Tls::AlertReceived(alert)) => matches!(
            alert,
            Alert::BadCertificate
                | Alert::CertificateRequired
                | Alert::CertificateExpired
                | Alert::CertificateRevoked
                | Alert::CertificateUnknown
                | Alert::UnsupportedCertificate
                | Alert::UnknownCA
                | Alert::DecryptError
                | Alert::AccessDenied
        ),
        _ => false,
    }
}

/// Gives the first error of TLS among the causes of an error.
fn tls_error<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e rustls::Error> {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return Some(tls);
    }
    // An I/O error that wraps another does not give it as its source.
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    match wrapped {
        Some(inner) => tls_error(inner),
        None => error.source().and_then(tls_error),
    }
}
