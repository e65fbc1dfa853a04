//! How many small calls per second there can be; printed, and with a floor far below what is usual.

#![expect(clippy::print_stderr, reason = "what was measured")]

use std::sync::Arc;

use futures_util::future::join_all;
use levada_runtime::{Clock as _, SystemClock, TaskKind, Tasks};

use crate::{Documents, Write, open_documents};

const CALLERS: usize = 200;
const CALLS: usize = 20;

async fn measure(name: &str, address: &str) {
    let tasks = Tasks::new();
    let documents: Arc<dyn Documents> = open_documents(address, &tasks).await.unwrap();
    let clock = SystemClock::new();
    let start = clock.monotonic();
    let callers = (0..CALLERS).map(|caller| {
        let documents = Arc::clone(&documents);
        tasks.spawn(TaskKind::Store, "caller", async move {
            for call in 0..CALLS {
                let write =
                    Write::put("s", format!("{caller}"), format!("{call}{}", "x".repeat(200)));
                documents.apply(vec![write]).await.unwrap();
            }
        })
    });
    for caller in join_all(callers).await {
        caller.unwrap();
    }
    let seconds = (clock.monotonic() - start).as_secs_f64();
    let per_second = (CALLERS * CALLS) as f64 / seconds;
    eprintln!("{name}: {per_second:.0} calls per second by {CALLERS} callers");
    assert!(per_second > 500.0, "{name}: {per_second:.0}");
    documents.close().await;
}

#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_takes_thousands_of_calls_per_second() {
    let folder = tempfile::tempdir().unwrap();
    measure("SQLite", folder.path().join("documents.db").to_str().unwrap()).await;
}

#[cfg(feature = "postgresql")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_takes_thousands_of_calls_per_second() {
    let test = "a_server_takes_thousands_of_calls_per_second";
    let Some(schema) = crate::postgres::tests::Schema::new(test) else { return };
    measure("PostgreSQL", &schema.url("documents")).await;
}
