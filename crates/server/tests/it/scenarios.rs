//! The scenarios of `conformance/`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::scenario;
use crate::started::{Started, run};

/// Runs every file of a folder, each against a server of its own.
pub(crate) async fn run_all(folder: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance").join(folder);
    let mut files: Vec<PathBuf> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "http"));
    files.sort();
    assert!(!files.is_empty(), "{} has no scenario", folder.display());
    let mut problems = Vec::new();
    for file in files {
        let steps = scenario::parse(&format!("\n{}", fs::read_to_string(&file).unwrap()));
        let data = tempfile::tempdir().unwrap();
        let server = Started::new(data.path(), &[]).await;
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let found = scenario::run(&steps, &server.url).await;
        problems.extend(found.into_iter().map(|problem| format!("{name}: {problem}")));
        server.stop().await;
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn small() {
    run(async {
        run_all("kapacitor/small").await;
    });
}

#[test]
fn alerts() {
    run(async {
        run_all("kapacitor/alerts").await;
    });
}

#[test]
fn tasks() {
    run(async {
        run_all("kapacitor/tasks").await;
    });
}

#[test]
fn recordings() {
    run(async {
        run_all("kapacitor/recordings").await;
    });
}

#[test]
fn clients() {
    run(async {
        run_all("kapacitor/clients").await;
    });
}

#[test]
fn config() {
    run(async {
        run_all("kapacitor/config").await;
    });
}

#[test]
fn service_tests() {
    run(async {
        run_all("kapacitor/service-tests").await;
    });
}

#[test]
fn storage() {
    run(async {
        run_all("kapacitor/storage").await;
    });
}

#[test]
fn debug() {
    run(async {
        run_all("kapacitor/debug").await;
    });
}

#[test]
fn refusals() {
    run(async {
        run_all("kapacitor/refusals").await;
    });
}
