//! What every store must do; one line per store at the end.
#![allow(clippy::unwrap_used, reason = "tests")]

use serde_json::json;

use crate::checkpoint::tests::sample;
use crate::{
    Amendment, CheckpointStore, FileCheckpointStore, MemoryCheckpointStore, Sources, StoreError,
};

/// A store, and how far it goes.
pub(crate) struct Subject<'a> {
    pub(crate) store: &'a dyn CheckpointStore,
    /// The highest epoch it can keep.
    pub(crate) last_epoch: u64,
    /// A name as odd as it can bear.
    pub(crate) odd: &'a str,
    /// How often `L/` may be repeated in a name.
    pub(crate) long: usize,
}

const AMENDMENT: Amendment<'_> = Amendment { by: "alice@host", at: 7_000, action: "rewind" };

fn names(store: &dyn CheckpointStore) -> Vec<String> {
    store.list().unwrap().into_iter().map(|listed| listed.flow).collect()
}

fn what_is_saved_is_loaded(subject: &Subject<'_>) {
    let Subject { store, odd, .. } = *subject;
    assert!(store.load("default/a").unwrap().is_none());
    assert!(names(store).is_empty());
    let lease = store.acquire("default/a").unwrap();
    assert_eq!(lease.epoch(), 1);
    assert!(names(store).is_empty(), "a lease alone is no checkpoint");
    let mut checkpoint = sample("default/a", lease.epoch());
    store.save("default/a", &checkpoint).unwrap();
    checkpoint.set_position("source", "0", json!(43));
    store.save("default/a", &checkpoint).unwrap();
    store.save(odd, &sample(odd, 0)).unwrap();
    let long = "L/".repeat(subject.long);
    store.save(&long, &sample(&long, 0)).unwrap();
    let loaded = store.load("default/a").unwrap().unwrap();
    assert_eq!((loaded.checkpoint, loaded.warning), (checkpoint, None));
    assert_eq!(store.load(&long).unwrap().unwrap().checkpoint.flow, long);
    assert_eq!(names(store), [long.as_str(), "default/a", odd]);
    assert!(store.list().unwrap().iter().all(|listed| listed.problem.is_none()));
}

fn one_holder_at_a_time_and_epochs_grow(subject: &Subject<'_>) {
    let store = subject.store;
    let first = store.acquire("f").unwrap();
    let error = store.acquire("f").unwrap_err();
    assert!(
        matches!(&error, StoreError::Locked { pid: Some(pid), .. } if *pid == std::process::id()),
        "{error}"
    );
    let other = store.acquire("g").unwrap();
    drop(first);
    let second = store.acquire("f").unwrap();
    assert_eq!((second.epoch(), other.epoch()), (2, 1));
}

fn an_older_epoch_is_refused(subject: &Subject<'_>) {
    let store = subject.store;
    let first = store.acquire("f").unwrap().epoch();
    store.save("f", &sample("f", first)).unwrap();
    let second = store.acquire("f").unwrap();
    let error = store.save("f", &sample("f", first)).unwrap_err();
    assert!(
        matches!(error, StoreError::Fenced { offered: 1, stored: 2, .. }),
        "given out is enough: {error}"
    );
    store.save("f", &sample("f", second.epoch())).unwrap();
    assert!(matches!(store.save("f", &sample("f", first)), Err(StoreError::Fenced { .. })));
    assert_eq!(store.load("f").unwrap().unwrap().checkpoint.epoch, 2);
}

fn reset_forgets_positions_and_keeps_epochs(subject: &Subject<'_>) {
    let store = subject.store;
    store.reset("f").unwrap();
    let lease = store.acquire("f").unwrap();
    for _ in 0..3 {
        store.save("f", &sample("f", lease.epoch())).unwrap();
    }
    drop(lease);
    store.reset("f").unwrap();
    assert!(store.load("f").unwrap().is_none());
    assert!(names(store).is_empty());
    assert_eq!(store.acquire("f").unwrap().epoch(), 2);
    assert!(matches!(store.save("f", &sample("f", 1)), Err(StoreError::Fenced { .. })));
}

fn checkpoints_that_make_no_sense_are_refused(subject: &Subject<'_>) {
    let store = subject.store;
    let mut checkpoint = sample("f", 1);
    assert!(matches!(store.save("g", &checkpoint), Err(StoreError::Invalid { .. })));
    checkpoint.version = 2;
    assert!(matches!(store.save("f", &checkpoint), Err(StoreError::Invalid { .. })));
    store.save("f", &sample("f", subject.last_epoch)).unwrap();
    assert!(matches!(store.acquire("f"), Err(StoreError::Invalid { .. })), "no epoch is left");
    let amended = store.amend("f", &AMENDMENT, &forget);
    assert!(matches!(amended, Err(StoreError::Invalid { .. })), "no epoch is left");
}

