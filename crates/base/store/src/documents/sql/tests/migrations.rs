//! Tables that another program made.

#[cfg(feature = "sqlite")]
use std::path::Path;

use levada_model::ErrorKind;
use levada_runtime::Tasks;

use super::told;
use crate::documents::sql::connection::Connection;
use crate::documents::sql::dialect::{Dialect, Role};
#[cfg(feature = "sqlite")]
use crate::documents::sql::sqlite::Sqlite;
use crate::open_documents;

/// What was done to the register, and what is said about it; `{last}` is the last migration that this program knows.
const CASES: [(&str, &str); 4] = [
    (
        "INSERT INTO levada_documents_migrations (number, name, checksum)
         SELECT max(number) + 1, 'more', '00000000' FROM levada_documents_migrations",
        "a newer program changed its tables with migration `more`, this one knows them up to `{last}`; \
         run that program, or restore a backup from before",
    ),
    (
        "DELETE FROM levada_documents_migrations WHERE name = 'more';
         UPDATE levada_documents_migrations SET checksum = '00000000'",
        "another program made its tables: migration 1 there is `0001_documents` with checksum 00000000, \
         here 1 is `0001_documents` with ",
    ),
    (
        "UPDATE levada_documents_migrations SET number = number + 6",
        "another program made its tables: migration 7 there is",
    ),
    (
        "DROP TABLE levada_documents_migrations",
        "it holds tables already that are not of this program; give it a place of its own",
    ),
];

async fn are_refused(dialect: &dyn Dialect, address: &str) {
    let tasks = Tasks::new();
    let last = dialect.statements().migrations.last().unwrap().name;
    for (change, expected) in CASES {
        let expected = expected.replace("{last}", last);
        let mut connection: Connection = dialect.connect(Role::Write).await.unwrap();
        connection.script(change).await.unwrap();
        connection.close().await.unwrap();
        dialect.release();
        let error = open_documents(address, &tasks).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(told(&error).contains(&expected), "{}", told(&error));
        assert!(told(&error).starts_with("cannot keep documents in "), "{}", told(&error));
    }
}

/// Makes a file in a folder; gives what opens it, and its address.
#[cfg(feature = "sqlite")]
async fn file(folder: &Path) -> (Sqlite, String) {
    let (path, tasks) = (folder.join("documents.db"), Tasks::new());
    let address = path.to_str().unwrap().to_owned();
    open_documents(&address, &tasks).await.unwrap().close().await;
    (Sqlite::open(&path, &tasks).await.unwrap(), address)
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn changed_migrations_in_a_file_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (sqlite, address) = file(folder.path()).await;
    are_refused(&sqlite, &address).await;
}

/// A file of the first version, with pages of 4 KiB and rows in the tree of names.
#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_file_of_the_first_version_keeps_its_documents() {
    let folder = tempfile::tempdir().unwrap();
    let (sqlite, address) = file(folder.path()).await;
    let mut connection: Connection = sqlite.connect(Role::Write).await.unwrap();
    connection
        .script(
            "DROP TABLE levada_documents;
             DROP TABLE levada_documents_version;
             DELETE FROM levada_documents_migrations WHERE number > 1",
        )
        .await
        .unwrap();
    connection
        .script(include_str!("../../../../migrations/sqlite/0001_documents.sql"))
        .await
        .unwrap();
    connection
        .script(
            "INSERT INTO levada_documents (space, key, value, version)
             VALUES ('s', 'b', x'62', 7), ('s', 'a', zeroblob(100000), 8), ('t', 'a', x'', 9);
             UPDATE levada_documents_version SET version = 9",
        )
        .await
        .unwrap();
    connection.close().await.unwrap();
    sqlite.release();
    let documents = open_documents(&address, &Tasks::new()).await.unwrap();
    let found = documents.list("s", crate::Range::default()).await.unwrap();
    let found: Vec<_> = found.iter().map(|one| (&*one.key, one.value.len(), one.version)).collect();
    assert_eq!(found, [("a", 100_000, 8), ("b", 1, 7)]);
    assert_eq!(documents.spaces("").await.unwrap(), ["s", "t"]);
    documents.apply(vec![crate::Write::replace("s", "b", 7, "new")]).await.unwrap();
    let changed = documents.get("s", "b").await.unwrap().unwrap();
    assert_eq!((&*changed.value, changed.version), (&b"new"[..], 10));
    documents.close().await;
}

#[cfg(feature = "postgresql")]
#[tokio::test]
async fn changed_migrations_on_a_server_are_refused() {
    let test = "changed_migrations_on_a_server_are_refused";
    let Some(schema) = crate::postgres::tests::Schema::new(test) else { return };
    let address = schema.url("documents");
    open_documents(&address, &Tasks::new()).await.unwrap().close().await;
    let postgres = crate::documents::sql::postgres::Postgres::new(&address).unwrap();
    are_refused(&postgres, &address).await;
}

/// Several processes that start at once make the tables once.
#[cfg(feature = "postgresql")]
#[tokio::test]
async fn many_that_start_together_make_the_tables_once() {
    let test = "many_that_start_together_make_the_tables_once";
    let Some(schema) = crate::postgres::tests::Schema::new(test) else { return };
    let (address, tasks) = (schema.url("documents"), Tasks::new());
    let opened =
        futures_util::future::join_all((0..8).map(|_| open_documents(&address, &tasks))).await;
    assert_eq!(opened.len(), 8);
    for documents in opened {
        documents.unwrap().close().await;
    }
}
