//! Collections of the API: reading all pages of what matches patterns.

use serde_json::Value;

use super::Failure;
use crate::api::{Api, ApiError};

/// Objects per page. Source: the API's default.
const PAGE: usize = 100;
/// The most objects that are read. Ours: ten times what a server is expected to hold; one that never ends its
/// pages ends here.
const OBJECTS_MAX: usize = 100_000;

/// A collection that is read in pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Collection {
    /// Its path, and its key in answers.
    pub(crate) name: &'static str,
    /// What lists show, beside `id`.
    pub(crate) fields: &'static [&'static str],
}

/// Tasks.
pub(crate) const TASKS: Collection =
    Collection { name: "tasks", fields: &["type", "status", "executing", "dbrps"] };
/// Templates.
pub(crate) const TEMPLATES: Collection =
    Collection { name: "templates", fields: &["type", "vars"] };
/// Recordings.
pub(crate) const RECORDINGS: Collection =
    Collection { name: "recordings", fields: &["type", "status", "size", "date"] };
/// Replays.
pub(crate) const REPLAYS: Collection =
    Collection { name: "replays", fields: &["task", "recording", "status", "clock", "date"] };

/// Reads all objects that match a pattern; an empty pattern is all.
///
/// - `query`: parameters beside those of the pages.
pub(crate) fn pages(
    api: &Api,
    collection: Collection,
    pattern: &str,
    query: &[(&str, &str)],
) -> Result<Vec<Value>, ApiError> {
    let mut all = Vec::new();
    let limit = PAGE.to_string();
    loop {
        let offset = all.len().to_string();
        let mut whole = query.to_vec();
        whole.extend([("limit", &*limit), ("offset", &offset), ("pattern", pattern)]);
        let answer = api.get(&[collection.name], &whole)?;
        let page = list_of(answer, collection.name);
        let is_last = page.len() < PAGE;
        all.extend(page);
        if is_last {
            return Ok(all);
        }
        if all.len() >= OBJECTS_MAX {
            let message = format!("there are more than {OBJECTS_MAX} {}", collection.name);
            return Err(ApiError { message, status: None });
        }
    }
}

/// Reads what is shown of all objects that match any pattern, each once; no pattern is all.
pub(crate) fn matching(
    api: &Api,
    collection: Collection,
    patterns: &[String],
    fields: &[&str],
) -> Result<Vec<Value>, ApiError> {
    let query: Vec<(&str, &str)> = fields.iter().map(|field| ("fields", *field)).collect();
    once(patterns, |pattern| pages(api, collection, pattern, &query))
}

/// Reads all topics that match any pattern.
pub(crate) fn topics(api: &Api, patterns: &[String]) -> Result<Vec<Value>, ApiError> {
    once(patterns, |pattern| {
        let answer = api.get(&["alerts", "topics"], &[("pattern", pattern)])?;
        Ok(list_of(answer, "topics"))
    })
}

/// Reads the handlers of a topic that match any pattern.
pub(crate) fn handlers(
    api: &Api,
    topic: &str,
    patterns: &[String],
) -> Result<Vec<Value>, ApiError> {
    once(patterns, |pattern| {
        let path = ["alerts", "topics", topic, "handlers"];
        Ok(list_of(api.get(&path, &[("pattern", pattern)])?, "handlers"))
    })
}

/// Gives a text of an object; empty when it has none.
pub(crate) fn text<'v>(object: &'v Value, key: &str) -> &'v str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Gives the ID of an object, which must have one.
pub(super) fn id(object: &Value) -> Result<&str, Failure> {
    match text(object, "id") {
        "" => Err(Failure::error(format!("the server lists an object without ID: {object}"))),
        id => Ok(id),
    }
}

/// Gives a list of an answer.
pub(crate) fn list_of(mut answer: Value, key: &str) -> Vec<Value> {
    match answer.get_mut(key).map(Value::take) {
        Some(Value::Array(list)) => list,
        _ => Vec::new(),
    }
}

/// Asks for each pattern; what two of them match is given once.
fn once(
    patterns: &[String],
    ask: impl Fn(&str) -> Result<Vec<Value>, ApiError>,
) -> Result<Vec<Value>, ApiError> {
    if patterns.is_empty() {
        return ask("");
    }
    let mut seen = std::collections::HashSet::new();
    let mut all = Vec::new();
    for pattern in patterns {
        let found = ask(pattern)?;
        all.extend(found.into_iter().filter(|object| {
            object.get("id").is_none() || seen.insert(text(object, "id").to_owned())
        }));
    }
    Ok(all)
}
