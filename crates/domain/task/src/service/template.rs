//! Templates: made, changed with all of their tasks, deleted.

use std::sync::Arc;

use levada_store::{DocumentError, Expect, Range, Write};

use super::change::{Mode, TemplateChange};
use super::error::ServiceError;
use super::record::{Stored, TaskRecord, TemplateRecord};
use super::view::TemplateView;
use super::{TASKS, TEMPLATES, TaskService, id};
use crate::definition::Definition;
use levada_runtime::TaskKind;

/// Tasks of a template that change at a time.
const AT_A_TIME: usize = 16;

/// A task of a template that is being changed.
struct Associated {
    before: TaskRecord,
    after: TaskRecord,
    version: u64,
    definition: Arc<Definition>,
}

impl TaskService {
    /// Makes a template.
    pub async fn create_template(
        &self,
        change: TemplateChange,
        mode: Mode,
    ) -> Result<TemplateView, ServiceError> {
        let own = self.clone();
        self.to_the_end("new template", async move { own.create_template_now(change, mode).await })
            .await
    }

    async fn create_template_now(
        &self,
        change: TemplateChange,
        mode: Mode,
    ) -> Result<TemplateView, ServiceError> {
        let id = if change.id.is_empty() { id::generate() } else { change.id };
        if !id::is_valid(&id) {
            return Err(ServiceError::TemplateId(id));
        }
        let _held = self.0.locks.templates(&[&id]).await;
        if self.stored_template(&id).await?.is_some() {
            return Err(ServiceError::TemplateExists(id));
        }
        let (own, script) = (self.clone(), change.script.clone());
        let compiled = self.blocking("script", move || own.compile_template(&script)).await??;
        let now = self.clock().now();
        let record = TemplateRecord {
            id,
            task_type: compiled.task_type,
            script: change.script,
            created: now,
            modified: now,
        };
        if mode == Mode::Apply {
            let write = Write::create(TEMPLATES, &*record.id, record.to_bytes());
            self.documents().apply(vec![write]).await.map_err(|error| match error {
                DocumentError::Conflict { .. } => ServiceError::Raced("template"),
                source => ServiceError::Store { action: "failed to create template", source },
            })?;
        }
        self.view_template(record, false).await
    }

    /// Changes a template and all of its tasks in one step, after each of them has been found to fit.
    pub async fn update_template(
        &self,
        id: &str,
        change: TemplateChange,
        mode: Mode,
    ) -> Result<TemplateView, ServiceError> {
        let (own, id) = (self.clone(), id.to_owned());
        self.to_the_end("changed template", async move {
            own.update_template_now(&id, change, mode).await
        })
        .await
    }

    async fn update_template_now(
        &self,
        id: &str,
        change: TemplateChange,
        mode: Mode,
    ) -> Result<TemplateView, ServiceError> {
        let new_id = if change.id.is_empty() { id.to_owned() } else { change.id };
        let mut held = self.0.locks.templates(&[id, &new_id]).await;
        let stored = self.stored_template(id).await?.ok_or(ServiceError::NoTemplateToUpdate)?;
        // After the look for the template: what is not there cannot have a wrong new name.
        if !id::is_valid(&new_id) {
            return Err(ServiceError::TemplateId(new_id));
        }
        if new_id != id && self.stored_template(&new_id).await?.is_some() {
            return Err(ServiceError::NewTemplateExists);
        }
        let mut record = TemplateRecord { id: new_id, ..stored.record };
        if !change.script.is_empty() {
            record.script = change.script;
        }
        let (own, script) = (self.clone(), record.script.clone());
        let compiled = self.blocking("script", move || own.compile_template(&script)).await??;
        record.task_type = compiled.task_type;
        record.modified = self.clock().now();

        let names = self.tasks_of(id).await?;
        let ids: Vec<&str> = names.iter().map(|stored| &*stored.record.id).collect();
        self.0.locks.add(&mut held, &ids).await;
        // Once more: what was read without the locks may have changed.
        let mut associated = Vec::new();
        for stored in self.tasks_of(id).await? {
            associated.push(self.fit(stored, &record).await?);
        }
        if mode == Mode::DryRun {
            return self.view_template(record, false).await;
        }
        let mut writes = template_writes(id, stored.version, &record);
        for Associated { after, version, .. } in &associated {
            writes.push(Write::replace(TASKS, &*after.id, *version, after.to_bytes()));
        }
        let failed = |source| ServiceError::Store {
            action: "failed to replace template definition",
            source,
        };
        self.documents().apply(writes).await.map_err(failed)?;
        self.reload(associated).await?;
        self.view_template(record, false).await
    }

