//! The file of SQLite: who has it, who may read it, and what may be in it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use futures_util::future::join_all;
use levada_model::ErrorKind;
use levada_runtime::{Clock as _, SystemClock, Tasks};
use tokio::time::timeout;

use super::told;
use crate::documents::sql::QUEUE;
use crate::documents::sql::connection::Connection;
use crate::documents::sql::dialect::{Dialect as _, Role};
use crate::documents::sql::sqlite::Sqlite;
use crate::documents::sql::statements as sql;
use crate::{DocumentError, Documents as _, Range, SqlDocuments, Write, open_documents};

async fn opened(path: &Path) -> Result<SqlDocuments, DocumentError> {
    SqlDocuments::sqlite(path, &Tasks::new()).await
}

/// A file with some documents.
async fn filled(path: &Path) {
    let documents = opened(path).await.unwrap();
    for number in 0..20 {
        let writes =
            (0..50).map(|key| Write::put(format!("s{number}"), format!("{key}"), "x".repeat(100)));
        documents.apply(writes.collect()).await.unwrap();
    }
    documents.close().await;
}

#[tokio::test]
async fn a_second_one_is_told_who_has_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("documents.db");
    let documents = opened(&path).await.unwrap();
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    for path in [&path, &link] {
        let error = opened(path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        let expected = format!(
            "cannot keep documents in SQLite at {}: process {} has it open; stop that one, or name another file",
            path.display(),
            std::process::id()
        );
        assert_eq!(told(&error), expected);
    }
    documents.close().await;
    let documents = opened(&link).await.unwrap();
    // Also without an orderly end.
    drop(documents);
    let mut again = opened(&path).await;
    for _ in 0..100 {
        if again.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        again = opened(&path).await;
    }
    again.unwrap();
}

#[tokio::test]
async fn another_process_is_told_who_has_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("documents.db");
    fs::write(folder.path().join("documents.db.lock"), r#"{"pid":4321}"#).unwrap();
    let mut holder = Command::new("flock")
        .arg(folder.path().join("documents.db.lock"))
        .args(["sh", "-c", "echo; cat"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Read::read_exact(holder.stdout.as_mut().unwrap(), &mut [0]).unwrap();
    let error = opened(&path).await.unwrap_err();
    assert!(told(&error).contains("process 4321 has it open"), "{}", told(&error));
    drop(holder.stdin.take());
    holder.wait().unwrap();
    opened(&path).await.unwrap();
}

#[tokio::test]
async fn only_this_user_can_read_what_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/er/documents.db");
    let documents = opened(&path).await.unwrap();
    documents.apply(vec![Write::put("s", "a", "secret")]).await.unwrap();
    documents.get("s", "a").await.unwrap();
    documents.backup(&folder.path().join("copy.db")).await.unwrap();
    let mut seen = 0;
    for file in
        ["deep/er/documents.db", "deep/er/documents.db-wal", "deep/er/documents.db-shm", "copy.db"]
    {
        let mode = fs::metadata(folder.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
        seen += 1;
    }
    assert_eq!(seen, 4);
}

#[tokio::test]
async fn what_is_confirmed_is_flushed() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = Sqlite::open(&folder.path().join("documents.db"), &Tasks::new()).await.unwrap();
    let mut connection = sqlite.connect(Role::Write).await.unwrap();
    assert_eq!(connection.fetch_one::<String>("PRAGMA journal_mode", &[]).await.unwrap(), "wal");
    let full = connection.fetch_one::<i64>("PRAGMA synchronous", &[]).await.unwrap();
    assert_eq!(full, 2);
    assert_eq!(connection.fetch_one::<i64>("PRAGMA busy_timeout", &[]).await.unwrap(), 5_000);
    let pages: Vec<i64> = {
        let mut reader = sqlite.connect(Role::Read).await.unwrap();
        let of_reader = reader.fetch_one("PRAGMA cache_size", &[]).await.unwrap();
        let refused = reader.execute("CREATE TABLE t (a)", &[]).await;
        assert!(refused.is_err(), "it only reads");
        vec![connection.fetch_one("PRAGMA cache_size", &[]).await.unwrap(), of_reader, of_reader]
    };
    assert_eq!(-pages.iter().sum::<i64>(), 9_216, "KiB for pages, of the 12 MB that all may take");
}

#[tokio::test]
async fn opening_takes_a_moment() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("documents.db");
    filled(&path).await;
    let clock = SystemClock::new();
    let mut fastest = Duration::MAX;
    for _ in 0..10 {
        let start = clock.monotonic();
        let documents = opened(&path).await.unwrap();
        fastest = fastest.min(clock.monotonic() - start);
        documents.close().await;
    }
    assert!(fastest < Duration::from_millis(20), "{fastest:?}");
}

