//! Positions changed by people, and what is kept about that.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Checkpoint, StoreError};

/// Changes that a line names; the others are counted.
const CHANGES_MAX: usize = 1_000;

/// Bytes of names and positions that a line holds, about.
const LINE_BYTES_MAX: usize = 64 << 10;

/// Source → partition → position.
pub type Sources = BTreeMap<String, BTreeMap<String, Value>>;

/// Changes positions, or says why not.
pub type Change<'a> = dyn Fn(&mut Sources) -> Result<(), String> + Sync + 'a;

/// Who changes positions, and why.
#[derive(Debug, Clone, Copy)]
pub struct Amendment<'a> {
    /// Who does it, such as `alice@host`.
    pub by: &'a str,
    /// When, nanoseconds UTC, from the clock of the caller.
    pub at: i64,
    /// What is done, such as `rewind to 2024-01-01T00:00:00Z`.
    pub action: &'a str,
}

/// What was changed, by whom and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditLine {
    /// The flow.
    pub flow: String,
    /// The epoch under which it was changed.
    pub epoch: u64,
    /// When, nanoseconds UTC.
    pub at: i64,
    /// Who did it.
    pub by: String,
    /// What was done.
    pub action: String,
    /// The positions that changed, up to a thousand.
    pub changes: Vec<PositionChange>,
    /// How many more changed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub omitted: u64,
    /// Set when the change could not be stored after all: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

/// One position that changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PositionChange {
    /// The source.
    pub source: String,
    /// The partition.
    pub partition: String,
    /// What it was, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What it is, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// An amendment worked out, to be stored.
pub(crate) struct Amended {
    pub(crate) line: AuditLine,
    /// What to store; `None`: forget the positions.
    pub(crate) checkpoint: Option<Checkpoint>,
}

// === impl Amended ===

impl Amended {
    /// Works out what `change` makes of what is stored: its positions, or why they cannot be read.
    pub(crate) fn new(
        flow: &str,
        epoch: u64,
        stored: Result<Sources, StoreError>,
        amendment: &Amendment<'_>,
        change: &Change<'_>,
    ) -> Result<Self, StoreError> {
        let (before, unreadable) = match stored {
            Ok(sources) => (sources, None),
            Err(error @ StoreError::Corrupt { .. }) => (Sources::new(), Some(error)),
            Err(error) => return Err(error),
        };
        let mut after = before.clone();
        change(&mut after).map_err(|reason| StoreError::Invalid { flow: flow.into(), reason })?;
        after.retain(|_, partitions| !partitions.is_empty());
        let mut line = AuditLine {
            flow: flow.into(),
            epoch,
            at: amendment.at,
            by: amendment.by.into(),
            action: amendment.action.into(),
            changes: Vec::new(),
            omitted: 0,
            failed: None,
        };
        match unreadable {
            // Positions that were not named would be lost without a word.
            Some(error) if !after.is_empty() => return Err(error),
            Some(_) => line.action.push_str(", the stored positions could not be read"),
            None => {}
        }
        line.compare(&before, &after);
        let checkpoint = (!after.is_empty()).then(|| {
            let mut checkpoint = Checkpoint::new(flow, epoch, amendment.at);
            checkpoint.sources = after;
            checkpoint
        });
        Ok(Self { line, checkpoint })
    }

    /// Says whether anything is to be stored. What cannot be read is removed though no position of it is known.
    pub(crate) fn is_change(&self, has_stored: bool) -> bool {
        !self.line.changes.is_empty() || (has_stored && self.checkpoint.is_none())
    }
}

// === impl AuditLine ===

impl AuditLine {
    fn compare(&mut self, before: &Sources, after: &Sources) {
        let mut bytes = 0;
        for (source, partition, position) in positions(before) {
            let now = after.get(source).and_then(|partitions| partitions.get(partition));
            if now != Some(position) {
                self.add(&mut bytes, source, partition, Some(position), now);
            }
        }
        for (source, partition, position) in positions(after) {
            let is_new = !before.get(source).is_some_and(|known| known.contains_key(partition));
            if is_new {
                self.add(&mut bytes, source, partition, None, Some(position));
            }
        }
    }

