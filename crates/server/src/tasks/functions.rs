//! Functions of users that run outside: those of the settings, and of Kapacitor's `[udf.functions]`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use levada_alert::services::{Element, Services as ServiceConfig};
use levada_runtime::{Clock, Tasks};
use levada_settings::Settings;
use levada_task::service::TaskService;
use levada_task::udf::{Agent, TIMEOUT_DEFAULT, UdfConfig, UdfLimits, Udfs};

/// Gives the functions of the settings.
pub fn of_settings(settings: &Settings) -> Udfs {
    of(settings, None)
}

/// Gives all functions; of two with one name that of Levada's own settings counts.
pub(super) fn of(settings: &Settings, config: Option<&dyn ServiceConfig>) -> Udfs {
    let mut functions = BTreeMap::new();
    let limits = limits_of(&settings.udf);
    for element in config.map(|config| config.elements("udf")).into_iter().flatten() {
        functions.insert(element.name.clone(), of_kapacitor(&element, limits));
    }
    for (name, function) in &settings.udf.functions {
        let agent = match function.socket.is_empty() {
            true => Agent::Program {
                program: function.prog.clone(),
                args: function.args.clone(),
                env: function.env.expose().iter().filter_map(|pair| pair_of(pair)).collect(),
            },
            false => Agent::Socket(PathBuf::from(&function.socket)),
        };
        let timeout = function.timeout.into();
        let config = UdfConfig { agent, timeout, limits: limits_of(function) };
        if functions.insert(name.clone(), config).is_some() {
            tracing::warn!(
                function = &**name,
                "the function is in Kapacitor's configuration as well, where it has no effect"
            );
        }
    }
    Udfs::new(functions)
}

/// Goes on asking functions that have not said what they are; tasks that needed them are started when they do.
pub(super) async fn await_missing(
    service: &TaskService,
    udfs: Udfs,
    clock: &Arc<dyn Clock>,
    tasks: &Tasks,
) {
    while !udfs.await_missing(clock, tasks).await.is_empty() {
        if let Err(error) = service.restore().await {
            tracing::error!(%error, "kept tasks cannot be started");
        }
    }
}

fn of_kapacitor(element: &Element, limits: UdfLimits) -> UdfConfig {
    let texts = |name: &str| element.options.get(name).and_then(|value| value.as_array());
    let texts = texts("args").into_iter().flatten();
    let env = element.options.get("env").and_then(|value| value.as_object());
    // Numbers are written without quotes.
    let text = |value: &serde_json::Value| match value.as_str() {
        Some(text) => text.to_owned(),
        None => value.to_string(),
    };
    let agent = match element.text("socket") {
        "" => Agent::Program {
            program: element.text("prog").to_owned(),
            args: texts.map(text).collect(),
            env: env
                .into_iter()
                .flatten()
                .map(|(name, value)| (name.clone(), text(value)))
                .collect(),
        },
        socket => Agent::Socket(PathBuf::from(socket)),
    };
    let timeout = element.text("timeout").parse::<levada_settings::Duration>();
    UdfConfig { agent, timeout: timeout.map_or(TIMEOUT_DEFAULT, Into::into), limits }
}

fn limits_of(function: &levada_settings::Udf) -> UdfLimits {
    UdfLimits {
        frame_bytes: function.frame_bytes.as_usize(),
        queue_points: function.queue_points,
        queue_bytes: function.queue_bytes.as_usize(),
    }
}

fn pair_of(pair: &str) -> Option<(String, String)> {
    pair.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))
}
