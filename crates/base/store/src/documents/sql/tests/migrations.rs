//! Tables that another program made.

use levada_model::ErrorKind;
use levada_runtime::Tasks;

use super::told;
use crate::documents::sql::connection::Connection;
use crate::documents::sql::dialect::{Dialect, Role};
use crate::open_documents;

/// What was done to the register, and what is said about it.
const CASES: [(&str, &str); 4] = [
    (
        "INSERT INTO levada_documents_migrations (number, name, checksum) VALUES (2, '0002_more', '00000000')",
        "a newer program changed its tables with migration `0002_more`, this one knows them up to `0001_documents`; \
         run that program, or restore a backup from before",
    ),
    (
        "DELETE FROM levada_documents_migrations WHERE number = 2;
         UPDATE levada_documents_migrations SET checksum = '00000000'",
        "another program made its tables: migration 1 there is `0001_documents` with checksum 00000000, \
         here 1 is `0001_documents` with ",
    ),
    (
        "UPDATE levada_documents_migrations SET number = 7",
        "another program made its tables: migration 7 there is",
    ),
    (
        "DROP TABLE levada_documents_migrations",
        "it holds tables already that are not of this program; give it a place of its own",
    ),
];

async fn are_refused(dialect: &dyn Dialect, address: &str) {
    let tasks = Tasks::new();
    for (change, expected) in CASES {
        let mut connection: Connection = dialect.connect(Role::Write).await.unwrap();
        connection.script(change).await.unwrap();
        connection.close().await.unwrap();
        dialect.release();
        let error = open_documents(address, &tasks).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(told(&error).contains(expected), "{}", told(&error));
        assert!(told(&error).starts_with("cannot keep documents in "), "{}", told(&error));
    }
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn changed_migrations_in_a_file_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("documents.db");
    let tasks = Tasks::new();
    let address = path.to_str().unwrap();
    open_documents(address, &tasks).await.unwrap().close().await;
    let sqlite = crate::documents::sql::sqlite::Sqlite::open(&path, &tasks).await.unwrap();
    are_refused(&sqlite, address).await;
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
