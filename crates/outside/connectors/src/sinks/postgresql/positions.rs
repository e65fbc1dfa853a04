//! Positions of the source in the database of the rows, written in their transaction.
//!
//! ```text
//! _dataflow_positions   pipeline     source    partition  position  epoch  updated_at
//!                       ns/name      (empty)   (empty)    null      7      …            who owns the flow
//!                       ns/name      source    orders/0   "42"      7      …            where to go on
//! ```
//! Source: dataflow-operator.md §10.3; the table stands in the schema of the target table.
//!
//! Whoever takes over raises the epoch. A commit locks the row of the epoch and goes through only if it is
//! still its own, so that a former owner cannot commit any more, however late it wakes up.

use async_trait::async_trait;
use levada_model::value::Str;
use levada_model::{ErrorClass, Position, RecordBatch};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};

use super::sink::PostgresqlSink;
use super::write::{bounded, run};
use crate::postgres::{Fault, FaultKind};
use crate::traits::{Outcomes, SinkError, Transactional};

/// The table of positions. Source: dataflow-operator.md §10.3.
const TABLE: &str = "\"_dataflow_positions\"";

/// The `source` of positions: a flow has one.
const SOURCE: &str = "source";

/// The right to write for a flow.
pub(super) struct Ownership {
    /// The quoted table of positions.
    table: String,
    epoch: i64,
}

// === impl PostgresqlSink ===

impl PostgresqlSink {
    async fn take_over(
        &mut self,
        connection: &mut PgConnection,
    ) -> Result<Vec<(Str, Position)>, Fault> {
        let prefix = match &self.layout {
            Some(layout) => layout.table.schema_prefix.clone(),
            None => self.settings.table.schema_prefix(),
        };
        let table = format!("{prefix}{TABLE}");
        self.create_positions(connection, &table).await?;
        let raise = format!(
            "INSERT INTO {table} AS p (pipeline, source, partition, position, epoch, updated_at) \
             VALUES ($1, '', '', 'null', 1, now()) ON CONFLICT (pipeline, source, partition) \
             DO UPDATE SET epoch = p.epoch + 1, updated_at = now() RETURNING epoch"
        );
        let raised = bounded(&self.settings, async {
            let query = sqlx::query(AssertSqlSafe(raise)).bind(&self.pipeline);
            Ok(query.fetch_one(&mut *connection).await?)
        })
        .await?;
        let epoch: i64 = raised.try_get(0)?;
        // After the epoch is raised: a former owner either has committed by now or never will.
        let read =
            format!("SELECT partition, position FROM {table} WHERE pipeline = $1 AND source = $2");
        let rows = bounded(&self.settings, async {
            let query = sqlx::query(AssertSqlSafe(read)).bind(&self.pipeline).bind(SOURCE);
            Ok(query.fetch_all(&mut *connection).await?)
        })
        .await?;
        let mut positions = Vec::with_capacity(rows.len());
        for row in rows {
            let (partition, position): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            let position = serde_json::from_str(&position).map_err(|error| {
                let text = format!("{table}: the position of `{partition}` is not JSON: {error}");
                Fault::new(ErrorClass::InvalidData, text)
            })?;
            positions.push((partition.into(), position));
        }
        self.ownership = Some(Ownership { table, epoch });
        Ok(positions)
    }

    async fn create_positions(
        &mut self,
        connection: &mut PgConnection,
        table: &str,
    ) -> Result<(), Fault> {
        let exists = bounded(&self.settings, async {
            let query = sqlx::query("SELECT to_regclass($1) IS NOT NULL").bind(table);
            Ok(query.fetch_one(&mut *connection).await?)
        })
        .await?;
        if exists.try_get(0)? {
            return Ok(());
        }
        let create = format!(
            "CREATE TABLE IF NOT EXISTS {table} (pipeline TEXT NOT NULL, source TEXT NOT NULL, \
             partition TEXT NOT NULL, position TEXT NOT NULL, epoch BIGINT NOT NULL, \
             updated_at TIMESTAMPTZ NOT NULL, PRIMARY KEY (pipeline, source, partition))"
        );
        match run(connection, &self.settings, create).await {
            // Another process was faster.
            Err(fault) if matches!(fault.code.as_str(), "23505" | "42P07" | "42710") => Ok(()),
            other => other,
        }
    }

    async fn prepare_batch(
        &mut self,
        connection: &mut PgConnection,
        batch: &RecordBatch,
        is_begun: bool,
    ) -> Result<(), Fault> {
        let begin = if is_begun {
            "RELEASE SAVEPOINT levada_batch; SAVEPOINT levada_batch"
        } else {
            "BEGIN; SET CONSTRAINTS ALL IMMEDIATE; SAVEPOINT levada_batch"
        };
        run(connection, &self.settings, begin).await?;
        let mut is_second = false;
        loop {
            self.encode(connection, batch).await?;
            run(connection, &self.settings, "SAVEPOINT levada_row").await?;
            match self.write_rows(connection, batch).await {
                Err(fault) if fault.kind == FaultKind::Schema && !is_second => {
                    is_second = true;
                    let text = "ROLLBACK TO SAVEPOINT levada_batch";
                    run(connection, &self.settings, text).await?;
                    self.layout = None;
                }
                other => return other,
            }
        }
    }

