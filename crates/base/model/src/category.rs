//! Categories: the kinds of points that a Dataway tells apart.
//!
//! A category is the last part of the path that points are written to. Look-ups are exact and case-sensitive.
//!
//! Source: dataway reference §1.7.

/// What kind of thing a point tells about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Category {
    /// What a look-up gives that finds nothing.
    Unknown,
    /// The deprecated spelling of [`Category::Metric`].
    Metrics,
    /// Time series.
    Metric,
    /// Network flows.
    Network,
    /// Events.
    KeyEvent,
    /// Infrastructure objects.
    Object,
    /// Changes of objects; deprecated.
    ObjectChange,
    /// Objects that users define.
    CustomObject,
    /// Logs.
    Logging,
    /// Spans.
    Tracing,
    /// What browsers and apps report of their users.
    Rum,
    /// Findings of security checks.
    Security,
    /// Metadata of profiles.
    Profiling,
    /// Results of dial tests.
    DialTesting,
    /// Results of dial tests whose URL comes with the data.
    DynamicDataway,
    /// Logs of security rules.
    ExecutionLog,
    /// Spans of language models.
    Llm,
    /// Spans of agents that use language models.
    AgentLlm,
}

// === impl Category ===

impl Category {
    /// All categories, in the order of the table.
    pub const ALL: [Category; 18] = [
        Category::Unknown,
        Category::Metrics,
        Category::Metric,
        Category::Network,
        Category::KeyEvent,
        Category::Object,
        Category::ObjectChange,
        Category::CustomObject,
        Category::Logging,
        Category::Tracing,
        Category::Rum,
        Category::Security,
        Category::Profiling,
        Category::DialTesting,
        Category::DynamicDataway,
        Category::ExecutionLog,
        Category::Llm,
        Category::AgentLlm,
    ];

    /// Gives the category of a name.
    pub fn of_name(name: &str) -> Option<Category> {
        Category::ALL.into_iter().find(|category| category.name() == name)
    }

    /// Gives the category of an alias, such as `L`.
    pub fn of_alias(alias: &str) -> Option<Category> {
        Category::ALL.into_iter().find(|category| category.alias() == Some(alias))
    }

    /// Gives the category of a path, such as `/v1/write/logging`.
    pub fn of_path(path: &str) -> Option<Category> {
        Category::ALL.into_iter().find(|category| category.path() == path)
    }

    /// Gives the name.
    pub const fn name(self) -> &'static str {
        match self {
            Category::Unknown => "unknown",
            Category::Metrics => "metrics",
            Category::Metric => "metric",
            Category::Network => "network",
            Category::KeyEvent => "keyevent",
            Category::Object => "object",
            Category::ObjectChange => "object_change",
            Category::CustomObject => "custom_object",
            Category::Logging => "logging",
            Category::Tracing => "tracing",
            Category::Rum => "rum",
            Category::Security => "security",
            Category::Profiling => "profiling",
            Category::DialTesting => "dialtesting",
            Category::DynamicDataway => "dynamic_dw",
            Category::ExecutionLog => "execution_log",
            Category::Llm => "llm",
            Category::AgentLlm => "agent_llm",
        }
    }

    /// Gives the short name; the deprecated spelling of metrics has none.
    pub const fn alias(self) -> Option<&'static str> {
        Some(match self {
            Category::Metrics => return None,
            Category::Unknown => "UNKNOWN",
            Category::Metric => "M",
            Category::Network => "N",
            Category::KeyEvent => "E",
            Category::Object => "O",
            Category::ObjectChange => "OCH",
            Category::CustomObject => "CO",
            Category::Logging => "L",
            Category::Tracing => "T",
            Category::Rum => "R",
            Category::Security => "S",
            Category::Profiling => "P",
            Category::DialTesting => "DT",
            Category::DynamicDataway => "DYNAMIC_DW",
            Category::ExecutionLog => "EL",
            Category::Llm => "LLM",
            Category::AgentLlm => "AL",
        })
    }

    /// Gives the path that points of this category are written to.
    pub const fn path(self) -> &'static str {
        match self {
            Category::Unknown => "/v1/write/unknown",
            Category::Metrics => "/v1/write/metrics",
            Category::Metric => "/v1/write/metric",
            Category::Network => "/v1/write/network",
            Category::KeyEvent => "/v1/write/keyevent",
            Category::Object => "/v1/write/object",
            Category::ObjectChange => "/v1/write/object_change",
            Category::CustomObject => "/v1/write/custom_object",
            Category::Logging => "/v1/write/logging",
            Category::Tracing => "/v1/write/tracing",
            Category::Rum => "/v1/write/rum",
            Category::Security => "/v1/write/security",
            Category::Profiling => "/v1/write/profiling",
            Category::DialTesting => "/v1/write/dialtesting",
            Category::DynamicDataway => "/v1/write/dynamic_dw",
            Category::ExecutionLog => "/v1/write/siem_logging",
            Category::Llm => "/v1/write/langfuse-v2",
            Category::AgentLlm => "/v1/write/agent_llm",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_category_is_found_by_name_alias_and_path() {
        for category in Category::ALL {
            assert_eq!(Category::of_name(category.name()), Some(category));
            assert_eq!(Category::of_path(category.path()), Some(category));
            if let Some(alias) = category.alias() {
                assert_eq!(Category::of_alias(alias), Some(category));
            }
        }
    }

    #[test]
    fn look_ups_are_exact() {
        assert_eq!(Category::of_name("Logging"), None);
        assert_eq!(Category::of_alias("l"), None);
        assert_eq!(Category::of_alias("K"), None, "the alias of key events up to 1.5.8");
        assert_eq!(Category::of_path("/v1/write/logging/"), None);
        assert_eq!(Category::of_path("/v1/write/siem_logging"), Some(Category::ExecutionLog));
    }
}
