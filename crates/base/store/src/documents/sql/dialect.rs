//! What the databases do differently.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use levada_model::ErrorKind;
use levada_runtime::Tasks;
use sqlx::Error as SqlError;

use super::connection::{Connection, Value};
use super::migrate::Migration;
use super::plan::Name;
use super::statements as sql;
use crate::DocumentError;

/// From so many documents of a space on one statement deletes them, with one key in the places that are left over.
const DELETE_MANY_FROM: usize = 4;

/// A database.
#[async_trait]
pub(super) trait Dialect: fmt::Debug + Send + Sync + 'static {
    /// Gives the statements that differ.
    fn statements(&self) -> &'static Statements;

    /// Says what it is, for people, without secrets.
    fn describe(&self) -> String;

    /// Gives how long a piece of work may take, beside the time for its bytes; nothing for as long as it takes.
    fn patience(&self) -> Option<Duration>;

    /// Makes a connection.
    async fn connect(&self, role: Role) -> Result<Connection, Failure>;

    /// Looks whether the database is fit to keep documents, once, before anything else is done.
    async fn inspect(&self, connection: &mut Connection) -> Result<(), Failure>;

    /// Gives the versions of those of some documents that are there.
    async fn versions<'a>(
        &self,
        connection: &mut Connection,
        names: &[Name<'a>],
    ) -> Result<BTreeMap<Name<'a>, i64>, SqlError> {
        let mut found = BTreeMap::new();
        for name in names {
            let values = [Value::Text(name.0), Value::Text(name.1)];
            let version = connection.fetch::<i64>(sql::VERSION, &values).await?.pop();
            found.extend(version.map(|version| (*name, version)));
        }
        Ok(found)
    }

    /// Stores documents, whatever was there.
    async fn put(
        &self,
        connection: &mut Connection,
        documents: &[(Name<'_>, i64, &Bytes)],
    ) -> Result<(), SqlError> {
        let (many, rest) = documents.as_chunks::<{ sql::PUT_ROWS }>();
        for documents in many {
            let values: Vec<Value<'_>> = documents.iter().flat_map(values_of).collect();
            connection.execute(sql::PUT_MANY.as_str(), &values).await?;
        }
        let (some, rest) = rest.as_chunks::<{ sql::PUT_SOME_ROWS }>();
        for documents in some {
            let values: Vec<Value<'_>> = documents.iter().flat_map(values_of).collect();
            connection.execute(sql::PUT_SOME.as_str(), &values).await?;
        }
        for document in rest {
            connection.execute(sql::PUT, &values_of(document)).await?;
        }
        Ok(())
    }

    /// Deletes documents, as far as they are there.
    async fn delete(
        &self,
        connection: &mut Connection,
        names: &[Name<'_>],
    ) -> Result<(), SqlError> {
        for names in names.chunk_by(|one, other| one.0 == other.0) {
            for names in names.chunks(sql::DELETE_ROWS) {
                let (space, last) = names[names.len() - 1];
                if names.len() < DELETE_MANY_FROM {
                    for (space, key) in names {
                        let name = [Value::Text(space), Value::Text(key)];
                        connection.execute(sql::DELETE, &name).await?;
                    }
                    continue;
                }
                let keys = names.iter().map(|(_, key)| Value::Text(key));
                let mut values: Vec<Value<'_>> =
                    std::iter::once(Value::Text(space)).chain(keys).collect();
                values.resize(sql::DELETE_ROWS + 1, Value::Text(last));
                connection.execute(sql::DELETE_MANY.as_str(), &values).await?;
            }
        }
        Ok(())
    }

    /// Says how far an error reaches.
    fn reach(&self, error: &SqlError) -> Reach;

    /// Explains an error.
    fn failure(&self, error: &SqlError) -> Failure;

    /// Says whether a transaction was committed whose connection was lost in the meantime; nothing when that cannot be known.
    async fn was_committed(&self, _transaction: i64) -> Option<bool> {
        None
    }

    /// Writes a copy of everything.
    async fn backup(&self, path: &Path, tasks: &Tasks) -> Result<(), Failure>;

    /// Lets others have the database.
    fn release(&self) {}
}

/// Statements that differ.
#[derive(Debug)]
pub(super) struct Statements {
    /// Begins a transaction that changes documents.
    pub(super) begin: &'static str,
    /// Gives the version given out last and a number for [`Dialect::was_committed`], and keeps others from changing documents
    /// until the end of the transaction.
    pub(super) version: &'static str,
    /// Two numbers: whether the register of migrations is there, and whether what the migrations make, or anything else
    /// in its way, is.
    pub(super) state: &'static str,
    /// Keeps others from migrating until the end of the transaction.
    pub(super) lock_migrations: &'static str,
    /// Migrations, in their order.
    pub(super) migrations: &'static [Migration],
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Write,
    Read,
}

/// How far an error reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// The connection cannot be used any more.
    Connection,
    /// The transaction got in the way of another one; it can be done again.
    #[cfg_attr(not(feature = "postgresql"), expect(dead_code, reason = "SQLite has one writer"))]
    Transaction,
    /// The call; another one may be done nevertheless.
    Call,
    /// The whole database, at the moment.
    Database,
}

/// Why something failed.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) kind: ErrorKind,
    pub(super) reason: String,
}

// === impl Failure ===

impl Failure {
    pub(super) fn new(kind: ErrorKind, reason: impl Into<String>) -> Self {
        Self { kind, reason: reason.into() }
    }

    /// Says that nobody answered.
    pub(super) fn no_answer() -> Self {
        Self::new(ErrorKind::Unavailable, "no answer in time")
    }

    pub(super) fn in_store(self, action: &'static str, dialect: &dyn Dialect) -> DocumentError {
        let (kind, source) = (self.kind, self.reason.into());
        DocumentError::Failed { action, store: dialect.describe(), kind, source }
    }
}

/// How many bytes are at least moved per second; a slower connection counts as lost.
const BYTES_PER_SECOND_MIN: u64 = 1 << 20;

/// Waits for `work` that moves so many bytes; nothing when it takes longer than it may.
pub(super) async fn bounded<T>(
    dialect: &dyn Dialect,
    bytes: u64,
    work: impl Future<Output = T>,
) -> Option<T> {
    match dialect.patience() {
        Some(patience) => {
            let patience = patience + Duration::from_secs(bytes / BYTES_PER_SECOND_MIN);
            tokio::time::timeout(patience, work).await.ok()
        }
        None => Some(work.await),
    }
}

fn values_of<'v>((name, version, value): &'v (Name<'_>, i64, &Bytes)) -> [Value<'v>; 4] {
    [Value::Text(name.0), Value::Text(name.1), Value::Bytes(value), Value::Number(*version)]
}
