//! Which sections Kapacitor's configuration has: those of handlers are in their table, the others are here.
//!
//! Source: reference (server) §3.6, §7.2. Keys and defaults are upstream's.

use levada_alert::handlers::HANDLERS;
use levada_alert::services::{OptionDefault, OptionRule, SectionRule};

/// A section as the configuration deals with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Section {
    pub(super) rule: &'static SectionRule,
    /// What can be done with it.
    pub(super) reach: Reach,
    /// It has an element of defaults where nobody made one.
    pub(super) has_default: bool,
}

/// What can be done with a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// The API may override it.
    Override,
    /// The API may show and override it, but what it describes is not there yet: it cannot be enabled.
    Missing,
    /// It is read when the server starts.
    Start,
    /// It has no effect; this setting of Levada does the same, where there is one.
    Instead(&'static str),
}

/// Finds a section.
pub(super) fn section(name: &str) -> Option<Section> {
    sections().find(|section| section.rule.name == name)
}

/// Gives all sections.
pub(super) fn sections() -> impl Iterator<Item = Section> {
    let of_handlers = HANDLERS.iter().filter_map(|kind| kind.section);
    let of_handlers =
        of_handlers.map(|rule| Section { rule, reach: Reach::Override, has_default: true });
    of_handlers.chain(OTHERS.iter().copied())
}

/// Sections that hold anything and have no effect. Source: reference (server) §3.5: inputs.
pub(super) const OPAQUE: &[&str] =
    &["udp", "collectd", "opentsdb", "graphite", "foreign-json", "continuous_queries"];

/// The section whose elements are named tables: `[udf.functions.NAME]`.
pub(super) const FUNCTIONS: (&str, &str) = ("udf", "functions");

const fn seen(rule: &'static SectionRule) -> Section {
    Section { rule, reach: Reach::Start, has_default: true }
}

const fn instead(rule: &'static SectionRule, setting: &'static str) -> Section {
    Section { rule, reach: Reach::Instead(setting), has_default: true }
}

const fn missing(rule: &'static SectionRule) -> Section {
    Section { rule, reach: Reach::Missing, has_default: false }
}

const OTHERS: &[Section] = &[
    Section { rule: &INFLUXDB, reach: Reach::Override, has_default: true },
    missing(&SCRAPER),
    missing(&AZURE),
    missing(&CONSUL),
    missing(&DNS),
    missing(&EC2),
    missing(&FILE_DISCOVERY),
    missing(&GCE),
    missing(&KUBERNETES),
    missing(&MARATHON),
    missing(&NERVE),
    missing(&SERVERSET),
    missing(&STATIC_DISCOVERY),
    missing(&SWARM),
    missing(&TRITON),
    seen(&TOP),
    seen(&CONFIG_OVERRIDE),
    seen(&STATS),
    seen(&ALERT),
    seen(&DEADMAN),
    seen(&LOAD),
    seen(&REPLAY),
    Section { rule: &UDF, reach: Reach::Start, has_default: false },
    instead(&HTTP, "http.listen, http.tls-certificate and http.tls-key"),
    instead(&TLS, "http.tls-certificate"),
    instead(&AUTH, "auth.enabled"),
    instead(&STORAGE, "store.url"),
    instead(&TASK, "task.checkpoint-interval"),
    instead(&LOGGING, "log.level"),
    instead(&REPORTING, ""),
    instead(&FLUXTASK, ""),
];

/// The name of what stands in front of all sections.
pub(super) const TOP_LEVEL: &str = "";

const fn flag(name: &'static str) -> OptionRule {
    OptionRule::flag(name)
}

const fn on(name: &'static str) -> OptionRule {
    OptionRule::new(name, OptionDefault::Bool(true))
}

const fn text(name: &'static str) -> OptionRule {
    OptionRule::text(name, "")
}

const fn secret(name: &'static str) -> OptionRule {
    OptionRule::text(name, "").secret()
}

const fn texts(name: &'static str) -> OptionRule {
    OptionRule::new(name, OptionDefault::Texts(&[]))
}

const fn int(name: &'static str, default: i64) -> OptionRule {
    OptionRule::new(name, OptionDefault::Int(default))
}

const fn duration(name: &'static str, default: &'static str) -> OptionRule {
    OptionRule::new(name, OptionDefault::Duration(default))
}

macro_rules! sections {
    ($($constant:ident $name:literal $key:expr, [$($option:expr),* $(,)?];)*) => {$(
        static $constant: SectionRule = SectionRule { name: $name, element_key: $key, options: &[$($option),*] };
    )*};
}

