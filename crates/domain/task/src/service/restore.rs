//! The tasks of a server that starts.

use levada_runtime::TaskKind;
use levada_store::Range;

use super::error::ServiceError;
use super::record::TaskRecord;
use super::{TASKS, TaskService};

/// Tasks that are read at a time. Source: kapacitor: reference (server) §2.1.
const PAGE: usize = 100;
/// Tasks that start at a time.
const AT_A_TIME: usize = 4;

/// What became of the tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// They run.
    pub started: usize,
    /// They do not; their error is stored.
    pub failed: usize,
}

impl TaskService {
    /// Starts all enabled tasks, in the order of their IDs; requests are answered meanwhile.
    ///
    /// - A task that cannot start keeps its error, and the others start.
    /// - Errors: the store cannot be read.
    pub async fn restore(&self) -> Result<Restored, ServiceError> {
        let mut restored = Restored::default();
        let mut after: Option<String> = None;
        loop {
            let range = Range { after: after.as_deref(), limit: Some(PAGE), ..Range::default() };
            let failed = |source| ServiceError::Store { action: "failed to list tasks", source };
            let page = self.documents().list(TASKS, range).await.map_err(failed)?;
            let Some(last) = page.last() else { return Ok(restored) };
            after = Some(last.key.clone());
            let mut enabled = Vec::new();
            for document in &page {
                match TaskRecord::from_document(document) {
                    Ok(stored) if stored.record.is_enabled => enabled.push(stored.record.id),
                    Ok(_) => {}
                    Err(error) => {
                        tracing::error!(%error, "task is not started");
                        restored.failed += 1;
                    }
                }
            }
            for some in enabled.chunks(AT_A_TIME) {
                self.restore_some(some, &mut restored).await;
            }
        }
    }

    async fn restore_some(&self, ids: &[String], restored: &mut Restored) {
        let start = |id: &String| {
            let (own, id) = (self.clone(), id.clone());
            let start = async move { (own.restore_one(&id).await, id) };
            self.0.deps.tasks.spawn(TaskKind::Task, "restored task", start)
        };
        let handles: Vec<_> = ids.iter().map(start).collect();
        for handle in handles {
            match handle.await {
                Ok((Ok(()), _)) => restored.started += 1,
                Ok((Err(error), id)) => {
                    tracing::error!(task = id, %error, "failed to start enabled task");
                    restored.failed += 1;
                }
                Err(_) => restored.failed += 1,
            }
        }
    }

    async fn restore_one(&self, id: &str) -> Result<(), ServiceError> {
        let _held = self.0.locks.tasks(&[], &[id]).await;
        // A request may have been faster.
        let Some(stored) = self.stored_task(id).await? else { return Ok(()) };
        if !stored.record.is_enabled || self.master().is_executing(id).is_some() {
            return Ok(());
        }
        let started = match self.compile_record(&stored.record).await {
            Ok(definition) => self.start(&stored.record, definition).await,
            Err(error) => Err(error),
        };
        self.note(id, started).await?;
        self.set_error(id, "").await
    }
}