#[tokio::test]
async fn what_is_no_file_of_documents_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("text"), "no database at all, but long enough to have a header".repeat(100))
        .unwrap();
    fs::create_dir(path("folder")).unwrap();
    fs::write(path("file"), "").unwrap();
    {
        let other = Sqlite::open(&path("other"), &Tasks::new()).await.unwrap();
        let mut connection = other.connect(Role::Write).await.unwrap();
        connection.execute("CREATE TABLE other (a)", &[]).await.unwrap();
    }
    for (name, kind, expected) in [
        (
            "text",
            ErrorKind::Invalid,
            "the file is no database; restore a backup, or name another file",
        ),
        ("folder", ErrorKind::Invalid, "is no file; name one in it"),
        ("file/under", ErrorKind::Invalid, "cannot make the folder"),
        ("other", ErrorKind::Invalid, "it holds tables already that are not of this program"),
    ] {
        let error = opened(&path(name)).await.unwrap_err();
        assert!(told(&error).contains(expected), "{name}: {}", told(&error));
        assert_eq!(error.kind(), kind, "{name}: {}", told(&error));
    }
    assert!(fs::read(path("text")).unwrap().starts_with(b"no database"), "left as it was");
}

#[tokio::test]
async fn damage_is_an_error_and_no_nonsense() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("documents.db");
    filled(&path).await;
    let whole = fs::read(&path).unwrap();
    let mut refused = 0;
    // A page in each case, and a cut.
    for at in (0..whole.len()).step_by(4_096).chain([usize::MAX]) {
        let mut damaged = whole.clone();
        match damaged.get_mut(at..at.saturating_add(4_096)) {
            Some(page) => page.fill(0xa5),
            None => damaged.truncate(whole.len() / 3),
        }
        fs::write(&path, &damaged).unwrap();
        let outcome = async {
            let documents = opened(&path).await?;
            let outcome = async {
                for space in documents.spaces("").await? {
                    for document in documents.list(&space, Range::default()).await? {
                        assert_eq!(document.value, "x".repeat(100));
                    }
                }
                documents.apply(vec![Write::put("s1", "1", "x".repeat(100))]).await
            };
            let outcome = outcome.await;
            documents.close().await;
            outcome
        };
        if let Err(error) = outcome.await {
            refused += 1;
            let told = told(&error);
            assert!(
                [
                    "the file is damaged; restore a backup",
                    "the file is no database",
                    "holds tables already"
                ]
                .iter()
                .any(|expected| told.contains(expected)),
                "{told}"
            );
        }
    }
    let pages = whole.len() / 4_096;
    assert!(refused > pages / 2, "{refused} of {pages}");
}

#[tokio::test]
async fn another_program_that_locks_the_file_is_waited_for_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("documents.db");
    let documents = opened(&path).await.unwrap();
    documents.apply(vec![Write::put("s", "a", "1")]).await.unwrap();
    // A shell does not look at the lock file.
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let mut shell = Connection::Sqlite(sqlx::ConnectOptions::connect(&options).await.unwrap());
    shell.execute("BEGIN IMMEDIATE", &[]).await.unwrap();
    let (waited, ()) = tokio::join!(documents.apply(vec![Write::put("s", "a", "2")]), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let found = documents.get("s", "a").await.unwrap().unwrap();
        assert_eq!(found.value, "1", "reading does not wait");
        shell.execute("COMMIT", &[]).await.unwrap();
    });
    waited.unwrap();
    let sqlite = Sqlite::open(&folder.path().join("other.db"), &Tasks::new()).await.unwrap();
    let mut connection = sqlite.connect(Role::Write).await.unwrap();
    connection.execute("PRAGMA busy_timeout = 0", &[]).await.unwrap();
    let mut other = sqlite.connect(Role::Write).await.unwrap();
    other.execute("BEGIN IMMEDIATE", &[]).await.unwrap();
    let error = connection.execute("BEGIN IMMEDIATE", &[]).await.unwrap_err();
    let failure = sqlite.failure(&error);
    assert_eq!(failure.kind, ErrorKind::Unavailable);
    let expected =
        "another program keeps the file locked; end that one (code: 5) database is locked";
    assert_eq!(failure.reason, expected);
}

#[tokio::test]
async fn calls_wait_for_a_place_and_who_gives_up_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("documents.db");
    let documents = opened(&path).await.unwrap();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let mut shell = Connection::Sqlite(sqlx::ConnectOptions::connect(&options).await.unwrap());
    shell.execute("BEGIN IMMEDIATE", &[]).await.unwrap();
    let moment = Duration::from_millis(20);
    let mut under_way = Box::pin(documents.apply(vec![Write::put("s", "under way", "")]));
    assert!(timeout(moment, &mut under_way).await.is_err(), "the file is locked");
    let mut given_up = Box::pin(documents.apply(vec![Write::put("given up", "", "")]));
    assert!(timeout(moment, &mut given_up).await.is_err());
    let many = QUEUE.records + 5;
    let mut calls = Box::pin(join_all(
        (0..many).map(|number| documents.apply(vec![Write::put("s", format!("{number:05}"), "")])),
    ));
    assert!(timeout(moment, &mut calls).await.is_err());
    let waiting = documents.waiting();
    assert_eq!((waiting.records, waiting.waits), (QUEUE.records, 6), "the rest waits for a place");
    drop(given_up);
    shell.execute("COMMIT", &[]).await.unwrap();
    under_way.await.unwrap();
    let outcomes = calls.await;
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(documents.waiting().items, 0);
    let found = documents.list("s", Range::default()).await.unwrap();
    assert_eq!(found.len() as u64, many + 1);
    let (numbered, first) = found.split_at(found.len() - 1);
    assert!(numbered.is_sorted_by_key(|document| document.version), "in the order of the calls");
    assert!(first[0].version < numbered[0].version);
    assert_eq!(documents.spaces("").await.unwrap(), ["s"]);
}

