//! Checkpoints in PostgreSQL, for flows that may start on another machine than the one they ran on.
//!
//! Two tables in the schema that is first on the search path, made when they are not there: `levada_checkpoints`, a row per flow with
//! its epoch and the file form of its checkpoint, and `levada_checkpoint_audit`, what people changed.
//!
//! - The row fences: a save is one statement, and it changes nothing unless its epoch is at least the one in the row.
//! - An advisory lock of the connection says that a flow runs. It ends with the connection, so with the process; a machine that
//!   vanishes loses it within half a minute. A holder whose connection was lost takes it again, unless another was faster; then
//!   the row has a higher epoch and the former holder is refused.
//!
//! The address must lead to the server itself or to a pooler that keeps sessions: with one that mixes the transactions of clients,
//! locks end up anywhere.

pub(crate) mod server;
mod session;
mod sql;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Row as _};

use self::server::Server;
use self::session::{Failure, Session, Slot};
use crate::amend::Amended;
use crate::checkpoint::{self, DecodeError};
use crate::{
    Amendment, AuditLine, Change, Checkpoint, CheckpointStore, Lease, Listed, Loaded, Sources,
    StoreError,
};

/// Connections at most; a flow always uses the same one. Flows save once a second or so, in a few milliseconds.
const CONNECTIONS: usize = 4;
/// Longest name of a flow, bytes; the index of the table takes no more than some 2,700.
const FLOW_BYTES_MAX: usize = 1_024;
/// Flows whose checkpoints are looked at together.
const LISTED_AT_ONCE: usize = 50;
/// Audit lines of a flow that are kept.
const AUDIT_MAX: i64 = 1_000;

/// Keeps checkpoints in a table of PostgreSQL. A clone is cheap and is the same store.
#[derive(Clone)]
pub struct PostgresCheckpointStore(Arc<Inner>);

struct Inner {
    server: Server,
    slots: [Slot; CONNECTIONS],
    /// Flows that leases of this store are for.
    held: Mutex<HashSet<String>>,
    host: String,
}

/// Takes a flow out of the set of held ones when its lease ends.
struct HeldGuard {
    store: Arc<Inner>,
    flow: String,
}

// === impl PostgresCheckpointStore ===

impl PostgresCheckpointStore {
    /// Opens the store at an address such as `postgres://user:password@host:5432/database?sslmode=verify-full`, and makes its
    /// tables when they are not there.
    ///
    /// - Errors: [`StoreError::Address`], [`StoreError::Database`] when the server does not answer or does not allow it.
    pub fn open(address: &str) -> Result<Self, StoreError> {
        let server = Server::new(address, "levada checkpoints")
            .map_err(|reason| StoreError::Address { reason })?;
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let store = Inner { server, slots: Default::default(), held: Mutex::default(), host };
        store.run("", "make the tables for checkpoints", async |session| {
            let connection = &mut session.connection;
            let has_tables = sqlx::query(sql::HAS_TABLES).fetch_one(&mut *connection).await?;
            if !has_tables.try_get::<bool, _>(0)? {
                create(session).await?;
            }
            Ok(())
        })?;
        Ok(Self(Arc::new(store)))
    }
}

impl CheckpointStore for PostgresCheckpointStore {
    fn acquire(&self, flow: &str) -> Result<Lease, StoreError> {
        let store = &self.0;
        checked_name(flow)?;
        if !store.held().insert(flow.into()) {
            return Err(store.locked(flow, None));
        }
        // From here on the guard forgets the flow, and its lock, when anything fails.
        let guard = HeldGuard { store: Arc::clone(store), flow: flow.into() };
        let epoch = store.run(flow, "take the lease of a flow", async |session| {
            if !lock(session, flow).await? {
                return Err(store.holder(session, flow).await?.into());
            }
            let row = sqlx::query(sql::NEXT_EPOCH)
                .bind(flow)
                .bind(i64::from(std::process::id()))
                .bind(&store.host)
                .fetch_optional(&mut session.connection)
                .await?;
            match row {
                Some(row) => Ok(epoch_of(row.try_get(0)?)),
                None => Err(last_epoch(flow).into()),
            }
        })?;
        Ok(Lease::new(epoch, guard))
    }

