//! What every store must do; one line per store at the end.
#![allow(clippy::unwrap_used, reason = "tests")]

use serde_json::json;

use crate::checkpoint::tests::sample;
use crate::{CheckpointStore, FileCheckpointStore, MemoryCheckpointStore, StoreError};

fn names(store: &dyn CheckpointStore) -> Vec<String> {
    store.list().unwrap().into_iter().map(|listed| listed.flow).collect()
}

fn what_is_saved_is_loaded(store: &dyn CheckpointStore) {
    assert!(store.load("default/a").unwrap().is_none());
    assert!(names(store).is_empty());
    let lease = store.acquire("default/a").unwrap();
    assert_eq!(lease.epoch(), 1);
    assert!(names(store).is_empty(), "a lease alone is no checkpoint");
    let mut checkpoint = sample("default/a", lease.epoch());
    store.save("default/a", &checkpoint).unwrap();
    checkpoint.set_position("source", "0", json!(43));
    store.save("default/a", &checkpoint).unwrap();
    store.save("ünï/../\0", &sample("ünï/../\0", 0)).unwrap();
    let long = "L/".repeat(2_000);
    store.save(&long, &sample(&long, 0)).unwrap();
    let loaded = store.load("default/a").unwrap().unwrap();
    assert_eq!((loaded.checkpoint, loaded.warning), (checkpoint, None));
    assert_eq!(store.load(&long).unwrap().unwrap().checkpoint.flow, long);
    assert_eq!(names(store), [long.as_str(), "default/a", "ünï/../\0"]);
    assert!(store.list().unwrap().iter().all(|listed| listed.problem.is_none()));
}

fn one_holder_at_a_time_and_epochs_grow(store: &dyn CheckpointStore) {
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

fn an_older_epoch_is_refused(store: &dyn CheckpointStore) {
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

fn reset_forgets_positions_and_keeps_epochs(store: &dyn CheckpointStore) {
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

fn checkpoints_that_make_no_sense_are_refused(store: &dyn CheckpointStore) {
    let mut checkpoint = sample("f", 1);
    assert!(matches!(store.save("g", &checkpoint), Err(StoreError::Invalid { .. })));
    checkpoint.version = 2;
    assert!(matches!(store.save("f", &checkpoint), Err(StoreError::Invalid { .. })));
    store.save("f", &sample("f", u64::MAX)).unwrap();
    assert!(matches!(store.acquire("f"), Err(StoreError::Invalid { .. })), "no epoch is left");
}

macro_rules! store_test_suite {
    ($module:ident, $with:expr) => {
        mod $module {
            store_test_suite!(@tests $with; what_is_saved_is_loaded one_holder_at_a_time_and_epochs_grow
                an_older_epoch_is_refused reset_forgets_positions_and_keeps_epochs checkpoints_that_make_no_sense_are_refused);
        }
    };
    (@tests $with:expr; $($test:ident)+) => {
        $(#[test]
        fn $test() {
            $with(super::$test);
        })+
    };
}

fn with_files(test: fn(&dyn CheckpointStore)) {
    let folder = tempfile::tempdir().unwrap();
    test(&FileCheckpointStore::open(folder.path().join("deep/checkpoints")).unwrap());
}

fn in_memory(test: fn(&dyn CheckpointStore)) {
    test(&MemoryCheckpointStore::new());
}

store_test_suite!(file, super::with_files);
store_test_suite!(memory, super::in_memory);
