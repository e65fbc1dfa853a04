//! What list routes of Kapacitor's dialect have in common: `pattern`, `fields`, `offset`, `limit`.

use levada_tick::lambda::quote;
use serde_json::{Map, Value};

use crate::error::ApiError;
use crate::request::Query;

/// The default of `limit`. Source: reference (server) §1.1.
const LIMIT_DEFAULT: i64 = 100;

/// What a list route was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListQuery {
    /// Which names, as a glob; empty means all.
    pub pattern: String,
    /// Which fields; empty means all.
    pub fields: Vec<String>,
    /// Which part of the list.
    pub page: Page,
}

/// A part of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// So many are left out first.
    pub offset: usize,
    /// So many at most; nothing means all. Differs: a negative `limit` filters and skips as any other does.
    pub limit: Option<usize>,
}

// === impl ListQuery ===

impl ListQuery {
    /// Reads the parameters.
    ///
    /// - `known`: the fields there are, without `id` and `link`, which are always there.
    /// - Errors: 400 with Kapacitor's text.
    pub fn read(query: &Query, known: &[&str]) -> Result<Self, ApiError> {
        let mut fields: Vec<String> = Vec::new();
        for field in query.all("fields") {
            if field != "id" && field != "link" && !known.contains(&field) {
                return Err(ApiError::bad_request(format!("unsupported field {}", quote(field))));
            }
            fields.push(field.to_owned());
        }
        let page = Page::read(query)?;
        Ok(ListQuery { pattern: query.text("pattern").to_owned(), fields, page })
    }

    /// Leaves the fields that were asked for; they come out sorted then.
    pub fn select(&self, item: Map<String, Value>) -> Map<String, Value> {
        if self.fields.is_empty() {
            return item;
        }
        let is_wanted = |key: &str| {
            key == "id" || key == "link" || self.fields.iter().any(|field| field == key)
        };
        let mut item: Vec<(String, Value)> =
            item.into_iter().filter(|(key, _)| is_wanted(key)).collect();
        item.sort_by(|(left, _), (right, _)| left.cmp(right));
        item.into_iter().collect()
    }
}

// === impl Page ===

impl Page {
    /// Reads `offset` and `limit`.
    ///
    /// - Errors: 400 with Kapacitor's text.
    pub fn read(query: &Query) -> Result<Self, ApiError> {
        let offset = number(query, "offset", 0)?;
        let limit = number(query, "limit", LIMIT_DEFAULT)?;
        Ok(Page {
            offset: usize::try_from(offset).unwrap_or(0),
            limit: usize::try_from(limit).ok(),
        })
    }

    /// Gives the part of a list.
    pub fn of<T>(self, items: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
        items.skip(self.offset).take(self.limit.unwrap_or(usize::MAX))
    }
}

/// Source: the texts of Go's `strconv.ParseInt`.
fn number(query: &Query, name: &str, default: i64) -> Result<i64, ApiError> {
    let text = query.text(name);
    if text.is_empty() {
        return Ok(default);
    }
    text.parse::<i64>().map_err(|error| {
        let reason = match error.kind() {
            std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => {
                "value out of range"
            }
            _ => "invalid syntax",
        };
        ApiError::bad_request(format!(
            "invalid {name} parameter {text:?} must be an integer: strconv.ParseInt: parsing {text:?}: {reason}"
        ))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn read(query: &str) -> Result<ListQuery, String> {
        ListQuery::read(&Query::parse(query), &["status"]).map_err(|error| error.text)
    }

    #[test]
    fn parameters_have_defaults_and_bounds() {
        let list = read("").unwrap();
        assert_eq!(list.page, Page { offset: 0, limit: Some(100) });
        let list = read("limit=-1&offset=2&fields=status").unwrap();
        assert_eq!(list.page, Page { offset: 2, limit: None });
        assert_eq!(list.page.of(0..5).collect::<Vec<_>>(), [2, 3, 4]);
        assert_eq!(read("fields=x").unwrap_err(), "unsupported field \"x\"");
        assert_eq!(
            read("limit=x").unwrap_err(),
            "invalid limit parameter \"x\" must be an integer: strconv.ParseInt: parsing \"x\": invalid syntax"
        );
        assert!(read("offset=99999999999999999999").unwrap_err().ends_with("value out of range"));
    }

    #[test]
    fn chosen_fields_come_sorted_with_id_and_link() {
        let item = serde_json::json!({"link": 1, "id": 2, "type": 3, "status": 4});
        let Value::Object(item) = item else { panic!("an object") };
        let chosen = read("fields=status").unwrap().select(item.clone());
        assert_eq!(chosen.keys().collect::<Vec<_>>(), ["id", "link", "status"]);
        assert_eq!(read("").unwrap().select(item.clone()), item);
    }
}
