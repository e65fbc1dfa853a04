//! Documents in PostgreSQL.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use levada_model::ErrorKind;
use levada_runtime::Tasks;
use sqlx::Error as SqlError;

use super::connection::{Connection, Value};
use super::dialect::{Dialect, Failure, Reach, Role, Statements};
use super::migrate::migrations;
use crate::DocumentError;
use crate::postgres::server::{Server, code_of, is_lost, kind_of};

/// How long a piece of work may take; the server gives up on a statement before that.
const PATIENCE: Duration = Duration::from_secs(10);

/// The row lock makes other writers wait, and each statement sees what they committed before; nothing is left to collide.
static STATEMENTS: Statements = Statements {
    begin: "BEGIN ISOLATION LEVEL READ COMMITTED",
    version: "SELECT version, txid_current() FROM levada_documents_version FOR UPDATE",
    // Not `to_regclass`, which may not see what was committed while this transaction waited for a lock.
    state: "SELECT count(*) FILTER (WHERE relname = 'levada_documents_migrations'), count(*)
        FROM pg_catalog.pg_class
        WHERE relname IN ('levada_documents', 'levada_documents_migrations') AND pg_catalog.pg_table_is_visible(oid)",
    lock_migrations: "SELECT pg_advisory_xact_lock(hashtextextended('levada_documents_migrations', 0))",
    migrations: migrations!("postgres": "0001_documents"),
};

/// `committed`, `aborted`, or something else when it is not known.
const STATUS: &str = "SELECT coalesce(txid_status($1), 'unknown')";

/// A PostgreSQL server.
#[derive(Debug)]
pub(super) struct Postgres(Server);

// === impl Postgres ===

impl Postgres {
    pub(super) fn new(address: &str) -> Result<Self, DocumentError> {
        let server = Server::new(address, "levada documents");
        Ok(Self(server.map_err(|reason| DocumentError::Address { reason })?))
    }
}

#[async_trait]
impl Dialect for Postgres {
    fn statements(&self) -> &'static Statements {
        &STATEMENTS
    }

    fn describe(&self) -> String {
        format!("PostgreSQL at {}", self.0.name)
    }

    fn patience(&self) -> Option<Duration> {
        Some(PATIENCE)
    }

    async fn connect(&self, _: Role) -> Result<Connection, Failure> {
        match self.0.connect().await {
            Ok(connection) => Ok(Connection::Postgres(connection)),
            Err((kind, source)) => Err(Failure::new(kind, source.to_string())),
        }
    }

    async fn inspect(&self, connection: &mut Connection) -> Result<(), Failure> {
        let encoding = connection.fetch_one::<String>("SHOW server_encoding", &[]).await;
        match encoding.map_err(|error| self.failure(&error))?.as_str() {
            "UTF8" => Ok(()),
            other => {
                let reason = format!(
                    "its encoding is {other}, which does not hold all names; create a database with encoding UTF8"
                );
                Err(Failure::new(ErrorKind::Invalid, reason))
            }
        }
    }

    fn reach(&self, error: &SqlError) -> Reach {
        match code_of(error).as_deref() {
            // Serialization failures and deadlocks: what others do in the same tables by hand can cause them.
            Some(code) if code.starts_with("40") => Reach::Transaction,
            _ if is_lost(error) => Reach::Connection,
            // Something about the data, or too large.
            Some(code) if ["22", "23", "54"].iter().any(|class| code.starts_with(class)) => {
                Reach::Call
            }
            _ => Reach::Database,
        }
    }

    fn failure(&self, error: &SqlError) -> Failure {
        Failure::new(kind_of(error), error.to_string())
    }

    async fn was_committed(&self, transaction: i64) -> Option<bool> {
        let Ok(Connection::Postgres(connection)) = self.connect(Role::Read).await else {
            return None;
        };
        let mut connection = Connection::Postgres(connection);
        let asked = connection.fetch_one::<String>(STATUS, &[Value::Number(transaction)]).await;
        // The answer is what counts.
        connection.close().await.ok();
        match asked.ok()?.as_str() {
            "committed" => Some(true),
            "aborted" => Some(false),
            _ => None,
        }
    }

    async fn backup(&self, _: &Path, _: &Tasks) -> Result<(), Failure> {
        let reason = "use `pg_dump` of PostgreSQL for the tables `levada_documents*`";
        Err(Failure::new(ErrorKind::Invalid, reason))
    }
}
