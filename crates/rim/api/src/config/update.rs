//! Changes of the configuration.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use levada_store::Write;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::sections::{Section, section};
use super::{Config, Follower, SPACE, values};
use crate::error::ApiError;

/// How long a service may take to follow a change. Source: reference (server) §1.9: to accept it and to apply it, each.
const FOLLOW_TIMEOUT: Duration = Duration::from_secs(10);

/// Overrides of one configuration. Ours: each is looked at with every change.
const OVERRIDES_MAX: usize = 10_000;

/// By section and element.
pub(super) type Overrides = BTreeMap<(String, String), Override>;

/// What a request wants to change.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Update {
    set: Option<Map<String, Value>>,
    delete: Option<Vec<String>>,
    add: Option<Map<String, Value>>,
    remove: Option<Vec<String>>,
}

/// What was changed of an element, as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Override {
    /// What was set; texts and the like are already what options need.
    pub(super) set: Map<String, Value>,
    /// The element was made by the API.
    #[serde(rename = "create")]
    pub(super) is_new: bool,
    /// It fits, and is not to be skipped.
    #[serde(skip)]
    pub(super) has_effect: bool,
}

// === impl Override ===

impl Override {
    /// Checks the options.
    pub(super) fn check(&self, section: Section, element: &str) -> Result<(), String> {
        let known = Override::read(section, self.set.clone(), self.is_new)?;
        let key = section.rule.element_key.filter(|_| self.is_new);
        match key.map(|key| known.get(key).and_then(Value::as_str)) {
            Some(name) if name != Some(element) => Err(format!("the element is not {element:?}")),
            _ => Ok(()),
        }
    }

    /// Reads options as a request has them.
    fn read(
        section: Section,
        set: Map<String, Value>,
        is_new: bool,
    ) -> Result<Map<String, Value>, String> {
        let rule = section.rule;
        let unknown: Vec<&str> =
            set.keys().filter(|name| rule.option(name).is_none()).map(String::as_str).collect();
        if !unknown.is_empty() {
            let unknown = unknown.join(" ");
            return Err(format!("unknown options [{unknown}] in section {}", rule.name));
        }
        let mut read = Map::new();
        for (name, value) in set {
            if !is_new && rule.element_key == Some(&*name) {
                return Err(format!("cannot override element key {name}"));
            }
            let Some(option) = rule.option(&name) else { continue };
            let value = values::read(&value, option.default)
                .map_err(|expected| format!("failed to set option {name}: {expected}"))?;
            read.insert(name, value);
        }
        Ok(read)
    }
}

// === impl Update ===

impl Update {
    /// Checks that it is one change.
    fn check(&self, section: &str, element: Option<&str>) -> Result<(), String> {
        let invalid = |reason: String| Err(format!("invalid update action: {reason}"));
        if section.is_empty() {
            return invalid("must provide section name".to_owned());
        }
        if !is_name(section) {
            return invalid(format!("invalid section name {section:?}"));
        }
        if let Some(element) = element.filter(|element| !element.is_empty() && !is_name(element)) {
            return invalid(format!("invalid element name {element:?}"));
        }
        let sets = self.set.is_some() || self.delete.is_some();
        let adds = self.add.is_some() || self.remove.is_some();
        let has_element = element.is_some_and(|element| !element.is_empty());
        match () {
            () if sets && adds => invalid(
                "cannot provide both set/delete and add/remove actions in the same update".into(),
            ),
            () if self.add.is_some() && has_element => {
                invalid("must not provide an element name when adding an a new override".into())
            }
            () if self.remove.is_some() && has_element => {
                invalid("must not provide element when removing an override".into())
            }
            () if !adds && element.is_none() => {
                invalid("element not specified, are you missing a trailing '/'?".into())
            }
            () => Ok(()),
        }
    }
}

/// Source: reference (server) §1.9: `^[-\w+]+$`.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_+".contains(c))
}

// === impl Config ===

