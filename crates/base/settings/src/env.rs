//! Every environment variable Levada reads, in one place.
//!
//! Settings have a variable each, derived from `default.toml`; the constants below are the others. A variable that is read
//! anywhere is named here, and nowhere else as a string.

use crate::load::{dataway_variables, default_keys};

/// Start of the names of Levada's own variables.
pub const PREFIX: &str = "LEVADA_";

/// The settings file, instead of `levada.toml` in the working directory. The flag `--config` beats it.
pub const CONFIG: &str = "LEVADA_CONFIG";

/// Start of the variables of Kapacitor's configuration: behind it section and key, as in `KAPACITOR_INFLUXDB_0_URLS_0`.
pub const KAPACITOR_PREFIX: &str = "KAPACITOR_";

/// Kapacitor's configuration file, where the setting `kapacitor.config` names none.
pub const KAPACITOR_CONFIG_PATH: &str = "KAPACITOR_CONFIG_PATH";

/// The log level of the processor; see [`all`].
///
/// Source: dataflow-operator: the processor's `LOG_LEVEL` (debug, info, warn, error; blanks and case do not matter; an invalid value
/// leaves the flag's).
pub const LOG_LEVEL: &str = "LOG_LEVEL";

/// Seconds a processor may finish nothing, while records wait, before it reports that it is stuck; see [`all`].
///
/// Source: dataflow-operator v1: default 600, and 0 switches it off. Differs: the processor does not end, as a target that is down
/// would make it start over and over.
pub const PROCESSOR_PROGRESS_TIMEOUT_SECONDS: &str = "PROCESSOR_PROGRESS_TIMEOUT_SECONDS";

/// Tries of a failing write before a processor ends; see [`all`].
///
/// Source: dataflow-operator v1: 0 means without end.
pub const PROCESSOR_SINK_ERROR_MAX_RETRIES: &str = "PROCESSOR_SINK_ERROR_MAX_RETRIES";

/// Start of the variables that hold the values of secrets: behind it namespace, name and key, or name and key, in upper case with
/// `_` for every other character.
pub const SECRET_PREFIX: &str = "LEVADA_SECRET_";

/// Inputs per target of the fuzz tests; see [`all`].
pub const FUZZ_ITERATIONS: &str = "LEVADA_FUZZ_ITERATIONS";

/// Where a program built for tests ends as by `kill -9`; see [`all`].
pub const FAULT: &str = "LEVADA_FAULT";

/// Rounds of the tests that kill a running process; see [`all`].
pub const KILL_ROUNDS: &str = "LEVADA_KILL_ROUNDS";

/// Start of the variables that `cargo xtask services` and the tests that talk to its servers read: where their state and
/// downloads are, what is added to their ports; see [`all`].
pub const SERVICES_PREFIX: &str = "LEVADA_SERVICES_";

/// The server of `levada kapacitor`; see [`all`]. Source: Kapacitor's client.
pub const KAPACITOR_URL: &str = "KAPACITOR_URL";

/// Whether `levada kapacitor` believes any certificate; see [`all`]. Source: Kapacitor's client.
pub const KAPACITOR_UNSAFE_SSL: &str = "KAPACITOR_UNSAFE_SSL";

/// Set and not empty: no colours. Source: the convention of no-color.org.
pub const NO_COLOR: &str = "NO_COLOR";

/// The variables that are not settings: name and summary. One that ends with `_` is the start of names.
const OTHERS: [(&str, &str); 14] = [
    (
        CONFIG,
        "The settings file, instead of `levada.toml` in the working directory; the flag `--config` beats it.",
    ),
    (
        KAPACITOR_PREFIX,
        "Start of the variables of Kapacitor's configuration: section, index where there are several, and key, as in `KAPACITOR_SLACK_0_TOKEN`.",
    ),
    (
        KAPACITOR_CONFIG_PATH,
        "Kapacitor's configuration file, where the setting `kapacitor.config` names none.",
    ),
    (
        LOG_LEVEL,
        "Log level of `levada processor`: debug, info, warn or error; an invalid value leaves that of the flag.",
    ),
    (
        PROCESSOR_PROGRESS_TIMEOUT_SECONDS,
        "`levada processor`: seconds in which records wait and none is finished before it reports that it is stuck; 0 switches this off.",
    ),
    (
        PROCESSOR_SINK_ERROR_MAX_RETRIES,
        "`levada processor`: tries of a failing write before it ends with an error; 0 means without end.",
    ),
    (
        KAPACITOR_URL,
        "`levada kapacitor`: the server, instead of http://localhost:9092; the flag `-url` beats it.",
    ),
    (
        KAPACITOR_UNSAFE_SSL,
        "`levada kapacitor`: true believes any TLS certificate; the flag `-skipVerify` beats it.",
    ),
    (NO_COLOR, "Set and not empty: no colours in tables and log lines."),
    (
        SECRET_PREFIX,
        "Start of the variables that hold values of secrets: behind it stand namespace, name and key, or name and key, in upper case with `_` for other characters, as in `LEVADA_SECRET_SHOP_DATABASE_PASSWORD`.",
    ),
    (
        FAULT,
        "Tests only, and programs built with debug assertions: `PLACE:COUNT` ends the process as by `kill -9` when it comes to a place for the COUNT-th time.",
    ),
    (FUZZ_ITERATIONS, "Tests only: inputs per target of the fuzz tests."),
    (KILL_ROUNDS, "Tests only: rounds of the tests that kill a running process."),
    (
        SERVICES_PREFIX,
        "Tests only: start of the variables of `cargo xtask services`; its `--help` has them.",
    ),
];

