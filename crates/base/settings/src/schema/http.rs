//! `[http]`: where the server listens, and what is answered there.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ByteSize, Duration};

/// What `levada serve` listens to: the first listener, and further ones by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Http {
    /// The addresses, separated by commas.
    pub listen: String,
    /// What is answered here; empty means everything.
    pub dialects: String,
    /// Who may come.
    pub auth: ListenerAuth,
    /// Others than this machine may come without authentication.
    pub allow_anyone: bool,
    /// Certificate chain; empty means no TLS.
    pub tls_certificate: String,
    /// Private key; empty means it is with the certificate.
    pub tls_key: String,
    /// Connections at a time.
    pub connections_max: usize,
    /// The largest body of a document.
    pub document_bytes: ByteSize,
    /// The largest body of points.
    pub points_bytes: ByteSize,
    /// How long the head of a request, or a TLS handshake, may take.
    pub head_timeout: Duration,
    /// How long the body of a request may take.
    pub body_timeout: Duration,
    /// Further listeners.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub listeners: BTreeMap<String, Http>,
}

/// Who may come to a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ListenerAuth {
    /// As `auth.enabled` says.
    Default,
    /// Users only.
    Users,
    /// Everybody.
    None,
}

// === impl Http ===

impl Http {
    /// Gives the listeners with the start of their keys.
    pub fn all(&self) -> Vec<(String, &Http)> {
        let first = std::iter::once(("http.".to_owned(), self));
        let others = self.listeners.iter();
        first
            .chain(others.map(|(name, listener)| (format!("http.listeners.{name}."), listener)))
            .collect()
    }

    /// Gives the addresses.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        words(&self.listen)
    }

    /// Gives the names of the dialects; none for all of them.
    pub fn dialect_names(&self) -> impl Iterator<Item = &str> {
        words(&self.dialects)
    }

    /// Says whether TLS is offered.
    pub fn is_tls(&self) -> bool {
        !self.tls_certificate.is_empty()
    }

    pub(super) fn check(&self, has_users: bool, problems: &mut Vec<(String, String)>) {
        let mut seen: Vec<&str> = Vec::new();
        for (prefix, listener) in self.all() {
            let mut expect = |holds: bool, key: &str, message: &str| {
                if !holds {
                    problems.push((format!("{prefix}{key}"), message.to_owned()));
                }
            };
            expect(
                listener.addresses().next().is_some(),
                "listen",
                "must name an address such as `127.0.0.1:9092`",
            );
            let twice = listener
                .addresses()
                .find(|address| seen.contains(address) && !address.ends_with(":0"));
            expect(twice.is_none(), "listen", "names an address that another listener has");
            seen.extend(listener.addresses());
            expect(listener.connections_max > 0, "connections-max", "must be at least 1");
            for (key, value) in [
                ("document-bytes", listener.document_bytes),
                ("points-bytes", listener.points_bytes),
            ] {
                expect(value.bytes() > 0, key, "must be at least 1B");
            }
            for (key, value) in
                [("head-timeout", listener.head_timeout), ("body-timeout", listener.body_timeout)]
            {
                expect(!value.is_zero(), key, "must be longer than 0s");
            }
            expect(
                listener.auth != ListenerAuth::Users || has_users,
                "auth",
                "can be `users` only with `auth.enabled`: there are no users",
            );
        }
    }
}

fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Loader;

    fn problems(assignments: &[&str]) -> Vec<String> {
        let mut loader = Loader::new();
        for assignment in assignments {
            loader = loader.assignment("--set", assignment);
        }
        match loader.load() {
            Ok(_) => Vec::new(),
            Err(error) => error.to_string().lines().map(str::to_owned).collect(),
        }
    }

    #[test]
    fn further_listeners_have_the_keys_and_defaults_of_the_first() {
        let loaded = Loader::new()
            .assignment("--set", "http.listeners.metrics.listen=127.0.0.1:9100, [::1]:9100")
            .assignment("--set", "http.listeners.metrics.dialects=levada")
            .assignment("--set", "http.listeners.metrics.auth=none")
            .load();
        let Ok(loaded) = loaded else { panic!("{loaded:?}") };
        let http = loaded.settings.http;
        let all = http.all();
        assert_eq!(all.len(), 2);
        let (prefix, metrics) = &all[1];
        assert_eq!(prefix, "http.listeners.metrics.");
        let addresses: Vec<&str> = metrics.addresses().collect();
        assert_eq!(addresses, ["127.0.0.1:9100", "[::1]:9100"]);
        assert_eq!(metrics.dialect_names().collect::<Vec<_>>(), ["levada"]);
        assert_eq!(metrics.auth, ListenerAuth::None);
        assert_eq!(metrics.points_bytes, http.points_bytes);
    }

    #[test]
    fn what_cannot_work_is_named_with_its_listener() {
        let found = problems(&["http.listeners.more.connections-max=0", "http.auth=users"]);
        assert_eq!(found.len(), 3, "{found:?}");
        for text in
            ["http.auth", "http.listeners.more.listen", "http.listeners.more.connections-max"]
        {
            assert!(found.iter().any(|line| line.contains(text)), "{text} {found:?}");
        }
    }
}
