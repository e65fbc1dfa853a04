//! Documents in PostgreSQL.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use levada_model::ErrorKind;
use levada_runtime::Tasks;
use sqlx::{Error as SqlError, PgConnection};

use super::connection::{Connection, Value};
use super::dialect::{Dialect, Failure, Reach, Role, Statements};
use super::migrate::migrations;
use super::plan::Name;
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

/// Documents in one statement at most, and bytes of them after which it takes no further one; a message may have 1 GiB.
const ROWS_MAX: usize = 10_000;
const BYTES_MAX: usize = 16 << 20;

/// `$1` spaces and `$2` keys; gives the place among them.
const VERSIONS: &str = "
    SELECT named.number, documents.version
    FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS named (space, key, number)
    JOIN levada_documents AS documents ON documents.space = named.space AND documents.key = named.key";
/// `$1` spaces, `$2` keys, `$3` values, `$4` versions.
const PUT: &str = "
    INSERT INTO levada_documents (space, key, value, version)
    SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::bigint[])
    ON CONFLICT (space, key) DO UPDATE SET value = excluded.value, version = excluded.version";
/// `$1` spaces, `$2` keys.
const DELETE: &str = "
    DELETE FROM levada_documents AS documents
    USING unnest($1::text[], $2::text[]) AS named (space, key)
    WHERE documents.space = named.space AND documents.key = named.key";

/// `committed`, `aborted`, or something else when it is not known.
const STATUS: &str = "SELECT coalesce(txid_status($1), 'unknown')";

/// Gives the connection as what it is here.
#[cfg_attr(
    not(feature = "sqlite"),
    expect(clippy::unnecessary_wraps, reason = "there may be others")
)]
fn own(connection: &mut Connection) -> Result<&mut PgConnection, SqlError> {
    match connection {
        Connection::Postgres(connection) => Ok(connection),
        #[cfg(feature = "sqlite")]
        Connection::Sqlite(_) => Err(SqlError::Protocol("a connection of another database".into())),
    }
}

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

    async fn versions<'a>(
        &self,
        connection: &mut Connection,
        names: &[Name<'a>],
    ) -> Result<BTreeMap<Name<'a>, i64>, SqlError> {
        let mut found = BTreeMap::new();
        for names in names.chunks(ROWS_MAX) {
            let (spaces, keys): (Vec<&str>, Vec<&str>) = names.iter().copied().unzip();
            let query = sqlx::query_as::<_, (i64, i64)>(VERSIONS).bind(spaces).bind(keys);
            for (number, version) in query.fetch_all(own(connection)?).await? {
                // Counted from 1.
                let name = usize::try_from(number - 1).ok().and_then(|at| names.get(at));
                found.extend(name.map(|name| (*name, version)));
            }
        }
        Ok(found)
    }

    async fn put(
        &self,
        connection: &mut Connection,
        documents: &[(Name<'_>, i64, &Bytes)],
    ) -> Result<(), SqlError> {
        let mut rest = documents;
        while !rest.is_empty() {
            let mut bytes = 0;
            let fitting = rest.iter().take(ROWS_MAX).take_while(|(_, _, value)| {
                let is_fitting = bytes < BYTES_MAX;
                bytes += value.len();
                is_fitting
            });
            let (documents, behind) = rest.split_at(fitting.count());
            rest = behind;
            let (mut spaces, mut keys) = (Vec::new(), Vec::new());
            let (mut values, mut versions) = (Vec::new(), Vec::new());
            for ((space, key), version, value) in documents {
                spaces.push(*space);
                keys.push(*key);
                values.push(&***value);
                versions.push(*version);
            }
            let query = sqlx::query(PUT).bind(spaces).bind(keys).bind(values).bind(versions);
            query.execute(own(connection)?).await?;
        }
        Ok(())
    }

    async fn delete(
        &self,
        connection: &mut Connection,
        names: &[Name<'_>],
    ) -> Result<(), SqlError> {
        for names in names.chunks(ROWS_MAX) {
            let (spaces, keys): (Vec<&str>, Vec<&str>) = names.iter().copied().unzip();
            let query = sqlx::query(DELETE).bind(spaces).bind(keys);
            query.execute(own(connection)?).await?;
        }
        Ok(())
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
        let mut connection = self.connect(Role::Read).await.ok()?;
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
