//! `[gateway]`: what it takes, where points go, how they wait.
//!
//! Words are those of the original where it has them. Source: dataway reference §2, §11.5.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::egress::{
    FileTarget, FlowTarget, InfluxTarget, KafkaTarget, Kind, RemoteWriteTarget, RemoteWriteVersion,
    TaskTarget,
};
use crate::{ByteSize, Duration, Secret};

mod egress;

/// Receives points and delivers them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Gateway {
    /// The endpoints of the destination `default`, each gets every point.
    pub urls: Vec<Secret<String>>,
    /// How long a request to an endpoint may take.
    pub timeout: Duration,
    /// A proxy for the endpoints of `urls`.
    pub http_proxy: String,
    /// Believe any endpoint.
    pub tls_insecure: bool,
    /// CA certificates that endpoints are checked against, PEM.
    pub ca_file: String,
    /// Certificate to show to endpoints, PEM.
    pub cert_file: String,
    /// Private key of that certificate, PEM.
    pub key_file: String,
    /// How points are written.
    pub content_encoding: PointEncoding,
    /// Bodies are compressed.
    pub gzip: bool,
    /// Bytes of a body that is sent, before it is compressed.
    pub max_raw_body_size: ByteSize,
    /// How long a small body waits for others, to be sent together with them; zero means not at all.
    pub linger: Duration,
    /// The largest body that is taken, as it comes.
    pub max_http_body_bytes: ByteSize,
    /// The largest body that is taken, unpacked, and the most bytes of its points when each has what they share.
    pub max_plain_bytes: ByteSize,
    /// Points that wait longer are given up; zero means never.
    pub drop_expired_package_at: Duration,
    /// Points are grouped by the values of some keys, which a header tells.
    pub enable_sinker: bool,
    /// Those keys, beside `global-tags`.
    pub global_customer_keys: Vec<String>,
    /// Tags that stand for this host, each `key=value`.
    pub global_tags: Vec<String>,
    /// How sinkers share points.
    pub sink_mode: SinkMode,
    /// Whose filter language it is.
    pub filter_compat: FilterCompat,
    /// Drop filters are pulled from the first endpoint while `filters` has none.
    pub pull_filters: bool,
    /// Only requests with this token are taken.
    pub token: Secret<String>,
    /// Points that match are dropped, by category.
    pub filters: BTreeMap<String, Vec<String>>,
    /// How points wait.
    pub queue: GatewayQueue,
    /// How soon a failed request is repeated.
    pub retry: GatewayRetry,
    /// When an endpoint is taken for dead.
    pub breaker: GatewayBreaker,
    /// How fast a destination is sent to.
    pub limit: GatewayLimit,
    /// Destinations beside `default`.
    pub destination: Vec<Destination>,
    /// Rules that send points elsewhere than to the default.
    pub sinkers: Vec<Sinker>,
    /// Who may write, and how much.
    pub tenants: Vec<Tenant>,
}

