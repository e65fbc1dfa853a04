//! Alerts that keep others quiet.
//!
//! An alert with `inhibit('cat', 'host')` has one [`Inhibitor`] per group. While the group is not OK, events of category
//! `cat` whose tags equal those of the inhibitor are not published. Only inhibitors that are set are in the registry,
//! counted, so that an idle group costs its handle and a look-up costs one hash per list of tags in use.
//!
//! - Differs: U-28, an inhibitor that is dropped is lifted. U-51, an alert may not inhibit its own category.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use foldhash::fast::RandomState;
use levada_model::{ErrorKind, Str};
use thiserror::Error;

use crate::event::Event;

type Map<K, V> = HashMap<K, V, RandomState>;

/// The inhibitors of one task master; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Inhibitors(Arc<Registry>);

#[derive(Debug, Default)]
struct Registry {
    /// How many are set: almost always none, and then nobody takes the lock.
    set: AtomicUsize,
    categories: RwLock<Map<Str, Vec<TagSets>>>,
}

/// The inhibitors of a category with the same list of tags.
#[derive(Debug)]
struct TagSets {
    names: Arc<[Str]>,
    counts: Map<Box<[Str]>, usize>,
}

/// The inhibitor of one group; dropping it lifts it.
#[derive(Debug)]
pub struct Inhibitor {
    registry: Arc<Registry>,
    category: Str,
    names: Arc<[Str]>,
    values: Box<[Str]>,
    is_set: bool,
}

/// An alert that would keep itself quiet.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("alert cannot inhibit its own category \"{0}\"")]
pub struct SelfInhibition(pub String);

// === impl SelfInhibition ===

impl SelfInhibition {
    /// Gives the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

/// Refuses an alert that inhibits its own category.
///
/// Differs: U-51; upstream lets such an alert suppress its own later events.
pub fn check<'t>(
    own: &str,
    inhibited: impl IntoIterator<Item = &'t str>,
) -> Result<(), SelfInhibition> {
    match inhibited.into_iter().any(|category| category == own) {
        true => Err(SelfInhibition(own.to_owned())),
        false => Ok(()),
    }
}

// === impl Inhibitors ===

impl Inhibitors {
    /// Makes an empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the inhibitor of a group; it is not set yet.
    ///
    /// There is one value per name; a tag that is no dimension of the group has an empty value.
    pub fn inhibitor(&self, category: Str, names: Arc<[Str]>, values: Box<[Str]>) -> Inhibitor {
        debug_assert_eq!(names.len(), values.len());
        Inhibitor { registry: Arc::clone(&self.0), category, names, values, is_set: false }
    }

    /// Says whether an event is to be kept quiet.
    pub fn is_inhibited(&self, event: &Event) -> bool {
        self.is_inhibited_by(&event.category, |name| event.tag(name))
    }

    /// Says whether events of a category with these tags are to be kept quiet; a tag that is missing is empty.
    pub fn is_inhibited_by<'e>(
        &self,
        category: &str,
        tag: impl Fn(&str) -> Option<&'e Str>,
    ) -> bool {
        if self.0.set.load(Ordering::Acquire) == 0 {
            return false;
        }
        let categories = self.0.categories.read().unwrap_or_else(PoisonError::into_inner);
        let Some(sets) = categories.get(category) else { return false };
        let empty: Str = Str::from("");
        sets.iter().any(|set| {
            let values: Box<[Str]> =
                set.names.iter().map(|name| tag(name).unwrap_or(&empty).clone()).collect();
            set.counts.contains_key(&values)
        })
    }

    /// Gives how many inhibitors are set.
    pub fn count(&self) -> usize {
        self.0.set.load(Ordering::Acquire)
    }
}

// === impl Inhibitor ===

impl Inhibitor {
    /// Sets or lifts it.
    pub fn set(&mut self, is_set: bool) {
        if self.is_set == is_set {
            return;
        }
        self.is_set = is_set;
        match is_set {
            true => self.registry.raise(self),
            false => self.registry.lift(self),
        }
    }

