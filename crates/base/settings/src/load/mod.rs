//! Loading: defaults, file, environment, flags, merged key by key.
//!
//! Each value that some layer sets is tried on its own against the defaults, so that every problem is reported, with the layer
//! and the key it came from, and not only the first. Keys are known because `default.toml` has all of them.

mod dataway;
mod layer;
mod named;
mod problem;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::Deserialize as _;
use toml::{Table, Value};

pub(crate) use self::dataway::variables as dataway_variables;
pub(crate) use self::layer::default_keys;
use self::layer::{Assignment, Collected, leaves};
pub use self::problem::{Origin, Problem, SettingsError};
use crate::schema::Kapacitor;
use crate::secret::MASK;
use crate::{DEFAULTS, Settings, env};

/// The settings file that is read when it exists and no other is named.
pub const DEFAULT_FILE: &str = "levada.toml";

/// Collects the layers of settings and merges them.
///
/// ```
/// use levada_settings::Loader;
///
/// let loaded = Loader::new()
///     .env([("LEVADA_FLOW_BATCH_RECORDS", "500")])
///     .assignment("--set", "log.level=debug")
///     .load()?;
/// assert_eq!(loaded.settings.flow.batch_records, 500);
/// # Ok::<(), levada_settings::SettingsError>(())
/// ```
#[derive(Debug, Default)]
pub struct Loader {
    file: Option<(PathBuf, FileNeed)>,
    env: Vec<(OsString, OsString)>,
    flags: Vec<(String, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum FileNeed {
    Required,
    IfPresent,
}

/// Merged settings and where each value came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The settings to run on.
    pub settings: Settings,
    /// Every key in the order of `default.toml`, then those of named copies of sections.
    pub entries: Vec<Entry>,
    /// What is odd but no error, such as an unknown `LEVADA_` variable; for the log.
    pub warnings: Vec<Problem>,
}

/// One setting as it is in effect.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key, such as `flow.batch-records`.
    pub key: String,
    /// The value as TOML text; `***` instead of a secret.
    pub value: String,
    /// Which layer set it.
    pub origin: Origin,
}

// === impl Loader ===

impl Loader {
    /// Starts with the built-in defaults only.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts with what a process should read: `config` (the flag), else the file named by `LEVADA_CONFIG`, else `levada.toml` if
    /// there is one; then the environment of this process.
    #[must_use]
    pub fn standard(config: Option<&Path>) -> Self {
        let named = config.map(Path::to_owned).or_else(|| {
            std::env::var_os(env::CONFIG).filter(|path| !path.is_empty()).map(PathBuf::from)
        });
        let loader = match named {
            Some(path) => Self::new().file(path),
            None => Self::new().file_if_present(DEFAULT_FILE),
        };
        loader.env(std::env::vars_os())
    }

