//! Log output: which events are shown, and what their lines look like.
//!
//! Lines go to standard error: to people as text (coloured on a terminal), to programs as one JSON object per line.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::reload;

use crate::console::Console;
use crate::feed::LogFeed;

/// The words that name a level, from silent to chatty.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// What a log line looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Text for people: time, level, target, message, fields.
    #[default]
    Human,
    /// One JSON object per line: `timestamp`, `level`, `target`, `message` and the fields beside them.
    Json,
}

/// What is logged and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceOptions {
    /// A level (`info`), or levels per target (`warn,levada_flow=debug`). Case does not matter in levels.
    pub filter: String,
    /// What a line looks like.
    pub format: LogFormat,
}

/// Says why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The filter has a part that is neither a level nor `target=level`.
    #[error(
        "invalid log level `{part}`; use `off`, `error`, `warn`, `info`, `debug` or `trace`, or per target `warn,levada_flow=debug`"
    )]
    Level {
        /// The part that was not understood.
        part: String,
    },
    /// The filter has the right form, but a target in it cannot be used.
    #[error("invalid log filter `{filter}`; for example `warn,levada_flow=debug`")]
    Filter {
        /// The whole filter.
        filter: String,
        /// What is wrong with it.
        #[source]
        source: ParseError,
    },
    /// The name of the format is not known.
    #[error("unknown log format `{name}`; known: `human`, `json`")]
    Format {
        /// The refused name.
        name: String,
    },
    /// Logging was set up before in this process.
    #[error("logging is already set up; set it up once, at the start of the process")]
    AlreadyInstalled,
}

// === impl TraceOptions ===

impl Default for TraceOptions {
    fn default() -> Self {
        Self { filter: "info".into(), format: LogFormat::Human }
    }
}

// === impl LogFormat ===

impl FromStr for LogFormat {
    type Err = TraceError;

    fn from_str(name: &str) -> Result<Self, TraceError> {
        match name {
            "human" => Ok(Self::Human),
            "json" => Ok(Self::Json),
            other => Err(TraceError::Format { name: other.into() }),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Human => "human",
            Self::Json => "json",
        })
    }
}

/// Sends the log events of the whole process to the console.
///
/// - Errors: [`TraceError::Level`], [`TraceError::Filter`], and [`TraceError::AlreadyInstalled`] at a second call.
pub fn install(options: &TraceOptions, console: &Console) -> Result<(), TraceError> {
    let subscriber = subscriber(options, console.colors(), console.clone())?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| TraceError::AlreadyInstalled)
}

/// Like [`install`], also to readers of a feed, and gives what changes the filter of the console while the process runs.
///
/// - Errors: as [`install`].
pub fn install_adjustable(
    options: &TraceOptions,
    console: &Console,
    feed: &LogFeed,
) -> Result<FilterHandle, TraceError> {
    // The filter is that of the console alone: readers of the feed choose for themselves.
    let (filter, handle) = reload::Layer::new(filter(&options.filter)?);
    let set = move |filter: EnvFilter| handle.reload(filter).map_err(|error| error.to_string());
    let lines = tracing_subscriber::fmt::layer().with_writer(console.clone());
    let registry = tracing_subscriber::registry().with(feed.layer());
    let installed = match options.format {
        LogFormat::Human => {
            let lines = lines.with_ansi(console.colors()).with_filter(filter);
            tracing::subscriber::set_global_default(registry.with(lines))
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_filter(filter);
            tracing::subscriber::set_global_default(registry.with(lines))
        }
    };
    installed.map_err(|_| TraceError::AlreadyInstalled)?;
    Ok(FilterHandle(Arc::new(set)))
}

/// Changes what is logged; cheap to clone.
#[derive(Clone)]
pub struct FilterHandle(Arc<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>);

impl FilterHandle {
    /// Sets the filter, as the setting `log.level` is written.
    ///
    /// - Errors: what is wrong with it.
    pub fn set(&self, text: &str) -> Result<(), String> {
        (self.0)(filter(text).map_err(|error| error.to_string())?)
    }
}

impl fmt::Debug for FilterHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FilterHandle")
    }
}

/// Makes a subscriber that writes to `writer`: what [`install`] installs, for tests and for embedding.
pub fn subscriber<W>(
    options: &TraceOptions,
    colors: bool,
    writer: W,
) -> Result<Box<dyn Subscriber + Send + Sync>, TraceError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter(&options.filter)?).with_writer(writer);
    Ok(match options.format {
        LogFormat::Human => Box::new(builder.with_ansi(colors).finish()),
        LogFormat::Json => Box::new(builder.json().flatten_event(true).finish()),
    })
}

/// Parses a filter. A bare word must be a level: the library would take a mistyped level for a target and log nothing else.
fn filter(text: &str) -> Result<EnvFilter, TraceError> {
    let mut parts = Vec::new();
    for part in text.split(',').map(str::trim) {
        let (target, level) = match part.rsplit_once('=') {
            Some((target, level)) => (Some(target.trim()), level.trim()),
            None => (None, part),
        };
        let level = level.to_ascii_lowercase();
        if !LEVELS.contains(&level.as_str()) || target.is_some_and(str::is_empty) {
            return Err(TraceError::Level { part: part.into() });
        }
        parts.push(target.map_or(level.clone(), |target| format!("{target}={level}")));
    }
    EnvFilter::try_new(parts.join(","))
        .map_err(|source| TraceError::Filter { filter: text.into(), source })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::io::{self, Write};
    use std::sync::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Captured {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    fn logged(filter: &str, format: LogFormat, colors: bool) -> String {
        let captured = Captured::default();
        let options = TraceOptions { filter: filter.into(), format };
        let subscriber = subscriber(&options, colors, captured.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(target: "levada_flow", records = 3, "batch \"written\"");
            tracing::debug!(target: "levada_flow", "detail");
            tracing::warn!(target: "elsewhere", "careful");
        });
        let bytes = captured.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_level_and_levels_per_target_choose_events() {
        let info = logged(" INFO ", LogFormat::Human, false);
        assert!(
            info.contains("batch") && info.contains("careful") && !info.contains("detail"),
            "{info}"
        );
        let by_target = logged("error, levada_flow=Debug", LogFormat::Human, false);
        assert!(by_target.contains("detail") && !by_target.contains("careful"), "{by_target}");
        assert_eq!(logged("off", LogFormat::Human, false), "");
    }

    #[test]
    fn colours_appear_only_when_asked_for() {
        assert!(!logged("info", LogFormat::Human, false).contains('\u{1b}'));
        assert!(logged("info", LogFormat::Human, true).contains('\u{1b}'));
    }

    #[test]
    fn json_lines_hold_message_and_fields_side_by_side() {
        let text = logged("info", LogFormat::Json, true);
        let line: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(line["message"], "batch \"written\"");
        assert_eq!(line["records"], 3);
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["target"], "levada_flow");
        assert!(line["timestamp"].is_string());
    }

    #[test]
    fn a_mistyped_level_is_an_error_that_lists_the_levels() {
        for text in ["inof", "", "info,debgu", "levada_flow=loud", "=info", "info,,warn"] {
            let options = TraceOptions { filter: text.into(), format: LogFormat::Human };
            let error = subscriber(&options, false, io::sink).err().unwrap();
            assert!(error.to_string().contains("`error`, `warn`, `info`"), "{text}: {error}");
        }
        let error = "xml".parse::<LogFormat>().unwrap_err();
        assert_eq!(error.to_string(), "unknown log format `xml`; known: `human`, `json`");
    }
}
