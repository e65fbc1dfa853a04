//! What is shown of tasks and templates.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use levada_pattern::Glob;
use levada_store::{Document, Range};
use levada_tick::syntax;
use levada_tick::vars::Vars;
use serde_json::Value as Json;

use super::error::ServiceError;
use super::record::{TaskRecord, TemplateRecord};
use super::{TASKS, TEMPLATES, TaskService};
use crate::definition::Definition;
use crate::engine::{Master, Served};
pub use crate::pipeline::dot::DotView;

/// How a task is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ViewOptions {
    /// The script is shown as it was given, not formatted.
    pub is_raw: bool,
    /// How the graph of a running task is shown.
    pub dot_view: DotView,
}

/// Which of many are shown.
#[derive(Clone, Debug)]
pub struct ListRange {
    /// Which IDs.
    pub pattern: Glob,
    /// So many are left out first.
    pub offset: usize,
    /// So many at most; nothing for all.
    pub limit: Option<usize>,
}

/// A task as it is shown.
#[derive(Clone, Debug)]
pub struct TaskView {
    /// What is stored.
    pub record: TaskRecord,
    /// The script as it was asked for.
    pub script: String,
    /// The graph.
    pub dot: String,
    /// It works on points.
    pub is_executing: bool,
    /// Why it did not start or ended by itself, or why its script is not understood any more.
    pub error: String,
    /// Of a task that is executing.
    pub stats: Option<Stats>,
}

/// The statistics of a running task.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// Points or batches of the last second.
    pub throughput: f64,
    /// By node and key, both sorted.
    pub nodes: BTreeMap<String, BTreeMap<String, Json>>,
}

/// A template as it is shown.
#[derive(Clone, Debug)]
pub struct TemplateView {
    /// What is stored.
    pub record: TemplateRecord,
    /// The script as it was asked for.
    pub script: String,
    /// The graph.
    pub dot: String,
    /// The variables of the script with their defaults.
    pub vars: Vars,
    /// Why the script is not understood any more.
    pub error: String,
}

/// How long all tasks of a list that are at work on one item may delay it together.
const LIST_PATIENCE: Duration = Duration::from_millis(300);
/// How long one of them may.
const LOOK_PATIENCE: Duration = Duration::from_millis(50);

impl TaskService {
    /// Gives a task.
    pub async fn get(&self, id: &str, options: ViewOptions) -> Result<TaskView, ServiceError> {
        let stored = self.stored_task(id).await?.ok_or(ServiceError::NoTask)?;
        self.view(stored.record, options).await
    }

    /// Gives what a running task serves at an endpoint.
    pub async fn served(&self, id: &str, endpoint: &str) -> Result<Served, ServiceError> {
        let (master, id, endpoint) = (self.master().clone(), id.to_owned(), endpoint.to_owned());
        self.blocking("served", move || master.served(&id, &endpoint)).await
    }

    pub(super) async fn view(
        &self,
        record: TaskRecord,
        options: ViewOptions,
    ) -> Result<TaskView, ServiceError> {
        let own = self.clone();
        self.blocking("view of a task", move || own.view_now(record, options, LOOK_PATIENCE)).await
    }

    /// Gives tasks, sorted by ID.
    pub async fn list(
        &self,
        range: ListRange,
        options: ViewOptions,
    ) -> Result<Vec<TaskView>, ServiceError> {
        let page = self.page(TASKS, range).await?;
        let own = self.clone();
        self.blocking("list of tasks", move || {
            let until = own.clock().monotonic() + LIST_PATIENCE;
            let views = page.iter().filter_map(|document| {
                let stored = readable(TaskRecord::from_document(document))?;
                let left = until.saturating_sub(own.clock().monotonic());
                Some(own.view_now(stored.record, options, left.min(LOOK_PATIENCE)))
            });
            views.collect()
        })
        .await
    }

    /// Counts the tasks there are, and those of them that are to run.
    pub async fn counts(&self) -> Result<(u64, u64), ServiceError> {
        let failed = |source| ServiceError::Store { action: "failed to list tasks", source };
        let all = self.documents().list(TASKS, Range::default()).await.map_err(failed)?;
        self.blocking("count of tasks", move || {
            let records = all.iter().filter_map(|found| readable(TaskRecord::from_document(found)));
            let enabled = records.filter(|stored| stored.record.is_enabled).count();
            (all.len() as u64, enabled as u64)
        })
        .await
    }

    /// Gives a template.
    pub async fn get_template(&self, id: &str, is_raw: bool) -> Result<TemplateView, ServiceError> {
        let stored = self.stored_template(id).await?.ok_or(ServiceError::NoTemplate)?;
        self.view_template(stored.record, is_raw).await
    }

