//! Polls: a snapshot, a cursor over it, batches from the cursor.
//!
//! Connection and cursor are taken out while they are in use. A call that is dropped or fails loses both,
//! and the next one begins a poll at the last position that was handed out.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use levada_model::value::Str;
use levada_model::{ErrorClass, Meta, Position, RecordBatch, Value};
use serde_json::json;
use sqlx::postgres::{PgArguments, PgConnection, PgRow, Postgres};
use sqlx::{AssertSqlSafe, Row as _};

use super::plan::{Mark, Plan, Query};
use super::seen::{Seen, Snapshot};
use super::settings::Settings;
use crate::context::BuildContext;
use crate::postgres::Fault;
use crate::traits::{Source, SourceError};

/// Rows of the first fetch; later ones follow from their size.
const FETCH_FIRST: usize = 64;

/// The client waits this much longer than the server's own limit.
const GRACE: Duration = Duration::from_secs(5);

/// Reads one table or query.
pub(super) struct PostgresqlSource {
    settings: Settings,
    ctx: BuildContext,
    partition: Str,
    connection: Option<PgConnection>,
    poll: Option<Poll>,
    /// When the next poll is due, on the monotonic clock.
    next_poll_at: Duration,
    /// Behind the last row that was handed out.
    mark: Option<Mark>,
    /// The snapshot that `mark` belongs to.
    snapshot: String,
    /// Rows up to here are not read again: there were too many to remember.
    floor: Option<Mark>,
    seen: Seen,
    /// Bytes of a row, as the last fetch had them.
    row_bytes: usize,
    /// Everything was handed out, and more is not waited for.
    is_exhausted: bool,
    /// Rows behind the position, as the poll under way found them.
    lag: Option<u64>,
}

/// A cursor that is open.
struct Poll {
    plan: Plan,
    snapshot: String,
    begun_at: Duration,
    /// Rows that were handed out.
    rows: usize,
    /// Where the poll began.
    from: Option<Mark>,
    /// How many of them are behind that place.
    ahead: u64,
    /// How many rows were behind it when the poll began; known when they are more than one fetch.
    total: Option<u64>,
    /// Nothing more is to be fetched.
    is_over: bool,
}

// === impl PostgresqlSource ===

impl PostgresqlSource {
    /// Makes the source; connects to nothing.
    pub(super) fn new(settings: Settings, ctx: &BuildContext) -> Self {
        PostgresqlSource {
            partition: settings.table_text.as_str().into(),
            settings,
            ctx: ctx.clone(),
            connection: None,
            poll: None,
            next_poll_at: Duration::ZERO,
            mark: None,
            snapshot: String::new(),
            floor: None,
            seen: Seen::default(),
            row_bytes: 0,
            is_exhausted: false,
            lag: None,
        }
    }

    async fn bounded<T>(&self, call: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        let most = self.settings.timeout.saturating_add(GRACE);
        match tokio::time::timeout(most, call).await {
            Ok(result) => result,
            Err(_) => {
                let text = format!("no answer from the server within {most:?}");
                Err(Fault::new(ErrorClass::Timeout, text))
            }
        }
    }

    /// Makes the table with the columns that polling needs.
    async fn create_table(&self, connection: &mut PgConnection) -> Result<(), Fault> {
        let text = format!(
            "CREATE TABLE IF NOT EXISTS {} (\"id\" BIGSERIAL PRIMARY KEY, \"data\" JSONB, \
             \"created_at\" TIMESTAMP DEFAULT CURRENT_TIMESTAMP, \
             \"updated_at\" TIMESTAMP DEFAULT CURRENT_TIMESTAMP)",
            self.settings.table.to_create()
        );
        match run(connection, text).await {
            // Another process was faster.
            Err(fault) if matches!(fault.code.as_str(), "23505" | "42P07" | "42710") => Ok(()),
            other => other,
        }
    }

