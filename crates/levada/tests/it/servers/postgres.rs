//! Tables of the tests' database.

use std::collections::BTreeMap;
use std::sync::Mutex;

use levada_testkit::services;
use sqlx::{Connection, Executor, PgConnection, Row};
use tokio::runtime::Runtime;

/// A schema of one test.
pub(super) struct Database {
    pub(super) url: String,
    /// The schema; tables are named `SCHEMA.NAME`.
    pub(super) schema: String,
    runtime: Runtime,
    connection: Mutex<PgConnection>,
}

impl Database {
    /// Makes an empty schema; nothing when there is no server.
    pub(super) fn new(test: &str) -> Option<Self> {
        Some(Self::at(&services::POSTGRES.address(test)?, test))
    }

    /// Makes an empty schema at a server of the test's own.
    pub(super) fn at(address: &str, test: &str) -> Self {
        let url = format!("postgres://postgres@{address}/postgres");
        let schema = format!("t_{}_{}", test.replace('-', "_"), std::process::id());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let connection = runtime.block_on(PgConnection::connect(&url)).unwrap();
        let database = Database { url, schema, runtime, connection: Mutex::new(connection) };
        let schema = &database.schema;
        database
            .execute(&format!("DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}"));
        database
    }

    /// Connects again after the server was away.
    pub(super) fn connect_again(&self) {
        let fresh = self.runtime.block_on(PgConnection::connect(&self.url)).unwrap();
        *self.connection.lock().unwrap() = fresh;
    }

    /// Makes a table for the records of `scene`.
    pub(super) fn make_table(&self, table: &str) {
        let columns = "(id bigint, name text, price numeric, kind text)";
        self.execute(&format!("CREATE TABLE {}.{table} {columns}", self.schema));
    }

    /// Gives how many different ids are in a table.
    pub(super) fn count(&self, table: &str) -> u64 {
        let sql = format!("SELECT count(DISTINCT id) FROM {}.{table}", self.schema);
        self.column(&sql)[0].parse().unwrap()
    }

    /// Runs statements.
    pub(super) fn execute(&self, sql: &str) {
        let mut connection = self.connection.lock().unwrap();
        let text = sqlx::AssertSqlSafe(sql.to_owned());
        self.runtime.block_on(connection.execute(sqlx::raw_sql(text))).unwrap();
    }

    /// Gives the first column of a query's rows as text.
    pub(super) fn column(&self, sql: &str) -> Vec<String> {
        let mut connection = self.connection.lock().unwrap();
        let text = sqlx::AssertSqlSafe(format!("SELECT c::text FROM ({sql}) AS q(c)"));
        let rows = self.runtime.block_on(connection.fetch_all(sqlx::raw_sql(text))).unwrap();
        rows.iter().map(|row| row.get::<String, _>(0)).collect()
    }

    /// Gives how often each id is in a table.
    pub(super) fn ids(&self, table: &str) -> BTreeMap<u64, u64> {
        let mut ids = BTreeMap::new();
        for id in self.column(&format!("SELECT id FROM {}.{table}", self.schema)) {
            *ids.entry(id.parse().unwrap()).or_default() += 1;
        }
        ids
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.execute(&format!("DROP SCHEMA {} CASCADE", self.schema));
        }
    }
}
