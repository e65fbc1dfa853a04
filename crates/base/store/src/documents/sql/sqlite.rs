//! Documents in a file of SQLite.

mod place;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use levada_model::ErrorKind;
use levada_runtime::{TaskKind, Tasks};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, Error as SqlError};

use super::connection::{Connection, Value};
use super::dialect::{Dialect, Failure, Reach, Role, Statements};
use super::migrate::migrations;
use crate::DocumentError;

/// How long to wait for another program that keeps the file locked, such as a shell that copies it.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Memory for pages of the connection that writes and of one that reads, in KiB (SQLite takes them as negative). It is taken
/// when it is needed: with less, pages of a large transaction are written and read again within it.
const CACHE_WRITE: &str = "-8192";
const CACHE_READ: &str = "-512";
/// Bytes of a page of a new file; one that is there keeps its own. Ours: documents of several kilobytes take a few pages, each
/// of which is written twice, with a call of the system and a checksum.
const PAGE_BYTES: u32 = 16_384;
/// The log is cut to so many bytes when its content has moved into the file.
const LOG_BYTES_KEPT: &str = "16777216";
/// Pages in the log from which on they are moved into the file: as many as the log keeps. A page that changes often is moved
/// once for all of its changes.
const LOG_PAGES: &str = "1024";

static STATEMENTS: Statements = Statements {
    begin: "BEGIN IMMEDIATE",
    version: "SELECT version, 0 FROM levada_documents_version",
    state: "SELECT count(*) FILTER (WHERE name = 'levada_documents_migrations'), count(*) FROM sqlite_schema",
    // The transaction has the only lock there is.
    lock_migrations: "",
    migrations: migrations!("sqlite": "0001_documents" "0002_row_numbers"),
};

/// A file of SQLite.
#[derive(Debug)]
pub(super) struct Sqlite {
    /// As it was given.
    shown: PathBuf,
    path: PathBuf,
    /// Says that this process has the file; `None` when it was closed.
    lock: Mutex<Option<File>>,
}

// === impl Sqlite ===

impl Sqlite {
    /// Takes the file for this process.
    pub(super) async fn open(path: &Path, tasks: &Tasks) -> Result<Self, DocumentError> {
        let shown = path.to_owned();
        let place = path.to_owned();
        let taken =
            tasks.spawn_thread(TaskKind::Store, "documents file", move || place::take(&place));
        let taken = taken
            .await
            .unwrap_or_else(|error| Err(Failure::new(ErrorKind::Internal, error.to_string())));
        let unlocked = |path| Self { shown, path, lock: Mutex::default() };
        match taken {
            Ok((path, lock)) => Ok(Self { lock: Mutex::new(Some(lock)), ..unlocked(path) }),
            Err(failure) => Err(failure.in_store(super::OPEN, &unlocked(PathBuf::new()))),
        }
    }

    async fn connection(&self, role: Role) -> Result<SqliteConnection, SqlError> {
        let options = SqliteConnectOptions::new()
            .filename(&self.path)
            .busy_timeout(BUSY_TIMEOUT)
            .disable_statement_logging();
        let options = match role {
            Role::Write => options
                .page_size(PAGE_BYTES)
                .journal_mode(SqliteJournalMode::Wal)
                // What was confirmed survives a loss of power.
                .synchronous(SqliteSynchronous::Full)
                // What a statement would undo is a file of its own otherwise, made for each.
                .pragma("temp_store", "MEMORY")
                .pragma("cache_size", CACHE_WRITE)
                .pragma("journal_size_limit", LOG_BYTES_KEPT)
                .pragma("wal_autocheckpoint", LOG_PAGES),
            Role::Read => options.read_only(true).pragma("cache_size", CACHE_READ),
        };
        SqliteConnection::connect_with(&options).await
    }
}

