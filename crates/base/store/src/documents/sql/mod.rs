//! Documents in a SQL database: a file of SQLite, or PostgreSQL.
//!
//! ```text
//! mod.rs         what a caller sees
//! writer.rs      one task makes all changes, many calls in one transaction
//! plan.rs        what a transaction changes: expectations, all or nothing
//! readers.rs     connections that only read
//! statements.rs  SQL that both databases understand
//! migrate.rs     tables, by the files of `migrations/`
//! connection.rs  statements on a connection of either database
//! dialect.rs     what differs, as a trait; sqlite.rs, postgres.rs: how
//! ```
//! Tables: `levada_documents` (space, key, value, version), `levada_documents_version` with the version given out last, and
//! `levada_documents_migrations`, what made the tables.
//!
//! - All changes are made under a lock of the whole store (SQLite has no other; in PostgreSQL it is the row with the version), so
//!   expectations hold until the end of the transaction, also against other processes, and versions grow in the order of changes.
//! - A call is answered when its transaction is on disk. A caller that stops waiting may find it done or not.
//! - When the connection to PostgreSQL is lost between a commit and its answer, the server is asked how it ended. Only when that
//!   is in vain, too, the error says that it is not known.

mod connection;
mod dialect;
mod migrate;
mod plan;
#[cfg(feature = "postgresql")]
mod postgres;
mod readers;
#[cfg(feature = "sqlite")]
mod sqlite;
mod statements;
mod writer;

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use levada_model::ErrorKind;
use levada_runtime::{Bounds, EdgeSender, EdgeStats, TaskKind, Tasks, edge};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use self::connection::Value;
use self::dialect::{Dialect, Failure, Role, bounded};
use self::readers::Readers;
use self::writer::{Call, Writer};
use super::{Document, DocumentError, Documents, Range, Write};

/// Calls and bytes of calls that wait to be made; who comes then waits for a place. Twice what one transaction takes, and room
/// for the largest value beside others.
const QUEUE: Bounds = Bounds { records: 1_024, bytes: 96 << 20 };

/// What opening is called in errors.
const OPEN: &str = "keep documents";

/// Keeps documents in a SQL database.
pub struct SqlDocuments {
    dialect: Arc<dyn Dialect>,
    tasks: Tasks,
    readers: Readers,
    queue: Mutex<Option<EdgeSender<Call>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

// === impl SqlDocuments ===

impl SqlDocuments {
    /// Opens the documents in a file of SQLite, making it and its folder when they are not there. Only one process at a time
    /// can have them open; changes are made by one of `tasks`.
    ///
    /// - Errors: somebody else has the file, it is no such file, or a newer program made it.
    #[cfg(feature = "sqlite")]
    pub async fn sqlite(path: &Path, tasks: &Tasks) -> Result<Self, DocumentError> {
        let dialect = sqlite::Sqlite::open(path, tasks).await?;
        Self::open(Arc::new(dialect), tasks).await
    }

    /// Opens the documents in a PostgreSQL at an address such as `postgres://user:password@host:5432/database`. Several processes
    /// can have them open; changes are made by one of `tasks`.
    ///
    /// - Errors: the address is wrong, the server does not answer or does not allow it, or a newer program made the tables.
    #[cfg(feature = "postgresql")]
    pub async fn postgres(address: &str, tasks: &Tasks) -> Result<Self, DocumentError> {
        let dialect = postgres::Postgres::new(address)?;
        Self::open(Arc::new(dialect), tasks).await
    }

    async fn open(dialect: Arc<dyn Dialect>, tasks: &Tasks) -> Result<Self, DocumentError> {
        let failed = |failure: Failure| failure.in_store(OPEN, &*dialect);
        let mut connection = dialect.connect(Role::Write).await.map_err(failed)?;
        let prepared = bounded(&*dialect, 0, async {
            dialect.inspect(&mut connection).await?;
            migrate::migrate(&*dialect, &mut connection).await
        });
        prepared.await.unwrap_or_else(|| Err(Failure::no_answer())).map_err(failed)?;
        let (sender, receiver) = edge(QUEUE);
        let writer = Writer::new(Arc::clone(&dialect), connection, receiver);
        let writer = tasks.spawn(TaskKind::Store, "documents", writer.run());
        Ok(Self {
            dialect,
            tasks: tasks.clone(),
            readers: Readers::new(),
            queue: Mutex::new(Some(sender)),
            writer: Mutex::new(Some(writer)),
        })
    }