/// Makes a section whose keys a destination may have otherwise.
macro_rules! section {
    ($(#[$about:meta])* $name:ident, $change:ident { $($(#[$doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "kebab-case", deny_unknown_fields)]
        pub struct $name { $($(#[$doc])* pub $field: $type,)* }

        /// What a destination has otherwise.
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
        pub struct $change {
            $($(#[$doc])* #[serde(skip_serializing_if = "Option::is_none")] pub $field: Option<$type>,)*
        }

        impl $change {
            /// Gives what holds, where `usual` holds otherwise.
            #[must_use]
            pub fn over(&self, usual: &$name) -> $name {
                $name { $($field: self.$field.clone().unwrap_or_else(|| usual.$field.clone()),)* }
            }
        }
    };
}

section! {
    /// How points wait.
    GatewayQueue, QueueChange {
        /// Where they wait.
        keep: QueueKeep,
        /// When they are durable.
        sync: QueueSync,
        /// How much later, for `interval`.
        sync_interval: Duration,
        /// Bytes that may wait.
        capacity: ByteSize,
        /// What happens when more come.
        when_full: WhenFull,
        /// Aliases of categories that wait then, whatever `when-full` says.
        no_drop_categories: Vec<String>,
        /// Bytes of one file.
        segment_bytes: ByteSize,
        /// Bytes of bodies that are in memory as well.
        memory_bytes: ByteSize,
        /// Points that waited so long come after new ones.
        fresh_age: Duration,
        /// Percent of the bytes sent that are new ones while old ones wait.
        fresh_share: u8,
        /// Bytes of what receivers refused for good; 0 keeps none.
        dead_letter_bytes: ByteSize,
        /// Records of what receivers refused for good.
        dead_letters_max: usize,
    }
}

section! {
    /// How soon a failed request is repeated.
    GatewayRetry, RetryChange {
        /// The first wait.
        initial: Duration,
        /// The longest wait.
        max: Duration,
    }
}

section! {
    /// When an endpoint is taken for dead.
    GatewayBreaker, BreakerChange {
        /// So many failures.
        failures: usize,
        /// Within this time.
        window: Duration,
        /// It is left alone so long.
        open: Duration,
        /// And so long at most.
        open_max: Duration,
        /// Requests at a time that try whether it is back.
        half_open_probes: usize,
        /// How long an endpoint rests that says that we may not.
        pause: Duration,
    }
}

section! {
    /// How fast a destination is sent to.
    GatewayLimit, LimitChange {
        /// Requests per second; 0 means any number.
        requests_per_second: f64,
        /// Bytes per second, as sent; 0 means any number.
        bytes_per_second: ByteSize,
        /// Requests at a time.
        in_flight: usize,
    }
}

/// A place that points can go to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Destination {
    /// Its name; sinkers name it, and its queue is a folder of that name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// How its endpoints share.
    pub strategy: Strategy,
    /// The tag that decides, for `hash`.
    pub hash_key: String,
    /// Its endpoints.
    pub endpoint: Vec<GatewayEndpoint>,
    /// How points are written, if not as usual.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_encoding: Option<PointEncoding>,
    /// Whether bodies are compressed, if not as usual.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gzip: Option<bool>,
    /// How long a small body waits for others, if not as usual.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linger: Option<Duration>,
    /// Points that wait longer are given up, if not as usual.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drop_expired_package_at: Option<Duration>,
    /// How points wait.
    pub queue: QueueChange,
    /// How soon a failed request is repeated.
    pub retry: RetryChange,
    /// When an endpoint is taken for dead.
    pub breaker: BreakerChange,
    /// How fast it is sent to.
    pub limit: LimitChange,
    /// Where in InfluxDB points go, for `influx`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub influx: Option<InfluxTarget>,
    /// How remote write is spoken, for `remote-write`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_write: Option<RemoteWriteTarget>,
    /// The topic and its cluster, for `kafka`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kafka: Option<KafkaTarget>,
    /// The file, for `file`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<FileTarget>,
    /// The flow, for `flow`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flow: Option<FlowTarget>,
    /// The tasks, for `task`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskTarget>,
}

/// An endpoint of a destination.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct GatewayEndpoint {
    /// Its URL, with `?token=` for a Dataway.
    pub url: Secret<String>,
    /// The token, when the URL has none: that of InfluxDB, or the bearer token of remote write.
    #[serde(default = "nothing")]
    pub token: Secret<String>,
    /// A proxy; empty means that of `gateway.http-proxy`.
    #[serde(default)]
    pub proxy: String,
    /// Its share, for `weighted`.
    #[serde(default = "one")]
    pub weight: u32,
    /// Lower is asked first, for `failover`.
    #[serde(default)]
    pub priority: u32,
}

/// A rule that sends points elsewhere than to the default. Source: dataway reference §3.1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Sinker {
    /// For counts; empty means its place.
    #[serde(default)]
    pub name: String,
    /// Aliases of the categories that it takes.
    #[serde(default)]
    pub categories: Vec<String>,
    /// One must match; none means that all points are taken.
    #[serde(default)]
    pub filters: Vec<String>,
    /// Where points go, in place of `url`.
    #[serde(default)]
    pub destination: String,
    /// An endpoint of its own.
    #[serde(default = "nothing")]
    pub url: Secret<String>,
    /// The token, when the URL has none.
    #[serde(default = "nothing")]
    pub token: Secret<String>,
    /// A proxy for this endpoint only.
    #[serde(default)]
    pub proxy: String,
}

/// Somebody who may write.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Tenant {
    /// For counts.
    pub name: String,
    /// What it shows.
    pub token: Secret<String>,
    /// Requests per second; 0 means any number.
    #[serde(default)]
    pub requests_per_second: f64,
    /// Points per second; 0 means any number.
    #[serde(default)]
    pub points_per_second: f64,
    /// Bytes per second, as they come; 0 means any number.
    #[serde(default = "no_bytes")]
    pub bytes_per_second: ByteSize,
    /// Seconds for which all of that may come at once.
    #[serde(default = "burst")]
    pub burst: Duration,
}

/// How points are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PointEncoding {
    /// Line protocol.
    #[serde(alias = "line-protocol")]
    V1,
    /// Protobuf.
    #[serde(alias = "protobuf")]
    V2,
    /// JSON.
    Json,
    /// The JSON of protobuf.
    Pbjson,
}

/// How sinkers share points. Source: dataway reference §1.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SinkMode {
    /// A point goes to every sinker that matches.
    All,
    /// A point goes to the first that matches.
    First,
    /// Each sees what those before it left.
    Remaining,
    /// As version 1.6: what one sinker left goes to the default, once for each.
    #[serde(rename = "compat-1.6")]
    Compat16,
}

