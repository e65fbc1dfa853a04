//! Settings of the services behind handlers: a section of the configuration each, such as `[slack]`.
//!
//! ```text
//! file, environment, overrides ─▶ Services ─▶ Section::read, at every event ─▶ a struct of the handler
//! ```
//!
//! A [`SectionRule`] in the table of handlers says what a section may hold: the configuration lists, fills and hides options by it.
//! Settings may change at any time, so that handlers keep a [`Section`] and read it when they deal with an event.
//!
//! Source: kapacitor: reference (server) §4.5, §7.2. Keys and defaults are upstream's.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::handlers::{HANDLERS, HandlerDeps, TestRule};
use crate::topics::HandlerError;

/// What upstream says of a service that is not enabled.
pub const NOT_ENABLED: &str = "service is not enabled";

/// The option that switches a service on.
const ENABLED: &str = "enabled";

/// The option that marks the element for handlers that name none.
const DEFAULT: &str = "default";

/// Knows the settings of services, as they are now.
pub trait Services: Send + Sync + 'static {
    /// Gives the elements of a section, defaults filled in; none for a section that is unknown.
    ///
    /// It is called for every event: it must be cheap and must not wait.
    fn elements(&self, section: &str) -> Vec<Element>;
}

/// One element of a section. Sections without [`SectionRule::element_key`] have exactly one.
#[derive(Clone, Default, PartialEq)]
pub struct Element {
    /// The value of the element key; empty for sections that have only one element.
    pub name: String,
    /// By upstream's keys, such as `state-changes-only`; durations are texts.
    pub options: Map<String, Value>,
    /// Somebody set an option; otherwise it only says what the defaults are.
    pub is_set: bool,
}

/// What a section of the configuration may hold.
#[derive(Debug)]
pub struct SectionRule {
    /// Its name, e.g. `slack`.
    pub name: &'static str,
    /// The option that tells several elements apart; nothing where there is only one.
    pub element_key: Option<&'static str>,
    /// In upstream's order, `enabled` and the element key included.
    pub options: &'static [OptionRule],
}

/// An option of a section.
#[derive(Clone, Copy, Debug)]
pub struct OptionRule {
    /// Upstream's key.
    pub name: &'static str,
    /// What it is when nobody set it; says the type, too.
    pub default: OptionDefault,
    /// It is never shown.
    pub is_secret: bool,
}

/// The default of an option, and with it the type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OptionDefault {
    /// A text.
    Text(&'static str),
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A number.
    Float(f64),
    /// A duration as Go writes it, e.g. `10s`.
    Duration(&'static str),
    /// A list of texts.
    Texts(&'static [&'static str]),
    /// Keys and texts.
    Table(&'static [(&'static str, &'static str)]),
    /// Keys and lists of texts.
    Lists(&'static [(&'static str, &'static [&'static str])]),
}

/// A configuration that says nothing: every section has its defaults, nothing is enabled.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoServices;

/// Settings in memory: for tests.
#[derive(Debug, Default)]
pub struct MemoryServices(RwLock<BTreeMap<String, Vec<Element>>>);

/// A section as a handler reads it; cheap to clone.
#[derive(Clone)]
pub struct Section {
    services: Arc<dyn Services>,
    rule: &'static SectionRule,
}

/// Finds the rule of a section in the table of handlers.
pub fn section_rule(name: &str) -> Option<&'static SectionRule> {
    HANDLERS.iter().filter_map(|kind| kind.section).find(|rule| rule.name == name)
}

/// Gives how services are tried out, by the names of their sections, sorted.
pub fn service_tests() -> Vec<(&'static str, TestRule)> {
    let tests = HANDLERS.iter().filter_map(|kind| Some((kind.section?.name, kind.test?)));
    let mut tests: Vec<_> = tests.collect();
    tests.sort_by_key(|(name, _)| *name);
    tests
}

// === impl Element ===

