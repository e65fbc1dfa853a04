//! How much memory an open file takes, in a process that does nothing else.

use std::path::Path;
use std::process::Command;

use futures_util::future::join_all;
use levada_runtime::Tasks;

use crate::{Documents as _, Range, SqlDocuments, Write};

/// Set for the process that is measured: the folder.
const CHILD: &str = "LEVADA_TEST_DOCUMENTS_MEMORY";
const KIB_MAX: u64 = 12 * 1_024;

#[cfg(target_os = "linux")]
#[test]
fn an_open_file_takes_little_memory() {
    let name = "documents::sql::tests::memory::an_open_file_takes_little_memory";
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match std::env::var_os(CHILD) {
        Some(folder) => runtime.block_on(measure(Path::new(&folder))),
        None => {
            let folder = tempfile::tempdir().unwrap();
            let mut measured = Command::new(std::env::current_exe().unwrap());
            measured.args(["--exact", name]).env(CHILD, folder.path());
            let output = measured.output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && said.contains("1 passed"), "{said}");
        }
    }
}

async fn measure(folder: &Path) {
    let before = kib();
    let documents =
        SqlDocuments::sqlite(&folder.join("documents.db"), &Tasks::new()).await.unwrap();
    for number in 0..100 {
        let writes =
            (0..100).map(|key| Write::put(format!("s{number}"), format!("{key}"), "x".repeat(300)));
        documents.apply(writes.collect()).await.unwrap();
    }
    for number in 0..100 {
        let space = format!("s{number}");
        // Both connections that read.
        let found = join_all((0..2).map(|_| documents.list(&space, Range::default()))).await;
        assert!(found.into_iter().all(|found| found.unwrap().len() == 100));
    }
    let taken = kib().saturating_sub(before);
    assert!(taken < KIB_MAX, "{taken} KiB");
    documents.close().await;
}

/// Gives the memory of this process that is no part of a file, in KiB.
fn kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
