//! Tasks and templates as they are stored.

use levada_model::{Str, Timestamp};
use levada_store::Document;
use levada_tick::vars::{self, Vars};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::error::ServiceError;
use crate::pipeline::TaskType;

/// The version of what is stored.
const VERSION: u32 = 1;

/// A task as it was defined, and what became of it last.
#[derive(Clone, Debug)]
pub struct TaskRecord {
    /// Its ID.
    pub id: String,
    /// Its template; empty when it has none.
    pub template_id: String,
    /// What feeds it.
    pub task_type: TaskType,
    /// Databases and retention policies.
    pub dbrps: Vec<(Str, Str)>,
    /// The script as it was given.
    pub script: String,
    /// The values of its variables.
    pub vars: Vars,
    /// It is to run.
    pub is_enabled: bool,
    /// Why it did not start or ended by itself.
    pub error: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it was changed last.
    pub modified: Timestamp,
    /// When it was enabled last; nothing when never.
    pub last_enabled: Option<Timestamp>,
}

/// A template as it was defined.
#[derive(Clone, Debug)]
pub struct TemplateRecord {
    /// Its ID.
    pub id: String,
    /// What feeds its tasks.
    pub task_type: TaskType,
    /// The script as it was given.
    pub script: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it was changed last.
    pub modified: Timestamp,
}

/// What is stored, and the version of the document it was read from.
#[derive(Clone, Debug)]
pub(super) struct Stored<T> {
    pub(super) record: T,
    pub(super) version: u64,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
struct TaskDocument {
    version: u32,
    template_id: String,
    r#type: String,
    dbrps: Vec<(String, String)>,
    script: String,
    vars: Json,
    is_enabled: bool,
    error: String,
    created: i64,
    modified: i64,
    last_enabled: Option<i64>,
}

#[derive(Deserialize, Serialize)]
struct TemplateDocument {
    version: u32,
    r#type: String,
    script: String,
    created: i64,
    modified: i64,
}

// === impl TaskRecord ===

impl TaskRecord {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let document = TaskDocument {
            version: VERSION,
            template_id: self.template_id.clone(),
            r#type: self.task_type.word().to_owned(),
            dbrps: self.dbrps.iter().map(|(db, rp)| (db.to_string(), rp.to_string())).collect(),
            script: self.script.clone(),
            vars: vars::to_json(&self.vars),
            is_enabled: self.is_enabled,
            error: self.error.clone(),
            created: self.created.0,
            modified: self.modified.0,
            last_enabled: self.last_enabled.map(|time| time.0),
        };
        serde_json::to_vec(&document).expect("keys are texts")
    }

    pub(super) fn from_document(document: &Document) -> Result<Stored<Self>, ServiceError> {
        let damaged = damaged("task", &document.key);
        let parsed: TaskDocument =
            serde_json::from_slice(&document.value).map_err(|error| damaged(error.to_string()))?;
        check_version(parsed.version).map_err(&damaged)?;
        let record = TaskRecord {
            id: document.key.clone(),
            template_id: parsed.template_id,
            task_type: task_type(&parsed.r#type).map_err(&damaged)?,
            dbrps: parsed.dbrps.iter().map(|(db, rp)| ((&**db).into(), (&**rp).into())).collect(),
            script: parsed.script,
            vars: vars::from_json(&parsed.vars).map_err(&damaged)?,
            is_enabled: parsed.is_enabled,
            error: parsed.error,
            created: Timestamp(parsed.created),
            modified: Timestamp(parsed.modified),
            last_enabled: parsed.last_enabled.map(Timestamp),
        };
        Ok(Stored { record, version: document.version })
    }

    /// Says whether both run the same way.
    pub(super) fn runs_like(&self, other: &Self) -> bool {
        self.script == other.script
            && self.task_type == other.task_type
            && self.dbrps == other.dbrps
            && vars::to_json(&self.vars) == vars::to_json(&other.vars)
    }
}

// === impl TemplateRecord ===

impl TemplateRecord {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let document = TemplateDocument {
            version: VERSION,
            r#type: self.task_type.word().to_owned(),
            script: self.script.clone(),
            created: self.created.0,
            modified: self.modified.0,
        };
        serde_json::to_vec(&document).expect("keys are texts")
    }

    pub(super) fn from_document(document: &Document) -> Result<Stored<Self>, ServiceError> {
        let damaged = damaged("template", &document.key);
        let parsed: TemplateDocument =
            serde_json::from_slice(&document.value).map_err(|error| damaged(error.to_string()))?;
        check_version(parsed.version).map_err(&damaged)?;
        let record = TemplateRecord {
            id: document.key.clone(),
            task_type: task_type(&parsed.r#type).map_err(&damaged)?,
            script: parsed.script,
            created: Timestamp(parsed.created),
            modified: Timestamp(parsed.modified),
        };
        Ok(Stored { record, version: document.version })
    }
}

fn damaged<'d>(what: &'static str, id: &'d str) -> impl Fn(String) -> ServiceError + 'd {
    move |reason| ServiceError::Damaged { what, id: id.to_owned(), reason }
}

fn check_version(version: u32) -> Result<(), String> {
    match version {
        VERSION => Ok(()),
        other => Err(format!("it is of version {other}, the newest known is {VERSION}")),
    }
}

fn task_type(word: &str) -> Result<TaskType, String> {
    [TaskType::Stream, TaskType::Batch]
        .into_iter()
        .find(|known| known.word() == word)
        .ok_or_else(|| format!("it is of type `{word}`"))
}