    async fn prepare(&mut self, connection: &mut PgConnection) -> Result<(), Fault> {
        if self.settings.auto_create
            && self.settings.query.is_none()
            && crate::postgres::Table::read(connection, &self.settings.table).await?.is_none()
        {
            self.create_table(connection).await?;
        }
        let plan = Plan::read(connection, &self.settings).await?;
        if plan.has_window() && plan.has_xmin && !self.snapshot.is_empty() {
            self.remember(connection, &plan).await?;
        }
        Ok(())
    }

    /// Finds which rows of the window were handed out before the start: those that the snapshot of the
    /// position saw.
    async fn remember(&mut self, connection: &mut PgConnection, plan: &Plan) -> Result<(), Fault> {
        let (Some(mark), Some(snapshot)) = (&self.mark, Snapshot::parse(&self.snapshot)) else {
            return Ok(());
        };
        if plan.has_change() != mark.change.is_some() {
            return Ok(());
        }
        let query = plan.known(mark);
        let rows = bind(&query).fetch_all(connection).await?;
        self.seen.begin();
        for row in rows {
            let transaction: String = row.try_get(2)?;
            if transaction.parse().is_ok_and(|id| snapshot.saw(id)) && !self.seen.is_full() {
                self.seen.is_new(&mark_of(&row)?);
            }
        }
        Ok(())
    }