/// Whose filter language it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FilterCompat {
    /// Its own, without traps.
    Strict,
    /// That of DataKit 1.6.
    #[serde(alias = "datakit-1.6")]
    Seed,
    /// That of DataKit 1.84.
    #[serde(alias = "datakit-1.84")]
    Head,
}

/// How the endpoints of a destination share.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// The first that works.
    #[default]
    Failover,
    /// By weight.
    Weighted,
    /// Each gets every point.
    Broadcast,
    /// By the value of a tag.
    Hash,
}

/// Where points wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum QueueKeep {
    /// In files.
    Disk,
    /// In memory: they are lost when the process ends.
    Memory,
}

/// When points are durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum QueueSync {
    /// When the answer says that they were taken.
    Always,
    /// A moment later; the end of the process alone loses nothing.
    Interval,
    /// When the system likes.
    None,
}

/// What happens to new points when a queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WhenFull {
    /// They wait.
    Block,
    /// They are dropped.
    DropNew,
    /// The oldest are dropped.
    DropOld,
}

/// The longest `linger`. Agents wait as long before they send.
const LINGER_MAX: Duration = Duration::from_secs(10);

/// The destination that `urls` makes.
pub const DEFAULT_DESTINATION: &str = "default";

fn nothing() -> Secret<String> {
    String::new().into()
}

fn one() -> u32 {
    1
}

fn no_bytes() -> ByteSize {
    ByteSize::new(0)
}

fn burst() -> Duration {
    Duration::from_secs(2)
}

// === impl Gateway ===

impl Gateway {
    /// Says whether there is anywhere that points could go. Source: dataway reference §2.1: the word `dev_null`.
    pub fn is_set(&self) -> bool {
        let is_off = self.urls.first().is_some_and(|url| url.expose() == "dev_null");
        let has_any =
            !self.urls.is_empty() || !self.destination.is_empty() || !self.sinkers.is_empty();
        has_any && !is_off
    }

