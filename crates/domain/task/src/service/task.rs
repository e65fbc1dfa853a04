//! Tasks: made, changed, deleted.

use std::sync::Arc;

use levada_store::{DocumentError, Expect, Write};
use levada_tick::vars::Vars;

use super::change::{Mode, TaskChange, usable};
use super::compile::{Compiled, dbrps};
use super::error::ServiceError;
use super::locks::Held;
use super::record::{Stored, TaskRecord};
use super::view::{TaskView, ViewOptions};
use super::{TASKS, TaskService, id};
use crate::definition::Definition;

/// Tries to take a task whose template is changed by others meanwhile.
const TRIES: usize = 5;

/// What a change means for the run of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Run {
    /// It goes on, or does not run.
    Leave,
    Start,
    Replace,
    Stop,
    /// It gets another ID, and runs under it afterwards or does not.
    Move {
        starts: bool,
    },
}

impl TaskService {
    /// Makes a task; what is enabled is started.
    ///
    /// - Errors: those of the original in its order. After [`ServiceError::Start`] the task is there, enabled, with the error.
    pub async fn create(&self, change: TaskChange, mode: Mode) -> Result<TaskView, ServiceError> {
        let own = self.clone();
        self.to_the_end("new task", async move { own.create_now(change, mode).await }).await
    }

    async fn create_now(&self, change: TaskChange, mode: Mode) -> Result<TaskView, ServiceError> {
        let id = if change.id.is_empty() { id::generate() } else { change.id };
        if !id::is_valid(&id) {
            return Err(ServiceError::TaskId(id));
        }
        let _held = self.0.locks.tasks(&[&change.template_id], &[&id]).await;
        if self.stored_task(&id).await?.is_some() {
            return Err(ServiceError::TaskExists(id));
        }
        let script = match change.template_id.is_empty() {
            true => change.script,
            false => self.script_of(&change.template_id).await?,
        };
        if script.is_empty() {
            return Err(ServiceError::NoScript);
        }
        let vars = usable(change.vars)?;
        let compiled = self.compile_apart(&script, &vars).await?;
        let now = self.clock().now();
        let is_enabled = change.is_enabled.unwrap_or(false);
        let record = TaskRecord {
            id,
            template_id: change.template_id,
            task_type: compiled.task_type,
            dbrps: dbrps(&compiled, change.dbrps)?,
            script,
            vars,
            is_enabled,
            error: String::new(),
            created: now,
            modified: now,
            last_enabled: is_enabled.then_some(now),
        };
        if mode == Mode::DryRun {
            return self.rehearse(record, compiled.definition).await;
        }
        let write = Write::create(TASKS, &*record.id, record.to_bytes());
        self.documents().apply(vec![write]).await.map_err(|error| match error {
            DocumentError::Conflict { .. } => ServiceError::Raced("task"),
            source => ServiceError::Store { action: "failed to create task", source },
        })?;
        if is_enabled {
            let started = self.start(&record, compiled.definition).await;
            self.note(&record.id, started).await?;
        }
        self.view(record, ViewOptions::default()).await
    }

    /// Says what would come of a definition; nothing is stored or started.
    async fn rehearse(
        &self,
        record: TaskRecord,
        definition: Arc<Definition>,
    ) -> Result<TaskView, ServiceError> {
        if record.is_enabled {
            self.check_start(&record, Arc::clone(&definition)).await?;
        }
        self.blocking("dry run", move || TaskView::idle(record, Some(&definition), None)).await
    }

    /// Says whether a definition could be started.
    pub(super) async fn check_start(
        &self,
        record: &TaskRecord,
        definition: Arc<Definition>,
    ) -> Result<(), ServiceError> {
        let (master, id) = (self.master().clone(), record.id.clone());
        let options = self.options(&record.dbrps);
        self.blocking("check of a task", move || master.check(&id, &definition, &options))
            .await?
            .map_err(|error| ServiceError::Start(error.to_string()))
    }

    /// Changes a task in one step: what is stored, then what runs.
    pub async fn update(
        &self,
        id: &str,
        change: TaskChange,
        mode: Mode,
    ) -> Result<TaskView, ServiceError> {
        let (own, id) = (self.clone(), id.to_owned());
        self.to_the_end("changed task", async move { own.update_now(&id, change, mode).await })
            .await
    }

