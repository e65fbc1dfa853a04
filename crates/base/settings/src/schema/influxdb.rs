//! `[influxdb]`: the cluster `default`, and further ones by name.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ByteSize, Duration, Secret};

/// An `InfluxDB` of scripts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Influxdb {
    /// Its addresses, separated by commas; empty means there is none.
    pub url: String,
    /// Scripts that name no cluster mean this one.
    pub default: bool,
    /// User name; empty means no credentials, or a token.
    pub username: String,
    /// Password of the user.
    pub password: Secret<String>,
    /// Token of InfluxDB 2.x.
    pub token: Secret<String>,
    /// A token is signed for the user instead of sending a password.
    pub http_shared_secret: bool,
    /// CA certificates, PEM; empty means those of the system.
    pub ca_file: String,
    /// The client's certificate, PEM.
    pub cert_file: String,
    /// The client's private key, PEM.
    pub key_file: String,
    /// Believes any server.
    pub insecure_skip_verify: bool,
    /// How long a query or a write may take.
    pub timeout: Duration,
    /// Queries at a time.
    pub queries_max: usize,
    /// Written points are compressed.
    pub compress: bool,
    /// It is not asked to send its points here.
    pub disable_subscriptions: bool,
    /// How points are sent here.
    pub subscription_protocol: SubscriptionProtocol,
    /// Who shares a subscription.
    pub subscription_mode: SubscriptionMode,
    /// What is subscribed to; empty means everything.
    pub subscriptions: String,
    /// What is not subscribed to.
    pub excluded_subscriptions: String,
    /// The name by which InfluxDB reaches this server.
    pub kapacitor_hostname: String,
    /// The port at which InfluxDB reaches this server; 0 means the one that is listened on.
    pub http_port: u16,
    /// The address that sockets of UDP subscriptions are bound to.
    pub udp_bind: String,
    /// Datagrams of a UDP subscription that may wait.
    pub udp_buffer: usize,
    /// The buffer of the operating system per UDP subscription; 0 means its default.
    pub udp_read_buffer: ByteSize,
    /// How often subscriptions are looked at.
    pub subscriptions_sync_interval: Duration,
    /// Stands in front of `/write` in the address of a subscription.
    pub subscription_path: String,
    /// Further clusters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub clusters: BTreeMap<String, Influxdb>,
}

/// How points of a subscription are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SubscriptionProtocol {
    /// HTTP.
    Http,
    /// HTTP with TLS.
    Https,
    /// Datagrams.
    Udp,
}

/// Who shares a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SubscriptionMode {
    /// The servers with one cluster ID.
    Cluster,
    /// Nobody: each server has its own.
    Server,
}

/// The name of the cluster in `[influxdb]`. Source: kapacitor: the default of `[[influxdb]] name`.
const FIRST: &str = "default";

// === impl Influxdb ===

impl Influxdb {
    /// Gives the clusters that have an address, with their names.
    pub fn all(&self) -> Vec<(&str, &Influxdb)> {
        let first = std::iter::once((FIRST, self));
        let others = self.clusters.iter().map(|(name, cluster)| (&**name, cluster));
        first.chain(others).filter(|(_, cluster)| !cluster.urls().is_empty()).collect()
    }

    /// Gives the name of the cluster of scripts that name none.
    pub fn default_name(&self) -> &str {
        let all = self.all();
        let chosen = all.iter().find(|(_, cluster)| cluster.default).or(all.first());
        chosen.map_or(FIRST, |(name, _)| name)
    }

    /// Gives the addresses.
    pub fn urls(&self) -> Vec<&str> {
        self.url.split(',').map(str::trim).filter(|url| !url.is_empty()).collect()
    }

    pub(super) fn check(&self, problems: &mut Vec<(String, String)>) {
        let mut add = |key: String, message: &str| problems.push((key, message.to_owned()));
        if self.clusters.contains_key(FIRST) {
            let message = "the cluster `default` is the section `[influxdb]` itself";
            add(format!("influxdb.clusters.{FIRST}.url"), message);
        }
        for (name, cluster) in &self.clusters {
            if cluster.urls().is_empty() {
                add(
                    format!("influxdb.clusters.{name}.url"),
                    "must specify at least one InfluxDB URL",
                );
            }
        }
        let defaults: Vec<&str> =
            self.all().iter().filter(|(_, c)| c.default).map(|(name, _)| *name).collect();
        if defaults.len() > 1 {
            let text =
                format!("More than one InfluxDB default was specified: {}", defaults.join(" "));
            let last = defaults.last().copied().unwrap_or(FIRST);
            add(format!("{}default", Self::prefix(last)), &text);
        }
        for (name, cluster) in self.all() {
            let prefix = Self::prefix(name);
            if cluster.queries_max == 0 {
                add(format!("{prefix}queries-max"), "must be at least 1");
            }
            if cluster.http_shared_secret && cluster.username.is_empty() {
                add(
                    format!("{prefix}http-shared-secret"),
                    "needs `username`: the token is for a user",
                );
            }
            if cluster.udp_buffer == 0 {
                add(format!("{prefix}udp-buffer"), "must be at least 1");
            }
            if cluster.subscriptions_sync_interval.is_zero() {
                add(format!("{prefix}subscriptions-sync-interval"), "must be longer than 0s");
            }
            for (key, list) in [
                ("subscriptions", &cluster.subscriptions),
                ("excluded-subscriptions", &cluster.excluded_subscriptions),
            ] {
                if is_open(list) {
                    add(format!("{prefix}{key}"), "a quote is not closed");
                }
            }
            let path = &cluster.subscription_path;
            if !path.is_empty() && !path.starts_with('/') {
                add(format!("{prefix}subscription-path"), "must start with `/`");
            }
            let host = &cluster.kapacitor_hostname;
            if host.contains(['/', '@', '?', '#', ' ']) {
                add(
                    format!("{prefix}kapacitor-hostname"),
                    "must be the name or address of a machine",
                );
            }
        }
    }

    fn prefix(name: &str) -> String {
        if name == FIRST { "influxdb.".into() } else { format!("influxdb.clusters.{name}.") }
    }
}

/// Says whether a quote is not closed; within quotes, `\` stands in front of what is meant as it is.
fn is_open(list: &str) -> bool {
    let (mut is_open, mut characters) = (false, list.chars());
    while let Some(character) = characters.next() {
        match character {
            '"' => is_open = !is_open,
            '\\' if is_open => is_open = characters.next().is_some(),
            _ => {}
        }
    }
    is_open
}
