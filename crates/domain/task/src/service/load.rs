//! The load directory: tasks, templates and handlers as files.
//!
//! | folder | files | what they are |
//! |---|---|---|
//! | `templates` | `*.tick` | a template; its ID is the name of the file |
//! | `tasks` | `*.tick` | a task, enabled; the script names its databases |
//! | `tasks` | `*.yaml`, `*.yml`, `*.json` | a task of a template, enabled |
//! | `handlers` | `*.yaml`, `*.yml`, `*.json` | a handler of a topic; read by [`LoadHandlers`] |
//!
//! - Only files whose content has changed are touched; what was loaded before and has no file any more is deleted.
//! - A file that is wrong is reported and changes nothing; the others are loaded.
//!
//! Differs: upstream restarts every task of the directory, and does not start when a file is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use levada_model::Str;
use levada_registry::manifest;
use levada_store::{Range, Write};
use serde::Deserialize;
use serde_json::{Map, Value as Json};
use sha2::{Digest as _, Sha256};

use super::TaskService;
use super::change::{Mode, TaskChange, TemplateChange, given_vars};
use super::error::ServiceError;

/// The space of what was loaded: `templates/ID`, `tasks/ID`, `handlers/FILE` → the hash of the file.
pub const LOAD: &str = "load";

/// The largest file that is read. Ours.
pub const FILE_BYTES_MAX: u64 = 4 << 20;

/// Who keeps the handlers of topics.
#[async_trait]
pub trait LoadHandlers: Send + Sync {
    /// Makes a handler, or changes it to what its file says; gives what is to be known for its removal.
    async fn load(&self, definition: &Json) -> Result<String, String>;

    /// Removes a handler by what [`LoadHandlers::load`] gave.
    async fn remove(&self, known: &str) -> Result<(), String>;
}

/// What became of a load.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Files that were new or had changed.
    pub changed: usize,
    /// Files that are as they were.
    pub unchanged: usize,
    /// What had no file any more.
    pub removed: usize,
    /// Files that are wrong, and why.
    pub errors: Vec<(PathBuf, String)>,
}

/// A kind of thing that is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Folder {
    Templates,
    Tasks,
    Handlers,
}

/// A file as it was found.
struct Found {
    path: PathBuf,
    /// Its name without the end.
    stem: String,
    is_script: bool,
}

/// A task of a template, as a file has it; the ID is that of the file.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct TaskFile {
    #[serde(default)]
    template_id: String,
    #[serde(default)]
    dbrps: Vec<DbrpFile>,
    #[serde(default)]
    vars: Map<String, Json>,
}

#[derive(Deserialize)]
struct DbrpFile {
    db: String,
    #[serde(default)]
    rp: String,
}

const FOLDERS: [Folder; 3] = [Folder::Templates, Folder::Tasks, Folder::Handlers];

// === impl Folder ===

impl Folder {
    fn name(self) -> &'static str {
        match self {
            Folder::Templates => "templates",
            Folder::Tasks => "tasks",
            Folder::Handlers => "handlers",
        }
    }

    fn takes(self, extension: &str) -> bool {
        match extension {
            "tick" => self != Folder::Handlers,
            "yaml" | "yml" | "json" => self != Folder::Templates,
            _ => false,
        }
    }
}

// === impl TaskService ===

impl TaskService {
    /// Brings what is defined in line with the files of a directory; one that is not there is like an empty one.
    ///
    /// - Errors: the store cannot be read. What is wrong with single files is in [`Loaded::errors`].
    pub async fn load(
        &self,
        directory: &Path,
        handlers: Option<&dyn LoadHandlers>,
    ) -> Result<Loaded, ServiceError> {
        let failed = |source| ServiceError::Store { action: "failed to list loaded files", source };
        let known = self.documents().list(LOAD, Range::default()).await.map_err(failed)?;
        let known: BTreeMap<String, String> = known
            .into_iter()
            .map(|item| (item.key, String::from_utf8_lossy(&item.value).into_owned()))
            .collect();
        let mut loaded = Loaded::default();
        // What is there, or whose folder could not be read: neither is deleted.
        let mut kept = BTreeSet::new();
        for folder in FOLDERS {
            if folder == Folder::Handlers && handlers.is_none() {
                kept.extend(known.keys().filter(|key| key.starts_with("handlers/")).cloned());
                continue;
            }
            let files = match self.files(directory.join(folder.name()), folder).await? {
                Ok(files) => files,
                Err(error) => {
                    loaded.errors.push((directory.join(folder.name()), error.to_string()));
                    let prefix = format!("{}/", folder.name());
                    kept.extend(known.keys().filter(|key| key.starts_with(&prefix)).cloned());
                    continue;
                }
            };
            for file in files {
                let key = format!("{}/{}", folder.name(), file.stem);
                let before = known.get(&key).map(String::as_str);
                if !kept.insert(key.clone()) {
                    let text =
                        format!("another file of the same folder is `{}` as well", file.stem);
                    loaded.errors.push((file.path, text));
                    continue;
                }
                match self.load_file(folder, &key, &file, before, handlers).await {
                    Ok(true) => loaded.changed += 1,
                    Ok(false) => loaded.unchanged += 1,
                    Err(text) => loaded.errors.push((file.path, text)),
                }
            }
        }
        // Tasks before their templates.
        for (key, before) in known.iter().rev().filter(|(key, _)| !kept.contains(*key)) {
            match self.unload(key, before, handlers).await {
                Ok(()) => loaded.removed += 1,
                Err(text) => loaded.errors.push((directory.join(key), text)),
            }
        }
        Ok(loaded)
    }

