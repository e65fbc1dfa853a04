//! Alerts as the settings want them: topics, outboxes, history, silences, and what handlers may do.

use std::sync::Arc;

use levada_alert::handlers::{
    AddressFilter, Clients, HANDLERS, HandlerDeps, Network, SERVER_URL_DEFAULT,
};
use levada_alert::metrics::AlertMetrics;
use levada_alert::service::{
    AlertService, HistorySettings, ServiceDeps, ServiceSettings, SilencesSettings,
};
use levada_alert::services::{NoServices, Services};
use levada_alert::topics::{OutboxSettings, Overflow, Patience, TopicsSettings};
use levada_api::config::Config;
use levada_runtime::BackoffPolicy;
use levada_settings::{OutboxOverflow, Settings};
use levada_store::Documents;
use tokio::sync::Semaphore;

use crate::flows::Host;
use crate::gateway::writers::GatewayEvents;
use crate::serve::ServeError;
use crate::tasks::connections;

/// What the word `private` stands for: loopback, private and link-local addresses, and those without a host.
const PRIVATE: &[&str] = &[
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "::/128",
    "::1/128",
    "fc00::/7",
    "fe80::/10",
];

/// Opens the alerts of a server.
pub(crate) async fn open(
    documents: &Arc<dyn Documents>,
    config: &Arc<Config>,
    host: &Host,
) -> Result<AlertService, ServeError> {
    let services = Arc::clone(config) as Arc<dyn Services>;
    let hostname = config.start_element("").text("hostname").to_owned();
    let handlers = handler_deps(host, services, &hostname).map_err(ServeError::Setting)?;
    let deps = ServiceDeps {
        tasks: host.tasks.clone(),
        runtime: tokio::runtime::Handle::current(),
        clock: Arc::clone(&host.clock),
        documents: Arc::clone(documents),
        handlers,
    };
    let length = config.start_element("alert").options.get("topic-buffer-length").cloned();
    let length = length.and_then(|length| usize::try_from(length.as_i64()?).ok());
    let settings = service_settings(&host.settings, length.unwrap_or(0));
    let alerts = AlertService::open(settings, deps).await.map_err(ServeError::Alerts)?;
    show_metrics(&alerts, host);
    Ok(alerts)
}

/// Gives what handlers of a process without a server need; see [`handler_deps`].
pub(crate) fn handler_deps_alone(host: &Host) -> Result<HandlerDeps, String> {
    handler_deps(host, Arc::new(NoServices), "localhost")
}

/// Gives what handlers need.
///
/// - Errors: a setting that cannot be used.
fn handler_deps(
    host: &Host,
    services: Arc<dyn Services>,
    hostname: &str,
) -> Result<HandlerDeps, String> {
    let alert = &host.settings.alert;
    let mut denied = Vec::new();
    for text in alert.denied_networks() {
        let networks = if text == "private" { PRIVATE } else { &[text] };
        for network in networks {
            let network: Network =
                network.parse().map_err(|error: levada_alert::handlers::NetworkError| {
                    format!("setting `alert.deny-networks`: {error}")
                })?;
            denied.push(network);
        }
    }
    let mut disabled = Vec::new();
    for name in alert.disabled_kinds() {
        if !HANDLERS.iter().any(|kind| kind.option_kind == name) {
            let mut known: Vec<&str> = HANDLERS.iter().map(|kind| kind.option_kind).collect();
            known.sort_unstable();
            return Err(format!(
                "setting `alert.disabled-handlers`: there is no kind {name:?}; known: {}",
                known.join(", ")
            ));
        }
        disabled.push(name.to_owned());
    }
    Ok(HandlerDeps {
        services,
        connections: connections(host),
        clients: Clients::new(AddressFilter::deny(denied)),
        disabled_kinds: disabled.into(),
        request_timeout: alert.request_timeout.into(),
        exec_slots: Arc::new(Semaphore::new(alert.exec_max.min(Semaphore::MAX_PERMITS))),
        exec_timeout: alert.exec_timeout.into(),
        server_url: server_url(&host.settings, hostname).into(),
        gateway: Arc::new(GatewayEvents(host.joins.clone())),
        ..HandlerDeps::default()
    })
}

/// Gives the address of this server in what services show.
///
/// Source: kapacitor: `hostname` and the port of `[http] bind-address`.
fn server_url(settings: &Settings, hostname: &str) -> String {
    if !settings.alert.server_url.is_empty() {
        return settings.alert.server_url.clone();
    }
    let first = settings.http.listen.split(',').next().unwrap_or_default().trim();
    let port = first.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    let scheme = if settings.http.tls_certificate.is_empty() { "http" } else { "https" };
    match port.filter(|port| *port != 0) {
        Some(port) if !hostname.is_empty() => format!("{scheme}://{hostname}:{port}"),
        _ => SERVER_URL_DEFAULT.to_owned(),
    }
}