    fn load(&self, flow: &str) -> Result<Option<Loaded>, StoreError> {
        checked_name(flow)?;
        let store = &self.0;
        let body =
            store.run(flow, "read a checkpoint", async |session| body(session, flow).await)?;
        let loaded = body.map(|body| store.decoded(flow, &body)).transpose()?;
        Ok(loaded.map(|checkpoint| Loaded { checkpoint, warning: None }))
    }

    fn save(&self, flow: &str, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        checked_name(flow)?;
        let store = &self.0;
        let body = text(crate::memory::checked(flow, checkpoint)?);
        let epoch = i64::try_from(checkpoint.epoch).map_err(|_| StoreError::Invalid {
            flow: flow.into(),
            reason: format!("epoch {} is higher than {}", checkpoint.epoch, i64::MAX),
        })?;
        let is_held = store.held().contains(flow);
        store.run(flow, "store a checkpoint", async |session| {
            if is_held {
                // After a connection was lost. When that is in vain, the row still fences.
                lock(session, flow).await?;
            }
            let row = sqlx::query(sql::SAVE)
                .bind(flow)
                .bind(epoch)
                .bind(microseconds(checkpoint.saved_at))
                .bind(&body)
                .bind(is_held)
                .fetch_one(&mut session.connection)
                .await?;
            match (row.try_get(0)?, row.try_get(1)?) {
                (true, true) => Ok(()),
                (true, false) => {
                    let stored = sqlx::query(sql::EPOCH)
                        .bind(flow)
                        .fetch_one(&mut session.connection)
                        .await?;
                    let (offered, stored) = (checkpoint.epoch, epoch_of(stored.try_get(0)?));
                    Err(StoreError::Fenced { flow: flow.into(), offered, stored }.into())
                }
                (false, _) => Err(store.holder(session, flow).await?.into()),
            }
        })
    }

    fn reset(&self, flow: &str) -> Result<(), StoreError> {
        checked_name(flow)?;
        let store = &self.0;
        let is_held = store.held().contains(flow);
        store.run(flow, "forget a checkpoint", async |session| {
            let query = sqlx::query(sql::RESET).bind(flow).bind(is_held);
            match query.fetch_one(&mut session.connection).await?.try_get(0)? {
                true => Ok(()),
                false => Err(store.holder(session, flow).await?.into()),
            }
        })
    }

    fn list(&self) -> Result<Vec<Listed>, StoreError> {
        let store = &self.0;
        let mut listed = store.run("", "list the checkpoints", async |session| {
            let rows = sqlx::query(sql::NAMES).fetch_all(&mut session.connection).await?;
            let names =
                rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<String>, _>>()?;
            let mut listed = Vec::with_capacity(names.len());
            // Not all bodies at once, which may be more than fits.
            for some in names.chunks(LISTED_AT_ONCE) {
                let query = sqlx::query(sql::LOAD_SOME).bind(some);
                for row in query.fetch_all(&mut session.connection).await? {
                    let (flow, body): (String, String) = (row.try_get(0)?, row.try_get(1)?);
                    let problem = store.decoded(&flow, &body).err().map(|error| error.to_string());
                    listed.push(Listed { flow, problem });
                }
            }
            Ok(listed)
        })?;
        listed.sort_by(|a, b| a.flow.cmp(&b.flow));
        Ok(listed)
    }

    fn amend(
        &self,
        flow: &str,
        amendment: &Amendment<'_>,
        change: &Change<'_>,
    ) -> Result<AuditLine, StoreError> {
        checked_name(flow)?;
        let store = &self.0;
        if store.held().contains(flow) {
            return Err(store.locked(flow, None));
        }
        store.run(flow, "change positions", async |session| {
            // Ended in any case here, and not when it is dropped: an open transaction would keep the flow locked.
            let mut transaction = session.connection.begin().await?;
            match store.amend(&mut transaction, flow, amendment, change).await {
                Ok(Some(line)) => {
                    transaction.commit().await?;
                    Ok(line)
                }
                Ok(None) => {
                    transaction.rollback().await?;
                    Err(store.holder(session, flow).await?.into())
                }
                Err(failure) => {
                    transaction.rollback().await?;
                    Err(failure)
                }
            }
        })
    }

