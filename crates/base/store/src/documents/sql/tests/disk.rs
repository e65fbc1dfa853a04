//! A disk that is full.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use futures_util::future::join_all;
use levada_model::ErrorKind;
use levada_runtime::Tasks;

use super::told;
use crate::{Documents as _, Range, SqlDocuments, Write};

/// A file system of 1 MiB, for as long as it lives.
struct TinyDisk(PathBuf);

impl TinyDisk {
    fn mount(path: PathBuf) -> Option<TinyDisk> {
        fs::create_dir(&path).unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
            .arg(&path)
            .output();
        mount.is_ok_and(|output| output.status.success()).then_some(TinyDisk(path))
    }
}

impl Drop for TinyDisk {
    fn drop(&mut self) {
        // Lazily, because a thread of SQLite may still be closing a file.
        Command::new("umount").arg("-l").arg(&self.0).status().unwrap();
    }
}

#[tokio::test]
async fn a_full_disk_is_told_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = TinyDisk::mount(folder.path().join("disk")) else {
        levada_testkit::skipped("a_full_disk_is_told_and_loses_nothing", "only root may mount");
        return;
    };
    let path = disk.0.join("documents.db");
    let documents = SqlDocuments::sqlite(&path, &Tasks::new()).await.unwrap();
    let put = |key: String, bytes| documents.apply(vec![Write::put("s", key, vec![7; bytes])]);
    // Small ones together with one that cannot fit: only that one is refused.
    let small = (0..10).map(|number| put(format!("small{number}"), 100));
    let (small, large) = tokio::join!(join_all(small), put("large".into(), 3 << 20));
    assert!(small.iter().all(Result::is_ok), "{small:?}");
    let error = large.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    let mut confirmed = 10;
    let error = loop {
        match put(format!("more{confirmed}"), 20_000).await {
            Ok(()) => confirmed += 1,
            Err(error) => break error,
        }
    };
    assert!(confirmed > 11, "{confirmed}");
    let text = told(&error);
    assert!(text.contains("no space is left; free some, what was confirmed is intact"), "{text}");
    assert_eq!(documents.list("s", Range::default()).await.unwrap().len(), confirmed);
    remount(&disk.0, "size=8m");
    put("after".into(), 20_000).await.unwrap();
    documents.close().await;
    let documents = SqlDocuments::sqlite(&path, &Tasks::new()).await.unwrap();
    assert_eq!(documents.list("s", Range::default()).await.unwrap().len(), confirmed + 1);
    documents.close().await;
}

#[tokio::test]
async fn a_disk_that_cannot_be_written_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = TinyDisk::mount(folder.path().join("disk")) else {
        levada_testkit::skipped("a_disk_that_cannot_be_written_is_told", "only root may mount");
        return;
    };
    remount(&disk.0, "ro");
    for path in ["documents.db", "new/documents.db"] {
        let opened = SqlDocuments::sqlite(&disk.0.join(path), &Tasks::new()).await;
        let error = opened.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Forbidden, "{}", told(&error));
        assert!(told(&error).contains("Read-only file system"), "{}", told(&error));
    }
}

fn remount(disk: &Path, options: &str) {
    let options = format!("remount,{options}");
    let remounted = Command::new("mount").arg("-o").arg(options).arg(disk).status();
    assert!(remounted.unwrap().success());
}