#[async_trait]
impl Dialect for Sqlite {
    fn statements(&self) -> &'static Statements {
        &STATEMENTS
    }

    fn describe(&self) -> String {
        format!("SQLite at {}", self.shown.display())
    }

    fn patience(&self) -> Option<Duration> {
        // A disk answers, or fails; what is given up half-way would only wait for it, too.
        None
    }

    async fn connect(&self, role: Role) -> Result<Connection, Failure> {
        let connection = self.connection(role).await;
        connection.map(Connection::Sqlite).map_err(|error| self.failure(&error))
    }

    async fn inspect(&self, connection: &mut Connection) -> Result<(), Failure> {
        let mode = connection.fetch_one::<String>("PRAGMA journal_mode", &[]).await;
        match mode.map_err(|error| self.failure(&error))?.as_str() {
            "wal" => Ok(()),
            _ => {
                let reason = "its file system shares no memory between programs; choose a disk of this machine";
                Err(Failure::new(ErrorKind::Invalid, reason))
            }
        }
    }

    fn reach(&self, error: &SqlError) -> Reach {
        match code(error) {
            Some(code::BUSY | code::LOCKED) => Reach::Database,
            Some(_) => Reach::Call,
            None => match error {
                SqlError::WorkerCrashed | SqlError::Io(_) | SqlError::Protocol(_) => {
                    Reach::Connection
                }
                _ => Reach::Call,
            },
        }
    }

    fn failure(&self, error: &SqlError) -> Failure {
        let (kind, hint) = match code(error) {
            Some(code::PERMISSION | code::READ_ONLY | code::AUTHORIZATION) => {
                (ErrorKind::Forbidden, "give this user the right to write the file and its folder")
            }
            Some(code::BUSY | code::LOCKED) => {
                (ErrorKind::Unavailable, "another program keeps the file locked; end that one")
            }
            Some(code::CANNOT_OPEN) => {
                (ErrorKind::Unavailable, "look whether its folder is there and can be written")
            }
            Some(code::FULL) => (
                ErrorKind::Unavailable,
                "no space is left; free some, what was confirmed is intact",
            ),
            Some(code::IO) => (ErrorKind::Unavailable, "look whether the disk is full or broken"),
            Some(code::NO_MEMORY) => (ErrorKind::Unavailable, "no memory is left"),
            Some(code::CORRUPT) => {
                (ErrorKind::Internal, "the file is damaged; restore a backup of it")
            }
            Some(code::NOT_A_DATABASE) => (
                ErrorKind::Invalid,
                "the file is no database; restore a backup, or name another file",
            ),
            Some(code::TOO_BIG) => (ErrorKind::Invalid, "it is too large"),
            _ => return Failure::new(ErrorKind::Internal, error.to_string()),
        };
        let said = error.as_database_error().map(|error| error.to_string()).unwrap_or_default();
        Failure::new(kind, format!("{hint} {said}"))
    }

    async fn backup(&self, path: &Path, tasks: &Tasks) -> Result<(), Failure> {
        let failed = |error: SqlError| self.failure(&error);
        let copy = place::Copy::begin(path, tasks).await?;
        let mut connection = self.connect(Role::Read).await?;
        let into = copy.text()?;
        let copied = connection.execute("VACUUM INTO $1", &[Value::Text(into)]).await;
        // It only read.
        connection.close().await.ok();
        copied.map_err(failed)?;
        copy.finish(tasks).await
    }

    fn release(&self) {
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// Gives the primary result code.
fn code(error: &SqlError) -> Option<i32> {
    let extended: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(extended & 0xff)
}

/// Result codes. Source: <https://www.sqlite.org/rescode.html>
mod code {
    pub(super) const PERMISSION: i32 = 3;
    pub(super) const BUSY: i32 = 5;
    pub(super) const LOCKED: i32 = 6;
    pub(super) const NO_MEMORY: i32 = 7;
    pub(super) const READ_ONLY: i32 = 8;
    pub(super) const IO: i32 = 10;
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const FULL: i32 = 13;
    pub(super) const CANNOT_OPEN: i32 = 14;
    pub(super) const TOO_BIG: i32 = 18;
    pub(super) const AUTHORIZATION: i32 = 23;
    pub(super) const NOT_A_DATABASE: i32 = 26;
}
