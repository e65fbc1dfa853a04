//! `[alert]`: topics, outboxes, history, silences, and what handlers may do.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Duration;

/// Topics, outboxes, history, silences, and what handlers may do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Alert {
    /// Events that wait for one handler; 0 means as many as Kapacitor's `[alert] topic-buffer-length` says.
    pub outbox_events: usize,
    /// Owed recoveries that wait for one handler.
    pub outbox_recoveries: usize,
    /// Which event goes when there are too many.
    pub outbox_overflow: OutboxOverflow,
    /// How long an event waits before it is given up.
    pub outbox_expiry: Duration,
    /// First wait before an event is sent again.
    pub retry_initial: Duration,
    /// Longest wait before an event is sent again.
    pub retry_max: Duration,
    /// How long a receiver may ask to be left alone.
    pub retry_after_max: Duration,
    /// How long one attempt may take.
    pub attempt_timeout: Duration,
    /// How long events wait for a store that fails.
    pub store_patience: Duration,
    /// How long a task waits at a time for handlers that are slower than its events.
    pub publish_patience: Duration,
    /// How long it waits while nothing is delivered or stored.
    pub publish_patience_still: Duration,
    /// States of events per topic.
    pub states_max: usize,
    /// How long an event that is OK is remembered.
    pub ok_retention: Duration,
    /// How long after the start a stored event is waited for.
    pub stale_after: Duration,
    /// How long a stale event is remembered.
    pub stale_retention: Duration,
    /// The oldest line of the history.
    pub history_age: Duration,
    /// Lines of the history.
    pub history_lines: u64,
    /// Lines of the history that wait for the store.
    pub history_waiting: usize,
    /// Silences, ended ones included.
    pub silences_max: usize,
    /// How long an ended silence is listed.
    pub silence_retention: Duration,
    /// Networks that handlers must not reach.
    pub deny_networks: String,
    /// Kinds of handlers that are refused.
    pub disabled_handlers: String,
    /// How long a request of a handler may take.
    pub request_timeout: Duration,
    /// Programs of `exec` handlers at a time.
    pub exec_max: usize,
    /// How long a program of an `exec` handler may take.
    pub exec_timeout: Duration,
    /// The address of this server in what services show; empty means where it listens.
    pub server_url: String,
}

/// Which event goes when too many wait for a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OutboxOverflow {
    /// The oldest one.
    DropOldest,
    /// The newest one.
    DropNewest,
}

// === impl Alert ===

impl Alert {
    /// Gives the networks that handlers must not reach; `private` is written as it is.
    pub fn denied_networks(&self) -> impl Iterator<Item = &str> {
        words(&self.deny_networks)
    }

    /// Gives the kinds of handlers that are refused.
    pub fn disabled_kinds(&self) -> impl Iterator<Item = &str> {
        words(&self.disabled_handlers)
    }

    pub(super) fn check(&self, problems: &mut Vec<(String, String)>) {
        let mut expect = |holds: bool, key: &str, message: &str| {
            if !holds {
                problems.push((format!("alert.{key}"), message.to_owned()));
            }
        };
        for (key, value) in [
            ("outbox-recoveries", self.outbox_recoveries),
            ("states-max", self.states_max),
            ("history-waiting", self.history_waiting),
            ("silences-max", self.silences_max),
            ("exec-max", self.exec_max),
        ] {
            expect(value > 0, key, "must be at least 1");
        }
        for (key, value) in [
            ("outbox-expiry", self.outbox_expiry),
            ("retry-initial", self.retry_initial),
            ("attempt-timeout", self.attempt_timeout),
            ("request-timeout", self.request_timeout),
            ("exec-timeout", self.exec_timeout),
        ] {
            expect(!value.is_zero(), key, "must be longer than 0s");
        }
        expect(
            self.retry_max >= self.retry_initial,
            "retry-max",
            "must not be shorter than `alert.retry-initial`",
        );
        expect(
            self.denied_networks().all(is_network),
            "deny-networks",
            "must be networks such as `169.254.0.0/16` or the word `private`, separated by commas",
        );
        let is_url = ["http://", "https://"].iter().any(|s| self.server_url.starts_with(s));
        expect(
            self.server_url.is_empty() || is_url,
            "server-url",
            "must be empty or like `http://host:9092`",
        );
    }
}

fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|word| !word.is_empty())
}

fn is_network(text: &str) -> bool {
    if text == "private" {
        return true;
    }
    let (base, prefix) = text.split_once('/').map_or((text, None), |(b, p)| (b, Some(p)));
    let width = match base.parse() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    prefix.is_none_or(|prefix| prefix.parse::<u8>().is_ok_and(|prefix| prefix <= width))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_what_cannot_work_is_named() {
        let mut alert = crate::Settings::default().alert;
        let mut problems = Vec::new();
        alert.deny_networks = "169.254.0.0/16, fe80::/10,private , 10.1.2.3,".to_owned();
        alert.disabled_handlers = "exec, tcp".to_owned();
        alert.check(&mut problems);
        assert_eq!(problems, []);
        assert_eq!(alert.disabled_kinds().collect::<Vec<_>>(), ["exec", "tcp"]);
        assert_eq!(alert.denied_networks().count(), 4);
        alert.deny_networks = "10.0.0.0/33".to_owned();
        alert.server_url = "host:9092".to_owned();
        alert.exec_max = 0;
        alert.retry_initial = Duration::default();
        alert.check(&mut problems);
        let keys: Vec<&str> = problems.iter().map(|(key, _)| &**key).collect();
        let expected =
            ["alert.exec-max", "alert.retry-initial", "alert.deny-networks", "alert.server-url"];
        assert_eq!(keys, expected);
    }
}