/// Gives every variable with a summary, those that are not settings first.
#[must_use]
pub fn all() -> Vec<(String, String)> {
    let others = OTHERS.iter().map(|&(name, summary)| {
        let rest = if name.ends_with('_') { "…" } else { "" };
        (format!("{name}{rest}"), summary.to_owned())
    });
    let settings = default_keys().into_iter().map(|(key, comment)| (variable_of(&key), comment));
    let originals = dataway_variables().map(|(name, key)| {
        let summary = match key {
            "" => "Variable of DataKit: accepted, does nothing.".to_owned(),
            key => {
                format!("Variable of DataKit: sets `{key}`, which `{}` beats.", variable_of(key))
            }
        };
        (name.to_owned(), summary)
    });
    others.chain(originals).chain(settings).collect()
}

/// Gives the variable that sets a key: `flow.batch-records` is `LEVADA_FLOW_BATCH_RECORDS`.
#[must_use]
pub fn variable_of(key: &str) -> String {
    let upper = key.chars().map(|character| match character {
        '.' | '-' => '_',
        other => other.to_ascii_uppercase(),
    });
    PREFIX.chars().chain(upper).collect()
}

/// Says whether a variable of Levada's prefix is known though it is no setting.
pub(crate) fn is_other(name: &str) -> bool {
    OTHERS.iter().any(|(other, _)| match other.strip_suffix('_') {
        Some(_) => name.starts_with(other),
        None => *other == name,
    })
}

/// Says whether Kubernetes made the variable for a service whose name starts with `levada`: it puts `LEVADA_SERVICE_HOST`,
/// `LEVADA_PORT=tcp://…`, `LEVADA_PORT_9092_TCP_ADDR` and the like into every container of the namespace.
pub(crate) fn is_service_link(name: &str, value: &str) -> bool {
    if name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
    {
        return true;
    }
    if name.ends_with("_PORT") {
        return ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    }
    name.match_indices("_PORT_").any(|(start, found)| {
        let rest = name[start + found.len()..]
            .trim_start_matches(|character: char| character.is_ascii_digit());
        ["_TCP", "_UDP", "_SCTP"].iter().any(|protocol| rest.starts_with(protocol))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_table_has_unique_names_in_variable_form_and_summaries() {
        let all = all();
        let names: BTreeSet<_> = all.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), all.len());
        for (name, summary) in &all {
            assert!(
                name.trim_end_matches('…')
                    .chars()
                    .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'),
                "{name}"
            );
            assert!(summary.ends_with('.'), "{name}: {summary}");
        }
        assert!(
            all.iter().any(|(name, summary)| name == "LEVADA_FLOW_BATCH_BYTES"
                && summary.contains("handed on"))
        );
        for name in [LOG_LEVEL, "LEVADA_SECRET_…", FUZZ_ITERATIONS, KILL_ROUNDS] {
            assert!(all.iter().any(|(known, _)| known == name), "{name}");
        }
    }

    #[test]
    fn variables_of_secrets_are_known_by_their_start() {
        assert!(is_other("LEVADA_SECRET_SHOP_DATABASE_PASSWORD"));
        assert!(is_other(CONFIG));
        assert!(!is_other("LEVADA_SECRETS"));
        assert!(!is_other("LEVADA_CONFIG_X"));
    }

    #[test]
    fn variables_of_kubernetes_services_are_recognised() {
        for (name, value) in [
            ("LEVADA_SERVICE_HOST", "10.0.0.1"),
            ("LEVADA_SERVICE_PORT", "9092"),
            ("LEVADA_SERVICE_PORT_HTTP", "9092"),
            ("LEVADA_PORT", "tcp://10.0.0.1:9092"),
            ("LEVADA_PORT_9092_TCP", "tcp://10.0.0.1:9092"),
            ("LEVADA_HTTP_PORT_9092_TCP_ADDR", "10.0.0.1"),
        ] {
            assert!(is_service_link(name, value), "{name}");
        }
        assert!(!is_service_link("LEVADA_HTTP_PORT", "9092"));
        assert!(!is_service_link("LEVADA_FLOW_BATCH_RECORDS", "1"));
    }
}
