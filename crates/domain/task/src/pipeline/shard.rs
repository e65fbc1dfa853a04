//! Whether a task can run as several actors, each with some of its groups.

use std::sync::Arc;

use levada_model::Str;

use super::Pipeline;

/// Nodes that look at one group at a time and leave its tags alone.
const LOCAL: &[&str] = &[
    "stream",
    "from",
    "noop",
    "log",
    "where",
    "window",
    "derivative",
    "changeDetect",
    "stateDuration",
    "stateCount",
    "sample",
    "shift",
    "influxDBOut",
    "httpPost",
    "alert",
    "eval",
    "join",
    "barrier",
    "flatten",
    "combine",
    "trickle",
];

impl Pipeline {
    /// Gives the tags that say which actor a point belongs to; nothing when the task must be one actor.
    ///
    /// - Every `from` groups by the same named tags, and nothing behind it regroups or looks across groups.
    pub fn shard_dimensions(&self) -> Option<Arc<[Str]>> {
        let mut found: Option<Arc<[Str]>> = None;
        for (index, node) in self.nodes() {
            let kind = node.spec.kind();
            let is_function = crate::nodes::functions::kind(kind.name).is_some();
            if !LOCAL.contains(&kind.name) && !is_function {
                return None;
            }
            let json = serde_json::Value::Object(node.spec.json());
            match kind.name {
                "from" => {
                    // A `from` behind another sees points that were grouped already.
                    let is_first = node.parents.iter().all(|parent| parent.0 == 0);
                    let dimensions = dimensions(&json["groupBy"])?;
                    if !is_first || found.as_ref().is_some_and(|known| *known != dimensions) {
                        return None;
                    }
                    found = Some(dimensions);
                }
                "eval" if json["tags"].as_array().is_some_and(|tags| !tags.is_empty()) => {
                    return None;
                }
                "alert" if changes_groups_or_looks_across(&json) => return None,
                "join" if json["on"].as_array().is_some_and(|on| !on.is_empty()) => return None,
                _ => {}
            }
            debug_assert!(index.0 < self.nodes.len());
        }
        found
    }
}

fn dimensions(json: &serde_json::Value) -> Option<Arc<[Str]>> {
    let items = json.as_array()?;
    let mut names: Vec<Str> =
        items.iter().map(|item| item.as_str().map(Str::from)).collect::<Option<_>>()?;
    names.sort();
    names.dedup();
    (!names.is_empty()).then(|| names.into())
}

fn changes_groups_or_looks_across(json: &serde_json::Value) -> bool {
    let is_set = |name: &str| json[name].as_str().is_some_and(|text| !text.is_empty());
    is_set("levelTag")
        || is_set("idTag")
        || json["inhibit"].as_array().is_some_and(|inhibits| !inhibits.is_empty())
}
