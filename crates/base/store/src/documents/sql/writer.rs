//! The one task that changes documents.
//!
//! ```text
//! apply ──> queue ──> writer: one transaction for all that wait ──> answers
//! ```
//! While a transaction is made durable, calls gather; the next one takes them all. So the cost of a flush to disk is shared by
//! as many calls as come in that time. Each call is done as a whole or not at all: one whose expectations are not met is left out
//! of what is written, and when the database refuses something, each call is tried alone.

use std::sync::Arc;
use std::time::Duration;

use levada_model::ErrorKind;
use levada_runtime::{EdgeReceiver, Weigh};
use sqlx::Error as SqlError;
use tokio::sync::oneshot;

use super::connection::{Connection, Value};
use super::dialect::{Dialect, Failure, Reach, Role, bounded};
use super::plan::{self, Plan};
use super::statements as sql;
use crate::{DocumentError, Write};

/// Calls in one transaction at most; the first of them waits for all the others.
const CALLS_MAX: usize = 512;
/// Bytes of calls in one transaction after which no further call is taken, so that the log of the database stays small.
const BYTES_MAX: u64 = 16 << 20;
/// How often a transaction is tried.
const ATTEMPTS_MAX: u32 = 4;
/// Between two looks at how a transaction ended that is not over yet.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// What a write costs beside its names and its value.
const WRITE_BYTES: u64 = 128;

const ACTION: &str = "change documents";

/// Changes that are to be made together, and who waits for that.
pub(super) struct Call {
    pub(super) writes: Vec<Write>,
    pub(super) answer: oneshot::Sender<Outcome>,
}

type Outcome = Result<(), DocumentError>;

/// Makes changes.
pub(super) struct Writer {
    dialect: Arc<dyn Dialect>,
    connection: Option<Connection>,
    queue: EdgeReceiver<Call>,
}

/// How far a transaction has come.
#[derive(Default)]
struct Progress {
    /// What became of each call, if the transaction is committed.
    outcomes: Vec<Outcome>,
    /// The transaction whose commit was asked for.
    committing: Option<i64>,
}

// === impl Writer ===

impl Writer {
    pub(super) fn new(
        dialect: Arc<dyn Dialect>,
        connection: Connection,
        queue: EdgeReceiver<Call>,
    ) -> Self {
        Self { dialect, connection: Some(connection), queue }
    }

    /// Makes changes until nobody can ask for any more and all are made.
    pub(super) async fn run(mut self) {
        while let Some(call) = self.queue.recv().await {
            let mut bytes = call.weigh().1;
            let mut calls = vec![call];
            while calls.len() < CALLS_MAX && bytes < BYTES_MAX {
                let Some(call) = self.queue.try_recv() else { break };
                bytes += call.weigh().1;
                calls.push(call);
            }
            // Who waits no longer does not want it any more.
            calls.retain(|call| !call.answer.is_closed());
            if !calls.is_empty() {
                self.make(calls).await;
            }
        }
        if let Some(connection) = self.connection.take()
            && let Some(Err(error)) = bounded(&*self.dialect, 0, connection.close()).await
        {
            tracing::warn!(%error, store = self.dialect.describe(), "cannot close the documents");
        }
    }

    async fn make(&mut self, calls: Vec<Call>) {
        match self.transaction(&calls).await {
            Ok(outcomes) => answer(calls, outcomes),
            Err((Reach::Call, _)) if calls.len() > 1 => {
                for call in calls {
                    let outcomes = self.transaction(std::slice::from_ref(&call)).await;
                    let outcomes = outcomes.unwrap_or_else(|(_, failure)| self.failed(1, &failure));
                    answer(vec![call], outcomes);
                }
            }
            Err((_, failure)) => {
                let outcomes = self.failed(calls.len(), &failure);
                answer(calls, outcomes);
            }
        }
    }

    fn failed(&self, calls: usize, failure: &Failure) -> Vec<Outcome> {
        let error = || failure.clone().in_store(ACTION, &*self.dialect);
        (0..calls).map(|_| Err(error())).collect()
    }

