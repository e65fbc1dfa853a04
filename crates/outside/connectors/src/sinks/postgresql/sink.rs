//! The sink: a connection, the table as it was last seen, and one transaction per batch.
//!
//! A connection is taken out while it is in use and put back when all went well. Whatever happens in
//! between, an error or a call that is dropped, closes it, and the server undoes the transaction.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use levada_model::{ErrorClass, RecordBatch, RecordError};
use levada_runtime::Clock;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use super::evolve;
use super::layout::{Layout, Settings};
use super::metrics::PostgresqlSinkMetrics;
use super::rows::Rows;
use super::write::{Buffers, Work, bounded, run};
use crate::postgres::{Fault, FaultKind, Table, Target};
use crate::traits::{Outcomes, Sink, SinkError, Transactional};

/// How long what is known of a table is believed while records have keys that it lacks.
const REREAD_AFTER: Duration = Duration::from_secs(10);

const BEGIN: &str = "BEGIN; SET CONSTRAINTS ALL IMMEDIATE; SAVEPOINT levada_row";

/// Writes to one table.
pub(super) struct PostgresqlSink {
    pub(super) target: Target,
    pub(super) settings: Settings,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: PostgresqlSinkMetrics,
    pub(super) is_exactly_once: bool,
    /// The flow, as its positions are filed.
    pub(super) pipeline: String,
    pub(super) connection: Option<PgConnection>,
    pub(super) layout: Option<Layout>,
    pub(super) layout_read_at: Duration,
    pub(super) rows: Rows,
    pub(super) buffers: Buffers,
    /// Records that the server refused.
    pub(super) refused: Vec<(usize, RecordError)>,
    /// A transaction of [`Transactional`] is under way.
    pub(super) is_prepared: bool,
    /// The history of the schema cannot be kept.
    pub(super) has_no_history: bool,
    pub(super) ownership: Option<super::positions::Ownership>,
}

// === impl PostgresqlSink ===

impl PostgresqlSink {
    /// Takes the connection out, making one when there is none.
    pub(super) async fn take_connection(&mut self) -> Result<PgConnection, Fault> {
        match self.connection.take() {
            Some(connection) => Ok(connection),
            None => self.target.connect(self.settings.timeout).await,
        }
    }

    /// Reads the table anew.
    pub(super) async fn read_layout(&mut self, connection: &mut PgConnection) -> Result<(), Fault> {
        self.layout = None;
        self.rows.forget_shapes();
        let read = Table::read(connection, &self.settings.table);
        if let Some(table) = bounded(&self.settings, read).await? {
            let layout = Layout::new(table, &self.settings)
                .map_err(|problem| Fault::new(ErrorClass::Unknown, problem))?;
            self.layout = Some(layout);
            self.layout_read_at = self.clock.monotonic();
        } else if !self.settings.auto_create {
            let text = format!(
                "the table {} does not exist; create it, or set autoCreateTable to true",
                self.settings.table.to_create()
            );
            return Err(Fault::new(ErrorClass::Unknown, text));
        }
        Ok(())
    }

    /// Makes rows of a batch, and a table for them where that is wanted.
    pub(super) async fn encode(
        &mut self,
        connection: &mut PgConnection,
        batch: &RecordBatch,
    ) -> Result<(), Fault> {
        if self.layout.is_none() {
            self.read_layout(connection).await?;
        }
        if self.layout.is_none() {
            self.create_table(connection, batch).await?;
        }
        self.encode_rows(batch)?;
        let age = self.clock.monotonic().saturating_sub(self.layout_read_at);
        if self.rows.has_unknown && age > REREAD_AFTER {
            self.read_layout(connection).await?;
            self.encode_rows(batch)?;
        }
        if self.rows.needs.any()
            && let Some(layout) = self.layout.take()
        {
            let changes = self.rows.needs.changes(&layout);
            self.change_table(connection, &layout, &changes).await?;
            self.read_layout(connection).await?;
            self.encode_rows(batch)?;
            if self.rows.needs.any() {
                let text = "the table was changed, and still does not take the records";
                return Err(Fault::new(ErrorClass::Unknown, text));
            }
        }
        Ok(())
    }

    fn encode_rows(&mut self, batch: &RecordBatch) -> Result<(), Fault> {
        match &self.layout {
            Some(layout) => {
                self.rows.encode(layout, &self.settings, batch);
                Ok(())
            }
            None => Err(Fault::new(ErrorClass::Transient, "the table has gone")),
        }
    }

