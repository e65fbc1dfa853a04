//! Metrics of connections, as the original names them.

use std::net::SocketAddr;
use std::time::Duration;

use levada_clients::net::NetWatch;
use levada_telemetry::metrics::{
    Counter, CounterFamily, MetricsError, Registry, Summary, SummaryFamily, SummaryOptions,
};

use crate::deliver::NAMES_EVERY;

/// Counts connections and names.
pub struct NetMetrics {
    from: String,
    connections: CounterFamily<3>,
    reused: Counter,
    idle: Summary,
    dns: Summary,
    connect: Summary,
    handshake: Summary,
    first_byte: Summary,
    domains: Counter,
    moved: CounterFamily<1>,
    looks: Counter,
    look_cost: SummaryFamily<2>,
}

// === impl NetMetrics ===

impl NetMetrics {
    /// Registers the metrics of the clients that are called `from`.
    pub fn new(registry: &Registry, from: &str) -> Result<Self, MetricsError> {
        let summary = |name: &str, help: &str| {
            let family = registry.summary_family(name, help, &["from"], SummaryOptions::default());
            family.map(|family| family.with(&[from]))
        };
        let reused = registry.counter_family(
            "datakit_httpcli_conn_reused_from_idle_total",
            "Requests over connections that were used before",
            &["from"],
        )?;
        let looks = registry.counter_family(
            "datakit_dns_watch_run_total",
            "Times that names were looked up to see whether they have moved",
            &["interval"],
        )?;
        Ok(NetMetrics {
            from: from.to_owned(),
            connections: registry.counter_family(
                "datakit_httpcli_tcp_conn_total",
                "Requests by the connection that they used, a new one or one that was used before",
                &["from", "remote", "type"],
            )?,
            reused: reused.with(&[from]),
            idle: summary(
                "datakit_httpcli_conn_idle_time_seconds",
                "How long the client was idle before a connection was used again",
            )?,
            dns: summary(
                "datakit_httpcli_dns_cost_seconds",
                "How long a name was looked up for a connection",
            )?,
            connect: summary(
                "datakit_httpcli_http_connect_cost_seconds",
                "How long a connection took to be made, TLS included",
            )?,
            handshake: summary(
                "datakit_httpcli_tls_handshake_seconds",
                "How long a connection took to be made secure, a part of how long it took to be made",
            )?,
            first_byte: summary(
                "datakit_httpcli_got_first_resp_byte_cost_seconds",
                "How long the head of an answer took to come",
            )?,
            domains: registry
                .counter("datakit_dns_domain_total", "Names that are looked up again")?,
            moved: registry.counter_family(
                "datakit_dns_ip_updated_total",
                "Times that a name pointed to other addresses",
                &["domain"],
            )?,
            looks: looks.with(&[&format!("{}s", NAMES_EVERY.as_secs())]),
            look_cost: registry.summary_family(
                "datakit_dns_cost_seconds",
                "How long a name was looked up to see whether it has moved",
                &["domain", "status"],
                SummaryOptions::default(),
            )?,
        })
    }

    /// Says how many names are looked up again.
    pub fn watches(&self, domains: usize) {
        self.domains.add(domains as u64);
    }
}

impl NetWatch for NetMetrics {
    fn looked_up(&self, took: Duration) {
        self.dns.observe(took.as_secs_f64());
    }

    fn connected(&self, took: Duration) {
        self.connect.observe(took.as_secs_f64());
    }

    fn secured(&self, took: Duration) {
        self.handshake.observe(took.as_secs_f64());
    }

    fn answered(&self, remote: Option<SocketAddr>, took: Duration, idle: Option<Duration>) {
        self.first_byte.observe(took.as_secs_f64());
        let kind = if idle.is_some() { "reused" } else { "created" };
        let remote = remote.map_or_else(|| "unknown".to_owned(), |remote| remote.to_string());
        self.connections.with(&[&self.from, &remote, kind]).inc();
        if let Some(idle) = idle {
            self.reused.inc();
            self.idle.observe(idle.as_secs_f64());
        }
    }

    fn watched(&self, domain: &str, took: Duration, is_found: bool, has_moved: bool) {
        self.looks.inc();
        let status = if is_found { "ok" } else { "failed" };
        self.look_cost.with(&[domain, status]).observe(took.as_secs_f64());
        if has_moved {
            self.moved.with(&[domain]).inc();
        }
    }
}
