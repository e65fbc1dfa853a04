//! Writing the rows of a batch inside a transaction, and finding the ones that cannot be written.
//!
//! Each statement stands behind a savepoint. When one fails for its rows, the server mostly says which
//! line of the `COPY` it was; that record is given up and the rest goes on in smaller parts, which grow
//! again. Without a line the part is halved until one row is left. A bad row costs O(log n) statements.
//!
//! A plain insert that meets its own key is looked at again: the row that is there already, as it would
//! be written, is delivered (a batch is repeated after a crash or a broken connection), and only one
//! that differs is rejected.
//! Differs: upstream drops both without a word (`ON CONFLICT DO NOTHING`).

use std::time::Duration;

use levada_model::{ErrorClass, RecordBatch, RecordError};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};

use super::layout::{Layout, Settings};
use super::rows::{Rows, Shape, Verb};
use super::statement::{self, OnConflict, TextArray};
use crate::postgres::{Fault, FaultKind};

/// Rows of a part after a bad row was found at its start.
const PART_MIN: usize = 8;

/// Rows from which `COPY` is worth it.
///
/// Measured with `examples/postgresql_bench.rs`, six columns: 10,000 rows go at 240,000 to 360,000 rows/s
/// by COPY and at 170,000 to 215,000 by arrays, for 0.55 and 0.6 CPU seconds per million here. 100 rows by
/// COPY take 45 ms: the client library sends the end of the rows as a packet of its own and leaves
/// `TCP_NODELAY` off, so that it waits for the server's delayed acknowledgement; by arrays, 1 ms.
const COPY_ROWS_MIN: usize = 4000;

/// The client waits this much longer than the server's own limit before it gives a connection up.
const GRACE: Duration = Duration::from_secs(5);

/// Memory for what is sent; reused from batch to batch.
#[derive(Default)]
pub(super) struct Buffers {
    copy: Vec<u8>,
    arrays: Vec<Vec<u8>>,
}

/// How the rows of a shape are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Copy,
    /// Arrays; the rows say what happens on a conflict.
    Arrays,
    /// Arrays; rows that are there already are compared.
    Careful,
}

/// Everything that writing a batch takes.
pub(super) struct Work<'a> {
    pub(super) connection: &'a mut PgConnection,
    pub(super) layout: &'a Layout,
    pub(super) settings: &'a Settings,
    pub(super) rows: &'a Rows,
    pub(super) batch: &'a RecordBatch,
    pub(super) buffers: &'a mut Buffers,
    pub(super) rejected: &'a mut Vec<(usize, RecordError)>,
    /// Nothing was written behind the last savepoint.
    pub(super) is_marked: bool,
}

/// Runs one or more statements without parameters.
pub(super) async fn run(
    connection: &mut PgConnection,
    settings: &Settings,
    text: impl Into<String>,
) -> Result<(), Fault> {
    let text: String = text.into();
    bounded(settings, async {
        sqlx::raw_sql(AssertSqlSafe(text)).execute(connection).await?;
        Ok(())
    })
    .await
}

/// Waits for the server a little longer than it may take.
pub(super) async fn bounded<T>(
    settings: &Settings,
    call: impl Future<Output = Result<T, Fault>>,
) -> Result<T, Fault> {
    let most = settings.timeout.saturating_add(GRACE);
    match tokio::time::timeout(most, call).await {
        Ok(result) => result,
        Err(_) => {
            let message = format!("no answer from the server within {most:?}");
            Err(Fault { kind: FaultKind::Server, ..Fault::new(ErrorClass::Timeout, message) })
        }
    }
}

/// Makes a table unless it exists; asks first, because the right to make one may be missing.
pub(super) async fn create_unless_there(
    connection: &mut PgConnection,
    settings: &Settings,
    table: &str,
    columns: &str,
) -> Result<(), Fault> {
    let exists = bounded(settings, async {
        let query = sqlx::query("SELECT to_regclass($1) IS NOT NULL").bind(table);
        Ok(query.fetch_one(&mut *connection).await?)
    })
    .await?;
    if exists.try_get(0)? {
        return Ok(());
    }
    run(connection, settings, format!("CREATE TABLE IF NOT EXISTS {table} ({columns})")).await
}

// === impl Work ===

