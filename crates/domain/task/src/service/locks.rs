//! Who may change which ID.
//!
//! A task is locked by who changes it; its template is locked for reading meanwhile. Who changes a template locks it for
//! writing, then its tasks. Templates come before tasks, and both in the order of their IDs, so nobody waits in a circle.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// One lock per ID, for as long as somebody has it or waits for it.
#[derive(Default)]
pub(super) struct Locks {
    templates: Table,
    tasks: Table,
}

/// What a change holds.
#[derive(Default)]
#[must_use = "the IDs are free again as soon as it is dropped"]
pub(super) struct Held {
    _read: Vec<OwnedRwLockReadGuard<()>>,
    _written: Vec<OwnedRwLockWriteGuard<()>>,
}

#[derive(Default)]
struct Table(Mutex<HashMap<String, Arc<RwLock<()>>>>);

// === impl Locks ===

impl Locks {
    /// Takes tasks for a change, and their templates so that those stay as they are; empty IDs are left out.
    pub(super) async fn tasks(&self, templates: &[&str], tasks: &[&str]) -> Held {
        let mut held = Held::default();
        for id in sorted(templates) {
            held._read.push(self.templates.lock(id).read_owned().await);
        }
        self.add(&mut held, tasks).await;
        held
    }

    /// Takes templates for a change.
    pub(super) async fn templates(&self, templates: &[&str]) -> Held {
        let mut held = Held::default();
        for id in sorted(templates) {
            held._written.push(self.templates.lock(id).write_owned().await);
        }
        held
    }

    /// Takes tasks as well.
    pub(super) async fn add(&self, held: &mut Held, tasks: &[&str]) {
        for id in sorted(tasks) {
            held._written.push(self.tasks.lock(id).write_owned().await);
        }
    }
}

fn sorted<'i>(ids: &[&'i str]) -> BTreeSet<&'i str> {
    ids.iter().copied().filter(|id| !id.is_empty()).collect()
}

// === impl Table ===

impl Table {
    fn lock(&self, id: &str) -> Arc<RwLock<()>> {
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if locks.len() >= FORGET_AT && !locks.contains_key(id) {
            // One that only the table has is nobody's.
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        }
        Arc::clone(locks.entry(id.to_owned()).or_default())
    }
}

/// So many locks are kept before those that nobody has are dropped.
const FORGET_AT: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn locks_that_nobody_has_are_forgotten() {
        let locks = Locks::default();
        let held = locks.tasks(&[], &["kept"]).await;
        for number in 0..3 * FORGET_AT {
            drop(locks.tasks(&[], &[&format!("task{number}")]).await);
        }
        assert!(locks.tasks.0.lock().unwrap_or_else(PoisonError::into_inner).len() <= FORGET_AT);
        let waits = locks.tasks(&[], &["kept"]);
        tokio::pin!(waits);
        tokio::select! {
            biased;
            _ = &mut waits => panic!("it is held"),
            () = std::future::ready(()) => {}
        }
        drop(held);
        let _held = waits.await;
    }
}
