//! Which retention policies are subscribed to.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

/// What the settings want, and what they do not.
#[derive(Debug)]
pub(super) struct Filter {
    wanted: Vec<Item>,
    excluded: Vec<Item>,
}

/// A database, and one of its retention policies or all of them.
#[derive(Debug, PartialEq, Eq)]
struct Item {
    database: String,
    retention: Option<String>,
}

// === impl Filter ===

impl Filter {
    pub(super) fn new(wanted: &str, excluded: &str) -> Self {
        Filter { wanted: items(wanted), excluded: items(excluded) }
    }

    pub(super) fn wants(&self, database: &str, retention: &str) -> bool {
        let is_in = |items: &[Item]| {
            items.iter().any(|item| {
                item.database == database
                    && item.retention.as_deref().is_none_or(|wanted| wanted == retention)
            })
        };
        (self.wanted.is_empty() || is_in(&self.wanted)) && !is_in(&self.excluded)
    }
}

/// Gives what a text lists as Kapacitor's configuration does: retention policies by database, an empty list for all of them.
pub(super) fn lists(text: &str) -> Value {
    let mut lists: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut whole = BTreeSet::new();
    for Item { database, retention } in items(text) {
        let list = lists.entry(database.clone()).or_default();
        match retention {
            Some(retention) => list.push(retention),
            None => drop(whole.insert(database)),
        }
    }
    whole.iter().for_each(|database| drop(lists.insert(database.clone(), Vec::new())));
    json!(lists)
}

/// Gives lists of Kapacitor's configuration as a text; see [`lists`].
pub(super) fn text(lists: Option<&Value>) -> String {
    let quoted = |name: &str| {
        let escaped: String = name
            .chars()
            .flat_map(|c| matches!(c, '"' | '\\').then_some('\\').into_iter().chain([c]))
            .collect();
        format!("\"{escaped}\"")
    };
    let lists = lists.and_then(Value::as_object);
    let items = lists.into_iter().flatten().flat_map(|(database, list)| {
        let database = quoted(database);
        let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
        match list {
            [] => vec![database],
            list => {
                let list = list.iter().filter_map(Value::as_str);
                list.map(|retention| format!("{database}.{}", quoted(retention))).collect()
            }
        }
    });
    items.collect::<Vec<_>>().join(", ")
}

/// Reads `telegraf.autogen, "my.db".weekly, metrics`; within quotes, `\` stands in front of what is meant as it is.
///
/// - Settings with a quote that is never closed are refused before.
fn items(text: &str) -> Vec<Item> {
    let mut items = Vec::new();
    // The parts of one item; a dot or a comma outside of quotes ends a part.
    let (mut parts, mut part, mut is_quoted, mut was_quoted) =
        (Vec::new(), String::new(), false, false);
    let mut characters = text.chars().chain([',']);
    while let Some(character) = characters.next() {
        match character {
            '"' => {
                // Blanks in front of a quote are between items.
                if !was_quoted && part.trim().is_empty() {
                    part.clear();
                }
                (is_quoted, was_quoted) = (!is_quoted, true);
            }
            '\\' if is_quoted => part.extend(characters.next()),
            character if is_quoted => part.push(character),
            '.' | ',' => {
                let text = std::mem::take(&mut part);
                parts.push(if was_quoted { text } else { text.trim().to_owned() });
                was_quoted = false;
                if character == ',' {
                    items.extend(item(std::mem::take(&mut parts)));
                }
            }
            character if was_quoted && character.is_whitespace() => {}
            character => part.push(character),
        }
    }
    items
}

/// Makes an item of its parts; a name with dots that nobody put in quotes ends with its retention policy.
fn item(mut parts: Vec<String>) -> Option<Item> {
    let retention = (parts.len() > 1).then(|| parts.pop()).flatten();
    let database = parts.join(".");
    (!database.is_empty()).then_some(Item { database, retention })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_with_quotes_and_without() {
        let item = |database: &str, retention: Option<&str>| Item {
            database: database.to_owned(),
            retention: retention.map(str::to_owned),
        };
        for (text, expected) in [
            ("", vec![]),
            (" , ", vec![]),
            ("telegraf.autogen", vec![item("telegraf", Some("autogen"))]),
            ("a, b.c ,d", vec![item("a", None), item("b", Some("c")), item("d", None)]),
            (r#""my.db" . weekly"#, vec![item("my.db", Some("weekly"))]),
            (r#""a,\"b".c, "d.e""#, vec![item("a,\"b", Some("c")), item("d.e", None)]),
            ("a.b.c", vec![item("a.b", Some("c"))]),
        ] {
            assert_eq!(items(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_listed_is_wanted_unless_it_is_excluded() {
        let all = Filter::new("", "_kapacitor.autogen, internal");
        assert!(all.wants("a", "b") && all.wants("_kapacitor", "x"));
        assert!(!all.wants("_kapacitor", "autogen") && !all.wants("internal", "any"));
        let some = Filter::new("a.b, c", "c.d");
        assert!(some.wants("a", "b") && some.wants("c", "x"));
        assert!(!some.wants("a", "c") && !some.wants("c", "d") && !some.wants("e", "b"));
    }
}