impl Work<'_> {
    /// Writes all rows, round by round and shape by shape.
    pub(super) async fn run(&mut self) -> Result<(), Fault> {
        let rows = &self.rows.rows;
        let mut order: Vec<u32> = (0..rows.len() as u32).collect();
        let place = |index: u32| {
            let row = rows[index as usize];
            (row.round, row.shape)
        };
        if !order.is_sorted_by_key(|&index| place(index)) {
            order.sort_by_key(|&index| place(index));
        }
        for group in order.chunk_by(|&one, &other| place(one) == place(other)) {
            self.write_group(group.to_vec()).await?;
        }
        Ok(())
    }

    async fn write_group(&mut self, mut todo: Vec<u32>) -> Result<(), Fault> {
        let Some(&first) = todo.first() else { return Ok(()) };
        let rows = self.rows;
        let shape = &rows.shapes[rows.rows[first as usize].shape as usize];
        let way = match shape.verb {
            Verb::Delete => Way::Arrays,
            Verb::Put if self.settings.upsert => Way::Arrays,
            Verb::Put if self.layout.table.can_copy => Way::Copy,
            Verb::Put => Way::Careful,
        };
        let (mut is_twice, mut is_careful) = (self.rows.has_twice, false);
        let (mut at, mut size) = (0, todo.len());
        while at < todo.len() {
            self.mark().await?;
            let end = todo.len().min(at.saturating_add(size));
            let is_small = end - at < COPY_ROWS_MIN;
            let way = if way == Way::Copy && (is_small || is_careful) { Way::Careful } else { way };
            let fault = match self.send(way, shape, is_twice, &todo[at..end]).await {
                Ok(taken) => {
                    at += taken;
                    size = size.saturating_mul(4);
                    continue;
                }
                Err(fault) => fault,
            };
            if !fault.is_about_records() {
                return Err(fault);
            }
            run(self.connection, self.settings, "ROLLBACK TO SAVEPOINT levada_row").await?;
            self.is_marked = true;
            match fault.kind {
                FaultKind::Twice if !is_twice => {
                    is_twice = true;
                    continue;
                }
                FaultKind::Duplicate if way == Way::Copy => {
                    is_careful = true;
                    continue;
                }
                _ => {}
            }
            let count = end - at;
            let known = fault.line.filter(|line| way == Way::Copy && (1..=count).contains(line));
            match known.or((count == 1).then_some(1)) {
                Some(line) => {
                    let row = rows.rows[todo.remove(at + line - 1) as usize];
                    self.rejected.push((row.record as usize, fault.record_error()));
                    size = if line > 1 { line - 1 } else { (count / 4).max(PART_MIN) };
                }
                None => size = count / 2,
            }
        }
        Ok(())
    }

    /// Sets the savepoint to which a failed statement goes back.
    async fn mark(&mut self) -> Result<(), Fault> {
        if !self.is_marked {
            let text = "RELEASE SAVEPOINT levada_row; SAVEPOINT levada_row";
            run(self.connection, self.settings, text).await?;
            self.is_marked = true;
        }
        Ok(())
    }

    /// Sends rows, and gives how many of them fitted.
    async fn send(
        &mut self,
        way: Way,
        shape: &Shape,
        is_twice: bool,
        chosen: &[u32],
    ) -> Result<usize, Fault> {
        self.is_marked = false;
        match way {
            Way::Copy => self.copy(shape, chosen).await,
            Way::Arrays => {
                let settings = self.settings;
                let text =
                    statement::arrays(self.layout, settings, shape, OnConflict::Update, is_twice);
                let taken = self.fill(shape, chosen);
                self.execute(text, shape).await?;
                Ok(taken)
            }
            Way::Careful => self.put_carefully(shape, chosen).await,
        }
    }

    async fn copy(&mut self, shape: &Shape, chosen: &[u32]) -> Result<usize, Fault> {
        let text = statement::copy(self.layout, shape);
        let (rows, batch, buffer) = (self.rows, self.batch, &mut self.buffers.copy);
        let connection = &mut *self.connection;
        bounded(self.settings, async {
            let mut copy = connection.copy_in_raw(&text).await?;
            let mut sent = 0;
            while sent < chosen.len() {
                sent += statement::copy_piece(rows, batch, &chosen[sent..], buffer);
                copy.send(&buffer[..]).await?;
            }
            copy.finish().await?;
            Ok(sent)
        })
        .await
    }

    fn fill(&mut self, shape: &Shape, chosen: &[u32]) -> usize {
        let (count, arrays) = (shape.columns.len(), &mut self.buffers.arrays);
        statement::fill_arrays(self.rows, self.batch, chosen, count, arrays)
    }

    /// Runs a statement over the arrays, and gives how many rows it concerned.
    async fn execute(&mut self, text: String, shape: &Shape) -> Result<u64, Fault> {
        let mut query = sqlx::query(AssertSqlSafe(text));
        for array in &self.buffers.arrays[..shape.columns.len()] {
            query = query.bind(TextArray(array));
        }
        let connection = &mut *self.connection;
        bounded(self.settings, async { Ok(query.execute(connection).await?.rows_affected()) }).await
    }

    /// Inserts rows, and rejects those whose key belongs to another row.
    async fn put_carefully(&mut self, shape: &Shape, chosen: &[u32]) -> Result<usize, Fault> {
        let text = statement::put(self.layout, self.settings, shape, OnConflict::Nothing, false);
        let taken = self.fill(shape, chosen);
        if self.execute(text, shape).await? == taken as u64 {
            return Ok(taken);
        }
        let other = || Fault {
            kind: FaultKind::Duplicate,
            code: "23505".to_owned(),
            ..Fault::new(
                ErrorClass::ConstraintViolation,
                "another row with the same key is in the table; set upsertMode to update it",
            )
        };
        // Nothing tells which rows are there: the part is halved until it is one row.
        let Some(text) = statement::missing(self.layout, shape) else { return Err(other()) };
        let mut query = sqlx::query(AssertSqlSafe(text));
        for array in &self.buffers.arrays[..shape.columns.len()] {
            query = query.bind(TextArray(array));
        }
        let connection = &mut *self.connection;
        let missing =
            bounded(self.settings, async { Ok(query.fetch_all(connection).await?) }).await?;
        for row in missing {
            let place: i64 = row.try_get(0)?;
            if let Some(&index) = chosen.get(place as usize - 1) {
                let record = self.rows.rows[index as usize].record;
                self.rejected.push((record as usize, other().record_error()));
            }
        }
        Ok(taken)
    }
}
