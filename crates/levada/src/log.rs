//! Settings and log output of a command.

use std::sync::atomic::{AtomicBool, Ordering};

use levada_runtime::SystemClock;
use levada_server::serve::LogControl;
use levada_settings::{LogFormat, Settings};
use levada_telemetry::console::Console;
use levada_telemetry::feed::LogFeed;
use levada_telemetry::trace::{self, FilterHandle, TraceOptions};

use crate::args::Common;
use crate::output;

/// Loads the settings: defaults, file, environment, flags.
///
/// Errors: every problem, in one text.
pub(crate) fn settings(common: &Common) -> Result<Settings, String> {
    let mut loader = levada_settings::Loader::standard(common.config.as_deref());
    for assignment in &common.settings {
        loader = loader.assignment("--set", assignment);
    }
    if let Some(folder) = &common.data {
        loader = loader.flag("--data", "data.dir", &folder.to_string_lossy());
    }
    if let Some(level) = &common.log {
        loader = loader.flag("--log", "log.level", level);
    }
    let loaded = loader.load().map_err(|error| error.to_string())?;
    if !common.quiet {
        for warning in &loaded.warnings {
            output::note(&format!("warning: {warning}"));
        }
    }
    Ok(loaded.settings)
}

/// Starts log output to standard error.
///
/// A command that runs flows one after the other comes here for each; the first time counts.
pub(crate) fn install(settings: &Settings, console: &Console) -> Result<(), String> {
    static IS_INSTALLED: AtomicBool = AtomicBool::new(false);
    if IS_INSTALLED.swap(true, Ordering::AcqRel) {
        return Ok(());
    }
    trace::install(&options(settings), console).map_err(|error| error.to_string())
}

/// Starts log output whose level can be changed.
pub(crate) fn install_adjustable(
    settings: &Settings,
    console: &Console,
) -> Result<Adjustable, String> {
    let feed = LogFeed::new(SystemClock::new());
    trace::install_adjustable(&options(settings), console, &feed)
        .map(|filter| Adjustable { filter, feed })
        .map_err(|error| error.to_string())
}

/// Changes the level of the log while a server runs.
#[derive(Debug)]
pub(crate) struct Adjustable {
    filter: FilterHandle,
    feed: LogFeed,
}

impl LogControl for Adjustable {
    fn set_level(&self, level: &str) -> Result<(), String> {
        self.filter.set(level)
    }

    fn feed(&self) -> Option<LogFeed> {
        Some(self.feed.clone())
    }
}

fn options(settings: &Settings) -> TraceOptions {
    let format = match settings.log.format {
        LogFormat::Human => trace::LogFormat::Human,
        LogFormat::Json => trace::LogFormat::Json,
    };
    TraceOptions { filter: settings.log.level.clone(), format }
}
