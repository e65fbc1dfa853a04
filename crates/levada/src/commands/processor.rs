//! `levada processor`: one flow with the original processor's flags, paths and variables.
//!
//! Source: dataflow-operator.md §4.6. Differs: SIGTERM ends with 0; secrets are references that are resolved
//! here, from files and variables.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use levada_flow::engine::Start;
use levada_flow::spec::{self, secrets::Secrets};
use levada_model::ObjectRef;
use levada_registry::{FieldPath, Report, manifest};
use levada_settings::{Duration, LogFormat, Settings, env};
use levada_task::udf::Udfs;

use super::run::{self, Options};
use crate::args::{Common, Processor};
use crate::exit::Exit;
use crate::{load, log, output};

/// Where an operator mounts secrets.
const SECRETS_FOLDER: &str = "/etc/dataflow/secrets";

pub(super) fn run(args: Processor, common: &Common) -> Exit {
    let settings = match settings(&args, common) {
        Ok(settings) => settings,
        Err(message) => {
            output::note(&format!("error: {message}"));
            return Exit::Invalid;
        }
    };
    let Some(flow) = load(&args, common) else { return Exit::Invalid };
    let folder = args.secrets.clone().or_else(|| {
        let mounted = PathBuf::from(SECRETS_FOLDER);
        mounted.is_dir().then_some(mounted)
    });
    let secrets = Arc::new(Secrets::default().with_folder(folder));
    let base_dir = args.spec_path.parent().unwrap_or(Path::new(".")).to_owned();
    let job = run::job(flow, Start::default(), secrets, base_dir);
    let options = Options {
        no_checkpoints: false,
        duration: None,
        probes: Some(address(&args.metrics_port)),
        scripts: Vec::new(),
        udfs: Udfs::default(),
    };
    match run::run_jobs(vec![job], &options, common, Some(settings)) {
        Ok(exit) => exit,
        Err(message) => {
            output::note(&format!("error: {message}"));
            Exit::Failed
        }
    }
}

/// Gives the listening address for Go's form, in which the host may be missing.
fn address(port: &str) -> String {
    match port.strip_prefix(':') {
        Some(port) => format!("0.0.0.0:{port}"),
        None => port.to_owned(),
    }
}

fn load(args: &Processor, common: &Common) -> Option<spec::Flow> {
    let path = args.spec_path.display();
    let bytes = match load::read_bytes(&args.spec_path) {
        Ok(bytes) => bytes,
        Err(error) => {
            output::note(&format!("error: the spec `{path}` cannot be read: {error}"));
            return None;
        }
    };
    let documents = match manifest::parse_bytes(&bytes) {
        Ok(documents) => documents,
        Err(error) => {
            output::note(&format!("error: the spec `{path}` cannot be parsed: {error}"));
            return None;
        }
    };
    let [document] = documents.as_slice() else {
        output::note(&format!("error: the spec `{path}` must hold one document"));
        return None;
    };
    let mut report = Report::new();
    let object = ObjectRef::new(spec::KIND, &args.namespace, &args.name);
    // The file is the spec alone; paths in problems start as they do in a manifest.
    let flow = spec::check_spec(&document.root, &FieldPath::field("spec"), object, &mut report);
    for problem in report.problems() {
        let is_error = problem.severity == levada_registry::Severity::Error;
        if is_error || !common.quiet {
            let mark = if is_error { "" } else { "warning: " };
            output::note(&format!("{path}: {mark}{problem}"));
        }
    }
    flow
}

/// Lays the original's flags and variables over the settings.
fn settings(args: &Processor, common: &Common) -> Result<Settings, String> {
    let mut settings = log::settings(common)?;
    let is_development = args.zap_devel == Some(true);
    settings.log.format = match args.zap_encoder.as_deref() {
        Some("json") => LogFormat::Json,
        Some("console") => LogFormat::Human,
        Some(other) => return Err(format!("unknown zap encoder `{other}`; known: json, console")),
        None if is_development => LogFormat::Human,
        None => settings.log.format,
    };
    if let Some(level) = &args.zap_log_level {
        settings.log.level = zap_level(level)?;
    } else if is_development {
        settings.log.level = "debug".into();
    }
    // An invalid LOG_LEVEL leaves the flag's value, as in the original.
    if let Ok(level) = std::env::var(env::LOG_LEVEL)
        && let Ok(level) = zap_level(level.trim())
    {
        settings.log.level = level;
    }
    if let Ok(text) = std::env::var(env::PROCESSOR_SINK_ERROR_MAX_RETRIES) {
        settings.flow.retry_limit = text.trim().parse().map_err(|_| {
            format!(
                "{} must be a whole number, not `{text}`",
                env::PROCESSOR_SINK_ERROR_MAX_RETRIES
            )
        })?;
    }
    if let Ok(text) = std::env::var(env::PROCESSOR_PROGRESS_TIMEOUT_SECONDS) {
        let seconds: u32 = text.trim().parse().map_err(|_| {
            let name = env::PROCESSOR_PROGRESS_TIMEOUT_SECONDS;
            format!("{name} must be a whole number of seconds, not `{text}`")
        })?;
        settings.flow.progress_timeout = Duration::from_secs(seconds.into());
    }
    Ok(settings)
}

fn zap_level(level: &str) -> Result<String, String> {
    Ok(match level.to_ascii_lowercase().as_str() {
        level @ ("debug" | "info" | "warn" | "error") => level.to_owned(),
        "panic" | "fatal" | "dpanic" => "error".into(),
        number if number.parse::<u8>().is_ok_and(|number| number > 0) => "debug".into(),
        other => {
            return Err(format!("unknown log level `{other}`; known: debug, info, warn, error"));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_addresses_and_levels_are_understood() {
        assert_eq!(address(":9090"), "0.0.0.0:9090");
        assert_eq!(address("127.0.0.1:0"), "127.0.0.1:0");
        assert_eq!(zap_level("INFO"), Ok("info".into()));
        assert_eq!(zap_level("5"), Ok("debug".into()));
        assert!(zap_level("loud").is_err());
    }
}