impl Element {
    /// Says whether the service is enabled.
    pub fn is_enabled(&self) -> bool {
        self.flag(ENABLED)
    }

    /// Says whether a boolean option is true.
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.options.get(name), Some(Value::Bool(true)))
    }

    /// Gives a text option; empty where there is none.
    pub fn text(&self, name: &str) -> &str {
        self.options.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// Reads the options into a struct with `#[serde(rename_all = "kebab-case", default)]`.
    ///
    /// Errors: an option of another type.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, HandlerError> {
        serde_json::from_value(Value::Object(self.options.clone()))
            // The text of the error might repeat a secret.
            .map_err(|_| HandlerError::new("a setting of the service has the wrong type").finally())
    }
}

impl fmt::Debug for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Options may be secrets.
        let names: Vec<&String> = self.options.keys().collect();
        f.debug_struct("Element").field("name", &self.name).field("options", &names).finish()
    }
}

// === impl OptionRule ===

impl OptionRule {
    /// Makes an option.
    pub const fn new(name: &'static str, default: OptionDefault) -> Self {
        OptionRule { name, default, is_secret: false }
    }

    /// Makes an option that holds a text.
    pub const fn text(name: &'static str, default: &'static str) -> Self {
        OptionRule::new(name, OptionDefault::Text(default))
    }

    /// Makes an option that is off unless it is set.
    pub const fn flag(name: &'static str) -> Self {
        OptionRule::new(name, OptionDefault::Bool(false))
    }

    /// Hides the option.
    pub const fn secret(self) -> Self {
        OptionRule { is_secret: true, ..self }
    }
}

// === impl OptionDefault ===

impl OptionDefault {
    /// Gives it as options hold it.
    pub fn to_json(self) -> Value {
        match self {
            OptionDefault::Text(text) | OptionDefault::Duration(text) => text.into(),
            OptionDefault::Bool(value) => value.into(),
            OptionDefault::Int(number) => number.into(),
            OptionDefault::Float(number) => number.into(),
            OptionDefault::Texts(texts) => texts.iter().copied().collect(),
            OptionDefault::Table(pairs) => Value::Object(
                pairs.iter().map(|(key, text)| ((*key).to_owned(), (*text).into())).collect(),
            ),
            OptionDefault::Lists(lists) => Value::Object(
                lists
                    .iter()
                    .map(|(key, texts)| ((*key).to_owned(), texts.iter().copied().collect()))
                    .collect(),
            ),
        }
    }
}

// === impl SectionRule ===

impl SectionRule {
    /// Finds an option.
    pub fn option(&self, name: &str) -> Option<&'static OptionRule> {
        self.options.iter().find(|rule| rule.name == name)
    }

    /// Gives all options with their defaults.
    pub fn defaults(&self) -> Map<String, Value> {
        let options = self.options.iter();
        options.map(|rule| (rule.name.to_owned(), rule.default.to_json())).collect()
    }

    /// Makes an element of what was set; the rest are defaults.
    pub fn element(&self, set: Map<String, Value>) -> Element {
        let mut options = self.defaults();
        let is_set = !set.is_empty();
        options.extend(set);
        let key = self.element_key.and_then(|key| options.get(key)?.as_str());
        Element { name: key.unwrap_or_default().to_owned(), options, is_set }
    }
}

// === impl NoServices ===

impl Services for NoServices {
    fn elements(&self, section: &str) -> Vec<Element> {
        section_rule(section).map(|rule| rule.element(Map::new())).into_iter().collect()
    }
}

// === impl MemoryServices ===

impl MemoryServices {
    /// Makes the settings of one section.
    pub fn with(section: &str, options: Value) -> Arc<Self> {
        let services = Arc::new(MemoryServices::default());
        services.set(section, options);
        services
    }