    /// Reads this file; that it does not exist is a problem.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some((path.into(), FileNeed::Required));
        self
    }

    /// Reads this file when it exists.
    #[must_use]
    pub fn file_if_present(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some((path.into(), FileNeed::IfPresent));
        self
    }

    /// Takes settings from these variables; those without the prefix `LEVADA_` are ignored.
    #[must_use]
    pub fn env<N: Into<OsString>, V: Into<OsString>>(
        mut self,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        self.env.extend(variables.into_iter().map(|(name, value)| (name.into(), value.into())));
        self
    }

    /// Takes `key=value` from the flag named `flag`. A later one beats an earlier one.
    #[must_use]
    pub fn assignment(mut self, flag: &str, text: &str) -> Self {
        self.flags.push((flag.into(), text.into()));
        self
    }

    /// Takes `value` for `key` from a flag that stands for that key, such as `--data`.
    #[must_use]
    pub fn flag(self, flag: &str, key: &str, value: &str) -> Self {
        self.assignment(flag, &format!("{key}={value}"))
    }

    /// Merges the layers.
    ///
    /// - Errors: [`SettingsError`] with every problem of every layer.
    pub fn load(self) -> Result<Loaded, SettingsError> {
        let defaults = defaults();
        let mut collected = Collected::new(&defaults);
        if let Some((path, need)) = &self.file {
            collected.file(path, *need == FileNeed::Required);
        }
        collected.environment(&self.env);
        for (flag, text) in &self.flags {
            collected.flag(flag, text);
        }
        let Collected { assignments, mut problems, warnings, .. } = collected;
        let mut merged = defaults.clone();
        let mut origins = BTreeMap::new();
        for Assignment { key, value, origin } in assignments {
            let mut trial = defaults.clone();
            named::make(&mut trial, &defaults, &key);
            set(&mut trial, &key, value.clone());
            match Settings::deserialize(Value::Table(trial)) {
                Ok(_) => {
                    named::make(&mut merged, &defaults, &key);
                    set(&mut merged, &key, value);
                    origins.insert(key, origin);
                }
                Err(error) => problems.push(Problem {
                    origin,
                    key,
                    message: error.message().trim_end().into(),
                }),
            }
        }
        let mut settings = match Settings::deserialize(Value::Table(merged.clone())) {
            Ok(settings) => settings,
            Err(error) => {
                // Not reachable while single values are valid on their own; reported rather than assumed.
                let message = error.message().to_owned();
                problems.push(Problem { origin: Origin::Default, key: String::new(), message });
                return Err(SettingsError { problems });
            }
        };
        take_over(&mut settings.kapacitor, &self.env);
        for (key, message) in settings.check() {
            let origin = origins.get(&key).cloned().unwrap_or(Origin::Default);
            problems.push(Problem { origin, key, message });
        }
        if !problems.is_empty() {
            return Err(SettingsError { problems });
        }
        let shown = Table::try_from(&settings).unwrap_or_default();
        let masked: BTreeSet<String> = leaves(&shown)
            .into_iter()
            .filter(|(_, value)| value.as_str() == Some(MASK))
            .map(|(key, _)| key)
            .collect();
        // Lists are shown as they are printed: a secret may be anywhere in them.
        let lists: BTreeMap<String, Value> = leaves(&shown)
            .into_iter()
            .filter(|(_, value)| value.is_array())
            .map(|(key, value)| (key, value.clone()))
            .collect();
        let entry = |(key, value): (String, &Value)| {
            let origin = origins.get(&key).cloned().unwrap_or(Origin::Default);
            let is_secret = masked.contains(&key) && value.as_str() != Some("");
            let value = match lists.get(&key) {
                Some(shown) => shown.clone(),
                None if is_secret => Value::from(MASK),
                None => value.clone(),
            };
            Entry { key, value: value.to_string(), origin }
        };
        let mut values: BTreeMap<String, &Value> = leaves(&merged).into_iter().collect();
        let mut order: Vec<_> = default_keys()
            .into_iter()
            .filter_map(|(key, _)| values.remove(&key).map(|value| (key, value)))
            .collect();
        // What is left are the keys of named copies of sections.
        order.extend(values);
        Ok(Loaded { entries: order.into_iter().map(entry).collect(), settings, warnings })
    }
}

/// Keeps the variables of Kapacitor's configuration; what they mean is not known here.
fn take_over(kapacitor: &mut Kapacitor, variables: &[(OsString, OsString)]) {
    for (name, value) in variables {
        let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else { continue };
        // Those of the client are not for the server.
        if name == env::KAPACITOR_URL || name == env::KAPACITOR_UNSAFE_SSL {
            continue;
        }
        if name == env::KAPACITOR_CONFIG_PATH {
            if kapacitor.config.is_empty() {
                value.clone_into(&mut kapacitor.config);
            }
        } else if name.starts_with(env::KAPACITOR_PREFIX) && !env::is_service_link(name, value) {
            kapacitor.environment.push((name.to_owned(), value.to_owned().into()));
        }
    }
}

/// Gives the built-in defaults as a table.
fn defaults() -> Table {
    DEFAULTS.parse().expect("default.toml is valid; a test reads it")
}

/// Puts a value at a dotted key whose tables exist.
fn set(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        Some((section, rest)) => {
            if let Some(Value::Table(inner)) = table.get_mut(section) {
                set(inner, rest, value);
            }
        }
        None => {
            table.insert(key.into(), value);
        }
    }
}

#[cfg(test)]
mod tests;
