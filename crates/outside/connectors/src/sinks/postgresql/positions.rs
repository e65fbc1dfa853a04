//! Positions of the source in the database of the rows, written in their transaction.
//!
//! ```text
//! _dataflow_positions   pipeline     source    partition  position  epoch  updated_at
//!                       ns/name      source    orders/0   42        7      …
//! ```
//! Source: dataflow-operator.md §10.3; the table stands in the schema of the target table.
//!
//! Several processes may run one flow, as members of a consumer group. What keeps them apart is the chain of
//! positions: a commit moves each of its partitions from the position that this process saw last, and
//! goes through only when all of them are still there. Whoever comes late, a former owner that wakes up
//! included, finds another position and has its transaction undone. `epoch` counts the commits of a
//! partition.

use std::collections::BTreeMap;

use async_trait::async_trait;
use levada_model::value::Str;
use levada_model::{ErrorClass, Position, RecordBatch};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};

use super::sink::PostgresqlSink;
use super::write::{bounded, create_unless_there, run};
use crate::postgres::{Fault, FaultKind};
use crate::traits::{Outcomes, SinkError, Transactional};

/// The table of positions. Source: dataflow-operator.md §10.3.
const TABLE: &str = "\"_dataflow_positions\"";

/// The `source` of positions: a flow has one.
const SOURCE: &str = "source";

/// What this process knows of the stored positions.
pub(super) struct Ownership {
    /// The quoted table of positions.
    table: String,
    /// The position of each partition that was seen last, as its text.
    seen: BTreeMap<Str, String>,
}

// === impl PostgresqlSink ===

impl PostgresqlSink {
    async fn look(&mut self, connection: &mut PgConnection) -> Result<Vec<(Str, Position)>, Fault> {
        let prefix = match &self.layout {
            Some(layout) => layout.table.schema_prefix.clone(),
            None => self.settings.table.schema_prefix(),
        };
        let table = format!("{prefix}{TABLE}");
        self.create_positions(connection, &table).await?;
        let read =
            format!("SELECT partition, position FROM {table} WHERE pipeline = $1 AND source = $2");
        let rows = bounded(&self.settings, async {
            let query = sqlx::query(AssertSqlSafe(read)).bind(&self.pipeline).bind(SOURCE);
            Ok(query.fetch_all(&mut *connection).await?)
        })
        .await?;
        let mut positions = Vec::with_capacity(rows.len());
        let mut seen = BTreeMap::new();
        for row in rows {
            let (partition, text): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            let position = serde_json::from_str(&text).map_err(|error| {
                let text = format!("{table}: the position of `{partition}` is not JSON: {error}");
                Fault::new(ErrorClass::InvalidData, text)
            })?;
            let partition = Str::from(partition);
            seen.insert(partition.clone(), text);
            positions.push((partition, position));
        }
        self.ownership = Some(Ownership { table, seen });
        Ok(positions)
    }

    async fn create_positions(
        &mut self,
        connection: &mut PgConnection,
        table: &str,
    ) -> Result<(), Fault> {
        let columns = "pipeline TEXT NOT NULL, source TEXT NOT NULL, partition TEXT NOT NULL, \
             position TEXT NOT NULL, epoch BIGINT NOT NULL, updated_at TIMESTAMPTZ NOT NULL, \
             PRIMARY KEY (pipeline, source, partition)";
        match create_unless_there(connection, &self.settings, table, columns).await {
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
        let table = &owner.table;
        // Inserts what was not there and moves what was where it was seen; anything else moves nothing.
        let store = format!(
            "INSERT INTO {table} AS p (pipeline, source, partition, position, epoch, updated_at) \
             SELECT $1, $2, u.partition, u.position, 1, now() \
             FROM unnest($3::text[], $4::text[]) AS u(partition, position) ORDER BY u.partition \
             ON CONFLICT (pipeline, source, partition) DO UPDATE \
             SET position = EXCLUDED.position, epoch = p.epoch + 1, updated_at = now() \
             WHERE p.position = ($5::text[])[array_position($3::text[], p.partition)]"
        );
        let names: Vec<&str> = positions.iter().map(|(name, _)| &**name).collect();
        let values: Vec<String> = positions.iter().map(|(_, at)| at.to_string()).collect();
        let seen: Vec<Option<&str>> =
            positions.iter().map(|(name, _)| owner.seen.get(name).map(String::as_str)).collect();
        let moved = match positions.is_empty() {
            true => 0,
            false => {
                bounded(&self.settings, async {
                    let query = sqlx::query(AssertSqlSafe(store))
                        .bind(&self.pipeline)
                        .bind(SOURCE)
                        .bind(&names)
                        .bind(&values)
                        .bind(&seen);
                    Ok(query.execute(&mut *connection).await?.rows_affected())
                })
                .await?
            }
        };
        if moved != positions.len() as u64 {
            let text = format!(
                "another process moved the positions of the flow `{}`: what was read is given up",
                self.pipeline
            );
            return Err(Fault::new(ErrorClass::ContextCanceled, text));
        }
        run(connection, &self.settings, "COMMIT").await?;
        let moved = positions.iter().zip(values).map(|((name, _), value)| (name.clone(), value));
        if let Some(owner) = &mut self.ownership {
            owner.seen.extend(moved);
        }
        Ok(())
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
        if let Some(owner) = &mut self.ownership {
            owner.seen.clear();
        }
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
        let positions = self.look(&mut connection).await.map_err(|fault| Fault {
            message: format!("the positions in the database: {}", fault.message),
            ..fault
        })?;
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
