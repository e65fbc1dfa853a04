//! Documents in memory: for tests, and for servers that shall forget.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use super::{Document, DocumentError, Documents, Expect, Range, Write};

/// Keeps documents as long as the process lives.
#[derive(Debug, Default)]
pub struct MemoryDocuments(Mutex<Spaces>);

#[derive(Clone, Debug, Default)]
struct Spaces {
    spaces: BTreeMap<String, BTreeMap<String, (u64, Bytes)>>,
    version: u64,
}

// === impl MemoryDocuments ===

impl MemoryDocuments {
    fn lock(&self) -> MutexGuard<'_, Spaces> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Documents for MemoryDocuments {
    async fn get(&self, space: &str, key: &str) -> Result<Option<Document>, DocumentError> {
        let spaces = self.lock();
        let found = spaces.spaces.get(space).and_then(|documents| documents.get_key_value(key));
        Ok(found.map(document))
    }

    async fn list(&self, space: &str, range: Range<'_>) -> Result<Vec<Document>, DocumentError> {
        let spaces = self.lock();
        let Some(documents) = spaces.spaces.get(space) else { return Ok(Vec::new()) };
        let start = match range.after {
            Some(after) if after >= range.prefix => Bound::Excluded(after),
            _ => Bound::Included(range.prefix),
        };
        let found = documents
            .range::<str, _>((start, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(range.prefix))
            .take(range.limit.unwrap_or(usize::MAX));
        Ok(found.map(document).collect())
    }

    async fn spaces(&self, prefix: &str) -> Result<Vec<String>, DocumentError> {
        let spaces = self.lock();
        let found = spaces.spaces.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        let found = found.take_while(|(space, _)| space.starts_with(prefix));
        Ok(found.map(|(space, _)| space.clone()).collect())
    }

    async fn apply(&self, writes: Vec<Write>) -> Result<(), DocumentError> {
        for write in &writes {
            write.check()?;
        }
        let mut spaces = self.lock();
        let mut undo = Vec::new();
        for write in writes {
            if let Err(error) = spaces.change(write, &mut undo) {
                spaces.undo(undo);
                return Err(error);
            }
        }
        spaces.spaces.retain(|_, documents| !documents.is_empty());
        Ok(())
    }

    fn describe(&self) -> String {
        "memory".into()
    }
}

// === impl Spaces ===

/// What was there before a change.
type Before = (String, String, Option<(u64, Bytes)>);

impl Spaces {
    fn change(&mut self, write: Write, undo: &mut Vec<Before>) -> Result<(), DocumentError> {
        match write {
            Write::Put { space, key, value, expect } => {
                self.version += 1;
                self.set(space, key, Some((self.version, value)), expect, undo)
            }
            Write::Delete { space, key, expect } => self.set(space, key, None, expect, undo),
            Write::Clear { space } => {
                let documents = self.spaces.remove(&space).unwrap_or_default();
                undo.extend(
                    documents.into_iter().map(|(key, old)| (space.clone(), key, Some(old))),
                );
                Ok(())
            }
        }
    }

    fn set(
        &mut self,
        space: String,
        key: String,
        new: Option<(u64, Bytes)>,
        expect: Expect,
        undo: &mut Vec<Before>,
    ) -> Result<(), DocumentError> {
        let documents = self.spaces.entry(space.clone()).or_default();
        let found = documents.get(&key).map(|(version, _)| *version);
        if let Err(reason) = expect.check(found) {
            return Err(DocumentError::Conflict { space, key, reason });
        }
        let old = match new {
            Some(new) => documents.insert(key.clone(), new),
            None => documents.remove(&key),
        };
        undo.push((space, key, old));
        Ok(())
    }

    fn undo(&mut self, undo: Vec<Before>) {
        for (space, key, old) in undo.into_iter().rev() {
            let documents = self.spaces.entry(space).or_default();
            match old {
                Some(old) => documents.insert(key, old),
                None => documents.remove(&key),
            };
        }
        self.spaces.retain(|_, documents| !documents.is_empty());
    }
}

fn document((key, (version, value)): (&String, &(u64, Bytes))) -> Document {
    Document { key: key.clone(), value: value.clone(), version: *version }
}
