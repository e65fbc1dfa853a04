//! Rules: which points are dropped, and where the others go.
//!
//! ```text
//! point ─▶ drop filters of its category ─▶ sinkers of its category ─▶ targets of those that match
//!              └─▶ dropped                     └─ none ─▶ the default target
//! ```
//! A [`RuleSet`] is compiled once and never changes; a new one takes its place as a whole, or not at all when anything
//! about it is wrong (B16, B29). Every rule counts how many points it matched.
//!
//! Where a point goes is decided before anything is sent. A point goes to the sinkers that match it *or* to the default,
//! never to both, except in the mode that repeats what version 1.6 did.
//!
//! Source: dataway reference §1.3, §3, §4.13.

mod pull;
mod set;
mod tags;
#[cfg(test)]
mod tests;

use std::str::FromStr;

use levada_condition::filter::{Compat, ListError};
use levada_model::Category;
use thiserror::Error;

pub use self::pull::{PullError, Pulled, read_pull};
pub use self::set::{RuleHits, RuleSet, Scratch, Verdict};
pub use self::tags::{GlobalTags, header_value};

/// How several sinkers share the points that they match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SinkMode {
    /// A point goes to every sinker that matches it.
    #[default]
    All,
    /// A point goes to the first sinker that matches it.
    First,
    /// Each sinker sees what those before it left.
    Remaining,
    /// As version 1.6: the default gets every point once for each sinker that did not take it (B4).
    Compat16,
}

/// Where the rules of dropping came from; a label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FilterSource {
    /// The settings.
    #[default]
    Local,
    /// A pull.
    Remote,
}

/// One of the places that points can go to, by its number among the destinations.
pub type DestinationId = u16;

/// Where the points of a sinker, or of the default, go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// To each of them.
    Each(Vec<DestinationId>),
    /// To one of them, chosen by the value of a tag, so that points with one value stay together.
    Hash {
        /// The key of the tag; the measurement decides for points without it.
        key: String,
        /// The destinations with their weights.
        among: Vec<(DestinationId, u32)>,
    },
}

/// A sinker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SinkerSpec {
    /// For counts.
    pub name: String,
    /// The categories that it wants; none means that it wants nothing.
    pub categories: Vec<Category>,
    /// One of them must match; none means that all points are wanted.
    pub filters: Vec<String>,
    /// Where they go.
    pub target: Target,
}

/// All rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RulesSpec {
    /// Whose filter language it is.
    pub compat: Compat,
    /// How sinkers share.
    pub sink_mode: SinkMode,
    /// Points that match are dropped.
    pub drop_filters: Vec<(Category, Vec<String>)>,
    /// Where the drop filters came from.
    pub drop_source: FilterSource,
    /// In their order.
    pub sinkers: Vec<SinkerSpec>,
    /// Where points go that no sinker takes; without it they are dropped with a count.
    pub default: Option<Target>,
    /// Groups points by some of their values and says so in a header.
    pub global_tags: Option<GlobalTags>,
}

/// What is wrong with a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleProblem {
    /// Which rule: `sinkers[2].filters[0]`.
    pub path: String,
    /// What.
    pub text: String,
}

/// Everything that is wrong with rules; none of them takes effect.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{}", problems_text(.0))]
pub struct RulesError(pub Vec<RuleProblem>);

fn problems_text(problems: &[RuleProblem]) -> String {
    let lines = problems.iter().map(|RuleProblem { path, text }| format!("{path}: {text}"));
    lines.collect::<Vec<_>>().join("; ")
}

fn list_problems(path: &str, errors: Vec<ListError>) -> impl Iterator<Item = RuleProblem> {
    errors.into_iter().flat_map(move |error| {
        let path = format!("{path}[{}]", error.index);
        let problems = error.error.problems().to_vec();
        problems
            .into_iter()
            .map(move |problem| RuleProblem { path: path.clone(), text: problem.to_string() })
    })
}

// === impl SinkMode ===

impl FromStr for SinkMode {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Ok(match word {
            "all" => SinkMode::All,
            "first" => SinkMode::First,
            "remaining" => SinkMode::Remaining,
            "compat-1.6" => SinkMode::Compat16,
            _ => {
                return Err(format!(
                    "unknown sink mode `{word}`; known: all, first, remaining, compat-1.6"
                ));
            }
        })
    }
}

// === impl FilterSource ===

impl FilterSource {
    /// Gives the label.
    pub const fn name(self) -> &'static str {
        match self {
            FilterSource::Local => "local",
            FilterSource::Remote => "remote",
        }
    }
}