fn people_change_positions_under_a_new_epoch(subject: &Subject<'_>) {
    let store = subject.store;
    let lease = store.acquire("f").unwrap();
    let saved = sample("f", lease.epoch());
    store.save("f", &saved).unwrap();
    let rewind = |sources: &mut Sources| {
        let partitions = sources.get_mut("source").ok_or("no such source")?;
        partitions.insert("0".into(), json!(7));
        Ok(())
    };
    let running = store.amend("f", &AMENDMENT, &rewind).unwrap_err();
    assert!(matches!(running, StoreError::Locked { .. }), "{running}");
    let epoch = lease.epoch();
    drop(lease);

    let line = store.amend("f", &AMENDMENT, &rewind).unwrap();
    assert!(line.epoch > epoch);
    let change = &line.changes[0];
    assert_eq!((&change.before, &change.after), (&Some(json!(42)), &Some(json!(7))));
    assert_eq!((line.changes.len(), line.by.as_str(), line.at), (1, "alice@host", 7_000));
    let loaded = store.load("f").unwrap().unwrap().checkpoint;
    assert_eq!((loaded.epoch, loaded.saved_at), (line.epoch, 7_000));
    assert_eq!(loaded.position("source", "0"), Some(&json!(7)));
    assert_eq!(loaded.position("second", ""), saved.position("second", ""), "others stay");
    let late = store.save("f", &saved).unwrap_err();
    assert!(matches!(late, StoreError::Fenced { .. }), "{late}");

    // The same again changes nothing, and what is refused neither.
    let same = store.amend("f", &AMENDMENT, &rewind).unwrap();
    assert_eq!(same.changes, []);
    let refused = store.amend("f", &AMENDMENT, &|_| Err("it is not a number".into())).unwrap_err();
    assert!(refused.to_string().contains("it is not a number"), "{refused}");
    assert_eq!(store.audit("f").unwrap(), std::slice::from_ref(&line));

    let forgotten = store.amend("f", &AMENDMENT, &forget).unwrap();
    assert!(store.load("f").unwrap().is_none() && names(store).is_empty());
    assert_eq!(forgotten.changes.len(), 3);
    assert_eq!(store.audit("f").unwrap(), [line, forgotten.clone()]);
    assert!(store.acquire("f").unwrap().epoch() > forgotten.epoch);
}

fn positions_can_be_set_before_a_flow_ever_ran(subject: &Subject<'_>) {
    let store = subject.store;
    assert_eq!(store.audit("new").unwrap(), []);
    assert_eq!(store.amend("new", &AMENDMENT, &forget).unwrap().changes, []);
    let set = |sources: &mut Sources| {
        sources.insert("source".into(), [("0".into(), json!("a\u{0}b"))].into());
        Ok(())
    };
    let line = store.amend("new", &AMENDMENT, &set).unwrap();
    assert_eq!(store.audit("new").unwrap(), std::slice::from_ref(&line));
    let loaded = store.load("new").unwrap().unwrap().checkpoint;
    assert_eq!(loaded.position("source", "0"), Some(&json!("a\u{0}b")));
    let lease = store.acquire("new").unwrap();
    assert!(lease.epoch() > line.epoch);
    store.save("new", &sample("new", lease.epoch())).unwrap();
}

#[expect(clippy::unnecessary_wraps, reason = "as a change is")]
fn forget(sources: &mut Sources) -> Result<(), String> {
    sources.clear();
    Ok(())
}

macro_rules! store_test_suite {
    ($module:ident, $with:expr) => {
        mod $module {
            store_test_suite!(@tests $with; what_is_saved_is_loaded one_holder_at_a_time_and_epochs_grow
                an_older_epoch_is_refused reset_forgets_positions_and_keeps_epochs checkpoints_that_make_no_sense_are_refused
                people_change_positions_under_a_new_epoch positions_can_be_set_before_a_flow_ever_ran);
        }
    };
    (@tests $with:expr; $($test:ident)+) => {
        $(#[test]
        fn $test() {
            $with(stringify!($test), super::$test);
        })+
    };
}

const ODD: &str = "ünï/../\0";

fn with_files(_: &str, test: fn(&Subject<'_>)) {
    let folder = tempfile::tempdir().unwrap();
    let store = FileCheckpointStore::open(folder.path().join("deep/checkpoints")).unwrap();
    test(&Subject { store: &store, last_epoch: u64::MAX, odd: ODD, long: 2_000 });
}

fn in_memory(_: &str, test: fn(&Subject<'_>)) {
    let store = MemoryCheckpointStore::new();
    test(&Subject { store: &store, last_epoch: u64::MAX, odd: ODD, long: 2_000 });
}

store_test_suite!(file, super::with_files);
store_test_suite!(memory, super::in_memory);
#[cfg(feature = "postgresql")]
store_test_suite!(postgres, crate::postgres::tests::with_a_schema);