    /// Sets the elements of a section: an object of options, or a list of such.
    pub fn set(&self, section: &str, options: Value) {
        let elements = match options {
            Value::Array(elements) => elements,
            one => vec![one],
        };
        let elements = elements.into_iter().map(|options| {
            let options = match options {
                Value::Object(options) => options,
                _ => Map::new(),
            };
            match section_rule(section) {
                Some(rule) => rule.element(options),
                None => Element { name: String::new(), options, is_set: true },
            }
        });
        let elements = elements.collect();
        let mut sections = self.0.write().unwrap_or_else(PoisonError::into_inner);
        sections.insert(section.to_owned(), elements);
    }
}

impl Services for MemoryServices {
    fn elements(&self, section: &str) -> Vec<Element> {
        let sections = self.0.read().unwrap_or_else(PoisonError::into_inner);
        sections.get(section).cloned().unwrap_or_else(|| NoServices.elements(section))
    }
}

// === impl Section ===

impl Section {
    /// Makes a way to a section.
    pub fn new(rule: &'static SectionRule, deps: &HandlerDeps) -> Self {
        Section { services: Arc::clone(&deps.services), rule }
    }

    /// Gives its elements as they are now.
    pub fn elements(&self) -> Vec<Element> {
        self.services.elements(self.rule.name)
    }

