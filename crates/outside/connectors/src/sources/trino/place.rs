//! Where a poll goes on.

use levada_model::Position;
use serde_json::{Value, json};

/// Where to go on: values as the server wrote them.
///
/// ```json
/// {"change": "2026-01-01 00:00:00.000001", "order": "42", "orderWithoutChange": "7"}
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// The time of change of the last row that has one.
    pub(super) change: Option<String>,
    /// The order column of that row; without a change column, of the last row.
    pub(super) order: Option<String>,
    /// The order column of the last row that has no time of change.
    pub(super) order_without_change: Option<String>,
}

// === impl Place ===

impl Place {
    /// Reads a position that [`Place::position`] gave.
    pub(super) fn read(position: &Position) -> Place {
        let part = |name: &str| match position.get(name)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        };
        Place {
            change: part("change"),
            order: part("order"),
            order_without_change: part("orderWithoutChange"),
        }
    }

    /// Gives the position as JSON.
    pub(super) fn position(&self) -> Position {
        let mut position = json!({"order": self.order});
        if let Some(change) = &self.change {
            position["change"] = change.as_str().into();
        }
        if let Some(order) = &self.order_without_change {
            position["orderWithoutChange"] = order.as_str().into();
        }
        position
    }

    /// Gives the place behind a row; `change` is nothing where there is no such column.
    pub(super) fn behind(&self, change: Option<Option<&str>>, order: &str) -> Place {
        let order = Some(order.to_owned());
        match change {
            None => Place { order, ..Place::default() },
            Some(None) => Place { order_without_change: order, ..self.clone() },
            Some(Some(change)) => {
                let order_without_change = self.order_without_change.clone();
                Place { change: Some(change.to_owned()), order, order_without_change }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_read_back() {
        let start = Place::default();
        let first = start.behind(Some(None), "1");
        let second = first.behind(Some(Some("t")), "2");
        assert_eq!(
            second.position(),
            json!({"change": "t", "order": "2", "orderWithoutChange": "1"})
        );
        for place in [&start, &first, &second, &start.behind(None, "x")] {
            assert_eq!(Place::read(&place.position()), *place);
        }
        assert_eq!(Place::read(&json!({"order": 42})).order.as_deref(), Some("42"));
        assert_eq!(Place::read(&Value::Null), start);
    }
}
