//! Connections: made when needed, bounded in time, made again when lost.
//!
//! Callers block and may be inside of an asynchronous runtime, where another one cannot be driven. So each piece of work
//! runs on a thread of its own for as long as it takes, with a small runtime that stays with the connection.

use std::collections::BTreeSet;
use std::panic;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use levada_model::ErrorKind;
use sqlx::Error as SqlError;
use sqlx::postgres::PgConnection;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use super::server::{Server, Source, is_lost, kind_of, no_answer};
use super::sql;
use crate::StoreError;

/// How long one piece of work may take on a connection; the server gives up on a statement before that.
const WORK_TIMEOUT: Duration = Duration::from_secs(10);
/// How long giving a lock back may take; past that the connection is closed, which gives back all its locks.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);

/// A place for a connection.
#[derive(Default)]
pub(super) struct Slot(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    runtime: Option<Runtime>,
    session: Option<Session>,
}

/// A connection, and the flows whose locks it holds.
pub(super) struct Session {
    pub(super) connection: PgConnection,
    pub(super) locked: BTreeSet<String>,
}

/// Why work ended early.
pub(super) enum Failure {
    /// The database said no, or nothing.
    Database(SqlError),
    /// The answer is this error.
    Store(StoreError),
}

// === impl Slot ===

impl Slot {
    /// Does `work` with a connection. Work must bear to be done twice: when a connection that was used before turns out to be
    /// dead, it is repeated once on a new one.
    pub(super) fn run<T: Send>(
        &self,
        server: &Server,
        action: &'static str,
        work: impl AsyncFn(&mut Session) -> Result<T, Failure> + Send + Sync,
    ) -> Result<T, StoreError> {
        on_a_thread(|| {
            let mut inner = self.lock();
            let Inner { runtime, session } = &mut *inner;
            let failed = |kind, source| server.failed(action, kind, source);
            let runtime = match runtime {
                Some(runtime) => runtime,
                None => {
                    let built = Builder::new_current_thread().enable_all().build();
                    runtime.insert(built.map_err(|e| failed(ErrorKind::Internal, e.into()))?)
                }
            };
            runtime.block_on(async {
                loop {
                    let is_used = session.is_some();
                    let connected = match session {
                        Some(connected) => connected,
                        None => session.insert(server.session(action).await?),
                    };
                    match timeout(WORK_TIMEOUT, work(connected)).await {
                        Ok(Ok(done)) => return Ok(done),
                        Ok(Err(Failure::Store(error))) => return Err(error),
                        Ok(Err(Failure::Database(error))) => {
                            let is_lost = is_lost(&error);
                            if is_lost {
                                *session = None;
                            }
                            if !(is_lost && is_used) {
                                return Err(failed(kind_of(&error), error.into()));
                            }
                        }
                        Err(_) => {
                            *session = None;
                            return Err(failed(ErrorKind::Unavailable, no_answer(WORK_TIMEOUT)));
                        }
                    }
                }
            })
        })
        .unwrap_or_else(|error| Err(server.failed(action, ErrorKind::Internal, error.into())))
    }

    /// Gives the lock of a flow back, if a connection holds it.
    pub(super) fn release(&self, flow: &str) {
        let done = on_a_thread(|| {
            let mut inner = self.lock();
            let Inner { runtime: Some(runtime), session } = &mut *inner else { return };
            let Some(connected) = session else { return };
            if !connected.locked.remove(flow) {
                return;
            }
            let is_done = runtime.block_on(async {
                let unlock = sqlx::query(sql::UNLOCK).bind(flow).execute(&mut connected.connection);
                matches!(timeout(RELEASE_TIMEOUT, unlock).await, Ok(Ok(_)))
            });
            if !is_done {
                inner.close();
            }
        });
        if done.is_err() {
            // No thread can be had: without its connection nothing is locked any more.
            self.lock().close();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Inner ===

impl Inner {
    fn close(&mut self) {
        let _entered = self.runtime.as_ref().map(Runtime::enter);
        self.session = None;
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
        if let Some(runtime) = self.runtime.take() {
            // A plain drop would wait, which is forbidden inside of another runtime.
            runtime.shutdown_background();
        }
    }
}

// === impl Server ===

impl Server {
    async fn session(&self, action: &'static str) -> Result<Session, StoreError> {
        match self.connect().await {
            Ok(connection) => Ok(Session { connection, locked: BTreeSet::new() }),
            Err((kind, source)) => Err(self.failed(action, kind, source)),
        }
    }

    fn failed(&self, action: &'static str, kind: ErrorKind, source: Source) -> StoreError {
        StoreError::Database { action, server: self.name.clone(), kind, source }
    }
}

// === impl Failure ===

impl From<SqlError> for Failure {
    fn from(error: SqlError) -> Self {
        Failure::Database(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Failure::Store(error)
    }
}

// === helpers ===

/// Does work on a thread of its own and waits for it.
fn on_a_thread<T: Send>(work: impl FnOnce() -> T + Send) -> std::io::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("checkpoints".into()).spawn_scoped(scope, work)?;
        Ok(thread.join().unwrap_or_else(|panicked| panic::resume_unwind(panicked)))
    })
}
