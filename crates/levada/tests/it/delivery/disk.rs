//! A full disk: the flow waits for space and goes on.

use std::path::{Path, PathBuf};
use std::process::Command;

use levada_testkit::process::Folder;
use levada_testkit::skipped;

use super::support::{Arrived, LONG, conserved, count, flow, records, start};

/// A small file system in memory; unmounted at the end.
struct Small(PathBuf);

impl Small {
    /// Mounts it; nothing where that is not allowed.
    fn mount(path: &Path) -> Option<Small> {
        std::fs::create_dir_all(path).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
            .arg(path)
            .output()
            .is_ok_and(|output| output.status.success());
        mounted.then(|| Small(path.to_owned()))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _gone = Command::new("umount").arg("-l").arg(&self.0).status().is_err();
    }
}

/// Every combination writes 3 MB to a disk of 1 MB of which most is taken, until it is freed.
#[test]
fn a_full_disk_is_waited_for() {
    for (name, settings) in [
        ("plain", "path: small/out.ndjson"),
        ("atomic", "path: small/out.ndjson, mode: atomic"),
        ("gzip", "path: small/out.ndjson.gz, compression: gzip"),
    ] {
        let folder = Folder::new();
        let Some(small) = Small::mount(&folder.path("small")) else {
            return skipped("a full disk", "only root can mount a file system");
        };
        // Takes all but some kilobytes.
        let taken = small.0.join("taken");
        std::fs::write(&taken, vec![0; (1 << 20) - 32_768]).unwrap();
        let gzip = if name == "gzip" { "checkpointSaveInterval: 50ms\n" } else { "" };
        flow(
            &folder,
            &format!(
                "{gzip}source: {{type: file, file: {{paths: [in.ndjson]}}}}
sink: {{type: file, file: {{{settings}}}}}
errors: {{type: file, file: {{path: dead.ndjson}}}}
"
            ),
        );
        folder.write("in.ndjson", records(0..7000));
        let mut running =
            start(&folder, &["--set", "flow.retry-initial=10ms", "--set", "flow.retry-max=50ms"]);
        running.until("it found the disk full", LONG, || {
            let log = String::from_utf8_lossy(&folder.read("stderr.0")).into_owned();
            log.matches("No space left").count() >= 2
        });
        assert!(running.is_running());
        std::fs::remove_file(&taken).unwrap();
        let ended = running.wait(LONG).expect_code(0);
        let summary = ended.summary();
        conserved(&summary);
        assert_eq!(count(&summary, "recordsOut"), 7000, "{name}: {summary}");
        assert_eq!(count(&summary, "deadLettered"), 0, "{name}: {summary}");
        let file = if name == "gzip" { "small/out.ndjson.gz" } else { "small/out.ndjson" };
        Arrived::in_files(&folder, &[file]).holds_once(0..7000);
    }
}

/// Checkpoints do not fit on a full disk; the flow goes on, and says so.
#[test]
fn checkpoints_that_do_not_fit_are_stored_later() {
    let folder = Folder::new();
    let Some(small) = Small::mount(&folder.path("data")) else {
        return skipped("checkpoints on a full disk", "only root can mount a file system");
    };
    flow(
        &folder,
        "checkpointSaveInterval: 20ms
source: {type: file, file: {paths: [in.ndjson], follow: true, pollInterval: 10ms}}
sink: {type: file, file: {path: out.ndjson}}
",
    );
    folder.write("in.ndjson", records(0..100));
    let mut running = start(&folder, &[]);
    let arrived = |wanted: usize| Arrived::in_files(&folder, &["out.ndjson"]).ids.len() == wanted;
    running.until("some arrived", LONG, || arrived(100));
    let taken = small.0.join("taken");
    // As much as there is; the write that does not fit is the one that fills it.
    let _full = std::fs::write(&taken, vec![0; 2 << 20]).is_err();
    folder.append("in.ndjson", records(100..200));
    running.until("more arrived", LONG, || arrived(200));
    running.until("it says so", LONG, || {
        String::from_utf8_lossy(&folder.read("stderr.0")).contains("positions could not be stored")
    });
    std::fs::remove_file(&taken).unwrap();
    running.signal(rustix::process::Signal::TERM);
    running.wait(LONG).expect_code(0);

    let mut running = start(&folder, &[]);
    folder.append("in.ndjson", records(200..300));
    running.until("the rest arrived", LONG, || arrived(300));
    running.signal(rustix::process::Signal::TERM);
    running.wait(LONG).expect_code(0);
    Arrived::in_files(&folder, &["out.ndjson"]).holds_once(0..300);
}

#[test]
fn a_device_that_is_always_full_loses_nothing() {
    let folder = Folder::new();
    flow(
        &folder,
        "source: {type: file, file: {paths: [in.ndjson]}}
sink: {type: file, file: {path: /dev/full}}
errors: {type: file, file: {path: dead.ndjson}}
",
    );
    folder.write("in.ndjson", records(0..1000));
    let more = ["--set", "flow.retry-initial=10ms", "--set", "flow.retry-max=50ms"];
    let mut running = start(&folder, &more);
    running.until("it found the disk full", LONG, || {
        let log = String::from_utf8_lossy(&folder.read("stderr.0")).into_owned();
        log.matches("No space left").count() >= 3
    });
    running.signal(rustix::process::Signal::TERM);
    running.until("it drains", LONG, || {
        String::from_utf8_lossy(&folder.read("stderr.0")).contains("stopping")
    });
    running.signal(rustix::process::Signal::TERM);
    let summary = running.wait(LONG).expect_no_panic().summary();
    conserved(&summary);
    assert_eq!(count(&summary, "deadLettered"), 0);
    assert_eq!(count(&summary, "recordsOut"), 0);
    assert!(folder.read("dead.ndjson").is_empty());
}