    /// Gives what a task will be with a new template, when it fits.
    async fn fit(
        &self,
        stored: Stored<TaskRecord>,
        template: &TemplateRecord,
    ) -> Result<Associated, ServiceError> {
        let Stored { record: before, version } = stored;
        let unfit = |error: ServiceError| ServiceError::TaskOfTemplate {
            id: before.id.clone(),
            cause: error.to_string(),
        };
        let mut after = TaskRecord {
            script: template.script.clone(),
            template_id: template.id.clone(),
            task_type: template.task_type,
            modified: template.modified,
            ..before.clone()
        };
        let compiled = self.compile_apart(&after.script, &after.vars).await.map_err(unfit)?;
        if !compiled.definition.dbrps.is_empty() {
            after.dbrps = compiled.definition.dbrps.clone();
        }
        let definition = compiled.definition;
        if after.is_enabled && !after.runs_like(&before) {
            self.check_start(&after, Arc::clone(&definition)).await.map_err(unfit)?;
            after.error = String::new();
        }
        Ok(Associated { before, after, version, definition })
    }

    /// Makes the tasks of a template run as they are stored now, some at a time.
    async fn reload(&self, associated: Vec<Associated>) -> Result<(), ServiceError> {
        let mut outcome = Ok(());
        let mut changed = associated
            .into_iter()
            .filter(|task| task.after.is_enabled && !task.after.runs_like(&task.before))
            .peekable();
        while changed.peek().is_some() {
            let some = changed.by_ref().take(AT_A_TIME).map(|task| {
                let own = self.clone();
                let reload = async move {
                    let (after, definition) = (&task.after, task.definition);
                    let run = match own.master().is_executing(&after.id) {
                        Some(Ok(())) => own.replace(after, definition).await,
                        _ => own.start(after, definition).await,
                    };
                    let noted = own.note(&after.id, run).await;
                    noted.map_err(|error| ServiceError::Reload {
                        id: after.id.clone(),
                        cause: error.to_string(),
                    })
                };
                self.0.deps.tasks.spawn(TaskKind::Task, "reloaded task", reload)
            });
            let handles: Vec<_> = some.collect();
            for handle in handles {
                let reloaded = handle.await.unwrap_or(Err(ServiceError::Interrupted));
                // The first error is told; the others are stored with their tasks.
                outcome = outcome.and(reloaded);
            }
        }
        outcome
    }

    /// Deletes a template; its tasks keep their script and have no template any more.
    ///
    /// Differs: upstream leaves them with a template that is gone, and then refuses every change of them.
    pub async fn delete_template(&self, id: &str) -> Result<(), ServiceError> {
        let (own, id) = (self.clone(), id.to_owned());
        self.to_the_end("deleted template", async move { own.delete_template_now(&id).await }).await
    }

    async fn delete_template_now(&self, id: &str) -> Result<(), ServiceError> {
        // What cannot be stored is not there.
        if !id::is_valid(id) {
            return Ok(());
        }
        let mut held = self.0.locks.templates(&[id]).await;
        let tasks = self.tasks_of(id).await?;
        let ids: Vec<&str> = tasks.iter().map(|stored| &*stored.record.id).collect();
        self.0.locks.add(&mut held, &ids).await;
        let mut writes = vec![Write::delete(TEMPLATES, id)];
        for Stored { record, version } in self.tasks_of(id).await? {
            let record = TaskRecord { template_id: String::new(), ..record };
            writes.push(Write::replace(TASKS, &*record.id, version, record.to_bytes()));
        }
        let failed = |source| ServiceError::Store { action: "failed to delete template", source };
        self.documents().apply(writes).await.map_err(failed)
    }

    pub(super) async fn stored_template(
        &self,
        id: &str,
    ) -> Result<Option<Stored<TemplateRecord>>, ServiceError> {
        let failed = |source| ServiceError::Store { action: "failed to read template", source };
        let document = self.documents().get(TEMPLATES, id).await.map_err(failed)?;
        document.as_ref().map(TemplateRecord::from_document).transpose()
    }

    /// Gives the tasks of a template, sorted by ID.
    ///
    /// - There is no index that could be wrong: what a task says of itself decides.
    async fn tasks_of(&self, template: &str) -> Result<Vec<Stored<TaskRecord>>, ServiceError> {
        let action = "error getting associated tasks for template";
        let failed = |source| ServiceError::Store { action, source };
        let documents = self.documents().list(TASKS, Range::default()).await.map_err(failed)?;
        let template = template.to_owned();
        self.blocking("tasks of a template", move || {
            let mut tasks = Vec::new();
            for document in documents {
                let stored = TaskRecord::from_document(&document)?;
                if stored.record.template_id == template {
                    tasks.push(stored);
                }
            }
            Ok(tasks)
        })
        .await?
    }
}

fn template_writes(old_id: &str, version: u64, record: &TemplateRecord) -> Vec<Write> {
    if record.id == old_id {
        return vec![Write::replace(TEMPLATES, old_id, version, record.to_bytes())];
    }
    let (space, key) = (TEMPLATES.to_owned(), old_id.to_owned());
    vec![
        Write::create(TEMPLATES, &*record.id, record.to_bytes()),
        Write::Delete { space, key, expect: Expect::Version(version) },
    ]
}