    /// Does all calls in one transaction, repeating it when that is safe.
    async fn transaction(&mut self, calls: &[Call]) -> Result<Vec<Outcome>, (Reach, Failure)> {
        let dialect = Arc::clone(&self.dialect);
        let bytes = calls.iter().map(|call| call.weigh().1).sum();
        let mut attempt = 0;
        loop {
            attempt += 1;
            let is_used = self.connection.is_some();
            let mut connection = match self.connection.take() {
                Some(connection) => connection,
                None => {
                    let connected = dialect.connect(Role::Write).await;
                    connected.map_err(|failure| (Reach::Database, failure))?
                }
            };
            let mut progress = Progress::default();
            let work = progress.make(&*dialect, &mut connection, calls);
            let mut is_silent = false;
            let (reach, failure) = match bounded(&*dialect, bytes, work).await {
                Some(Ok(())) => {
                    self.connection = Some(connection);
                    return Ok(progress.outcomes);
                }
                Some(Err(error)) => (dialect.reach(&error), dialect.failure(&error)),
                None => {
                    is_silent = true;
                    (Reach::Connection, Failure::no_answer())
                }
            };
            if reach != Reach::Connection {
                // Where nothing is left to roll back, a new connection is the way to a clean state.
                let ended = bounded(&*dialect, 0, connection.script("ROLLBACK")).await;
                self.connection = matches!(ended, Some(Ok(()))).then_some(connection);
            } else if let Some(transaction) = progress.committing {
                match was_committed(&*dialect, transaction).await {
                    Some(true) => return Ok(progress.outcomes),
                    Some(false) => {}
                    None => {
                        let reason =
                            format!("whether it was done is not known: {}", failure.reason);
                        return Err((reach, Failure::new(ErrorKind::Unavailable, reason)));
                    }
                }
            }
            let is_again = match reach {
                // One that was idle may have been silent for long; silence on a new one is no accident.
                Reach::Connection => is_used || !is_silent,
                Reach::Transaction => true,
                Reach::Call | Reach::Database => false,
            };
            if !is_again || attempt == ATTEMPTS_MAX {
                return Err((reach, failure));
            }
        }
    }
}

/// Says whether a transaction was committed, when that can be found out.
async fn was_committed(dialect: &dyn Dialect, transaction: i64) -> Option<bool> {
    for _ in 1..ATTEMPTS_MAX {
        let committed = bounded(dialect, 0, dialect.was_committed(transaction)).await.flatten();
        if committed.is_some() {
            return committed;
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    None
}

fn answer(calls: Vec<Call>, outcomes: Vec<Outcome>) {
    for (call, outcome) in calls.into_iter().zip(outcomes) {
        // Who waits no longer needs no answer.
        call.answer.send(outcome).ok();
    }
}

// === impl Progress ===

impl Progress {
    async fn make(
        &mut self,
        dialect: &dyn Dialect,
        connection: &mut Connection,
        calls: &[Call],
    ) -> Result<(), SqlError> {
        let statements = dialect.statements();
        connection.execute(statements.begin, &[]).await?;
        let (before, transaction): (i64, i64) =
            connection.fetch_one(statements.version, &[]).await?;
        let expected = plan::expected(calls.iter().flat_map(|call| &call.writes));
        let expected: Vec<_> = expected.into_iter().collect();
        let found = dialect.versions(connection, &expected).await?;
        let mut plan = Plan::new(before, found);
        self.outcomes = calls.iter().map(|call| plan.add(&call.writes)).collect();
        if self.outcomes.iter().all(Result::is_err) {
            connection.execute("ROLLBACK", &[]).await?;
            return Ok(());
        }
        for space in plan.cleared() {
            connection.execute(sql::CLEAR, &[Value::Text(space)]).await?;
        }
        dialect.put(connection, &plan.stored()).await?;
        dialect.delete(connection, &plan.deleted()).await?;
        if plan.version() != before {
            connection.execute(sql::KEEP_VERSION, &[Value::Number(plan.version())]).await?;
        }
        self.committing = Some(transaction);
        connection.execute("COMMIT", &[]).await?;
        Ok(())
    }
}

// === impl Call ===

impl Weigh for Call {
    fn weigh(&self) -> (u64, u64) {
        let bytes = self.writes.iter().map(|write| match write {
            Write::Put { space, key, value, .. } => space.len() + key.len() + value.len(),
            Write::Delete { space, key, .. } => space.len() + key.len(),
            Write::Clear { space } => space.len(),
        });
        (1, bytes.map(|bytes| bytes as u64 + WRITE_BYTES).sum())
    }
}