    fn audit(&self, flow: &str) -> Result<Vec<AuditLine>, StoreError> {
        checked_name(flow)?;
        self.0.run(flow, "read the audit lines", async |session| {
            let rows =
                sqlx::query(sql::LINES).bind(flow).fetch_all(&mut session.connection).await?;
            let mut lines = Vec::with_capacity(rows.len());
            for row in rows {
                let line: String = row.try_get(0)?;
                lines.extend(serde_json::from_str::<AuditLine>(&line).ok());
            }
            Ok(lines)
        })
    }
}

impl std::fmt::Debug for PostgresCheckpointStore {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The options hold the password.
        let server = &self.0.server.name;
        formatter.debug_struct("PostgresCheckpointStore").field("server", server).finish()
    }
}

// === impl Inner ===

impl Inner {
    fn run<T: Send>(
        &self,
        flow: &str,
        action: &'static str,
        work: impl AsyncFn(&mut Session) -> Result<T, Failure> + Send + Sync,
    ) -> Result<T, StoreError> {
        self.slot(flow).run(&self.server, action, work)
    }

    fn slot(&self, flow: &str) -> &Slot {
        &self.slots[crc32c::crc32c(flow.as_bytes()) as usize % CONNECTIONS]
    }

    fn held(&self) -> MutexGuard<'_, HashSet<String>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes positions inside of a transaction; gives `None` when somebody else has the lock of the flow.
    async fn amend(
        &self,
        transaction: &mut PgConnection,
        flow: &str,
        amendment: &Amendment<'_>,
        change: &Change<'_>,
    ) -> Result<Option<AuditLine>, Failure> {
        let free = sqlx::query(sql::LOCK_SHORT).bind(flow).fetch_one(&mut *transaction).await?;
        if !free.try_get::<bool, _>(0)? {
            return Ok(None);
        }
        let query = sqlx::query(sql::LOAD_LOCKED).bind(flow);
        let row = query.fetch_optional(&mut *transaction).await?;
        let (stored_epoch, body): (i64, Option<String>) = match row {
            Some(row) => (row.try_get(0)?, row.try_get(1)?),
            None => (0, None),
        };
        let epoch = stored_epoch.checked_add(1).ok_or_else(|| last_epoch(flow))?;
        let has_stored = body.is_some();
        let sources = match body {
            Some(body) => self.decoded(flow, &body).map(|checkpoint| checkpoint.sources),
            None => Ok(Sources::new()),
        };
        let amended = Amended::new(flow, epoch_of(epoch), sources, amendment, change)?;
        if !amended.is_change(has_stored) {
            return Ok(Some(amended.line));
        }
        let body = match &amended.checkpoint {
            Some(checkpoint) => Some(text(crate::memory::checked(flow, checkpoint)?)),
            None => None,
        };
        let at = microseconds(amendment.at);
        let query = sqlx::query(sql::AMEND).bind(flow).bind(epoch);
        let query = query.bind(body.is_some().then_some(at)).bind(body);
        query.execute(&mut *transaction).await?;
        let line = serde_json::to_string(&amended.line).expect("a line holds only JSON");
        let query = sqlx::query(sql::KEEP_LINE).bind(flow).bind(at).bind(line);
        query.execute(&mut *transaction).await?;
        let query = sqlx::query(sql::FORGET_LINES).bind(flow).bind(AUDIT_MAX);
        query.execute(&mut *transaction).await?;
        Ok(Some(amended.line))
    }

    /// Says that somebody has the lock of the flow: with `None`, this process.
    fn locked(&self, flow: &str, holder: Option<(Option<u32>, Option<String>)>) -> StoreError {
        let ours = || (Some(std::process::id()), Some(self.host.clone()));
        let (pid, host) = holder.unwrap_or_else(ours);
        StoreError::Locked { flow: flow.into(), pid, host }
    }