    async fn files(
        &self,
        path: PathBuf,
        folder: Folder,
    ) -> Result<io::Result<Vec<Found>>, ServiceError> {
        self.blocking("load directory", move || find(&path, folder)).await
    }

    /// Loads a file; `false` when it is as it was.
    async fn load_file(
        &self,
        folder: Folder,
        key: &str,
        file: &Found,
        before: Option<&str>,
        handlers: Option<&dyn LoadHandlers>,
    ) -> Result<bool, String> {
        let path = file.path.clone();
        let text = self
            .blocking("loaded file", move || read(&path))
            .await
            .map_err(|error| error.to_string())??;
        let hash: String =
            Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        let is_same = before.is_some_and(|known| known.split(' ').next() == Some(&*hash));
        if is_same && self.is_there(folder, &file.stem).await? {
            return Ok(false);
        }
        let mut item = hash;
        match folder {
            Folder::Templates => self.load_template(&file.stem, text).await?,
            Folder::Tasks => {
                let change = match file.is_script {
                    true => TaskChange { script: text, ..TaskChange::default() },
                    false => task_of(&text)?,
                };
                self.load_task(&file.stem, change).await?;
            }
            Folder::Handlers => {
                let Some(handlers) = handlers else { return Ok(false) };
                item.push(' ');
                item.push_str(&handlers.load(&document(&text)?).await?);
            }
        }
        let write = Write::put(LOAD, key, item);
        self.documents().apply(vec![write]).await.map_err(|error| error.to_string())?;
        Ok(true)
    }

    async fn is_there(&self, folder: Folder, id: &str) -> Result<bool, String> {
        let there = match folder {
            Folder::Templates => self.stored_template(id).await.map(|known| known.is_some()),
            Folder::Tasks => self.stored_task(id).await.map(|known| known.is_some()),
            Folder::Handlers => Ok(true),
        };
        there.map_err(|error| error.to_string())
    }

    async fn load_template(&self, id: &str, script: String) -> Result<(), String> {
        let is_there = self.is_there(Folder::Templates, id).await?;
        let change = TemplateChange { id: id.to_owned(), script };
        let loaded = match is_there {
            true => self.update_template(id, change, Mode::Apply).await,
            false => self.create_template(change, Mode::Apply).await,
        };
        loaded.map(drop).map_err(|error| error.to_string())
    }

    async fn load_task(&self, id: &str, change: TaskChange) -> Result<(), String> {
        let is_there = self.is_there(Folder::Tasks, id).await?;
        let change = TaskChange { id: id.to_owned(), is_enabled: Some(true), ..change };
        let loaded = match is_there {
            true => self.update(id, change, Mode::Apply).await,
            false => self.create(change, Mode::Apply).await,
        };
        loaded.map(drop).map_err(|error| error.to_string())
    }

    async fn unload(
        &self,
        key: &str,
        before: &str,
        handlers: Option<&dyn LoadHandlers>,
    ) -> Result<(), String> {
        match key.split_once('/') {
            Some(("templates", id)) => {
                self.delete_template(id).await.map_err(|error| error.to_string())?;
            }
            Some(("tasks", id)) => self.delete(id).await.map_err(|error| error.to_string())?,
            Some(("handlers", _)) => {
                if let (Some(handlers), Some((_, known))) = (handlers, before.split_once(' ')) {
                    handlers.remove(known).await?;
                }
            }
            _ => {}
        }
        let write = Write::delete(LOAD, key);
        self.documents().apply(vec![write]).await.map_err(|error| error.to_string())
    }
}

/// Gives the files of a folder in the order of their names.
fn find(path: &Path, folder: Folder) -> io::Result<Vec<Found>> {
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let part =
            |part: Option<&std::ffi::OsStr>| part.and_then(|part| part.to_str().map(str::to_owned));
        let (Some(stem), Some(extension)) = (part(path.file_stem()), part(path.extension())) else {
            continue;
        };
        if folder.takes(&extension) && path.is_file() {
            found.push(Found { stem, is_script: extension == "tick", path });
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

fn read(path: &Path) -> Result<String, String> {
    let size = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > FILE_BYTES_MAX {
        return Err(format!("it has {size} bytes, the most is {FILE_BYTES_MAX}"));
    }
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}

/// Reads a file in YAML, of which JSON is a part.
fn document(text: &str) -> Result<Json, String> {
    let documents = manifest::parse(text).map_err(|error| error.to_string())?;
    let [document] = &documents[..] else {
        return Err(format!("it holds {} documents, not one", documents.len()));
    };
    Ok(document.root.to_json())
}

fn task_of(text: &str) -> Result<TaskChange, String> {
    let file: TaskFile =
        serde_json::from_value(document(text)?).map_err(|error| error.to_string())?;
    let dbrps = file.dbrps.iter().map(|dbrp| (Str::from(&*dbrp.db), Str::from(&*dbrp.rp)));
    Ok(TaskChange {
        template_id: file.template_id,
        dbrps: dbrps.collect(),
        vars: given_vars(&file.vars).map_err(|error| error.to_string())?,
        ..TaskChange::default()
    })
}