    /// Gives templates, sorted by ID.
    pub async fn list_templates(
        &self,
        range: ListRange,
        is_raw: bool,
    ) -> Result<Vec<TemplateView>, ServiceError> {
        let page = self.page(TEMPLATES, range).await?;
        let own = self.clone();
        self.blocking("list of templates", move || {
            let views = page.iter().filter_map(|document| {
                let stored = readable(TemplateRecord::from_document(document))?;
                Some(own.view_template_now(stored.record, is_raw))
            });
            views.collect()
        })
        .await
    }

    pub(super) async fn view_template(
        &self,
        record: TemplateRecord,
        is_raw: bool,
    ) -> Result<TemplateView, ServiceError> {
        let own = self.clone();
        self.blocking("view of a template", move || own.view_template_now(record, is_raw)).await
    }

    async fn page(&self, space: &str, range: ListRange) -> Result<Vec<Document>, ServiceError> {
        let ListRange { pattern, offset, limit } = range;
        let failed = |source| ServiceError::Store { action: "failed to list", source };
        let is_all = pattern.is_empty();
        let needed = limit.and_then(|limit| limit.checked_add(offset)).filter(|_| is_all);
        let known = Range { limit: needed, ..Range::default() };
        let documents = self.documents().list(space, known).await.map_err(failed)?;
        let matching = documents.into_iter().filter(|document| pattern.matches(&document.key));
        Ok(matching.skip(offset).take(limit.unwrap_or(usize::MAX)).collect())
    }

    fn view_now(&self, record: TaskRecord, options: ViewOptions, patience: Duration) -> TaskView {
        let master = self.master();
        let is_executing = matches!(master.is_executing(&record.id), Some(Ok(())));
        let mut view = if is_executing {
            self.running(record, options, patience)
        } else {
            let compiled = self.compile(&record.script, &record.vars);
            let failure = master.is_executing(&record.id).and_then(Result::err);
            match compiled {
                Ok(compiled) => TaskView::idle(record, Some(&*compiled.definition), failure),
                Err(error) => TaskView::idle(record, None, Some(error.to_string())),
            }
        };
        if options.is_raw {
            view.script.clone_from(&view.record.script);
        }
        view
    }

    fn running(&self, record: TaskRecord, options: ViewOptions, patience: Duration) -> TaskView {
        let master: &Master = self.master();
        let definition: Option<Arc<Definition>> = master.definition(&record.id);
        let mut view = TaskView::idle(record, definition.as_deref(), None);
        let id = &view.record.id;
        if let Some(dot) = master.dot(id, options.dot_view, patience) {
            view.dot = dot;
        }
        view.is_executing = true;
        let status = master.status_within(id, patience);
        let status = status.map(|status| Stats {
            throughput: status.throughput,
            nodes: status.nodes.into_iter().map(|(node, keys)| (node, sorted(keys))).collect(),
        });
        view.stats = Some(status.unwrap_or_default());
        view
    }

    fn view_template_now(&self, record: TemplateRecord, is_raw: bool) -> TemplateView {
        let script = if is_raw { record.script.clone() } else { formatted(&record.script) };
        match self.compile_template(&record.script) {
            Ok(compiled) => TemplateView {
                dot: compiled.definition.pipeline.dot(&record.id),
                vars: compiled.definition.vars.clone(),
                error: String::new(),
                script,
                record,
            },
            Err(error) => TemplateView {
                dot: String::new(),
                vars: Vars::new(),
                error: error.to_string(),
                script,
                record,
            },
        }
    }
}

// === impl TaskView ===

impl TaskView {
    /// Shows a task that does not run; `failure` counts before the error that is stored.
    pub(super) fn idle(
        record: TaskRecord,
        definition: Option<&Definition>,
        failure: Option<String>,
    ) -> Self {
        TaskView {
            script: formatted(&record.script),
            dot: definition.map(|known| known.pipeline.dot(&record.id)).unwrap_or_default(),
            is_executing: false,
            error: failure.unwrap_or_else(|| record.error.clone()),
            stats: None,
            record,
        }
    }
}

/// Formats a script; one that does not parse stays as it is.
fn formatted(script: &str) -> String {
    syntax::format(script).unwrap_or_else(|_| script.to_owned())
}

/// Leaves out of a list what cannot be read, and says so.
fn readable<T>(stored: Result<T, ServiceError>) -> Option<T> {
    stored.inspect_err(|error| tracing::error!(%error, "left out of a list")).ok()
}

fn sorted(keys: Json) -> BTreeMap<String, Json> {
    match keys {
        Json::Object(keys) => keys.into_iter().collect(),
        _ => BTreeMap::new(),
    }
}
