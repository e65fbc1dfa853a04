//! Kept tasks as recordings and replays want them.

use async_trait::async_trait;

use super::TaskService;
use crate::recordings::{SourceTask, TaskSource};

#[async_trait]
impl TaskSource for TaskService {
    async fn task(&self, id: &str) -> Result<Option<SourceTask>, String> {
        let found = self.stored_task(id).await.map_err(|error| error.to_string())?;
        let Some(stored) = found else { return Ok(None) };
        let definition =
            self.compile_record(&stored.record).await.map_err(|error| error.to_string())?;
        Ok(Some(SourceTask { definition, options: self.options(&stored.record.dbrps) }))
    }
}
