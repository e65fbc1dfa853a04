//! Whose rules a filter follows.

use std::fmt;
use std::str::FromStr;

use levada_model::Category;
use thiserror::Error;

/// Whose rules a filter follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compat {
    /// DataKit 1.6.1.
    Seed,
    /// DataKit 1.84.1.
    Head,
    /// Ours: every comparison means what it says, and what can never be true is refused.
    #[default]
    Strict,
}

/// A category whose points DataKit 1.6 cannot filter.
///
/// A drop filter drops such a point, a sinker leaves it in the remainder.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("unsupport category: {}", .0.path())]
pub struct UnsupportedCategory(pub Category);

/// A key that is there although the point does not have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Injected {
    /// The name of the point, as `source` of logs, network flows, key events and the like.
    Source,
    /// The name of the point, as `measurement` of metrics.
    Measurement,
    /// The name of the point, as `class` of objects.
    Class,
    /// The name of the category.
    Category,
}

// === impl Compat ===

impl Compat {
    /// The names, with what each stands for.
    pub const NAMES: [(&'static str, &'static str, Compat); 3] = [
        ("seed", "datakit-1.6", Compat::Seed),
        ("head", "datakit-1.84", Compat::Head),
        ("strict", "strict", Compat::Strict),
    ];

    /// Gives the short name.
    pub const fn name(self) -> &'static str {
        match self {
            Compat::Seed => "seed",
            Compat::Head => "head",
            Compat::Strict => "strict",
        }
    }

    /// Says whether points of a category can be filtered at all; only DataKit 1.6 refuses some.
    pub fn check(self, category: Category) -> Result<(), UnsupportedCategory> {
        let is_known = match category {
            Category::Metric
            | Category::Network
            | Category::KeyEvent
            | Category::Object
            | Category::CustomObject
            | Category::Logging
            | Category::Tracing
            | Category::Rum
            | Category::Security
            | Category::Profiling => true,
            _ => self != Compat::Seed,
        };
        if is_known { Ok(()) } else { Err(UnsupportedCategory(category)) }
    }

    /// Says whether the points of a category have an injected key.
    pub(super) fn injects(self, key: Injected, category: Category) -> bool {
        let is_new = self != Compat::Seed;
        match key {
            Injected::Category => is_new,
            Injected::Source => match category {
                Category::Logging | Category::Network | Category::KeyEvent | Category::Rum => true,
                Category::ObjectChange | Category::DialTesting => is_new,
                _ => false,
            },
            Injected::Measurement => match category {
                Category::Metric => true,
                Category::Metrics => is_new,
                _ => false,
            },
            Injected::Class => matches!(category, Category::Object | Category::CustomObject),
        }
    }
}

impl fmt::Display for Compat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Compat {
    type Err = String;

    /// Reads either spelling: `seed` or `datakit-1.6`.
    fn from_str(word: &str) -> Result<Self, String> {
        let found = Compat::NAMES.iter().find(|(short, long, _)| word == *short || word == *long);
        found.map(|(_, _, compat)| *compat).ok_or_else(|| {
            let known: Vec<&str> = Compat::NAMES.iter().map(|(short, _, _)| *short).collect();
            format!("unknown filter compat `{word}`; known: {}", known.join(", "))
        })
    }
}

// === impl Injected ===

impl Injected {
    /// Gives the injected key of a name.
    pub(super) fn of(name: &str) -> Option<Injected> {
        Some(match name {
            "source" => Injected::Source,
            "measurement" => Injected::Measurement,
            "class" => Injected::Class,
            "category" => Injected::Category,
            _ => return None,
        })
    }
}