    fn add(
        &mut self,
        bytes: &mut usize,
        source: &str,
        partition: &str,
        before: Option<&Value>,
        after: Option<&Value>,
    ) {
        let size = |position: Option<&Value>| position.map_or(0, |value| value.to_string().len());
        *bytes += source.len() + partition.len() + size(before) + size(after);
        let is_first = self.changes.is_empty();
        if !is_first && (self.changes.len() >= CHANGES_MAX || *bytes > LINE_BYTES_MAX) {
            self.omitted += 1;
            return;
        }
        self.changes.push(PositionChange {
            source: source.into(),
            partition: partition.into(),
            before: before.cloned(),
            after: after.cloned(),
        });
    }
}

fn positions(sources: &Sources) -> impl Iterator<Item = (&String, &String, &Value)> {
    sources.iter().flat_map(|(source, partitions)| {
        partitions.iter().map(move |(partition, position)| (source, partition, position))
    })
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;

    fn sources(positions: &[(&str, u64)]) -> Sources {
        let partitions = positions.iter().map(|(name, at)| ((*name).to_owned(), json!(at)));
        [("source".to_owned(), partitions.collect())].into()
    }

    fn amended(before: Result<Sources, StoreError>, after: Sources) -> Result<Amended, StoreError> {
        let amendment = Amendment { by: "a", at: 7, action: "set" };
        Amended::new("f", 3, before, &amendment, &|positions| {
            positions.clone_from(&after);
            Ok(())
        })
    }

    #[test]
    fn a_line_names_what_changed_and_only_that() {
        let before = sources(&[("0", 1), ("1", 2), ("2", 3)]);
        let amended = amended(Ok(before), sources(&[("1", 2), ("2", 9), ("3", 4)])).unwrap();
        let text = serde_json::to_string(&amended.line).unwrap();
        assert_eq!(
            text,
            r#"{"flow":"f","epoch":3,"at":7,"by":"a","action":"set","changes":[{"source":"source","partition":"0","before":1},{"source":"source","partition":"2","before":3,"after":9},{"source":"source","partition":"3","after":4}]}"#
        );
        assert_eq!(serde_json::from_str::<AuditLine>(&text).unwrap(), amended.line);
        assert_eq!(amended.checkpoint.unwrap().position("source", "3"), Some(&json!(4)));
    }

    #[test]
    fn a_line_is_bounded() {
        let many: Vec<String> = (0..1_500).map(|number| number.to_string()).collect();
        let many: Vec<(&str, u64)> = many.iter().map(|name| (name.as_str(), 1)).collect();
        let line = amended(Ok(sources(&many)), Sources::new()).unwrap().line;
        assert_eq!((line.changes.len(), line.omitted), (1_000, 500));
        let long = "x".repeat(LINE_BYTES_MAX);
        let line = amended(Ok(Sources::new()), sources(&[(&long, 1), ("y", 2)])).unwrap().line;
        assert_eq!((line.changes.len(), line.omitted), (1, 1));
    }

    #[test]
    fn what_cannot_be_read_can_only_be_forgotten() {
        let corrupt = || {
            let reason = "cut".to_owned();
            StoreError::Corrupt { flow: "f".into(), path: "f".into(), reason }
        };
        let kept = amended(Err(corrupt()), sources(&[("0", 1)]));
        assert!(matches!(kept, Err(StoreError::Corrupt { .. })));
        let forgotten = amended(Err(corrupt()), Sources::new()).unwrap();
        assert!(forgotten.checkpoint.is_none() && forgotten.is_change(true));
        assert_eq!(forgotten.line.action, "set, the stored positions could not be read");
        assert!(!amended(Ok(Sources::new()), Sources::new()).unwrap().is_change(false));
    }
}
