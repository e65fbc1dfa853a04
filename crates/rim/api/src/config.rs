//! Kapacitor's configuration: its file and its environment variables, and overrides that the API made, over the defaults.
//!
//! ```text
//! defaults ◀─ file ◀─ KAPACITOR_* ◀─ overrides (kept as documents) ─▶ a snapshot ─▶ handlers, at every event
//! ```
//!
//! A change makes a new snapshot: what reads it, sees it at once, without a restart. Source: reference (server) §1.9, §7.1, §7.2.

mod checks;
mod file;
mod sections;
mod update;
mod values;

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use levada_alert::services::{Element, Services};
use levada_runtime::Clock;
use levada_settings::Kapacitor;
use levada_store::{DocumentError, Documents, Range};
use serde_json::{Map, Value};
use thiserror::Error;

use file::{Given, Reader};
use sections::{Reach, Section, TOP_LEVEL, section, sections};
pub use update::Update;
use update::{Override, Overrides};

/// The space of overrides.
pub const SPACE: &str = "overrides";

/// The largest file. Ours: nobody writes so much by hand.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// What a configuration is made of.
pub struct ConfigDeps<'a> {
    /// The file and the variables.
    pub kapacitor: &'a Kapacitor,
    /// Elements that Levada's own settings give, by section; they go before those of the same name.
    pub own: Vec<(&'static str, Map<String, Value>)>,
    /// Where overrides are kept.
    pub documents: Arc<dyn Documents>,
    /// Measures how long services take to follow a change.
    pub clock: Arc<dyn Clock>,
}

/// The configuration.
pub struct Config {
    documents: Arc<dyn Documents>,
    clock: Arc<dyn Clock>,
    given: Given,
    snapshot: RwLock<Arc<Snapshot>>,
    followers: RwLock<Vec<(&'static str, Arc<dyn Follower>)>>,
    /// One change at a time.
    overrides: tokio::sync::Mutex<Overrides>,
}

/// A service that has to do something when its section changes; others read the configuration when they need it.
#[async_trait]
pub trait Follower: Send + Sync + 'static {
    /// Does what follows from the new elements of the section.
    ///
    /// - Errors: why it cannot; the change is not made then.
    async fn follow(&self, elements: &[Element]) -> Result<(), String>;
}

/// An element as it may be shown: without secrets.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    /// Its name.
    pub name: String,
    /// Sorted; secrets are only whether they are set.
    pub options: BTreeMap<String, Value>,
    /// Which of them are secrets, sorted.
    pub redacted: Vec<&'static str>,
}

/// Why there is no configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("`{}` of the setting `kapacitor.config` cannot be read: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        reason: String,
    },
    /// What it says, or what variables say, cannot be.
    #[error("the configuration of Kapacitor cannot be used: {}", .0.join("; "))]
    Invalid(Vec<String>),
    /// Overrides cannot be read.
    #[error("overrides of the configuration cannot be read")]
    Store(#[source] DocumentError),
}

type Snapshot = BTreeMap<&'static str, Vec<Element>>;

// === impl Config ===

impl Config {
    /// Reads the file, the variables and the overrides.
    ///
    /// - Errors: all that is wrong with the file and the variables. Overrides that do not fit any more are logged and have no effect.
    pub async fn open(deps: ConfigDeps<'_>) -> Result<Arc<Self>, ConfigError> {
        let mut reader = Reader::default();
        if !deps.kapacitor.config.is_empty() {
            reader.file(&read_file(&deps.kapacitor.config)?);
        }
        let variables = deps.kapacitor.environment.iter();
        reader.environment(variables.map(|(name, value)| (&**name, &**value.expose())));
        let Reader { mut given, mut problems, warnings } = reader;
        for (name, set) in deps.own {
            let Some(Section { rule, .. }) = section(name) else { continue };
            let elements = given.entry(rule.name).or_default();
            let own = rule.element(set.clone()).name;
            let before = elements.len();
            elements.retain(|other| rule.element(other.clone()).name != own);
            if elements.len() < before {
                tracing::warn!(
                    service = "config",
                    "configuration of Kapacitor: `{name}` {own:?} has no effect; Levada's own settings do"
                );
            }
            elements.push(set);
        }
        for warning in warnings {
            tracing::warn!(service = "config", "configuration of Kapacitor: {warning}");
        }
        let mut snapshot = Snapshot::new();
        for section in sections() {
            let elements = elements(section, &given, &Overrides::new());
            match checks::check(section, &elements) {
                Ok(()) => {}
                // A file that worked before is no reason not to start.
                Err(reason) if section.reach == Reach::Missing => {
                    tracing::warn!(service = "config", "configuration of Kapacitor: {reason}");
                }
                Err(reason) => problems.push(format!("`{}`: {reason}", section.rule.name)),
            }
            snapshot.insert(section.rule.name, elements);
        }
        if !problems.is_empty() {
            return Err(ConfigError::Invalid(problems));
        }
        let config = Config {
            documents: deps.documents,
            clock: deps.clock,
            given,
            snapshot: RwLock::new(Arc::new(snapshot)),
            followers: RwLock::default(),
            overrides: tokio::sync::Mutex::default(),
        };
        config.restore().await?;
        Ok(Arc::new(config))
    }

