//! What connectors that send HTTP requests share.
//!
//! - [`address`]: addresses, checked and shown without secrets.
//! - [`auth`]: credentials in a header.
//! - [`body`]: compressed bodies.
//! - [`request`]: the client and TLS, why there was no answer, bounded bodies.
//! - [`client`]: [`Caller`], which sends to one of several servers.
//! - [`answer`]: what an answer, or none, says about the records that were sent.
//!
//! Redirects are not followed and proxies of the environment are not used: records go where the
//! settings say. Nothing of an answer is read beyond a bound, and 200 bytes of it are shown.

pub(crate) mod address;
pub(crate) mod answer;
pub(crate) mod auth;
pub(crate) mod body;
pub(crate) mod client;
pub(crate) mod request;

pub(crate) use address::{Endpoint, check_url};
pub(crate) use answer::{ANSWER_BYTES_MAX, Answer, shown};
pub(crate) use auth::Credentials;
pub(crate) use client::{Caller, CallerSettings};
pub(crate) use request::{HttpError, body, class_of_status, client, shown_url};

use levada_registry::{FieldPath, Report};
use levada_settings::Duration;

use crate::blocks::Tls;

/// How long a request may take when the settings do not say.
pub(crate) const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// Reports what is wrong with a TLS block, and warns of one that believes anybody.
pub(crate) fn check_tls(tls: Option<&Tls>, at: &FieldPath, report: &mut Report) {
    let Some(tls) = tls else { return };
    tls.check(&at.child("tls"), report);
    if tls.insecure_skip_verify && tls.ca_file.is_empty() && tls.ca_secret_ref.is_none() {
        let text = "any server is believed, so anybody on the way can read and change records";
        report.warning(&at.child("tls.insecureSkipVerify"), text.into());
    }
}

/// Reports a timeout of zero.
pub(crate) fn check_timeout(timeout: Option<Duration>, at: &FieldPath, report: &mut Report) {
    if timeout.is_some_and(Duration::is_zero) {
        report.invalid(&at.child("timeout"), "0s", "must be greater than zero");
    }
}
