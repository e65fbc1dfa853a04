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
    grow(&disk.0);
    put("after".into(), 20_000).await.unwrap();
    documents.close().await;
    let documents = SqlDocuments::sqlite(&path, &Tasks::new()).await.unwrap();
    assert_eq!(documents.list("s", Range::default()).await.unwrap().len(), confirmed + 1);
    documents.close().await;
}

fn grow(disk: &Path) {
    let grown = Command::new("mount").args(["-o", "remount,size=8m"]).arg(disk).status();
    assert!(grown.unwrap().success());
}