    /// Opens a cursor over what is there now.
    async fn begin(&mut self, connection: &mut PgConnection) -> Result<Poll, Fault> {
        let begun_at = self.ctx.clock.monotonic();
        let plan = self.bounded(Plan::read(connection, &self.settings)).await?;
        let is_usable = |mark: &&Mark| plan.has_change() == mark.change.is_some();
        let from = self.mark.as_ref().filter(is_usable).filter(|_| plan.has_position());
        let floor = self.floor.as_ref().filter(is_usable);
        let query = plan.query(from, floor, self.settings.read_batch_size);
        let query =
            Query { text: format!("DECLARE levada NO SCROLL CURSOR FOR {}", query.text), ..query };
        let is_fresh = from.is_none();
        let snapshot = self
            .bounded(async {
                run(connection, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
                let snapshot: String = sqlx::query("SELECT txid_current_snapshot()::text")
                    .fetch_one(&mut *connection)
                    .await?
                    .try_get(0)?;
                bind(&query).execute(connection).await?;
                Ok(snapshot)
            })
            .await?;
        if is_fresh {
            self.seen.clear();
            self.floor = None;
        }
        self.seen.begin();
        let from = from.cloned();
        Ok(Poll { plan, snapshot, begun_at, rows: 0, from, ahead: 0, total: None, is_over: false })
    }

    /// Gives how many rows to fetch: about as many bytes as a batch holds.
    fn wanted(&self, poll: &Poll) -> usize {
        let most = self.ctx.batch_records.max(1);
        let wanted = match self.row_bytes {
            0 => FETCH_FIRST.min(most),
            bytes => (self.ctx.batch_bytes / bytes).clamp(1, most),
        };
        match self.limit() {
            Some(limit) => wanted.min(limit.saturating_sub(poll.rows)).max(1),
            None => wanted,
        }
    }

    fn limit(&self) -> Option<usize> {
        self.settings.read_batch_size.map(|rows| rows.unsigned_abs() as usize)
    }

    /// Moves rows into the batch, and the position with them.
    fn take(
        &mut self,
        poll: &mut Poll,
        rows: &[PgRow],
        is_last: bool,
        batch: &mut RecordBatch,
    ) -> Result<(), Fault> {
        let mut bytes = 0;
        for row in rows {
            bytes += self.push(poll, row, batch)?;
        }
        if !rows.is_empty() {
            self.row_bytes = (bytes / rows.len()).max(1);
        }
        poll.is_over = is_last || self.limit().is_some_and(|limit| poll.rows >= limit);
        if is_last {
            self.seen.end();
        }
        let total = if is_last { Some(0) } else { poll.total };
        self.lag = total.map(|total| total.saturating_sub(poll.ahead));
        if poll.is_over {
            let is_patient = !self.settings.stops_at_end;
            let pause = if is_patient { self.settings.poll_interval } else { Duration::ZERO };
            self.next_poll_at = poll.begun_at.saturating_add(pause);
            // Without a position the next poll would find the same rows again.
            self.is_exhausted = !is_patient && (poll.rows == 0 || !poll.plan.has_position());
        }
        // While only late rows were read, the position is still that of the poll before.
        if poll.ahead > 0 || is_last {
            self.snapshot.clone_from(&poll.snapshot);
        }
        if self.seen.is_full() {
            self.seen.clear();
            self.floor.clone_from(&self.mark);
        }
        if let Some(origin) = batch.origins.first_mut() {
            origin.position = self.position(poll);
        }
        Ok(())
    }

    fn position(&self, poll: &Poll) -> Position {
        match &self.mark {
            Some(Mark { change: Some(change), key }) => {
                json!({"change": change, "order": key, "snapshot": self.snapshot})
            }
            Some(Mark { change: None, key }) if poll.plan.has_position() => {
                json!({"order": key, "snapshot": self.snapshot})
            }
            _ => Position::Null,
        }
    }

    /// Adds a row to the batch unless it was handed out before; gives its size.
    fn push(
        &mut self,
        poll: &mut Poll,
        row: &PgRow,
        batch: &mut RecordBatch,
    ) -> Result<usize, Fault> {
        let payload: &str = row.try_get(4)?;
        if poll.plan.has_position() {
            let mark = mark_of(row)?;
            let is_ahead = row.try_get::<&str, _>(5)? != "false";
            if poll.plan.has_window() && !self.seen.is_new(&mark) {
                return Ok(payload.len());
            }
            if is_ahead {
                poll.ahead += 1;
                self.mark = Some(mark);
            }
        } else {
            poll.ahead += 1;
        }
        if batch.origins.is_empty() {
            batch.push_origin(self.partition.clone(), Position::Null);
        }
        batch.set_shared_meta(Some(Arc::new(self.meta(poll, row)?)));
        batch.push(payload.as_bytes(), 0, poll.rows as u64);
        poll.rows += 1;
        Ok(payload.len())
    }

    fn meta(&self, poll: &Poll, row: &PgRow) -> Result<Meta, Fault> {
        let mut meta = Meta::new();
        meta.set("table", Value::Str(self.partition.clone()));
        let id: Option<&str> = row.try_get(2)?;
        match (id, poll.plan.id) {
            (Some(id), Some(true)) => {
                meta.set("id", id.parse().map_or_else(|_| Value::from(id), Value::Int));
            }
            (Some(id), _) => meta.set("id", id.into()),
            (None, _) => {}
        }
        let is_update = row.try_get::<&str, _>(3)? == "true";
        meta.set("operation", if is_update { "update" } else { "insert" }.into());
        Ok(meta)
    }
}

#[async_trait]
impl Source for PostgresqlSource {
    async fn open(&mut self, positions: &[(Str, Position)]) -> Result<(), SourceError> {
        self.connection = None;
        self.poll = None;
        self.floor = None;
        self.seen.clear();
        self.next_poll_at = Duration::ZERO;
        self.is_exhausted = false;
        self.lag = None;
        (self.mark, self.snapshot) = (None, String::new());
        if let Some((_, position)) = positions.iter().find(|(name, _)| *name == self.partition)
            && let Some(key) = position.get("order").and_then(Position::as_str)
        {
            let text =
                |name: &str| position.get(name).and_then(Position::as_str).map(str::to_owned);
            self.mark = Some(Mark { change: text("change"), key: key.to_owned() });
            self.snapshot = text("snapshot").unwrap_or_default();
        }
        let mut connection = self.wait().await?;
        let most = self.settings.timeout.saturating_add(GRACE);
        match tokio::time::timeout(most, self.prepare(&mut connection)).await {
            Ok(result) => result?,
            Err(_) => {
                let text = format!("no answer from the server within {most:?}");
                return Err(SourceError::new(ErrorClass::Timeout, text));
            }
        }
        self.connection = Some(connection);
        Ok(())
    }

