//! `[udp]`, `[tcp]`: line protocol that is sent without HTTP.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ByteSize, Duration};

/// A listener for datagrams of line protocol.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Udp {
    /// Where it listens; empty means it does not.
    pub bind_address: String,
    /// The database of the points.
    pub database: String,
    /// The retention policy of the points.
    pub retention_policy: String,
    /// The unit of times.
    pub precision: String,
    /// The buffer of the operating system; 0 means its default.
    pub read_buffer: ByteSize,
    /// Datagrams that may wait.
    pub buffer: usize,
    /// Points that go to tasks together.
    pub batch_size: usize,
    /// How long points wait for others.
    pub batch_timeout: Duration,
    /// Further listeners.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub listeners: BTreeMap<String, Udp>,
}

/// A listener for connections that carry line protocol.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Tcp {
    /// Where it listens; empty means it does not.
    pub bind_address: String,
    /// The database of the points.
    pub database: String,
    /// The retention policy of the points.
    pub retention_policy: String,
    /// The unit of times.
    pub precision: String,
    /// Connections at a time.
    pub connections_max: usize,
    /// The longest line.
    pub line_bytes: ByteSize,
    /// How long a connection may be silent; 0s means for ever.
    pub idle_timeout: Duration,
    /// Points that go to tasks together.
    pub batch_size: usize,
    /// How long points wait for others.
    pub batch_timeout: Duration,
    /// Further listeners.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub listeners: BTreeMap<String, Tcp>,
}

/// Units as the write API names them.
const PRECISIONS: [&str; 6] = ["n", "u", "ms", "s", "m", "h"];
/// Points in a batch: more would be held back for long.
const BATCH_MAX: usize = 1_000_000;

/// What both kinds have.
struct Common<'s> {
    prefix: String,
    bind_address: &'s str,
    database: &'s str,
    precision: &'s str,
    batch_size: usize,
    batch_timeout: Duration,
}

// === impl Udp ===

impl Udp {
    /// Gives the listeners that listen.
    pub fn all(&self) -> Vec<&Udp> {
        std::iter::once(self)
            .chain(self.listeners.values())
            .filter(|listener| !listener.bind_address.is_empty())
            .collect()
    }

    pub(super) fn check(&self, problems: &mut Vec<(String, String)>) {
        let named = self.listeners.iter();
        let named = named.map(|(name, listener)| (format!("udp.listeners.{name}."), listener));
        for (prefix, listener) in std::iter::once(("udp.".to_owned(), self)).chain(named) {
            if listener.buffer == 0 {
                problems.push((format!("{prefix}buffer"), "must be at least 1".to_owned()));
            }
            let common = Common {
                prefix,
                bind_address: &listener.bind_address,
                database: &listener.database,
                precision: &listener.precision,
                batch_size: listener.batch_size,
                batch_timeout: listener.batch_timeout,
            };
            common.check(problems);
        }
    }
}

// === impl Tcp ===

impl Tcp {
    /// Gives the listeners that listen.
    pub fn all(&self) -> Vec<&Tcp> {
        std::iter::once(self)
            .chain(self.listeners.values())
            .filter(|listener| !listener.bind_address.is_empty())
            .collect()
    }

    pub(super) fn check(&self, problems: &mut Vec<(String, String)>) {
        let named = self.listeners.iter();
        let named = named.map(|(name, listener)| (format!("tcp.listeners.{name}."), listener));
        for (prefix, listener) in std::iter::once(("tcp.".to_owned(), self)).chain(named) {
            if listener.connections_max == 0 {
                problems
                    .push((format!("{prefix}connections-max"), "must be at least 1".to_owned()));
            }
            if !(64 << 10..=1 << 30).contains(&listener.line_bytes.bytes()) {
                let message = "must be in 64KiB to 1GiB".to_owned();
                problems.push((format!("{prefix}line-bytes"), message));
            }
            let common = Common {
                prefix,
                bind_address: &listener.bind_address,
                database: &listener.database,
                precision: &listener.precision,
                batch_size: listener.batch_size,
                batch_timeout: listener.batch_timeout,
            };
            common.check(problems);
        }
    }
}

// === impl Common ===

impl Common<'_> {
    fn check(&self, problems: &mut Vec<(String, String)>) {
        let mut expect = |holds: bool, key: &str, message: &str| {
            if !holds {
                problems.push((format!("{}{key}", self.prefix), message.to_owned()));
            }
        };
        let listens = !self.bind_address.is_empty();
        expect(!listens || !self.database.is_empty(), "database", "must be set to listen");
        expect(
            PRECISIONS.contains(&self.precision),
            "precision",
            "must be `n`, `u`, `ms`, `s`, `m` or `h`",
        );
        expect((1..=BATCH_MAX).contains(&self.batch_size), "batch-size", "must be in 1 to 1000000");
        expect(!self.batch_timeout.is_zero(), "batch-timeout", "must be longer than 0s");
    }
}
