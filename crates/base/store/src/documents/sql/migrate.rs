//! Migrations: applied in their order, each once, and recorded with a checksum.
//!
//! What is recorded must be the beginning of what this program knows, word for word. Anything else was made by another
//! program, which may have put a different meaning into the tables; it is refused rather than guessed.

use levada_model::ErrorKind;
use sqlx::Error as SqlError;

use super::connection::{Connection, Value};
use super::dialect::{Dialect, Failure};

/// A file of `migrations/`.
#[derive(Debug)]
pub(super) struct Migration {
    /// Its name without the ending, such as `0001_documents`.
    pub(super) name: &'static str,
    pub(super) script: &'static str,
}

/// Lists migration files of a folder.
macro_rules! migrations {
    ($folder:literal: $($name:literal)+) => {
        &[$($crate::documents::sql::migrate::Migration {
            name: $name,
            script: include_str!(concat!("../../../migrations/", $folder, "/", $name, ".sql")),
        }),+]
    };
}
pub(super) use migrations;

const CREATE_REGISTER: &str = "
    CREATE TABLE IF NOT EXISTS levada_documents_migrations (
        number bigint NOT NULL PRIMARY KEY,
        name text NOT NULL,
        checksum text NOT NULL,
        applied_at text NOT NULL DEFAULT CURRENT_TIMESTAMP
    )";
const REGISTER: &str =
    "SELECT number, name, checksum FROM levada_documents_migrations ORDER BY number";
const RECORD: &str =
    "INSERT INTO levada_documents_migrations (number, name, checksum) VALUES ($1, $2, $3)";

/// Brings the database up to what this program knows.
///
/// - Errors: it was made by a newer or another program, or cannot be changed.
pub(super) async fn migrate(
    dialect: &dyn Dialect,
    connection: &mut Connection,
) -> Result<(), Failure> {
    let failed = |error: SqlError| dialect.failure(&error);
    let statements = dialect.statements();
    if recorded(dialect, connection).await?.len() == statements.migrations.len() {
        return Ok(());
    }
    connection.script(statements.begin).await.map_err(failed)?;
    let migrated = pending(dialect, connection).await;
    let end = if migrated.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = connection.script(end).await.map_err(failed);
    migrated.and(ended)
}

/// Applies what is not recorded yet, in a transaction.
async fn pending(dialect: &dyn Dialect, connection: &mut Connection) -> Result<(), Failure> {
    let failed = |error: SqlError| dialect.failure(&error);
    let statements = dialect.statements();
    connection.script(statements.lock_migrations).await.map_err(failed)?;
    // Another process may have been faster.
    let done = recorded(dialect, connection).await?.len();
    connection.script(CREATE_REGISTER).await.map_err(failed)?;
    for (number, migration) in (1..).zip(statements.migrations).skip(done) {
        connection.script(migration.script).await.map_err(failed)?;
        let checksum = migration.checksum();
        let values = [Value::Number(number), Value::Text(migration.name), Value::Text(&checksum)];
        connection.execute(RECORD, &values).await.map_err(failed)?;
        tracing::info!(
            migration = migration.name,
            store = dialect.describe(),
            "migrated documents"
        );
    }
    Ok(())
}

/// Gives what is recorded, if it is the beginning of what this program knows.
async fn recorded(
    dialect: &dyn Dialect,
    connection: &mut Connection,
) -> Result<Vec<(i64, String, String)>, Failure> {
    let failed = |error: SqlError| dialect.failure(&error);
    let state = connection.fetch_one::<(i64, i64)>(dialect.statements().state, &[]).await;
    let recorded = match state.map_err(failed)? {
        (0, 0) => Vec::new(),
        (0, _) => {
            let reason =
                "it holds tables already that are not of this program; give it a place of its own";
            return Err(Failure::new(ErrorKind::Invalid, reason));
        }
        _ => connection.fetch(REGISTER, &[]).await.map_err(failed)?,
    };
    check(dialect.statements().migrations, &recorded)
        .map_err(|reason| Failure::new(ErrorKind::Invalid, reason))?;
    Ok(recorded)
}

fn check(known: &[Migration], recorded: &[(i64, String, String)]) -> Result<(), String> {
    for (expected, (number, name, checksum)) in (1..).zip(recorded) {
        let Some(migration) = usize::try_from(expected - 1).ok().and_then(|at| known.get(at))
        else {
            let last = known.last().map_or("none", |migration| migration.name);
            return Err(format!(
                "a newer program changed its tables with migration `{name}`, this one knows them up to `{last}`; \
                 run that program, or restore a backup from before"
            ));
        };
        let known_checksum = migration.checksum();
        if (*number, &**name, checksum) != (expected, migration.name, &known_checksum) {
            return Err(format!(
                "another program made its tables: migration {number} there is `{name}` with checksum {checksum}, \
                 here {expected} is `{}` with {known_checksum}; run the program that made them, or restore a backup",
                migration.name
            ));
        }
    }
    Ok(())
}

// === impl Migration ===

impl Migration {
    fn checksum(&self) -> String {
        format!("{:08x}", crc32c::crc32c(self.script.as_bytes()))
    }
}
