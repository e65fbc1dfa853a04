//! Files that grow, move and go.

use std::fs::OpenOptions;
use std::io::Write;

use super::*;

fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

async fn following(folder: &TempDir, pattern: &str) -> FileSource {
    open(folder.path(), Spec { follow: true, ..lines(&[pattern]) }, 64, &[]).await
}

async fn expect(source: &mut FileSource, expected: &[&str]) -> Vec<(Str, Position)> {
    let mut got = Vec::new();
    let mut positions = Vec::new();
    while got.len() < expected.len() {
        let batch = next(source).await.unwrap().unwrap();
        got.extend(batch.payloads);
        positions.extend(batch.positions);
    }
    assert_eq!(got, expected);
    positions
}

#[tokio::test]
async fn new_lines_and_new_files_are_read() {
    let folder = folder();
    let mut source = following(&folder, "*.log").await;
    let path = write(&folder, "a.log", "1\n2");
    let positions = expect(&mut source, &["1"]).await;
    assert_eq!(positions[0].1["offset"], 2, "the unfinished line is before the position");
    append(&path, "2\n3\n4");
    let positions = expect(&mut source, &["22", "3"]).await;
    assert_eq!(positions.last().unwrap().1["offset"], 7);
    write(&folder, "b.log", "b\n");
    expect(&mut source, &["b"]).await;
    append(&path, "\n");
    expect(&mut source, &["4"]).await;
}

#[tokio::test]
async fn a_file_that_is_renamed_is_read_to_its_end_first() {
    let folder = folder();
    let path = write(&folder, "app.log", "1\n");
    let mut source = following(&folder, "app.log").await;
    expect(&mut source, &["1"]).await;
    let old = folder.path().join("app.log.1");
    std::fs::rename(&path, &old).unwrap();
    // The writer has not noticed yet, and its last line has no end.
    append(&old, "2\n3");
    append(&path, "new\n");
    let positions = expect(&mut source, &["2", "3", "new"]).await;
    assert!(positions.iter().all(|(name, _)| name.ends_with("app.log")));
    let inodes: Vec<u64> = positions.iter().filter_map(|(_, at)| at["inode"].as_u64()).collect();
    assert_ne!(inodes.first(), inodes.last());
}

#[tokio::test]
async fn a_file_that_is_renamed_within_the_pattern_goes_on() {
    let folder = folder();
    let path = write(&folder, "app.log", "1\n");
    let mut source = following(&folder, "app.log*").await;
    expect(&mut source, &["1"]).await;
    let old = folder.path().join("app.log.1");
    std::fs::rename(&path, &old).unwrap();
    // The rename is seen at the next poll; until then the old name stands.
    loop {
        append(&old, "2\n");
        let positions = expect(&mut source, &["2"]).await;
        if positions[0].0.ends_with("app.log.1") {
            break;
        }
    }
    append(&path, "new\n");
    expect(&mut source, &["new"]).await;
}

#[tokio::test]
async fn a_file_that_is_truncated_is_read_from_its_start() {
    let folder = folder();
    let path = write(&folder, "f", "first\nsecond\n");
    let mut source = following(&folder, "f").await;
    expect(&mut source, &["first", "second"]).await;
    // Shorter, then as long with other bytes.
    std::fs::write(&path, "3\n").unwrap();
    expect(&mut source, &["3"]).await;
    std::fs::write(&path, "4\n5\n6\n7\n").unwrap();
    expect(&mut source, &["4", "5", "6", "7"]).await;
}

#[tokio::test]
async fn a_file_that_vanishes_gives_its_last_line_and_may_come_back() {
    let folder = folder();
    let path = write(&folder, "f", "1\n2");
    let mut source = following(&folder, "f").await;
    expect(&mut source, &["1"]).await;
    std::fs::remove_file(&path).unwrap();
    expect(&mut source, &["2"]).await;
    write(&folder, "f", "another\n");
    expect(&mut source, &["another"]).await;
}

#[tokio::test]
async fn only_old_content_is_passed_over_at_the_start() {
    let folder = folder();
    let path = write(&folder, "old", "1\n2\n");
    let empty = write(&folder, "empty", "");
    let spec = Spec { follow: true, start_at: "end".into(), ..lines(&["*"]) };
    let mut source = open(folder.path(), spec, 64, &[]).await;
    // A file that comes later shows that the others were looked at.
    while source.lag() != Some(0) {
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    append(&empty, "a\n");
    expect(&mut source, &["a"]).await;
    append(&path, "3\n");
    expect(&mut source, &["3"]).await;
    write(&folder, "late", "b\n");
    expect(&mut source, &["b"]).await;
}

#[tokio::test]
async fn lag_counts_what_is_not_read() {
    let folder = folder();
    write(&folder, "f", "x\n".repeat(1_000));
    let mut source = following(&folder, "f").await;
    let first = next(&mut source).await.unwrap().unwrap();
    assert!(source.lag().unwrap() > 0);
    let mut left = 1_000 - first.payloads.len();
    while left > 0 {
        left -= next(&mut source).await.unwrap().unwrap().payloads.len();
    }
    while source.lag() != Some(0) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn dropping_a_wait_loses_nothing() {
    let folder = folder();
    let path = write(&folder, "f", "");
    let mut source = following(&folder, "f").await;
    let mut batch = RecordBatch::new();
    let mut got = Vec::new();
    for round in 0..50 {
        append(&path, &format!("{round}\n"));
        let wait = tokio::time::timeout(Duration::from_micros(500), source.next(&mut batch)).await;
        if wait.is_ok() {
            got.extend(payloads(&batch));
            batch.clear();
        }
    }
    while got.len() < 50 {
        source.next(&mut batch).await.unwrap();
        got.extend(payloads(&batch));
        batch.clear();
    }
    assert_eq!(got, (0..50).map(|round| round.to_string()).collect::<Vec<_>>());
}
