#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::Command;

use super::*;
use crate::checkpoint::tests::sample;

const FLOW: &str = "default/cpu";

struct Scratch {
    folder: tempfile::TempDir,
    store: FileCheckpointStore,
    paths: Paths,
}

/// A store in which epochs 1 to `saves` were saved.
fn scratch(saves: u64) -> Scratch {
    let folder = tempfile::tempdir().unwrap();
    let store = FileCheckpointStore::open(folder.path()).unwrap();
    for epoch in 1..=saves {
        store.save(FLOW, &sample(FLOW, epoch)).unwrap();
    }
    let paths = store.0.paths(FLOW).unwrap();
    Scratch { folder, store, paths }
}

impl Scratch {
    /// Loads with a store that knows only the folder, as after a restart: the epoch and whether there was a warning.
    fn loaded(&self) -> Result<Option<(u64, bool)>, StoreError> {
        let loaded = FileCheckpointStore::open(self.folder.path())?.load(FLOW)?;
        Ok(loaded.map(|loaded| {
            assert_eq!(loaded.checkpoint, sample(FLOW, loaded.checkpoint.epoch), "never garbage");
            (loaded.checkpoint.epoch, loaded.warning.is_some())
        }))
    }
}

#[test]
fn a_cut_at_any_byte_falls_back_to_the_one_before() {
    let scratch = scratch(2);
    let whole = fs::read(&scratch.paths.last).unwrap();
    for end in 0..whole.len() {
        fs::write(&scratch.paths.last, &whole[..end]).unwrap();
        assert_eq!(scratch.loaded().unwrap(), Some((1, true)), "cut at {end}");
    }
    let warning = scratch.store.load(FLOW).unwrap().unwrap().warning.unwrap();
    assert!(
        warning
            .contains("default%2Fcpu.checkpoint` of flow `default/cpu` is corrupt: cut or changed"),
        "{warning}"
    );
    assert_eq!(scratch.store.list().unwrap()[0].problem.as_ref(), Some(&warning));
}

#[test]
fn a_cut_without_an_earlier_one_is_a_clear_error() {
    let scratch = scratch(1);
    let whole = fs::read(&scratch.paths.last).unwrap();
    for end in 0..whole.len() {
        fs::write(&scratch.paths.last, &whole[..end]).unwrap();
        let error = scratch.loaded().unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "cut at {end}: {error}");
    }
    fs::write(&scratch.paths.previous, "also bad").unwrap();
    assert!(matches!(scratch.loaded(), Err(StoreError::Corrupt { .. })));
    fs::remove_file(&scratch.paths.last).unwrap();
    assert!(matches!(scratch.loaded(), Err(StoreError::Corrupt { .. })));
    let text = scratch.store.load(FLOW).unwrap_err().to_string();
    assert!(text.contains("restore it, or reset the flow"), "{text}");
    assert_eq!(scratch.store.list().unwrap()[0].problem, Some(text));
}

#[test]
fn saving_after_a_fallback_keeps_the_good_one_and_the_evidence() {
    let scratch = scratch(2);
    fs::write(&scratch.paths.last, "torn").unwrap();
    scratch.store.save(FLOW, &sample(FLOW, 3)).unwrap();
    assert_eq!(scratch.loaded().unwrap(), Some((3, false)));
    assert_eq!(fs::read_to_string(&scratch.paths.corrupt).unwrap(), "torn");
    fs::write(&scratch.paths.last, "torn again").unwrap();
    assert_eq!(
        scratch.loaded().unwrap(),
        Some((1, true)),
        "the corrupt one did not become the previous one"
    );
    let error = scratch.store.save(FLOW, &sample(FLOW, 0)).unwrap_err();
    assert!(matches!(error, StoreError::Fenced { .. }), "the previous one fences too: {error}");
}

#[test]
fn a_crash_between_the_steps_loses_nothing() {
    let scratch = scratch(2);
    fs::write(&scratch.paths.new, "half a check").unwrap();
    fs::write(&scratch.paths.previous_new, "half a link").unwrap();
    assert_eq!(scratch.loaded().unwrap(), Some((2, false)));
    fs::rename(&scratch.paths.last, &scratch.paths.previous).unwrap();
    assert_eq!(scratch.loaded().unwrap(), Some((2, true)), "renamed away, not yet replaced");
    let lease = scratch.store.acquire(FLOW).unwrap();
    assert!(
        !scratch.paths.new.exists() && !scratch.paths.previous_new.exists(),
        "leftovers are removed"
    );
    scratch.store.save(FLOW, &sample(FLOW, lease.epoch())).unwrap();
    assert_eq!(scratch.loaded().unwrap(), Some((3, false)));
}

