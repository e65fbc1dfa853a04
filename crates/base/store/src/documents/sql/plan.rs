//! What a transaction changes: calls are tried on what is there, in memory, before anything is written.
//!
//! The transaction keeps others out, so what was found stays true until its end. Of several changes of one document only the last
//! is written.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::{DocumentError, Expect, Write};

/// Space and key.
pub(super) type Name<'a> = (&'a str, &'a str);

/// Changes that are to be written together.
#[derive(Debug, Default)]
pub(super) struct Plan<'a> {
    /// Versions of documents that are there, among those of which something is expected.
    found: BTreeMap<Name<'a>, i64>,
    /// The version given out last.
    version: i64,
    /// Spaces whose former documents go.
    cleared: BTreeSet<&'a str>,
    /// Documents after that: with their content, or gone.
    changed: BTreeMap<Name<'a>, Change<'a>>,
}

/// Version and content of a document; nothing when it is deleted.
type Change<'a> = Option<(i64, &'a Bytes)>;

/// How a step is taken back.
enum Undo<'a> {
    /// This is what had become of a document before.
    Change(Name<'a>, Option<Change<'a>>),
    /// The space was not cleared before.
    Cleared(&'a str),
}

/// Gives the documents of which writes expect something.
pub(super) fn expected<'a>(writes: impl Iterator<Item = &'a Write>) -> BTreeSet<Name<'a>> {
    let names = writes.filter_map(|write| match write {
        Write::Put { expect: Expect::Any, .. }
        | Write::Delete { expect: Expect::Any, .. }
        | Write::Clear { .. } => None,
        Write::Put { space, key, .. } | Write::Delete { space, key, .. } => {
            Some((&**space, &**key))
        }
    });
    names.collect()
}

// === impl Plan ===

impl<'a> Plan<'a> {
    /// Begins with the version given out last and with the versions that were found of what is [`expected`].
    pub(super) fn new(version: i64, found: BTreeMap<Name<'a>, i64>) -> Self {
        Self { found, version, ..Self::default() }
    }

    /// Adds the changes of a call, all or none.
    pub(super) fn add(&mut self, writes: &'a [Write]) -> Result<(), DocumentError> {
        let mut undo = Vec::new();
        for write in writes {
            if let Err(error) = self.step(write, &mut undo) {
                self.take_back(undo);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Gives the version given out last.
    pub(super) fn version(&self) -> i64 {
        self.version
    }

    /// Gives the spaces that lose what is in them, before anything else is written.
    pub(super) fn cleared(&self) -> impl Iterator<Item = &'a str> {
        self.cleared.iter().copied()
    }

    /// Gives the documents to store: name, version, content.
    pub(super) fn stored(&self) -> Vec<(Name<'a>, i64, &'a Bytes)> {
        let stored = self.changed.iter();
        stored
            .filter_map(|(name, change)| change.map(|(version, value)| (*name, version, value)))
            .collect()
    }

    /// Gives the documents to delete.
    pub(super) fn deleted(&self) -> Vec<Name<'a>> {
        let deleted = self.changed.iter().filter(|(_, change)| change.is_none());
        deleted.map(|(name, _)| *name).collect()
    }

    fn step(&mut self, write: &'a Write, undo: &mut Vec<Undo<'a>>) -> Result<(), DocumentError> {
        let (name, expect, value) = match write {
            Write::Put { space, key, value, expect } => ((&**space, &**key), *expect, Some(value)),
            Write::Delete { space, key, expect } => ((&**space, &**key), *expect, None),
            Write::Clear { space } => {
                self.clear(space, undo);
                return Ok(());
            }
        };
        if expect != Expect::Any {
            let found = self.found(name).map(|version| u64::try_from(version).unwrap_or(0));
            expect.check(found).map_err(|reason| {
                let (space, key) = (name.0.to_owned(), name.1.to_owned());
                DocumentError::Conflict { space, key, reason }
            })?;
        }
        let change = value.map(|value| {
            self.version += 1;
            (self.version, value)
        });
        undo.push(Undo::Change(name, self.changed.insert(name, change)));
        Ok(())
    }

    fn found(&self, name: Name<'a>) -> Option<i64> {
        match self.changed.get(&name) {
            Some(change) => change.map(|(version, _)| version),
            None if self.cleared.contains(name.0) => None,
            None => self.found.get(&name).copied(),
        }
    }

    fn clear(&mut self, space: &'a str, undo: &mut Vec<Undo<'a>>) {
        let within = self.changed.range((space, "")..).take_while(|((of, _), _)| *of == space);
        let within: Vec<_> = within.map(|(name, _)| *name).collect();
        for name in within {
            undo.push(Undo::Change(name, self.changed.remove(&name)));
        }
        if self.cleared.insert(space) {
            undo.push(Undo::Cleared(space));
        }
    }

    fn take_back(&mut self, undo: Vec<Undo<'a>>) {
        for undo in undo.into_iter().rev() {
            match undo {
                Undo::Change(name, Some(change)) => {
                    self.changed.insert(name, change);
                }
                Undo::Change(name, None) => {
                    self.changed.remove(&name);
                }
                Undo::Cleared(space) => {
                    self.cleared.remove(space);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn only_the_last_change_of_a_document_is_left() {
        let writes = [
            Write::put("s", "a", "1"),
            Write::create("t", "a", "2"),
            Write::put("s", "a", "3"),
            Write::delete("s", "b"),
            Write::put("s", "c", "4"),
            Write::delete("s", "c"),
        ];
        let mut plan = Plan::new(7, BTreeMap::new());
        plan.add(&writes).unwrap();
        let stored = [(("s", "a"), 10, &Bytes::from("3")), (("t", "a"), 9, &Bytes::from("2"))];
        assert_eq!(plan.stored(), stored);
        assert_eq!(plan.deleted(), [("s", "b"), ("s", "c")]);
        assert_eq!(plan.version(), 11);
    }

    #[test]
    fn what_is_refused_leaves_the_plan_as_it_was() {
        let good = [Write::put("s", "a", "1"), Write::clear("t"), Write::put("t", "a", "1")];
        let bad = [
            Write::delete("s", "a"),
            Write::clear("s"),
            Write::clear("t"),
            Write::put("s", "a", "2"),
            Write::replace("s", "found", 5, ""),
            Write::create("t", "a", ""),
            Write::create("s", "found", ""),
        ];
        let mut plan = Plan::new(7, [(("s", "found"), 5), (("t", "old"), 6)].into());
        plan.add(&good).unwrap();
        let before = format!("{:?} {:?}", plan.cleared, plan.changed);
        let error = plan.add(&bad).unwrap_err();
        assert_eq!(error.to_string(), "`s/found` does not exist", "it was cleared");
        assert_eq!(format!("{:?} {:?}", plan.cleared, plan.changed), before);
        let gone = [Write::replace("t", "old", 6, "")];
        assert_eq!(plan.add(&gone).unwrap_err().to_string(), "`t/old` does not exist");
        let fits = [Write::replace("s", "found", 5, "")];
        plan.add(&fits).unwrap();
    }

    #[test]
    fn only_what_is_expected_is_looked_for() {
        let writes = [
            Write::put("s", "a", ""),
            Write::create("s", "b", ""),
            Write::replace("s", "b", 1, ""),
            Write::delete("s", "c"),
            Write::clear("s"),
        ];
        assert_eq!(expected(writes.iter()), [("s", "b")].into());
    }
}
