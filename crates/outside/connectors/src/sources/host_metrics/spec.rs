//! What a flow says about the `hostMetrics` source.

use std::collections::BTreeMap;
use std::path::PathBuf;

use levada_registry::FieldPath;
use levada_settings::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{COLLECTORS, TAGS};

/// Most tags that a spec may hold. Ours: every record repeats all of them.
pub(crate) const SPEC_TAGS_MAX: usize = 32;

/// Longest name or value of a tag in bytes. Ours, for the same reason.
pub(crate) const SPEC_TAG_BYTES_MAX: usize = 256;

/// Time between two samples. Ours: fine enough for graphs, and a sample costs milliseconds.
const INTERVAL_DEFAULT: Duration = Duration::from_secs(10);

/// Measures this host at an interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct HostMetricsSpec {
    /// Time between two samples; the first is taken at once. Default `10s`.
    pub(crate) interval: Duration,
    /// How many samples to take; the source ends after them. Default: without end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) count: Option<u64>,
    /// What to measure, of `cpu`, `memory`, `disk`, `io`, `network`, `load`, `processes` and `uptime`. Default:
    /// everything.
    pub(crate) collectors: Vec<String>,
    /// Tags added to every record, at most 32. Default: none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) tags: BTreeMap<String, String>,
    /// Folder that holds `proc` and the mounted filesystems; set it where the host's `/` is mounted
    /// elsewhere, as in a container. Default `/`.
    pub(crate) root: PathBuf,
}

/// Why a spec cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SpecProblem {
    /// A collector that does not exist.
    #[error("unknown collector `{name}`; known: {}", quoted(COLLECTORS.iter().copied()))]
    UnknownCollector {
        /// Its place in the list.
        index: usize,
        /// What was written.
        name: String,
    },
    /// A collector that was already in the list.
    #[error("collector `{name}` is listed twice; leave one")]
    RepeatedCollector {
        /// Its second place in the list.
        index: usize,
        /// What was written.
        name: String,
    },
    /// A list without an entry.
    #[error("no collector selected; leave the list out for all, or choose from {}", quoted(COLLECTORS.iter().copied()))]
    NoCollector,
    /// A tag that a collector sets itself.
    #[error(
        "tag `{name}` is set by a collector; use another name than {}",
        quoted(reserved_tags())
    )]
    ReservedTag {
        /// Name of the tag.
        name: String,
    },
    /// A tag without a name, or with a long name or value.
    #[error(
        "tag `{name}` needs a name of 1 to {SPEC_TAG_BYTES_MAX} bytes and a value of at most as many; shorten it"
    )]
    TagLength {
        /// Name of the tag.
        name: String,
    },
    /// More tags than a record may carry.
    #[error(
        "`{count}` tags are more than `{SPEC_TAGS_MAX}`; every record repeats them, so leave some out"
    )]
    TooManyTags {
        /// How many were written.
        count: usize,
    },
    /// An empty path.
    #[error("root is empty; leave it out for `/`")]
    EmptyRoot,
}

// === impl HostMetricsSpec ===

impl Default for HostMetricsSpec {
    fn default() -> Self {
        Self {
            interval: INTERVAL_DEFAULT,
            count: None,
            collectors: all_collectors(),
            tags: BTreeMap::new(),
            root: PathBuf::from("/"),
        }
    }
}

impl HostMetricsSpec {
    /// Gives everything that is wrong with what is measured.
    pub(crate) fn problems(&self) -> Vec<SpecProblem> {
        let mut problems = Vec::new();
        if self.collectors.is_empty() {
            problems.push(SpecProblem::NoCollector);
        }
        for (index, name) in self.collectors.iter().enumerate() {
            if !COLLECTORS.contains(&name.as_str()) {
                problems.push(SpecProblem::UnknownCollector { index, name: name.clone() });
            } else if self.collectors[..index].contains(name) {
                problems.push(SpecProblem::RepeatedCollector { index, name: name.clone() });
            }
        }
        if self.tags.len() > SPEC_TAGS_MAX {
            problems.push(SpecProblem::TooManyTags { count: self.tags.len() });
        }
        for (name, value) in &self.tags {
            if reserved_tags().any(|reserved| reserved == name) {
                problems.push(SpecProblem::ReservedTag { name: name.clone() });
            }
            let too_long = name.len().max(value.len()) > SPEC_TAG_BYTES_MAX;
            if name.is_empty() || too_long {
                problems.push(SpecProblem::TagLength { name: name.clone() });
            }
        }
        if self.root.as_os_str().is_empty() {
            problems.push(SpecProblem::EmptyRoot);
        }
        problems
    }
}

