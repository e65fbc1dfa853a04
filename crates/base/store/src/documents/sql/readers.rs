//! Connections that only read, so that reads do not wait behind writes.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Semaphore;

use super::connection::{Connection, Fetch, Value};
use super::dialect::{Dialect, Failure, Reach, Role, bounded};
use crate::DocumentError;

/// Connections at most: one for what is long, one for the rest.
const CONNECTIONS: usize = 2;

const ACTION: &str = "read documents";

/// Connections that read, made when they are needed.
#[derive(Debug)]
pub(super) struct Readers {
    idle: Mutex<Vec<Connection>>,
    permits: Semaphore,
}

// === impl Readers ===

impl Readers {
    pub(super) fn new() -> Self {
        Self { idle: Mutex::default(), permits: Semaphore::new(CONNECTIONS) }
    }

    /// Gives the rows of a result. When a connection that was used before turns out to be dead, another one is asked.
    pub(super) async fn fetch<T: Fetch>(
        &self,
        dialect: &dyn Dialect,
        statement: &'static str,
        values: &[Value<'_>],
    ) -> Result<Vec<T>, DocumentError> {
        let fetched = bounded(dialect, 0, self.ask(dialect, statement, values)).await;
        let fetched = fetched.unwrap_or_else(|| Err(Failure::no_answer()));
        fetched.map_err(|failure| failure.in_store(ACTION, dialect))
    }

    async fn ask<T: Fetch>(
        &self,
        dialect: &dyn Dialect,
        statement: &'static str,
        values: &[Value<'_>],
    ) -> Result<Vec<T>, Failure> {
        let Ok(_permit) = self.permits.acquire().await else { return Err(Failure::closed()) };
        loop {
            let idle = self.idle().pop();
            let is_used = idle.is_some();
            let mut connection = match idle {
                Some(connection) => connection,
                None => dialect.connect(Role::Read).await?,
            };
            // When this is dropped half-way, the connection is dropped too: its next answer would be that of this question.
            let fetched = connection.fetch(statement, values).await;
            let is_lost = matches!(&fetched, Err(e) if dialect.reach(e) == Reach::Connection);
            if !is_lost {
                self.idle().push(connection);
            } else if is_used {
                continue;
            }
            return fetched.map_err(|error| dialect.failure(&error));
        }
    }

    /// Ends all connections, and lets nobody read any more.
    pub(super) async fn close(&self, dialect: &dyn Dialect) {
        let all = u32::try_from(CONNECTIONS).unwrap_or(u32::MAX);
        let under_way = self.permits.acquire_many(all).await;
        self.permits.close();
        drop(under_way);
        let idle = std::mem::take(&mut *self.idle());
        for connection in idle {
            // One that cannot say goodbye is gone as well.
            let _gone =
                bounded(dialect, 0, connection.close()).await.is_none_or(|end| end.is_err());
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
