//! Layered settings, secrets, durations, sizes, environment variables.
//!
//! - [`Loader`] merges the built-in defaults, a file, the environment and the command line into [`Settings`], and reports
//!   every problem with where it came from.
//! - [`Duration`], [`ByteSize`] and [`Secret`] are the value types of settings and of flow specifications.
//! - [`env`](mod@env) is the one table of environment variables.
//!
//! Nothing here touches the process except [`Loader::standard`], which reads its environment.

mod duration;
pub mod env;
mod load;
mod schema;
mod secret;
mod size;

pub use duration::{Duration, DurationError};
pub use load::{DEFAULT_FILE, Entry, Loaded, Loader, Origin, Problem, SettingsError};
pub use schema::gateway;
pub use schema::{
    Alert, DEFAULTS, Data, Flow, Gateway, Http, Influxdb, Kapacitor, ListenerAuth, Log, LogFormat,
    Metrics, OutboxOverflow, Overflow, Recording, Runtime, Settings, SubscriptionMode,
    SubscriptionProtocol, Task, Tcp, Udf, Udp,
};
pub use secret::Secret;
pub use size::{ByteSize, SizeError};

/// Longest piece of a refused text that an error message repeats, characters.
const SHOWN_MAX: usize = 64;

/// Gives the start of `text`, for an error message.
fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