    async fn next(&mut self, batch: &mut RecordBatch) -> Result<bool, SourceError> {
        Ok(self.read(batch).await?)
    }

    /// Rows that the table had behind the position when the poll began, minus those handed out.
    fn lag(&self) -> Option<u64> {
        self.lag
    }
}

impl PostgresqlSource {
    async fn read(&mut self, batch: &mut RecordBatch) -> Result<bool, Fault> {
        loop {
            if self.is_exhausted {
                return Ok(false);
            }
            let (mut connection, poll) = match (self.poll.take(), self.connection.take()) {
                (Some(poll), Some(connection)) if !poll.is_over => (connection, Some(poll)),
                (Some(_), Some(mut connection)) => {
                    self.bounded(run(&mut connection, "COMMIT")).await?;
                    (connection, None)
                }
                // The cursor went with its connection.
                (_, connection) => {
                    self.connection = connection;
                    (self.wait().await?, None)
                }
            };
            let Some(mut poll) = poll else {
                self.connection = Some(connection);
                connection = self.wait().await?;
                let poll = self.begin(&mut connection).await?;
                (self.connection, self.poll) = (Some(connection), Some(poll));
                continue;
            };
            let wanted = self.wanted(&poll);
            let text = format!("FETCH FORWARD {wanted} FROM levada");
            let rows = self
                .bounded(async {
                    Ok(sqlx::raw_sql(AssertSqlSafe(text)).fetch_all(&mut connection).await?)
                })
                .await?;
            let is_last = rows.len() < wanted;
            if is_last {
                // Now and not with the next call: an open transaction keeps others from changing tables.
                self.bounded(run(&mut connection, "COMMIT")).await?;
            } else if poll.total.is_none() {
                poll.total = Some(self.bounded(count(&mut connection, &poll)).await?);
            }
            // No waiting from here on: a call that is dropped must not leave rows marked as seen.
            self.take(&mut poll, &rows, is_last, batch)?;
            (self.connection, self.poll) = (Some(connection), (!is_last).then_some(poll));
            if !batch.is_empty() {
                batch.expects_json = true;
                return Ok(true);
            }
        }
    }

    /// Waits until a poll is due, and gives the connection.
    async fn wait(&mut self) -> Result<PgConnection, Fault> {
        let wait = self.next_poll_at.saturating_sub(self.ctx.clock.monotonic());
        if !wait.is_zero() {
            self.ctx.clock.sleep(wait).await;
        }
        match self.connection.take() {
            Some(connection) => Ok(connection),
            None => self.settings.target.connect(self.settings.timeout).await,
        }
    }
}

fn mark_of(row: &PgRow) -> Result<Mark, Fault> {
    Ok(Mark {
        change: row.try_get(0)?,
        key: row.try_get::<Option<String>, _>(1)?.unwrap_or_default(),
    })
}

fn bind(query: &Query) -> sqlx::query::Query<'_, Postgres, PgArguments> {
    let mut prepared = sqlx::query(AssertSqlSafe(query.text.clone()));
    for parameter in &query.parameters {
        prepared = prepared.bind(parameter);
    }
    prepared
}

/// Counts the rows behind the place at which a poll began, in its snapshot.
async fn count(connection: &mut PgConnection, poll: &Poll) -> Result<u64, Fault> {
    let query = poll.plan.count(poll.from.as_ref());
    let count: i64 = bind(&query).fetch_one(connection).await?.try_get(0)?;
    Ok(count.unsigned_abs())
}

async fn run(connection: &mut PgConnection, text: impl Into<String>) -> Result<(), Fault> {
    sqlx::raw_sql(AssertSqlSafe(text.into())).execute(connection).await?;
    Ok(())
}