    async fn update_now(
        &self,
        id: &str,
        change: TaskChange,
        mode: Mode,
    ) -> Result<TaskView, ServiceError> {
        let new_id = if change.id.is_empty() { id } else { &*change.id };
        let (_held, stored) = self.hold(id, new_id, &change.template_id).await?;
        let before = stored.record;
        // After the look for the task: what is not there cannot have a wrong new name.
        if !id::is_valid(new_id) {
            return Err(ServiceError::TaskId(new_id.to_owned()));
        }
        if new_id != id && self.stored_task(new_id).await?.is_some() {
            return Err(ServiceError::NewTaskExists);
        }
        let is_executing = matches!(self.master().is_executing(id), Some(Ok(())));
        let asks_to_run = change.is_enabled == Some(true);
        let new_id = new_id.to_owned();
        let (record, compiled) = self.changed(&before, new_id, change, asks_to_run).await?;
        let runs_alike = record.runs_like(&before);
        let run = decide(&before, &record, is_executing, runs_alike, asks_to_run);
        let record = self.dated(record, &before, run);
        if mode == Mode::DryRun {
            let Some(compiled) = compiled else {
                return self.view(record, ViewOptions::default()).await;
            };
            return self.rehearse(record, compiled.definition).await;
        }
        self.store_change(&before, stored.version, &record).await?;
        let definition = compiled.map(|compiled| compiled.definition);
        let outcome = self.follow(run, id, &record, definition).await;
        if run != Run::Leave {
            self.tell(id, "");
            self.note(&record.id, outcome).await?;
        }
        self.view(record, ViewOptions::default()).await
    }

    /// Takes a task and the templates that are about it.
    async fn hold(
        &self,
        id: &str,
        new_id: &str,
        template_id: &str,
    ) -> Result<(Held, Stored<TaskRecord>), ServiceError> {
        for _ in 0..TRIES {
            let peeked = self.stored_task(id).await?.ok_or(ServiceError::NoTaskToUpdate)?;
            let templates = [template_id, &*peeked.record.template_id];
            let held = self.0.locks.tasks(&templates, &[id, new_id]).await;
            let stored = self.stored_task(id).await?.ok_or(ServiceError::NoTaskToUpdate)?;
            if stored.record.template_id == peeked.record.template_id {
                return Ok((held, stored));
            }
        }
        Err(ServiceError::Contended(id.to_owned()))
    }

    /// Applies a change to a definition; what is to run is compiled, and so is what is new.
    async fn changed(
        &self,
        before: &TaskRecord,
        id: String,
        change: TaskChange,
        asks_to_run: bool,
    ) -> Result<(TaskRecord, Option<Compiled>), ServiceError> {
        let mut record = TaskRecord { id, ..before.clone() };
        if let Some(is_enabled) = change.is_enabled {
            record.is_enabled = is_enabled;
        }
        if !change.template_id.is_empty() {
            record.template_id = change.template_id;
        }
        if !record.template_id.is_empty() {
            record.script = self.script_of(&record.template_id).await?;
        } else if !change.script.is_empty() {
            record.script = change.script;
        }
        if !change.vars.is_empty() {
            record.vars = usable(change.vars)?;
        }
        let has_new_dbrps = !change.dbrps.is_empty();
        let is_same = !has_new_dbrps && record.runs_like(before);
        let moves = record.id != before.id && record.is_enabled;
        // What no longer compiles can still be switched off, and given another name.
        if is_same && !asks_to_run && !moves {
            return Ok((record, None));
        }
        let compiled = self.compile_apart(&record.script, &record.vars).await?;
        record.task_type = compiled.task_type;
        let named = &compiled.definition.dbrps;
        match (named.is_empty(), has_new_dbrps) {
            (false, true) => return Err(ServiceError::TwoDbrpsToUpdate),
            (false, false) => record.dbrps = named.clone(),
            (true, true) => record.dbrps = change.dbrps,
            (true, false) if record.dbrps.is_empty() => return Err(ServiceError::NoDbrp),
            (true, false) => {}
        }
        Ok((record, Some(compiled)))
    }

    fn dated(&self, mut record: TaskRecord, before: &TaskRecord, run: Run) -> TaskRecord {
        let now = self.clock().now();
        record.modified = now;
        if record.is_enabled && (!before.is_enabled || run == Run::Start) {
            record.last_enabled = Some(now);
        }
        if matches!(run, Run::Start | Run::Replace | Run::Move { starts: true }) {
            record.error = String::new();
        }
        record
    }

    async fn store_change(
        &self,
        before: &TaskRecord,
        version: u64,
        record: &TaskRecord,
    ) -> Result<(), ServiceError> {
        let key = |id: &str| (TASKS.to_owned(), id.to_owned());
        let writes = if record.id == before.id {
            vec![Write::replace(TASKS, &*record.id, version, record.to_bytes())]
        } else {
            let (space, key) = key(&before.id);
            let expect = Expect::Version(version);
            vec![
                Write::create(TASKS, &*record.id, record.to_bytes()),
                Write::Delete { space, key, expect },
            ]
        };
        let failed =
            |source| ServiceError::Store { action: "failed to replace task definition", source };
        self.documents().apply(writes).await.map_err(failed)
    }

