//! Every environment variable Levada reads, in one place.
//!
//! Settings have a variable each, derived from `default.toml`; the constants below are the others. A variable that is read
//! anywhere is named here, and nowhere else as a string.

use crate::load::default_keys;

/// Start of the names of Levada's own variables.
pub const PREFIX: &str = "LEVADA_";

/// The settings file, instead of `levada.toml` in the working directory. The flag `--config` beats it.
pub const CONFIG: &str = "LEVADA_CONFIG";

/// The log level of the processor; see [`all`].
///
/// Source: dataflow-operator: the processor's `LOG_LEVEL` (debug, info, warn, error; blanks and case do not matter; an invalid value
/// leaves the flag's).
pub const LOG_LEVEL: &str = "LOG_LEVEL";

/// Seconds a processor may finish nothing before it ends; see [`all`].
///
/// Source: dataflow-operator v1: default 600, and 0 switches it off.
pub const PROCESSOR_PROGRESS_TIMEOUT_SECONDS: &str = "PROCESSOR_PROGRESS_TIMEOUT_SECONDS";

/// Tries of a failing write before a processor ends; see [`all`].
///
/// Source: dataflow-operator v1: 0 means without end.
pub const PROCESSOR_SINK_ERROR_MAX_RETRIES: &str = "PROCESSOR_SINK_ERROR_MAX_RETRIES";

/// Set and not empty: no colours. Source: the convention of no-color.org.
pub const NO_COLOR: &str = "NO_COLOR";

/// The variables that are not settings: name and summary.
const OTHERS: [(&str, &str); 5] = [
    (
        CONFIG,
        "The settings file, instead of `levada.toml` in the working directory; the flag `--config` beats it.",
    ),
    (
        LOG_LEVEL,
        "Log level of `levada processor`: debug, info, warn or error; an invalid value leaves that of the flag.",
    ),
    (
        PROCESSOR_PROGRESS_TIMEOUT_SECONDS,
        "`levada processor`: seconds in which nothing was finished before it ends with an error; 0 switches this off.",
    ),
    (
        PROCESSOR_SINK_ERROR_MAX_RETRIES,
        "`levada processor`: tries of a failing write before it ends with an error; 0 means without end.",
    ),
    (
        NO_COLOR,
        "Set and not empty: no colours in tables and log lines.",
    ),
];

/// Gives every variable with a summary, those that are not settings first.
#[must_use]
pub fn all() -> Vec<(String, String)> {
    let others = OTHERS
        .iter()
        .map(|&(name, summary)| (name.to_owned(), summary.to_owned()));
    let settings = default_keys()
        .into_iter()
        .map(|(key, comment)| (variable_of(&key), comment));
    others.chain(settings).collect()
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
    OTHERS.iter().any(|(other, _)| *other == name)
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
        return ["tcp://", "udp://", "sctp://"]
            .iter()
            .any(|scheme| value.starts_with(scheme));
    }
    name.match_indices("_PORT_").any(|(start, found)| {
        let rest = name[start + found.len()..]
            .trim_start_matches(|character: char| character.is_ascii_digit());
        ["_TCP", "_UDP", "_SCTP"]
            .iter()
            .any(|protocol| rest.starts_with(protocol))
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
                name.chars()
                    .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'),
                "{name}"
            );
            assert!(summary.ends_with('.'), "{name}: {summary}");
        }
        assert!(
            all.iter()
                .any(|(name, summary)| name == "LEVADA_FLOW_BATCH_LINGER"
                    && summary.contains("may wait"))
        );
        assert!(all.iter().any(|(name, _)| name == LOG_LEVEL));
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