    async fn commit_positions(
        &mut self,
        connection: &mut PgConnection,
        is_begun: bool,
        positions: &[(Str, Position)],
    ) -> Result<(), Fault> {
        let Some(owner) = &self.ownership else {
            return Err(Fault::new(ErrorClass::Unknown, "nobody asked for the stored positions"));
        };
        if !is_begun {
            run(connection, &self.settings, "BEGIN").await?;
        }
        let (table, epoch) = (&owner.table, owner.epoch);
        let lock = format!(
            "SELECT FROM {table} WHERE pipeline = $1 AND source = '' AND partition = '' \
             AND epoch = $2 FOR UPDATE"
        );
        let store = format!(
            "WITH owner AS MATERIALIZED ({lock}) \
             INSERT INTO {table} (pipeline, source, partition, position, epoch, updated_at) \
             SELECT $1, $3, u.partition, u.position, $2, now() \
             FROM unnest($4::text[], $5::text[]) AS u(partition, position) \
             WHERE EXISTS (SELECT FROM owner) \
             ON CONFLICT (pipeline, source, partition) DO UPDATE \
             SET position = EXCLUDED.position, epoch = EXCLUDED.epoch, updated_at = now()"
        );
        let is_owner = bounded(&self.settings, async {
            if positions.is_empty() {
                let query = sqlx::query(AssertSqlSafe(lock)).bind(&self.pipeline).bind(epoch);
                return Ok(query.fetch_optional(&mut *connection).await?.is_some());
            }
            let names: Vec<&str> = positions.iter().map(|(name, _)| &**name).collect();
            let values: Vec<String> = positions.iter().map(|(_, at)| at.to_string()).collect();
            let query = sqlx::query(AssertSqlSafe(store))
                .bind(&self.pipeline)
                .bind(epoch)
                .bind(SOURCE)
                .bind(names)
                .bind(values);
            Ok(query.execute(&mut *connection).await?.rows_affected() == positions.len() as u64)
        })
        .await?;
        if !is_owner {
            let text = format!(
                "another process took over the flow `{}`: this one may not commit any more",
                self.pipeline
            );
            return Err(Fault::new(ErrorClass::Unknown, text));
        }
        run(connection, &self.settings, "COMMIT").await
    }

    /// Removes all positions inside a transaction, which begins here unless there is one.
    async fn forget(&mut self, connection: &mut PgConnection, is_begun: bool) -> Result<(), Fault> {
        let Some(owner) = &self.ownership else {
            return Err(Fault::new(ErrorClass::Unknown, "nobody asked for the stored positions"));
        };
        if !is_begun {
            run(connection, &self.settings, "BEGIN").await?;
        }
        let remove = format!("DELETE FROM {} WHERE pipeline = $1 AND source = $2", owner.table);
        bounded(&self.settings, async {
            let query = sqlx::query(AssertSqlSafe(remove)).bind(&self.pipeline).bind(SOURCE);
            Ok(query.execute(&mut *connection).await?)
        })
        .await?;
        Ok(())
    }

    /// Gives the connection of the transaction under way, or a new one when there is no transaction.
    async fn transaction(&mut self) -> Result<(PgConnection, bool), Fault> {
        let is_begun = self.is_prepared;
        if is_begun && self.connection.is_none() {
            let text = "the connection of the transaction under way is gone";
            return Err(Fault::new(ErrorClass::ConnectionError, text));
        }
        let connection = self.take_connection().await?;
        // From here on the transaction is lost unless the connection is put back.
        self.is_prepared = true;
        Ok((connection, is_begun))
    }
}

#[async_trait]
impl Transactional for PostgresqlSink {
    async fn stored(&mut self) -> Result<Vec<(Str, Position)>, SinkError> {
        self.is_prepared = false;
        self.ownership = None;
        let mut connection = self.take_connection().await?;
        let positions = self.take_over(&mut connection).await?;
        self.connection = Some(connection);
        Ok(positions)
    }

    async fn prepare(
        &mut self,
        batch: &RecordBatch,
        outcomes: &mut Outcomes,
    ) -> Result<(), SinkError> {
        if batch.is_empty() {
            return Ok(());
        }
        if self.ownership.is_none() {
            let text = "nobody asked for the stored positions";
            return Err(SinkError::new(ErrorClass::Unknown, text));
        }
        let (mut connection, is_begun) = self.transaction().await?;
        match self.prepare_batch(&mut connection, batch, is_begun).await {
            Ok(()) => {
                self.connection = Some(connection);
                self.resolve(batch, outcomes);
                Ok(())
            }
            Err(fault) => {
                self.layout = None;
                Err(fault.into())
            }
        }
    }

    async fn commit(&mut self, positions: &[(Str, Position)]) -> Result<(), SinkError> {
        let (mut connection, is_begun) = self.transaction().await?;
        match self.commit_positions(&mut connection, is_begun, positions).await {
            Ok(()) => {
                self.connection = Some(connection);
                self.is_prepared = false;
                Ok(())
            }
            Err(fault) => {
                self.layout = None;
                Err(fault.into())
            }
        }
    }

    async fn rewind(&mut self, to: &[(Str, Position)]) -> Result<(), SinkError> {
        let (mut connection, is_begun) = self.transaction().await?;
        self.forget(&mut connection, is_begun).await?;
        self.commit_positions(&mut connection, true, to).await?;
        self.connection = Some(connection);
        self.is_prepared = false;
        Ok(())
    }

    async fn rollback(&mut self) -> Result<(), SinkError> {
        if std::mem::take(&mut self.is_prepared) {
            // The table may have been changed in the transaction.
            self.layout = None;
            if let Some(mut connection) = self.connection.take() {
                run(&mut connection, &self.settings, "ROLLBACK").await?;
                self.connection = Some(connection);
            }
        }
        Ok(())
    }
}