// === impl SpecProblem ===

impl SpecProblem {
    /// Gives where the problem is; `at` is the path of the spec.
    pub(crate) fn path(&self, at: &FieldPath) -> FieldPath {
        match self {
            Self::UnknownCollector { index, .. } | Self::RepeatedCollector { index, .. } => {
                at.child("collectors").index(*index)
            }
            Self::NoCollector => at.child("collectors"),
            Self::ReservedTag { name } | Self::TagLength { name } => at.child("tags").key(name),
            Self::TooManyTags { .. } => at.child("tags"),
            Self::EmptyRoot => at.child("root"),
        }
    }
}

fn all_collectors() -> Vec<String> {
    COLLECTORS.iter().map(|&name| name.to_owned()).collect()
}

/// Gives each tag name of the collectors once.
fn reserved_tags() -> impl Iterator<Item = &'static str> {
    let is_first = |(index, (_, tag, _)): &(usize, &(&str, &str, &str))| {
        !TAGS[..*index].iter().any(|(_, earlier, _)| earlier == tag)
    };
    TAGS.iter().enumerate().filter(is_first).map(|(_, (_, tag, _))| *tag)
}

fn quoted<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn parse(json: &str) -> HostMetricsSpec {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn an_empty_spec_measures_everything_of_this_host() {
        let spec = parse("{}");
        assert_eq!(spec, HostMetricsSpec::default());
        assert_eq!(spec.collectors, COLLECTORS);
        assert_eq!(spec.root, PathBuf::from("/"));
        assert!(spec.problems().is_empty());
        assert_eq!(parse(&serde_json::to_string(&spec).unwrap()), spec);
    }

    #[test]
    fn every_problem_is_given_with_its_path() {
        let spec = parse(
            r#"{"collectors":["cpu","gpu","cpu"],"tags":{"":"x","core":"1","ok":"1"},"root":""}"#,
        );
        let problems = spec.problems();
        let found: Vec<_> =
            problems.iter().map(|p| format!("{}: {p}", p.path(&FieldPath::root()))).collect();
        assert_eq!(
            found,
            [
                "collectors[1]: unknown collector `gpu`; known: `cpu`, `memory`, `disk`, `io`, `network`, `load`, \
                 `processes`, `uptime`",
                "collectors[2]: collector `cpu` is listed twice; leave one",
                "tags[]: tag `` needs a name of 1 to 256 bytes and a value of at most as many; shorten it",
                "tags[core]: tag `core` is set by a collector; use another name than `core`, `device`, `mount`, \
                 `fstype`, `interface`",
                "root: root is empty; leave it out for `/`",
            ]
        );
        assert_eq!(parse(r#"{"collectors":[]}"#).problems(), [SpecProblem::NoCollector]);
    }

    #[test]
    fn tags_are_bounded() {
        let tags = |count: usize, length: usize| HostMetricsSpec {
            tags: (0..count).map(|n| (format!("t{n}"), "v".repeat(length))).collect(),
            ..HostMetricsSpec::default()
        };
        assert!(tags(SPEC_TAGS_MAX, SPEC_TAG_BYTES_MAX).problems().is_empty());
        assert_eq!(tags(SPEC_TAGS_MAX + 1, 1).problems().len(), 1);
        assert_eq!(tags(1, SPEC_TAG_BYTES_MAX + 1).problems().len(), 1);
    }

    #[test]
    fn the_schema_names_the_keys_of_the_wire() {
        let schema = serde_json::to_value(schemars::schema_for!(HostMetricsSpec)).unwrap();
        let keys: Vec<_> = schema["properties"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(keys, ["interval", "count", "collectors", "tags", "root"]);
        assert_eq!(schema["properties"]["root"]["default"], "/");
    }
}