    fn closed(&self) -> DocumentError {
        Failure::closed().in_store("change documents", &*self.dialect)
    }
}

#[async_trait]
impl Documents for SqlDocuments {
    async fn get(&self, space: &str, key: &str) -> Result<Option<Document>, DocumentError> {
        if !can_be(space) || !can_be(key) {
            return Ok(None);
        }
        let values = [Value::Text(space), Value::Text(key)];
        let mut found = self.readers.fetch(&*self.dialect, statements::GET, &values).await?;
        Ok(found.pop())
    }

    async fn list(&self, space: &str, range: Range<'_>) -> Result<Vec<Document>, DocumentError> {
        if !can_be(space) || !can_be(range.prefix) {
            return Ok(Vec::new());
        }
        let first = statements::first(&range);
        let limit = range.limit.and_then(|limit| i64::try_from(limit).ok()).unwrap_or(i64::MAX);
        let (space, first, limit) = (Value::Text(space), Value::Text(&first), Value::Number(limit));
        match statements::behind(range.prefix) {
            Some(behind) => {
                let values = [space, first, limit, Value::Text(&behind)];
                self.readers.fetch(&*self.dialect, statements::LIST, &values).await
            }
            None => {
                let values = [space, first, limit];
                self.readers.fetch(&*self.dialect, statements::LIST_TO_THE_END, &values).await
            }
        }
    }

    async fn spaces(&self, prefix: &str) -> Result<Vec<String>, DocumentError> {
        if !can_be(prefix) {
            return Ok(Vec::new());
        }
        let first = Value::Text(prefix);
        match statements::behind(prefix) {
            Some(behind) => {
                let values = [first, Value::Text(&behind)];
                self.readers.fetch(&*self.dialect, statements::SPACES, &values).await
            }
            None => {
                self.readers.fetch(&*self.dialect, statements::SPACES_TO_THE_END, &[first]).await
            }
        }
    }

    async fn apply(&self, writes: Vec<Write>) -> Result<(), DocumentError> {
        for write in &writes {
            write.check()?;
        }
        if writes.is_empty() {
            return Ok(());
        }
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(queue) = queue else { return Err(self.closed()) };
        let (answer, answered) = oneshot::channel();
        if queue.send(Call { writes, answer }).await.is_err() {
            return Err(self.closed());
        }
        // As long as this call keeps the queue open, the writer goes on.
        match answered.await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.closed()),
        }
    }

    async fn backup(&self, path: &Path) -> Result<(), DocumentError> {
        let copied = self.dialect.backup(path, &self.tasks).await;
        copied.map_err(|failure| failure.in_store(super::BACK_UP, &*self.dialect))
    }

    async fn close(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer
            && let Err(error) = writer.await
        {
            tracing::warn!(%error, store = self.describe(), "the writer of documents did not end well");
        }
        self.readers.close(&*self.dialect).await;
        self.dialect.release();
    }

    fn waiting(&self) -> EdgeStats {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.as_ref().map(EdgeSender::stats).unwrap_or_default()
    }

    fn describe(&self) -> String {
        self.dialect.describe()
    }
}

impl fmt::Debug for SqlDocuments {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SqlDocuments")
            .field("dialect", &self.dialect)
            .finish_non_exhaustive()
    }
}

impl Failure {
    /// Says that the store was closed, or its writer stopped with the program.
    fn closed() -> Self {
        Self::new(ErrorKind::Unavailable, "it was closed")
    }
}

/// Says whether a name can be one of a document; none with a zero byte is.
fn can_be(name: &str) -> bool {
    !name.contains('\0')
}

#[cfg(test)]
mod tests;