    /// Makes what runs like what is stored.
    async fn follow(
        &self,
        run: Run,
        old_id: &str,
        record: &TaskRecord,
        definition: Option<Arc<Definition>>,
    ) -> Result<(), ServiceError> {
        match (run, definition) {
            (Run::Start, Some(definition)) => self.start(record, definition).await,
            (Run::Replace, Some(definition)) => self.replace(record, definition).await,
            (Run::Stop, _) => {
                self.stop(old_id, |_| {}).await;
                Ok(())
            }
            (Run::Move { starts }, definition) => {
                let (old, new) = (old_id.to_owned(), record.id.clone());
                self.stop(old_id, move |master| master.rename(&old, &new)).await;
                match definition.filter(|_| starts) {
                    Some(definition) => self.start(record, definition).await,
                    None => Ok(()),
                }
            }
            (Run::Leave | Run::Start | Run::Replace, _) => Ok(()),
        }
    }

    /// Stores why a task could not be started, and passes it on.
    pub(super) async fn note(
        &self,
        id: &str,
        outcome: Result<(), ServiceError>,
    ) -> Result<(), ServiceError> {
        let Err(error) = outcome else {
            self.tell(id, "");
            return Ok(());
        };
        self.tell(id, &error.to_string());
        if let Err(trouble) = self.set_error(id, &error.to_string()).await {
            tracing::warn!(task = id, error = %trouble, "the error of a task is not stored");
        }
        Err(error)
    }

    /// Stores the error of a task, when it is another one.
    pub(super) async fn set_error(&self, id: &str, error: &str) -> Result<(), ServiceError> {
        let Some(Stored { mut record, version }) = self.stored_task(id).await? else {
            return Ok(());
        };
        if record.error == error {
            return Ok(());
        }
        record.error = error.to_owned();
        let write = Write::replace(TASKS, id, version, record.to_bytes());
        let failed =
            |source| ServiceError::Store { action: "failed to save the error of a task", source };
        self.documents().apply(vec![write]).await.map_err(failed)
    }

    /// Deletes a task with its state and its own topics; one that is not there is deleted already.
    pub async fn delete(&self, id: &str) -> Result<(), ServiceError> {
        let (own, id) = (self.clone(), id.to_owned());
        self.to_the_end("deleted task", async move { own.delete_now(&id).await }).await
    }

    async fn delete_now(&self, id: &str) -> Result<(), ServiceError> {
        // What cannot be stored is not there.
        if !id::is_valid(id) {
            return Ok(());
        }
        let _held = self.0.locks.tasks(&[], &[id]).await;
        let failed = |source| ServiceError::Store { action: "failed to delete task", source };
        self.documents().apply(vec![Write::delete(TASKS, id)]).await.map_err(failed)?;
        let name = id.to_owned();
        self.stop(id, move |master| master.delete(&name)).await;
        self.tell(id, "");
        Ok(())
    }

    pub(super) async fn stored_task(
        &self,
        id: &str,
    ) -> Result<Option<Stored<TaskRecord>>, ServiceError> {
        let failed = |source| ServiceError::Store { action: "failed to read task", source };
        let document = self.documents().get(TASKS, id).await.map_err(failed)?;
        document.as_ref().map(TaskRecord::from_document).transpose()
    }

    async fn script_of(&self, template_id: &str) -> Result<String, ServiceError> {
        let unknown = || ServiceError::UnknownTemplate(template_id.to_owned());
        let template = self.stored_template(template_id).await?.ok_or_else(unknown)?;
        Ok(template.record.script)
    }

    /// Compiles a task as it is stored; for those that are started without a request.
    pub(super) async fn compile_record(
        &self,
        record: &TaskRecord,
    ) -> Result<Arc<Definition>, ServiceError> {
        let vars: &Vars = &record.vars;
        Ok(self.compile_apart(&record.script, vars).await?.definition)
    }
}

fn decide(
    before: &TaskRecord,
    after: &TaskRecord,
    is_executing: bool,
    runs_alike: bool,
    asks_to_run: bool,
) -> Run {
    if after.id != before.id {
        return Run::Move { starts: after.is_enabled };
    }
    match (after.is_enabled, is_executing) {
        (true, true) if runs_alike => Run::Leave,
        (true, true) => Run::Replace,
        // One that failed starts when it is told to, or when it is another one.
        (true, false) if !before.is_enabled || asks_to_run || !runs_alike => Run::Start,
        (true, false) => Run::Leave,
        // Also when it is not there: it may be about to start again after a failure.
        (false, _) if before.is_enabled => Run::Stop,
        (false, _) => Run::Leave,
    }
}
