//! What happens to tasks by itself: their pace is counted, their failures are stored.

use std::sync::PoisonError;
use std::time::Duration;

use levada_model::Str;
use levada_runtime::Shutdown;

use super::TaskService;

/// How often the pace of tasks is counted. Source: kapacitor: the throughput of a task is that of the last second.
const PACE: Duration = Duration::from_secs(1);

impl TaskService {
    /// Counts and stores until the server ends.
    pub async fn run(&self, mut shutdown: Shutdown) {
        let mut tick = self.clock().sleep(PACE);
        loop {
            tokio::select! {
                () = shutdown.draining() => break,
                () = self.0.has_changed.notified() => self.store_changed().await,
                () = &mut tick => {
                    self.master().count_pace();
                    tick = self.clock().sleep(PACE);
                }
            }
        }
        self.store_changed().await;
    }

    /// Gives how many tasks should run and do not, and the first of them with its error.
    pub fn troubled(&self) -> Option<(usize, String, String)> {
        let troubled = self.0.troubled.lock().unwrap_or_else(PoisonError::into_inner);
        let (id, error) = troubled.first_key_value()?;
        Some((troubled.len(), id.clone(), error.clone()))
    }

    /// Remembers why a task that should run does not; an empty text means that it does, or should not.
    pub(super) fn tell(&self, id: &str, error: &str) {
        let mut troubled = self.0.troubled.lock().unwrap_or_else(PoisonError::into_inner);
        match error {
            "" => drop(troubled.remove(id)),
            error => drop(troubled.insert(id.to_owned(), error.to_owned())),
        }
    }

    /// Stores the errors of tasks that failed, and that those which run again have none.
    pub async fn store_changed(&self) {
        let changed: Vec<Str> = {
            let mut changed = self.0.changed.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *changed).into_iter().collect()
        };
        for id in changed {
            let _held = self.0.locks.tasks(&[], &[&id]).await;
            let error = match self.master().is_executing(&id) {
                Some(Ok(())) => String::new(),
                Some(Err(error)) => error,
                // Somebody stopped it meanwhile; what is stored was theirs to say.
                None => continue,
            };
            self.tell(&id, &error);
            if let Err(trouble) = self.set_error(&id, &error).await {
                tracing::warn!(task = &*id, error = %trouble, "the error of a task is not stored");
            }
        }
    }
}