#[test]
fn a_failed_step_is_a_clear_error_and_leaves_a_whole_checkpoint() {
    for step in [Step::Write, Step::Sync, Step::Rotate, Step::Rename, Step::SyncDir] {
        for kind in
            [io::ErrorKind::StorageFull, io::ErrorKind::PermissionDenied, io::ErrorKind::Other]
        {
            let scratch = scratch(2);
            *scratch.store.0.fault.lock().unwrap() = Some((step, kind));
            let error = scratch.store.save(FLOW, &sample(FLOW, 3)).unwrap_err();
            let expected = match kind {
                io::ErrorKind::StorageFull => matches!(&error, StoreError::Full { .. }),
                io::ErrorKind::PermissionDenied => matches!(&error, StoreError::Denied { .. }),
                _ => matches!(&error, StoreError::Io { .. }),
            };
            assert!(expected, "{step:?}: {error}");
            // Only the last step comes after the new one is in place.
            let epoch = if step == Step::SyncDir { 3 } else { 2 };
            assert_eq!(scratch.loaded().unwrap(), Some((epoch, false)), "{step:?}");
            assert!(!scratch.paths.new.exists(), "{step:?}");
            *scratch.store.0.fault.lock().unwrap() = None;
            scratch.store.save(FLOW, &sample(FLOW, 4)).unwrap();
            assert_eq!(scratch.loaded().unwrap(), Some((4, false)), "{step:?}");
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_really_full_device_is_recognised() {
    let scratch = scratch(2);
    std::os::unix::fs::symlink("/dev/full", &scratch.paths.new).unwrap();
    let error = scratch.store.save(FLOW, &sample(FLOW, 3)).unwrap_err();
    assert!(matches!(&error, StoreError::Full { .. }), "{error:?}");
    assert!(error.to_string().contains("no space left to write the checkpoint"), "{error}");
    assert_eq!(scratch.loaded().unwrap(), Some((2, false)));
}

#[test]
fn a_file_of_another_flow_or_a_newer_program_is_not_used() {
    let scratch = scratch(1);
    fs::write(&scratch.paths.last, checkpoint::encode(&sample("default/other", 9)).unwrap())
        .unwrap();
    assert!(
        scratch.loaded().unwrap_err().to_string().contains("it belongs to flow `default/other`")
    );

    let body = r#"{"version":7}"#;
    let newer =
        format!(r#"{{"crc32c":"{:08x}","checkpoint":{body}}}"#, crc32c::crc32c(body.as_bytes()));
    fs::write(&scratch.paths.last, newer).unwrap();
    assert!(matches!(scratch.loaded(), Err(StoreError::UnknownVersion { version: 7, .. })));
    let error = scratch.store.save(FLOW, &sample(FLOW, 5)).unwrap_err();
    assert!(matches!(error, StoreError::UnknownVersion { .. }), "and not overwritten: {error}");
}

#[test]
fn two_stores_on_one_folder_exclude_each_other() {
    let scratch = scratch(1);
    let other = FileCheckpointStore::open(scratch.folder.path()).unwrap();
    let lease = scratch.store.acquire(FLOW).unwrap();
    for error in [
        other.acquire(FLOW).unwrap_err(),
        other.save(FLOW, &sample(FLOW, 9)).unwrap_err(),
        other.reset(FLOW).unwrap_err(),
    ] {
        assert_eq!(
            error.to_string(),
            format!(
                "flow `default/cpu` is already running in process {}; stop it first",
                std::process::id()
            )
        );
    }
    assert_eq!(other.load(FLOW).unwrap().unwrap().checkpoint.epoch, 1, "reading is allowed");
    drop(lease);
    other.save(FLOW, &sample(FLOW, 9)).unwrap();
    assert_eq!(scratch.store.acquire(FLOW).unwrap().epoch(), 10);
}

#[test]
fn another_process_is_kept_out_until_it_ends() {
    let scratch = scratch(0);
    drop(scratch.store.acquire(FLOW).unwrap());
    // `flock` is in util-linux; without it only the tests within one process remain.
    let spawned = Command::new("flock")
        .arg("--nonblock")
        .arg(&scratch.paths.lock)
        .args(["sh", "-c", "echo locked; read line"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn();
    let Ok(mut child) = spawned else { return };
    let mut locked = [0; 7];
    child.stdout.as_mut().unwrap().read_exact(&mut locked).unwrap();
    assert!(matches!(scratch.store.acquire(FLOW), Err(StoreError::Locked { .. })));
    drop(child.stdin.take());
    child.wait().unwrap();
    assert_eq!(scratch.store.acquire(FLOW).unwrap().epoch(), 2);
}

#[test]
fn a_torn_lock_file_does_not_stop_a_flow_or_lower_its_epoch() {
    let scratch = scratch(5);
    drop(scratch.store.acquire(FLOW).unwrap());
    for torn in ["", "{\"flow\":\"defa", "\u{0}\u{0}"] {
        fs::write(&scratch.paths.lock, torn).unwrap();
        assert_eq!(scratch.store.acquire(FLOW).unwrap().epoch(), 6);
    }
}

#[test]
fn names_that_cannot_be_are_refused_and_unreadable_ones_listed() {
    let scratch = scratch(0);
    for flow in [String::new(), "x".repeat(4_097)] {
        assert!(matches!(scratch.store.load(&flow), Err(StoreError::Invalid { .. })));
    }
    let long = "y".repeat(4_096);
    scratch.store.save(&long, &sample(&long, 1)).unwrap();
    let file = scratch.store.0.paths(&long).unwrap();
    fs::write(&file.last, "torn").unwrap();
    let listed = scratch.store.list().unwrap();
    assert!(listed[0].flow.starts_with("yyy") && listed[0].problem.is_some());
    let error = FileCheckpointStore::open(&file.last).unwrap_err();
    assert!(matches!(error, StoreError::Io { .. }), "{error}");
}

#[test]
fn threads_saving_one_flow_do_not_damage_it() {
    let scratch = scratch(0);
    let lease = scratch.store.acquire(FLOW).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20 {
                    scratch.store.save(FLOW, &sample(FLOW, lease.epoch())).unwrap();
                    assert!(scratch.store.load(FLOW).unwrap().unwrap().warning.is_none());
                }
            });
        }
    });
}

const AMENDMENT: Amendment<'_> = Amendment { by: "alice", at: 5, action: "rewind" };

fn rewind_to(position: u64) -> impl Fn(&mut Sources) -> Result<(), String> + Sync {
    move |sources| {
        sources.insert("source".into(), [("0".into(), position.into())].into());
        Ok(())
    }
}

#[test]
fn a_torn_audit_line_spoils_no_other() {
    let scratch = scratch(1);
    scratch.store.amend(FLOW, &AMENDMENT, &rewind_to(1)).unwrap();
    let audit = &scratch.paths.audit.last;
    let whole = fs::read(audit).unwrap();
    for end in 0..whole.len() {
        fs::write(audit, [&whole[..], &whole[..end]].concat()).unwrap();
        scratch.store.amend(FLOW, &AMENDMENT, &rewind_to(end as u64 + 2)).unwrap();
        let lines = scratch.store.audit(FLOW).unwrap();
        // Without its newline the torn line is whole.
        let expected = if end == whole.len() - 1 { 3 } else { 2 };
        assert_eq!(lines.len(), expected, "cut at {end}");
        assert_eq!(lines.last().unwrap().changes[0].after, Some((end as u64 + 2).into()));
    }
}

#[test]
fn the_audit_is_bounded_and_keeps_the_newest() {
    let scratch = scratch(1);
    let line = scratch.store.amend(FLOW, &AMENDMENT, &rewind_to(1)).unwrap();
    let one = fs::read(&scratch.paths.audit.last).unwrap();
    for round in 0..3 {
        fs::write(&scratch.paths.audit.last, one.repeat((1 << 20) / one.len() + 1)).unwrap();
        scratch.store.amend(FLOW, &AMENDMENT, &rewind_to(round + 2)).unwrap();
    }
    let kept = |path: &Path| fs::metadata(path).unwrap().len();
    assert!(kept(&scratch.paths.audit.last) < 1_000);
    assert!(kept(&scratch.paths.audit.previous) < (1 << 20) + 1_000);
    let lines = scratch.store.audit(FLOW).unwrap();
    assert_eq!(lines.first(), Some(&line));
    assert_eq!(lines.last().unwrap().changes[0].after, Some(4.into()));
}

#[test]
fn a_change_that_cannot_be_stored_says_so_in_the_audit() {
    let scratch = scratch(2);
    *scratch.store.0.fault.lock().unwrap() = Some((Step::Rename, io::ErrorKind::StorageFull));
    let error = scratch.store.amend(FLOW, &AMENDMENT, &rewind_to(1)).unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    let lines = scratch.store.audit(FLOW).unwrap();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].failed.is_none());
    assert!(lines[1].failed.as_ref().unwrap().contains("no space left"), "{:?}", lines[1]);
    assert_eq!(scratch.loaded().unwrap(), Some((2, false)), "the positions are as they were");
}

#[test]
fn damaged_positions_can_be_forgotten_by_an_amendment() {
    let scratch = scratch(1);
    fs::write(&scratch.paths.last, "torn").unwrap();
    let kept = scratch.store.amend(FLOW, &AMENDMENT, &rewind_to(1));
    assert!(matches!(kept, Err(StoreError::Corrupt { .. })));
    let line = scratch.store.amend(FLOW, &AMENDMENT, &|_| Ok(())).unwrap();
    assert!(line.action.contains("could not be read"), "{line:?}");
    assert_eq!(scratch.loaded().unwrap(), None);
}