impl Config {
    /// Changes an element, makes one or removes one: checks it, lets services follow, keeps it, then shows it.
    ///
    /// - `element`: nothing when the request names none, an empty text for the one element of a section.
    /// - Errors: 400 with Kapacitor's text, or 500; nothing has changed then.
    pub async fn update(
        &self,
        name: &str,
        element: Option<&str>,
        update: Update,
    ) -> Result<(), ApiError> {
        let refused =
            |text: String| ApiError::bad_request(format!("failed to apply update: {text}"));
        update.check(name, element).map_err(refused)?;
        let section = section(name)
            .filter(Section::is_shown)
            .ok_or_else(|| refused(format!("unknown section {name:?}")))?;
        let element = element.unwrap_or_default();
        let place = format!("{name}/{element}");
        let overriding = |text: String| {
            ApiError::bad_request(format!("failed to override configuration {place}: {text}"))
        };
        let mut overrides = self.overrides.lock().await;
        let mut next = overrides.clone();
        let mut touched: Vec<String> = Vec::new();
        if update.add.is_some() || update.remove.is_some() {
            let Some(key) = section.rule.element_key else {
                return Err(refused(format!(
                    "section {name:?} is not a list, cannot add new element"
                )));
            };
            for removed in update.remove.into_iter().flatten() {
                next.remove(&(name.to_owned(), removed.clone()));
                touched.push(removed);
            }
            if let Some(add) = update.add {
                let added = match add.get(key) {
                    Some(Value::String(added)) => added.clone(),
                    Some(other) => {
                        let found = values::go_type_of(other);
                        return Err(refused(format!(
                            "expected {key:?} key to be a string, got {found}"
                        )));
                    }
                    None => return Err(refused(format!("missing key {key:?} in \"add\" map"))),
                };
                if !is_name(&added) {
                    return Err(refused(format!(
                        "invalid update action: invalid element name {added:?}"
                    )));
                }
                let set = Override::read(section, add, true).map_err(overriding)?;
                let made = Override { set, is_new: true, has_effect: true };
                next.insert((name.to_owned(), added.clone()), made);
                touched.push(added);
            }
        } else {
            let made = next.entry((name.to_owned(), element.to_owned())).or_default();
            let set = Override::read(section, update.set.unwrap_or_default(), false);
            made.set.extend(set.map_err(overriding)?);
            for deleted in update.delete.into_iter().flatten() {
                if section.rule.element_key == Some(&*deleted) {
                    return Err(overriding(format!("cannot override element key {deleted}")));
                }
                if section.rule.option(&deleted).is_none() {
                    return Err(overriding(format!(
                        "unknown options [{deleted}] in section {name}"
                    )));
                }
                made.set.remove(&deleted);
            }
            made.has_effect = true;
            touched.push(element.to_owned());
        }
        if next.len() > OVERRIDES_MAX {
            return Err(overriding(format!(
                "there are {OVERRIDES_MAX} overrides, which is the most"
            )));
        }
        let elements = self.try_out(name, &next).map_err(overriding)?;
        let mut writes = Vec::new();
        for touched in touched {
            let key = (name.to_owned(), touched);
            let document = format!("{name}/{}", key.1);
            writes.push(match next.get(&key) {
                Some(made) => {
                    Write::put(SPACE, document, serde_json::to_vec(made).unwrap_or_default())
                }
                None => Write::delete(SPACE, document),
            });
        }
        self.follow(section, &place, &elements).await?;
        if let Err(error) = self.documents.apply(writes).await {
            // What did not follow before follows now; the old configuration worked.
            let before = levada_alert::services::Services::elements(self, name);
            self.follow(section, &place, &before).await?;
            return Err(error.into());
        }
        *overrides = next;
        self.show(section.rule.name, elements);
        Ok(())
    }

    fn followers_of(&self, section: &str) -> Vec<Arc<dyn Follower>> {
        let followers = self.followers.read().unwrap_or_else(PoisonError::into_inner);
        let of_section = followers.iter().filter(|(name, _)| *name == section);
        of_section.map(|(_, follower)| Arc::clone(follower)).collect()
    }

    /// Lets the services of a section follow a change.
    async fn follow(
        &self,
        section: Section,
        place: &str,
        elements: &[levada_alert::services::Element],
    ) -> Result<(), ApiError> {
        for follower in self.followers_of(section.rule.name) {
            let failed = |reason: &str| {
                ApiError::internal(format!("failed to update configuration {place}: {reason}"))
            };
            let followed = futures_util::future::select(
                follower.follow(elements),
                self.clock.sleep(FOLLOW_TIMEOUT).boxed(),
            );
            match followed.await {
                futures_util::future::Either::Left((Ok(()), _)) => {}
                futures_util::future::Either::Left((Err(reason), _)) => {
                    return Err(failed(&reason));
                }
                futures_util::future::Either::Right(_) => return Err(failed("timeout")),
            }
        }
        Ok(())
    }
}