    pub(super) fn check(&self, problems: &mut Vec<(String, String)>) {
        let mut add = |key: &str, message: String| problems.push((key.to_owned(), message));
        for (key, value) in [
            ("gateway.max-raw-body-size", self.max_raw_body_size),
            ("gateway.max-http-body-bytes", self.max_http_body_bytes),
            ("gateway.max-plain-bytes", self.max_plain_bytes),
            ("gateway.queue.capacity", self.queue.capacity),
            ("gateway.queue.segment-bytes", self.queue.segment_bytes),
        ] {
            if value.bytes() == 0 {
                add(key, "must be at least 1B".into());
            }
        }
        for (key, value) in [
            ("gateway.timeout", self.timeout),
            ("gateway.retry.initial", self.retry.initial),
            ("gateway.breaker.open", self.breaker.open),
            ("gateway.breaker.pause", self.breaker.pause),
        ] {
            if value.is_zero() {
                add(key, "must be longer than 0s".into());
            }
        }
        for (key, value) in [
            ("gateway.limit.in-flight", self.limit.in_flight),
            ("gateway.breaker.failures", self.breaker.failures),
            ("gateway.breaker.half-open-probes", self.breaker.half_open_probes),
        ] {
            if !(1..=10_000).contains(&value) {
                add(key, "must be in 1 to 10000".into());
            }
        }
        let lingers = "must be at most 10s";
        if self.linger > LINGER_MAX {
            add("gateway.linger", lingers.into());
        }
        if self.queue.fresh_share > 100 {
            add("gateway.queue.fresh-share", "must be in 0 to 100".into());
        }
        let rate = self.limit.requests_per_second;
        if !rate.is_finite() || rate < 0.0 {
            add("gateway.limit.requests-per-second", "must not be negative".into());
        }
        if let Some(bad) = self.global_tags.iter().find(|tag| !tag.contains('=')) {
            add("gateway.global-tags", format!("`{bad}` is not `key=value`"));
        }
        let mut names = BTreeSet::new();
        if !self.urls.is_empty() {
            names.insert(DEFAULT_DESTINATION);
        }
        for (at, destination) in self.destination.iter().enumerate() {
            let place = format!("[{at}]");
            if destination.name.is_empty() {
                add("gateway.destination", format!("{place}.name must not be empty"));
            } else if !names.insert(&destination.name) {
                let name = &destination.name;
                add("gateway.destination", format!("{place}.name: `{name}` is there twice"));
            }
            if destination.endpoint.is_empty() && destination.kind.has_urls() {
                add("gateway.destination", format!("{place} must have an endpoint"));
            }
            if destination.linger.is_some_and(|linger| linger > LINGER_MAX) {
                add("gateway.destination", format!("{place}.linger {lingers}"));
            }
            egress::check(destination, |text| add("gateway.destination", format!("{place}{text}")));
            if destination.strategy == Strategy::Hash && destination.hash_key.is_empty() {
                add("gateway.destination", format!("{place}.hash-key must name a tag"));
            }
        }
        for (at, sinker) in self.sinkers.iter().enumerate() {
            let has_url = !sinker.url.expose().is_empty();
            let text = match (has_url, &*sinker.destination) {
                (true, "") => continue,
                (false, "") => "must have `url` or `destination`".to_owned(),
                (true, _) => "must not have both `url` and `destination`".to_owned(),
                (false, name) if names.contains(name) => continue,
                (false, name) => format!("there is no destination `{name}`"),
            };
            add("gateway.sinkers", format!("[{at}] {text}"));
        }
        let mut tokens = BTreeSet::new();
        let mut tenants = BTreeSet::new();
        for (at, tenant) in self.tenants.iter().enumerate() {
            if tenant.token.expose().is_empty() || tenant.name.is_empty() {
                add("gateway.tenants", format!("[{at}] must have a name and a token"));
            } else if !tokens.insert(tenant.token.expose()) || !tenants.insert(&tenant.name) {
                add("gateway.tenants", format!("[{at}] has the name or token of another"));
            }
            let rates = [tenant.requests_per_second, tenant.points_per_second];
            if rates.iter().any(|rate| !rate.is_finite() || *rate < 0.0) {
                add("gateway.tenants", format!("[{at}] rates must not be negative"));
            }
        }
    }
}