sections! {
    INFLUXDB "influxdb" Some("name"), [
        on("enabled"), OptionRule::text("name", "default"), flag("default"),
        OptionRule::new("urls", OptionDefault::Texts(&["http://localhost:8086"])), text("username"), secret("password"),
        secret("token"), flag("http-shared-secret"), text("ssl-ca"), text("ssl-cert"), text("ssl-key"),
        flag("insecure-skip-verify"), duration("timeout", "0s"), flag("disable-subscriptions"),
        OptionRule::text("subscription-protocol", "http"), OptionRule::text("subscription-mode", "cluster"),
        OptionRule::new("subscriptions", OptionDefault::Lists(&[])),
        OptionRule::new("excluded-subscriptions", OptionDefault::Lists(&[("_kapacitor", &["autogen"])])),
        text("kapacitor-hostname"), int("http-port", 0), text("udp-bind"), int("udp-buffer", 1000),
        int("udp-read-buffer", 0), duration("startup-timeout", "5m0s"),
        duration("subscriptions-sync-interval", "1m0s"), text("subscription-path"),
        OptionRule::text("compression", "gzip"),
    ];
    SCRAPER "scraper" Some("name"), [
        flag("enabled"), text("name"), OptionRule::text("type", "prometheus"), text("db"), text("rp"),
        OptionRule::text("scheme", "http"), OptionRule::text("metrics-path", "/metrics"),
        OptionRule::new("params", OptionDefault::Lists(&[])), duration("scrape-interval", "1m0s"),
        duration("scrape-timeout", "10s"), text("username"), secret("password"), text("ssl-ca"), text("ssl-cert"),
        text("ssl-key"), text("ssl-server-name"), flag("insecure-skip-verify"), secret("bearer-token"),
        text("proxy-url"), text("discoverer-id"), text("discoverer-service"), texts("blacklist"),
    ];
    AZURE "azure" Some("id"), [
        flag("enabled"), text("id"), int("port", 80), text("subscription-id"), text("tenant-id"), text("client-id"),
        secret("client-secret"), duration("refresh-interval", "5m0s"),
    ];
    CONSUL "consul" Some("id"), [
        flag("enabled"), text("id"), OptionRule::text("address", "127.0.0.1:8500"), secret("token"),
        text("datacenter"), OptionRule::text("tag-separator", ","), OptionRule::text("scheme", "http"),
        text("username"), secret("password"), texts("services"), text("ssl-ca"), text("ssl-cert"), text("ssl-key"),
        text("ssl-server-name"), flag("insecure-skip-verify"),
    ];
    DNS "dns" Some("id"), [
        flag("enabled"), text("id"), texts("record-names"), OptionRule::text("type", "SRV"), int("port", 0),
        duration("refresh-interval", "30s"),
    ];
    EC2 "ec2" Some("id"), [
        flag("enabled"), text("id"), text("region"), secret("access-key"), secret("secret-key"), text("profile"),
        int("port", 80), duration("refresh-interval", "1m0s"),
    ];
    FILE_DISCOVERY "file-discovery" Some("id"), [
        flag("enabled"), text("id"), texts("files"), duration("refresh-interval", "5m0s"),
    ];
    GCE "gce" Some("id"), [
        flag("enabled"), text("id"), text("project"), text("zone"), text("filter"), int("port", 80),
        OptionRule::text("tag-separator", ","), duration("refresh-interval", "1m0s"),
    ];
    KUBERNETES "kubernetes" Some("id"), [
        flag("enabled"), text("id"), flag("in-cluster"), texts("api-servers"), secret("token"), text("ca-path"),
        text("namespace"), OptionRule::text("resource", "node"),
    ];
    MARATHON "marathon" Some("id"), [
        flag("enabled"), text("id"), texts("servers"), secret("bearer-token"), duration("refresh-interval", "30s"),
        duration("timeout", "30s"), text("ssl-ca"), text("ssl-cert"), text("ssl-key"), text("ssl-server-name"),
        flag("insecure-skip-verify"),
    ];
    NERVE "nerve" Some("id"), [
        flag("enabled"), text("id"), texts("servers"), texts("paths"), duration("timeout", "10s"),
    ];
    SERVERSET "serverset" Some("id"), [
        flag("enabled"), text("id"), texts("servers"), texts("paths"), duration("timeout", "10s"),
    ];
    STATIC_DISCOVERY "static-discovery" Some("id"), [
        flag("enabled"), text("id"), texts("targets"), OptionRule::new("labels", OptionDefault::Table(&[])),
    ];
    SWARM "swarm" Some("id"), [
        flag("enabled"), text("id"), texts("servers"), text("ssl-ca"), text("ssl-cert"), text("ssl-key"),
        flag("insecure-skip-verify"),
    ];
    TRITON "triton" Some("id"), [
        flag("enabled"), text("id"), text("account"), text("dns-suffix"), text("endpoint"), int("port", 9163),
        duration("refresh-interval", "1m0s"), int("version", 1), text("ssl-ca"), text("ssl-cert"), text("ssl-key"),
        text("ssl-server-name"), flag("insecure-skip-verify"),
    ];
    TOP "" None, [
        OptionRule::text("hostname", "localhost"), text("data_dir"), flag("skip-config-overrides"),
        text("default-retention-policy"),
    ];
    CONFIG_OVERRIDE "config-override" None, [on("enabled")];
    STATS "stats" None, [
        on("enabled"), duration("stats-interval", "10s"), OptionRule::text("database", "_kapacitor"),
        OptionRule::text("retention-policy", "autogen"),
        OptionRule::new("timing-sample-rate", OptionDefault::Float(0.1)), int("timing-movavg-size", 1000),
    ];
    ALERT "alert" None, [on("persist-topics"), int("topic-buffer-length", 5000)];
    DEADMAN "deadman" None, [
        flag("global"), duration("interval", "10s"), OptionRule::new("threshold", OptionDefault::Float(0.0)),
        OptionRule::text("id", "{{ .Group }}:NODE_NAME for task '{{ .TaskName }}'"),
        OptionRule::text(
            "message",
            "{{ .ID }} is {{ if eq .Level \"OK\" }}alive{{ else }}dead{{ end }}: {{ index .Fields \"emitted\" | printf \"%0.3f\" }} points/INTERVAL.",
        ),
    ];
    UDF "udf" Some("name"), [
        text("name"), text("prog"), texts("args"), OptionRule::new("env", OptionDefault::Table(&[])).secret(),
        text("socket"), duration("timeout", "10s"),
    ];
    LOAD "load" None, [flag("enabled"), OptionRule::text("dir", "./load")];
    HTTP "http" None, [
        OptionRule::text("bind-address", ":9092"), flag("auth-enabled"), on("log-enabled"), flag("write-tracing"),
        flag("pprof-enabled"), flag("https-enabled"), OptionRule::text("https-certificate", "/etc/ssl/kapacitor.pem"),
        text("https-private-key"), duration("shutdown-timeout", "10s"), secret("shared-secret"),
    ];
    TLS "tls" None, [texts("ciphers"), text("min-version"), text("max-version")];
    AUTH "auth" None, [
        flag("enabled"), duration("cache-expiration", "10m0s"), int("bcrypt-cost", 10), text("meta-addr"),
        text("meta-username"), secret("meta-password"), secret("meta-internal-shared-secret"), flag("meta-use-tls"),
        text("meta-ca"), text("meta-cert"), text("meta-key"), flag("meta-insecure-skip-verify"),
    ];
    STORAGE "storage" None, [OptionRule::text("boltdb", "./kapacitor.db")];
    // Upstream's default is `./replay`; empty says that nobody chose, and files stay with the other data.
    REPLAY "replay" None, [text("dir")];
    TASK "task" None, [OptionRule::text("dir", "./tasks"), duration("snapshot-interval", "1m0s")];
    LOGGING "logging" None, [OptionRule::text("file", "STDERR"), OptionRule::text("level", "DEBUG")];
    REPORTING "reporting" None, [on("enabled"), text("url")];
    FLUXTASK "fluxtask" None, [
        flag("enabled"), text("task-run-influxdb"), OptionRule::text("task-run-bucket", "kapacitor_fluxtask_logs"),
        text("task-run-org"), text("task-run-orgid"), OptionRule::text("task-run-measurement", "runs"),
        OptionRule::new("secrets", OptionDefault::Table(&[])).secret(), text("default-influxdb"),
    ];
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn sections_have_names_of_their_own_and_valid_defaults() {
        let names: BTreeSet<&str> = sections().map(|section| section.rule.name).collect();
        assert_eq!(names.len(), sections().count());
        for Section { rule, .. } in sections() {
            let options: BTreeSet<&str> = rule.options.iter().map(|option| option.name).collect();
            assert_eq!(options.len(), rule.options.len(), "{}", rule.name);
            assert!(rule.element_key.is_none_or(|key| options.contains(key)), "{}", rule.name);
            for option in rule.options {
                let default = option.default.to_json();
                let read = super::super::values::read(&default, option.default);
                assert_eq!(read, Ok(default), "{} {}", rule.name, option.name);
            }
        }
    }
}