/// Gives what the service is told.
///
/// - `buffer_length`: what Kapacitor's configuration says; too short a length is as none.
fn service_settings(settings: &Settings, buffer_length: usize) -> ServiceSettings {
    let alert = &settings.alert;
    let topics = TopicsSettings::default().with_buffer_length(buffer_length);
    let entries_max = match alert.outbox_events {
        0 => topics.buffer_length,
        events => events,
    };
    let outbox = OutboxSettings {
        entries_max,
        recoveries_max: alert.outbox_recoveries,
        overflow: match alert.outbox_overflow {
            OutboxOverflow::DropOldest => Overflow::DropOldest,
            OutboxOverflow::DropNewest => Overflow::DropNewest,
        },
        expiry: alert.outbox_expiry.into(),
        backoff: BackoffPolicy {
            initial: alert.retry_initial.into(),
            max: alert.retry_max.into(),
            attempts_max: 0,
        },
        attempt_timeout: alert.attempt_timeout.into(),
        retry_after_max: alert.retry_after_max.into(),
        store_patience: alert.store_patience.into(),
    };
    ServiceSettings {
        topics: TopicsSettings {
            states_max: alert.states_max,
            records_max: alert.history_waiting,
            patience: Patience {
                all: alert.publish_patience.into(),
                still: alert.publish_patience_still.into(),
            },
            ok_retention: alert.ok_retention.into(),
            stale_after: alert.stale_after.into(),
            stale_retention: alert.stale_retention.into(),
            outbox: Some(outbox),
            ..topics
        },
        history: HistorySettings {
            age_max: alert.history_age.into(),
            lines_max: alert.history_lines,
        },
        silences: SilencesSettings {
            silences_max: alert.silences_max,
            retention: alert.silence_retention.into(),
        },
    }
}

/// Shows the numbers of alerts with each scrape.
fn show_metrics(alerts: &AlertService, host: &Host) {
    let metrics = match AlertMetrics::new(&host.metrics) {
        Ok(metrics) => metrics,
        Err(error) => return tracing::warn!(%error, "alerts have no metrics"),
    };
    let topics = alerts.topics().downgrade();
    host.metrics.before_render(move || {
        if let Some(topics) = topics.upgrade() {
            metrics.show(&topics);
        }
    });
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::time::Duration;

    use super::*;

    fn settings(assignments: &[&str]) -> Settings {
        let mut loader = levada_settings::Loader::new();
        for assignment in assignments {
            loader = loader.assignment("--set", assignment);
        }
        loader.load().unwrap().settings
    }

    #[test]
    fn the_default_settings_are_the_defaults_of_the_service() {
        let given = service_settings(&settings(&[]), 5_000);
        let default = ServiceSettings::default();
        let shown = |settings: &ServiceSettings| {
            let topics = TopicsSettings { outbox: None, ..settings.topics.clone() };
            let outbox = settings.topics.outbox.clone().unwrap_or_default();
            format!("{topics:?} {outbox:?} {:?} {:?}", settings.history, settings.silences)
        };
        assert_eq!(shown(&given), shown(&default));
    }

    #[test]
    fn the_length_of_outboxes_is_kapacitors_unless_it_is_set() {
        for (own, buffer_length, expected) in [
            ("alert.outbox-events=0", 2_000, 2_000),
            ("alert.outbox-events=0", 10, 5_000),
            ("alert.outbox-events=7", 2_000, 7),
        ] {
            let given = service_settings(&settings(&[own]), buffer_length);
            assert_eq!(given.topics.outbox.unwrap().entries_max, expected, "{own} {buffer_length}");
        }
    }

    #[test]
    fn who_publishes_waits_as_the_settings_say() {
        let given = service_settings(
            &settings(&[
                "alert.publish-patience=0s",
                "alert.publish-patience-still=20ms",
                "alert.history-waiting=7",
            ]),
            5_000,
        );
        let wanted = Patience { all: Duration::ZERO, still: Duration::from_millis(20) };
        assert_eq!((given.topics.patience, given.topics.records_max), (wanted, 7));
    }

    #[test]
    fn the_address_of_the_server_is_the_one_that_is_set_or_listened_on() {
        for (assignments, expected) in [
            (&[][..], "http://box:9092"),
            (&["http.listen=10.0.0.1:80,127.0.0.1:9092"], "http://box:80"),
            (&["http.listen=127.0.0.1:0"], "http://localhost:9092"),
            (&["http.tls-certificate=x.pem"], "https://box:9092"),
            (&["alert.server-url=https://alerts.example"], "https://alerts.example"),
        ] {
            assert_eq!(server_url(&settings(assignments), "box"), expected);
        }
    }

    #[tokio::test]
    async fn handlers_are_bound_by_the_settings() {
        let host = Host::new(settings(&[
            "alert.deny-networks=private, 203.0.113.0/24",
            "alert.disabled-handlers=exec",
            "alert.request-timeout=3s",
        ]));
        let deps = handler_deps_alone(&host.unwrap()).unwrap();
        let check = |address: &str| deps.clients.filter().check(address.parse().unwrap()).is_ok();
        for denied in ["127.0.0.1", "10.1.1.1", "169.254.169.254", "::1", "fd00::1", "203.0.113.9"]
        {
            assert!(!check(denied), "{denied}");
        }
        assert!(check("198.51.100.1") && check("2001:db8::1"));
        assert_eq!(*deps.disabled_kinds, ["exec".to_owned()]);
        assert_eq!(deps.request_timeout.as_secs(), 3);
        let host = Host::new(settings(&["alert.disabled-handlers=exec,slak"])).unwrap();
        let error = handler_deps_alone(&host).err().unwrap();
        assert!(error.contains("there is no kind \"slak\"; known: aggregate, "), "{error}");
    }
}
