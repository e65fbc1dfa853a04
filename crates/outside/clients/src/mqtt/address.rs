//! Addresses of brokers.

use std::fmt;

use levada_model::ErrorKind;
use reqwest::Url;

use crate::error::ClientError;

/// Source: IANA, `mqtt` and `secure-mqtt`.
const PORTS: [u16; 2] = [1883, 8883];

/// Where a broker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// Without the brackets of IPv6.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) has_tls: bool,
}

// === impl Address ===

impl Address {
    /// Reads what upstream reads, but for web sockets.
    pub(super) fn parse(text: &str) -> Result<Self, ClientError> {
        // The address may hold credentials.
        let wrong = |what: &str| {
            let message = format!("the URL of the MQTT broker {what}");
            ClientError::new(ErrorKind::Invalid, message)
        };
        let url = Url::parse(text.trim()).map_err(|error| wrong(&format!("is none: {error}")))?;
        let has_tls = match url.scheme() {
            "tcp" | "mqtt" => false,
            "ssl" | "tls" | "mqtts" | "tcps" => true,
            scheme => {
                let known = "tcp, mqtt, ssl, tls, mqtts, tcps";
                return Err(wrong(&format!("has the unknown scheme `{scheme}`; known: {known}")));
            }
        };
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| wrong("has no host"))?;
        Ok(Address {
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: url.port().unwrap_or(PORTS[usize::from(has_tls)]),
            has_tls,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}