    /// Reads the overrides that are kept, and lets those take effect that fit.
    async fn restore(&self) -> Result<(), ConfigError> {
        let kept =
            self.documents.list(SPACE, Range::default()).await.map_err(ConfigError::Store)?;
        let is_skipped = self.start_element(TOP_LEVEL).flag("skip-config-overrides");
        let mut overrides = Overrides::new();
        for document in kept {
            let name = document.key.split_once('/');
            let read = serde_json::from_slice::<Override>(&document.value);
            let (Some((section, element)), Ok(mut made)) = (name, read) else {
                tracing::warn!(
                    service = "config",
                    key = document.key,
                    "an override cannot be read"
                );
                continue;
            };
            made.has_effect = !is_skipped;
            let key = (section.to_owned(), element.to_owned());
            let mut tried = overrides.clone();
            tried.insert(key.clone(), made.clone());
            if let Err(reason) = self.try_out(section, &tried) {
                tracing::warn!(
                    service = "config",
                    key = document.key,
                    "an override has no effect: {reason}"
                );
                made.has_effect = false;
            }
            overrides.insert(key, made);
        }
        for section in sections().filter(|section| section.is_shown()) {
            self.show(section.rule.name, elements(section, &self.given, &overrides));
        }
        *self.overrides.lock().await = overrides;
        Ok(())
    }

    /// Tells whether the API may show and change it.
    pub fn is_enabled(&self) -> bool {
        self.start_element("config-override").flag("enabled")
    }

    /// Gives the element of a section that is only read when the server starts, e.g. `stats`.
    pub fn start_element(&self, section: &str) -> Element {
        self.elements(section).into_iter().next().unwrap_or_default()
    }

    /// Gives the sections that the API shows, sorted.
    pub fn shown(&self) -> Vec<(&'static str, Vec<Shown>)> {
        let mut names: Vec<&'static str> = sections()
            .filter(|section| section.is_shown())
            .map(|section| section.rule.name)
            .collect();
        names.sort_unstable();
        names.into_iter().filter_map(|name| Some((name, self.shown_section(name)?))).collect()
    }

    /// Gives the elements of a section that the API shows.
    pub fn shown_section(&self, name: &str) -> Option<Vec<Shown>> {
        let section = section(name).filter(|section| section.is_shown())?;
        Some(self.elements(name).into_iter().map(|element| Shown::of(section, element)).collect())
    }

    /// Makes a service follow the changes of a section.
    pub fn add_follower(&self, section: &'static str, follower: Arc<dyn Follower>) {
        self.followers.write().unwrap_or_else(PoisonError::into_inner).push((section, follower));
    }

    fn try_out(&self, name: &str, overrides: &Overrides) -> Result<Vec<Element>, String> {
        let section = section(name)
            .filter(|section| section.is_shown())
            .ok_or_else(|| format!("unknown section {name:?}"))?;
        for ((_, element), made) in overrides.iter().filter(|((of, _), _)| of == name) {
            made.check(section, element)?;
        }
        let elements = elements(section, &self.given, overrides);
        let names: Vec<&str> = elements.iter().map(|element| &*element.name).collect();
        let is_lost = |((of, element), _): &(&(String, String), &Override)| {
            of == name && !names.contains(&&**element)
        };
        if let Some(((_, element), _)) = overrides.iter().find(is_lost) {
            return Err(format!("unknown element {element:?} of section {name:?}"));
        }
        checks::check(section, &elements)
            .map_err(|reason| format!("failed validation: {reason}"))?;
        Ok(elements)
    }

    fn show(&self, section: &'static str, elements: Vec<Element>) {
        let mut current = self.snapshot.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = Snapshot::clone(&current);
        next.insert(section, elements);
        *current = Arc::new(next);
    }
}

impl Services for Config {
    fn elements(&self, section: &str) -> Vec<Element> {
        let snapshot = Arc::clone(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner));
        snapshot.get(section).cloned().unwrap_or_default()
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Options may be secrets.
        f.write_str("Config")
    }
}

/// Gives the elements of a section: those that were given, with what overrides say, then those that overrides made.
fn elements(section: Section, given: &Given, overrides: &Overrides) -> Vec<Element> {
    let rule = section.rule;
    let mut all = given.get(rule.name).cloned().unwrap_or_default();
    if all.is_empty() && section.has_default {
        all.push(Map::new());
    }
    let mut elements: Vec<Element> = Vec::with_capacity(all.len());
    let of_section = || {
        overrides
            .iter()
            .filter(|((name, _), made)| name == rule.name && made.has_effect)
            .map(|((_, element), made)| (element, made))
    };
    for mut set in all {
        let name = rule.element(set.clone()).name;
        for (_, made) in of_section().filter(|(element, made)| **element == name && !made.is_new) {
            set.extend(made.set.clone());
        }
        elements.push(rule.element(set));
    }
    for (_, made) in of_section().filter(|(_, made)| made.is_new) {
        elements.push(rule.element(made.set.clone()));
    }
    elements
}

fn read_file(path: &str) -> Result<String, ConfigError> {
    let failed = |reason: String| ConfigError::File { path: path.into(), reason };
    let file = std::fs::File::open(path).map_err(|error| failed(error.to_string()))?;
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(|error| failed(error.to_string()))?;
    match text.len() as u64 > FILE_BYTES_MAX {
        true => Err(failed(format!("it is larger than {FILE_BYTES_MAX} bytes"))),
        false => Ok(text),
    }
}

// === impl Section ===

impl Section {
    fn is_shown(&self) -> bool {
        matches!(self.reach, Reach::Override | Reach::Missing)
    }
}

// === impl Shown ===

impl Shown {
    fn of(section: Section, element: Element) -> Self {
        let mut redacted: Vec<&'static str> = Vec::new();
        let options = element.options.into_iter().map(|(name, value)| {
            let rule = section.rule.option(&name);
            let value = match rule.filter(|rule| rule.is_secret) {
                Some(rule) => {
                    redacted.push(rule.name);
                    Value::Bool(values::is_set(&value))
                }
                None => value,
            };
            (name, value)
        });
        let options = options.collect();
        redacted.sort_unstable();
        Shown { name: element.name, options, redacted }
    }
}

#[cfg(test)]
mod tests;