    async fn create_table(
        &mut self,
        connection: &mut PgConnection,
        batch: &RecordBatch,
    ) -> Result<(), Fault> {
        let statements = evolve::create(&self.settings, batch).map_err(|problem| Fault {
            kind: FaultKind::Record,
            ..Fault::new(ErrorClass::InvalidData, problem)
        })?;
        for text in statements {
            tracing::info!(statement = %text, "a table is created");
            match self.define(connection, text).await {
                // Another process was faster.
                Err(fault) if matches!(fault.code.as_str(), "23505" | "42P07" | "42710") => {}
                other => other?,
            }
        }
        self.read_layout(connection).await
    }

    /// Makes a table; a failure leaves a transaction under way as it was.
    pub(super) async fn define(
        &mut self,
        connection: &mut PgConnection,
        text: String,
    ) -> Result<(), Fault> {
        if !self.is_prepared {
            return run(connection, &self.settings, text).await;
        }
        run(connection, &self.settings, "SAVEPOINT levada_define").await?;
        let result = run(connection, &self.settings, text).await;
        if result.is_err() {
            run(connection, &self.settings, "ROLLBACK TO SAVEPOINT levada_define").await?;
        }
        result
    }

    /// Writes the rows behind a savepoint.
    pub(super) async fn write_rows(
        &mut self,
        connection: &mut PgConnection,
        batch: &RecordBatch,
    ) -> Result<(), Fault> {
        self.refused.clear();
        let Some(layout) = &self.layout else {
            return Err(Fault::new(ErrorClass::Transient, "the table has gone"));
        };
        let mut work = Work {
            connection,
            layout,
            settings: &self.settings,
            rows: &self.rows,
            batch,
            buffers: &mut self.buffers,
            rejected: &mut self.refused,
            is_marked: true,
        };
        work.run().await
    }

    async fn write_batch(
        &mut self,
        connection: &mut PgConnection,
        batch: &RecordBatch,
    ) -> Result<(), Fault> {
        let mut is_second = false;
        loop {
            self.encode(connection, batch).await?;
            self.refused.clear();
            if self.rows.rows.is_empty() {
                return Ok(());
            }
            run(connection, &self.settings, BEGIN).await?;
            match self.write_rows(connection, batch).await {
                Ok(()) => return run(connection, &self.settings, "COMMIT").await,
                // The table changed since it was read: look again, once.
                Err(fault) if fault.kind == FaultKind::Schema && !is_second => {
                    is_second = true;
                    run(connection, &self.settings, "ROLLBACK").await?;
                    self.layout = None;
                }
                Err(fault) => return Err(fault),
            }
        }
    }

    /// Answers for every record of a batch that was written.
    pub(super) fn resolve(&mut self, batch: &RecordBatch, outcomes: &mut Outcomes) {
        if self.rows.ignored > 0 {
            self.metrics.ignored_keys.add(self.rows.ignored);
        }
        let mut rejected = std::mem::take(&mut self.rows.rejected);
        rejected.append(&mut self.refused);
        rejected.sort_by_key(|(index, _)| *index);
        let mut next = 0;
        for (index, error) in rejected {
            outcomes.delivered(next..index);
            outcomes.rejected(index, error);
            next = index + 1;
        }
        outcomes.delivered(next..batch.len());
    }
}

#[async_trait]
impl Sink for PostgresqlSink {
    async fn open(&mut self) -> Result<(), SinkError> {
        self.connection = None;
        self.is_prepared = false;
        let mut connection = self.take_connection().await?;
        self.read_layout(&mut connection).await?;
        self.connection = Some(connection);
        Ok(())
    }

    async fn write(
        &mut self,
        batch: &RecordBatch,
        outcomes: &mut Outcomes,
    ) -> Result<(), SinkError> {
        if batch.is_empty() {
            return Ok(());
        }
        if self.is_prepared {
            let text = "records are under way in a transaction that waits for its commit";
            return Err(SinkError::new(ErrorClass::Unknown, text));
        }
        let mut connection = self.take_connection().await?;
        match self.write_batch(&mut connection, batch).await {
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

    async fn close(&mut self) -> Result<(), SinkError> {
        if let Some(connection) = self.connection.take() {
            // Everything is committed: it does not matter how the connection ends.
            let _ended =
                tokio::time::timeout(Duration::from_secs(1), connection.close()).await.is_ok();
        }
        Ok(())
    }

    fn transactional(&mut self) -> Option<&mut dyn Transactional> {
        if self.is_exactly_once { Some(self) } else { None }
    }
}