    /// Reads the settings of a service that has one element.
    ///
    /// Errors: the service is not enabled.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, HandlerError> {
        self.find("")?.read()
    }

    /// Reads an element of this name, for an empty name the default one: the one marked so, else the only one.
    ///
    /// Errors: the element is unknown or not enabled.
    pub fn read_named<T: DeserializeOwned>(&self, name: &str) -> Result<T, HandlerError> {
        self.find(name)?.read()
    }

    /// Finds an enabled element as [`Section::read_named`] does.
    pub fn find(&self, name: &str) -> Result<Element, HandlerError> {
        let mut elements = self.elements();
        let is_one = elements.len() == 1;
        let is_meant = |element: &Element| match name {
            "" => is_one || element.flag(DEFAULT),
            name => element.name == name,
        };
        let Some(at) = elements.iter().position(is_meant) else {
            let is_any_enabled = elements.iter().any(Element::is_enabled);
            return Err(HandlerError::new(match (is_any_enabled, name) {
                (false, _) => NOT_ENABLED.to_owned(),
                (true, "") => {
                    format!("no element of section `{}` is marked as default", self.rule.name)
                }
                (true, name) => self.unknown(name, &elements),
            })
            .finally());
        };
        let element = elements.swap_remove(at);
        match element.is_enabled() {
            true => Ok(element),
            false => Err(HandlerError::new(NOT_ENABLED).finally()),
        }
    }

    fn unknown(&self, name: &str, elements: &[Element]) -> String {
        let known: Vec<&str> = elements.iter().map(|element| &*element.name).collect();
        let key = self.rule.element_key.unwrap_or("element");
        format!(
            "unknown {key} {name:?} of section `{}`; known: {}",
            self.rule.name,
            known.join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use levada_settings::Duration;
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    static RULE: SectionRule = SectionRule {
        name: "made-up",
        element_key: Some("id"),
        options: &[
            OptionRule::flag("enabled"),
            OptionRule::text("id", "first"),
            OptionRule::flag("default"),
            OptionRule::text("token", "").secret(),
            OptionRule::new("idle-timeout", OptionDefault::Duration("30s")),
            OptionRule::new("retries", OptionDefault::Int(1)),
            OptionRule::new("to", OptionDefault::Texts(&["a", "b"])),
            OptionRule::new("map", OptionDefault::Table(&[("k", "v")])),
        ],
    };

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(rename_all = "kebab-case", default)]
    struct Settings {
        token: String,
        idle_timeout: Duration,
        retries: i64,
        to: Vec<String>,
        map: BTreeMap<String, String>,
    }

    fn section(elements: Value) -> Section {
        let services = MemoryServices::default();
        let Value::Array(elements) = elements else { panic!("a list") };
        let filled: Vec<Value> = elements
            .into_iter()
            .map(|options| RULE.element(options.as_object().unwrap().clone()).options.into())
            .collect();
        services.set("made-up", filled.into());
        // The table does not know the rule, and with it the key.
        for element in services.0.write().unwrap().get_mut("made-up").unwrap() {
            element.name = element.options["id"].as_str().unwrap().to_owned();
        }
        Section { services: Arc::new(services), rule: &RULE }
    }

    #[test]
    fn options_are_read_with_their_defaults() {
        let element = RULE.element(json!({"token": "s3"}).as_object().unwrap().clone());
        assert_eq!(element.name, "first");
        assert!(!element.is_enabled());
        let expected = Settings {
            token: "s3".to_owned(),
            idle_timeout: Duration::from_secs(30),
            retries: 1,
            to: vec!["a".to_owned(), "b".to_owned()],
            map: [("k".to_owned(), "v".to_owned())].into(),
        };
        assert_eq!(element.read::<Settings>().unwrap(), expected);
        assert!(!format!("{element:?}").contains("s3"), "secrets are not printed");
        let wrong = RULE.element(json!({"idle-timeout": "s3cret"}).as_object().unwrap().clone());
        let error = wrong.read::<Settings>().unwrap_err();
        assert_eq!(error.message, "a setting of the service has the wrong type");
    }

    #[test]
    fn elements_are_found_by_name_or_by_default() {
        let one = section(json!([{"id": "a", "enabled": true}]));
        let two = section(json!([
            {"id": "a", "enabled": true}, {"id": "b", "enabled": true, "default": true}, {"id": "c"}
        ]));
        let none_marked = section(json!([{"id": "a", "enabled": true}, {"id": "b"}]));
        let none_enabled = section(json!([{"id": "a"}, {"id": "b"}]));
        let cases = [
            (&one, "", Ok("a")),
            (&one, "a", Ok("a")),
            (&one, "x", Err("unknown id \"x\" of section `made-up`; known: a")),
            (&two, "", Ok("b")),
            (&two, "a", Ok("a")),
            (&two, "c", Err(NOT_ENABLED)),
            (&two, "x", Err("unknown id \"x\" of section `made-up`; known: a, b, c")),
            (&none_marked, "", Err("no element of section `made-up` is marked as default")),
            (&none_enabled, "", Err(NOT_ENABLED)),
            (&none_enabled, "x", Err(NOT_ENABLED)),
        ];
        for (section, name, expected) in cases {
            let found = section.find(name).map(|element| element.name);
            let found = found.as_deref().map_err(|error| &*error.message);
            assert_eq!(found, expected, "{name:?}");
        }
        assert!(one.read::<Settings>().is_ok());
        assert_eq!(none_enabled.read::<Settings>().unwrap_err().message, NOT_ENABLED);
    }

    #[test]
    fn sections_of_the_table_are_consistent() {
        let mut names = Vec::new();
        for rule in HANDLERS.iter().filter_map(|kind| kind.section) {
            assert!(!names.contains(&rule.name), "{} is there twice", rule.name);
            names.push(rule.name);
            let mut options: Vec<&str> = rule.options.iter().map(|option| option.name).collect();
            assert!(rule.element_key.is_none_or(|key| options.contains(&key)), "{}", rule.name);
            options.sort_unstable();
            let count = options.len();
            options.dedup();
            assert_eq!(options.len(), count, "{} has an option twice", rule.name);
            for option in rule.options {
                if let OptionDefault::Duration(text) = option.default {
                    assert!(text.parse::<Duration>().is_ok(), "{}.{}", rule.name, option.name);
                }
            }
            let elements = NoServices.elements(rule.name);
            assert_eq!(elements.len(), 1);
            assert!(!elements[0].is_enabled(), "{}", rule.name);
        }
        assert!(NoServices.elements("nonsense").is_empty());
    }
}