    /// Says who has the lock of the flow.
    async fn holder(&self, session: &mut Session, flow: &str) -> Result<StoreError, sqlx::Error> {
        let query = sqlx::query(sql::HOLDER).bind(flow);
        let row = query.fetch_optional(&mut session.connection).await?;
        let holder = match row {
            Some(row) => {
                let pid: Option<i64> = row.try_get(0)?;
                (pid.and_then(|pid| u32::try_from(pid).ok()), row.try_get(1)?)
            }
            None => (None, None),
        };
        Ok(self.locked(flow, Some(holder)))
    }

    fn decoded(&self, flow: &str, body: &str) -> Result<Checkpoint, StoreError> {
        let reason = match checkpoint::decode(body.as_bytes()) {
            Ok(checkpoint) if checkpoint.flow == flow => return Ok(checkpoint),
            Ok(checkpoint) => format!("it belongs to flow `{}`", checkpoint.flow),
            Err(DecodeError::Corrupt(reason)) => reason,
            Err(DecodeError::Version(version)) => {
                return Err(StoreError::UnknownVersion { flow: flow.into(), version });
            }
        };
        let path = PathBuf::from(format!("levada_checkpoints of {}", self.server.name));
        Err(StoreError::Corrupt { flow: flow.into(), path, reason })
    }
}

impl Drop for HeldGuard {
    fn drop(&mut self) {
        // First the lock, then the set: whoever finds the flow free in the set must get the lock too.
        self.store.slot(&self.flow).release(&self.flow);
        self.store.held().remove(&self.flow);
    }
}

// === helpers ===

async fn create(session: &mut Session) -> Result<(), Failure> {
    let created = sqlx::raw_sql(sql::CREATE).execute(&mut session.connection).await;
    match created {
        Ok(_) => Ok(()),
        // Two that make the same table at the same time disturb each other; one of them made it.
        Err(error) => match sqlx::query(sql::HAS_TABLES).fetch_one(&mut session.connection).await {
            Ok(row) if row.try_get::<bool, _>(0)? => Ok(()),
            _ => Err(error.into()),
        },
    }
}

/// Takes the lock of a flow for this connection, unless it has it; says whether it has it now.
async fn lock(session: &mut Session, flow: &str) -> Result<bool, sqlx::Error> {
    if session.locked.contains(flow) {
        return Ok(true);
    }
    let query = sqlx::query(sql::LOCK).bind(flow);
    let is_locked = query.fetch_one(&mut session.connection).await?.try_get(0)?;
    if is_locked {
        session.locked.insert(flow.into());
    }
    Ok(is_locked)
}

async fn body(session: &mut Session, flow: &str) -> Result<Option<String>, Failure> {
    let query = sqlx::query(sql::LOAD).bind(flow);
    match query.fetch_optional(&mut session.connection).await? {
        Some(row) => Ok(row.try_get(0)?),
        None => Ok(None),
    }
}

fn checked_name(flow: &str) -> Result<(), StoreError> {
    let reason = match flow.len() {
        0 => "its name is empty".into(),
        length if length > FLOW_BYTES_MAX => {
            format!("its name has {length} bytes, more than {FLOW_BYTES_MAX}")
        }
        _ if flow.contains('\0') => "its name has a zero byte, which PostgreSQL cannot hold".into(),
        _ => return Ok(()),
    };
    Err(StoreError::Invalid { flow: flow.chars().take(64).collect(), reason })
}

fn last_epoch(flow: &str) -> StoreError {
    StoreError::Invalid { flow: flow.into(), reason: format!("epoch {} is the last one", i64::MAX) }
}

/// Epochs are given out from 1; a lower one was not written by this program.
fn epoch_of(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or(0)
}

fn microseconds(nanoseconds: i64) -> i64 {
    nanoseconds.div_euclid(1_000)
}

/// The file form is JSON, which is text.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("serde_json writes UTF-8")
}

#[cfg(test)]
pub(crate) mod tests;