#[tokio::test]
async fn a_copy_is_whole_and_replaces_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("documents.db"), folder.path().join("copy.db"));
    let documents = opened(&path).await.unwrap();
    documents.apply(vec![Write::put("s", "a", "1"), Write::put("s", "b", "1")]).await.unwrap();
    documents.apply(vec![Write::delete("s", "b")]).await.unwrap();
    documents.backup(&copy).await.unwrap();
    documents.apply(vec![Write::put("s", "a", "2")]).await.unwrap();
    let error = documents.backup(&copy).await.unwrap_err();
    let expected = format!(
        "cannot back up documents in SQLite at {}: `{}` is there already; name another file",
        path.display(),
        copy.display()
    );
    assert_eq!(told(&error), expected);
    let nowhere = documents.backup(&folder.path().join("none/copy.db")).await.unwrap_err();
    assert!(told(&nowhere).contains("cannot make the file"), "{}", told(&nowhere));
    let files = fs::read_dir(folder.path()).unwrap().flatten();
    assert!(!files.into_iter().any(|file| file.path().extension().unwrap() == "part"));
    let copied = opened(&copy).await.unwrap();
    let found = copied.list("s", Range::default()).await.unwrap();
    assert_eq!(found.iter().map(|found| &*found.value).collect::<Vec<_>>(), [b"1"]);
    copied.apply(vec![Write::create("s", "c", "")]).await.unwrap();
    let new = copied.get("s", "c").await.unwrap().unwrap().version;
    assert!(new > 2, "versions go on: {new}");
    let memory = crate::MemoryDocuments::default();
    assert_eq!(memory.backup(&copy).await.unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn addresses_say_where_documents_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a?b%20c#d.db");
    let tasks = Tasks::new();
    for scheme in ["", "sqlite:", "sqlite://"] {
        let address = format!("{scheme}{}", path.display());
        let documents = open_documents(&address, &tasks).await.unwrap();
        assert_eq!(documents.describe(), format!("SQLite at {}", path.display()));
        assert!(path.exists());
        documents.close().await;
    }
    assert_eq!(open_documents("memory:", &tasks).await.unwrap().describe(), "memory");
    for (address, expected) in [
        ("", "it names no file"),
        ("sqlite:", "it names no file"),
        ("sqlite::memory:", "for documents in memory it must be `memory:`"),
        (
            "mysql://u:hunter2@h/d",
            "nothing is kept at `mysql://`; known: a path, `sqlite:`, `postgres://`, `memory:`",
        ),
    ] {
        let error = open_documents(address, &tasks).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("the address of the documents cannot be used: {expected}")
        );
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
}

#[tokio::test]
async fn a_writer_that_was_stopped_confirms_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("documents.db");
    let tasks = Tasks::new();
    let documents = SqlDocuments::sqlite(&path, &tasks).await.unwrap();
    documents.apply(vec![Write::put("s", "a", "1")]).await.unwrap();
    tasks.abort_all();
    tokio::task::yield_now().await;
    let error = documents.apply(vec![Write::put("s", "a", "2")]).await.unwrap_err();
    assert_eq!(
        told(&error),
        format!("cannot change documents in SQLite at {}: it was closed", path.display())
    );
    documents.close().await;
    let documents = opened(&path).await.unwrap();
    assert_eq!(documents.get("s", "a").await.unwrap().unwrap().value, "1");
}

/// Also in a store of many documents.
#[tokio::test]
async fn listing_goes_by_the_index() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("documents.db");
    filled(&path).await;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let mut connection = sqlx::ConnectOptions::connect(&options).await.unwrap();
    for statement in
        [sql::LIST, sql::LIST_TO_THE_END, sql::SPACES, sql::SPACES_TO_THE_END, sql::GET]
    {
        let explain = format!("EXPLAIN QUERY PLAN {statement}");
        let rows: Vec<(i64, i64, i64, String)> =
            sqlx::query_as(sqlx::AssertSqlSafe(explain)).fetch_all(&mut connection).await.unwrap();
        let plan: Vec<_> = rows.into_iter().map(|row| row.3).collect();
        let steps: Vec<_> = plan.iter().filter(|step| step.contains("levada_documents")).collect();
        assert!(
            !steps.is_empty() && steps.iter().all(|step| step.starts_with("SEARCH")),
            "{plan:?}"
        );
        assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE")), "{plan:?}");
    }
}