    /// Says whether it is set.
    pub fn is_set(&self) -> bool {
        self.is_set
    }
}

impl Drop for Inhibitor {
    fn drop(&mut self) {
        self.set(false);
    }
}

// === impl Registry ===

impl Registry {
    fn raise(&self, one: &Inhibitor) {
        let mut categories = self.categories.write().unwrap_or_else(PoisonError::into_inner);
        let sets = categories.entry(Arc::clone(&one.category)).or_default();
        let at = sets.iter().position(|set| set.names == one.names).unwrap_or_else(|| {
            sets.push(TagSets { names: Arc::clone(&one.names), counts: Map::default() });
            sets.len() - 1
        });
        *sets[at].counts.entry(one.values.clone()).or_default() += 1;
        self.set.fetch_add(1, Ordering::AcqRel);
    }

    fn lift(&self, one: &Inhibitor) {
        let mut categories = self.categories.write().unwrap_or_else(PoisonError::into_inner);
        let Some(sets) = categories.get_mut(&one.category) else { return };
        let Some(at) = sets.iter().position(|set| set.names == one.names) else { return };
        let counts = &mut sets[at].counts;
        if let Some(count) = counts.get_mut(&one.values) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&one.values);
            }
        }
        if sets[at].counts.is_empty() {
            sets.swap_remove(at);
        }
        if sets.is_empty() {
            categories.remove(&one.category);
        }
        self.set.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn names(list: &[&str]) -> Arc<[Str]> {
        list.iter().map(|name| Str::from(*name)).collect()
    }

    fn values(list: &[&str]) -> Box<[Str]> {
        list.iter().map(|name| Str::from(*name)).collect()
    }

    fn is_inhibited(inhibitors: &Inhibitors, category: &str, tags: &[(&str, Str)]) -> bool {
        inhibitors.is_inhibited_by(category, |name| {
            tags.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
        })
    }

    #[test]
    fn a_set_inhibitor_needs_the_category_and_all_tags() {
        let all = Inhibitors::new();
        let mut one = all.inhibitor("net".into(), names(&["host", "dc"]), values(&["a", ""]));
        let a = ("host", Str::from("a"));
        assert!(!is_inhibited(&all, "net", std::slice::from_ref(&a)), "it is not set");
        one.set(true);
        assert!(is_inhibited(&all, "net", std::slice::from_ref(&a)), "a missing tag is empty");
        assert!(is_inhibited(&all, "net", &[a.clone(), ("other", "x".into())]));
        assert!(!is_inhibited(&all, "disk", std::slice::from_ref(&a)));
        assert!(!is_inhibited(&all, "net", &[a.clone(), ("dc", "x".into())]));
        assert!(!is_inhibited(&all, "net", &[("host", "b".into())]));
        one.set(false);
        assert!(!is_inhibited(&all, "net", &[a]));
    }

    #[test]
    fn equal_inhibitors_are_counted_and_dropped_ones_lifted() {
        let all = Inhibitors::new();
        let tags = [("host", Str::from("a"))];
        let make = || all.inhibitor("net".into(), names(&["host"]), values(&["a"]));
        let (mut one, mut other) = (make(), make());
        one.set(true);
        one.set(true);
        other.set(true);
        assert_eq!(all.count(), 2);
        one.set(false);
        assert!(is_inhibited(&all, "net", &tags), "the other one is still set");
        drop(other);
        assert!(!is_inhibited(&all, "net", &tags), "U-28: a deleted group inhibits nothing");
        assert_eq!(all.count(), 0);
        assert!(all.0.categories.read().unwrap().is_empty());
    }

    #[test]
    fn an_alert_may_not_inhibit_itself() {
        assert_eq!(check("net", ["disk"]), Ok(()));
        let error = check("net", ["disk", "net"]).unwrap_err();
        assert_eq!(error.to_string(), "alert cannot inhibit its own category \"net\"");
        assert!(check("", [""]).is_err());
    }
}
