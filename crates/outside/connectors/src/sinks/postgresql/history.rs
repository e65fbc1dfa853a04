//! Changes of the table, and the history of them beside it.
//!
//! ```text
//! _dataflow_schema_changes   pipeline   at   table_name   change                             reason
//!                            ns/name    …    "s"."t"      ADD COLUMN IF NOT EXISTS "x" TEXT  records have …
//! ```
//! Source: dataflow-operator.md §10.6; the table stands in the schema of the target table, as that of the
//! positions. A change and its row belong to one transaction. Where the history may not be written, the
//! table is changed without it, and the log says so once.

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::evolve::{self, Change};
use super::layout::Layout;
use super::sink::PostgresqlSink;
use super::write::{bounded, create_unless_there, run};
use crate::postgres::Fault;

/// The table of changes. Ours.
const TABLE: &str = "\"_dataflow_schema_changes\"";

const COLUMNS: &str = "pipeline TEXT NOT NULL, at TIMESTAMPTZ NOT NULL, table_name TEXT NOT NULL, \
     change TEXT NOT NULL, reason TEXT NOT NULL";

// === impl PostgresqlSink ===

impl PostgresqlSink {
    /// Changes the table and notes that; a failure leaves a transaction under way as it was.
    pub(super) async fn change_table(
        &mut self,
        connection: &mut PgConnection,
        layout: &Layout,
        changes: &[Change],
    ) -> Result<(), Fault> {
        let (begin, undo) = match self.is_prepared {
            true => ("SAVEPOINT levada_define", "ROLLBACK TO SAVEPOINT levada_define"),
            false => ("BEGIN", "ROLLBACK"),
        };
        run(connection, &self.settings, begin).await?;
        let altered = run(connection, &self.settings, evolve::alter(layout, changes)).await;
        if let Err(fault) = altered {
            run(connection, &self.settings, undo).await?;
            return Err(fault);
        }
        if !self.has_no_history {
            self.note(connection, layout, changes).await?;
        }
        match self.is_prepared {
            true => Ok(()),
            false => run(connection, &self.settings, "COMMIT").await,
        }
    }

    /// Adds changes to the history.
    ///
    /// - Errors: only what has to do with the connection, or may be over later.
    async fn note(
        &mut self,
        connection: &mut PgConnection,
        layout: &Layout,
        changes: &[Change],
    ) -> Result<(), Fault> {
        let table = format!("{}{TABLE}", layout.table.schema_prefix);
        let mut is_second = false;
        loop {
            run(connection, &self.settings, "SAVEPOINT levada_history").await?;
            let Err(fault) = self.insert(connection, &table, layout, changes).await else {
                return Ok(());
            };
            // Without a code it is no answer of the server.
            if fault.code.is_empty() || fault.class.is_transient() {
                return Err(fault);
            }
            run(connection, &self.settings, "ROLLBACK TO SAVEPOINT levada_history").await?;
            // The first time, another process may have made the table at the same time.
            if is_second {
                self.has_no_history = true;
                let reason = fault.message.as_str();
                tracing::warn!(%table, reason, "changes of the schema are not kept");
                return Ok(());
            }
            is_second = true;
        }
    }

    async fn insert(
        &self,
        connection: &mut PgConnection,
        table: &str,
        layout: &Layout,
        changes: &[Change],
    ) -> Result<(), Fault> {
        create_unless_there(connection, &self.settings, table, COLUMNS).await?;
        let actions: Vec<&str> = changes.iter().map(|change| change.action.as_str()).collect();
        let reasons: Vec<&str> = changes.iter().map(|change| change.reason.as_str()).collect();
        let insert = format!(
            "INSERT INTO {table} (pipeline, at, table_name, change, reason) \
             SELECT $1, now(), $2, u.change, u.reason \
             FROM unnest($3::text[], $4::text[]) AS u(change, reason)"
        );
        bounded(&self.settings, async {
            let query = sqlx::query(AssertSqlSafe(insert))
                .bind(&self.pipeline)
                .bind(&layout.table.quoted)
                .bind(&actions)
                .bind(&reasons);
            Ok(query.execute(&mut *connection).await?)
        })
        .await?;
        Ok(())
    }
}
