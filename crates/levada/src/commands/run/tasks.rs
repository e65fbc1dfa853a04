//! The tasks of `levada run`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use levada_model::Str;
use levada_server::flows::{Host, Job};
use levada_server::tasks::{TaskHost, TaskJob};
use levada_task::definition::{DefineOptions, define};
use levada_task::engine::TaskStatus;
use levada_task::pipeline::TaskType;
use serde_json::json;

use super::{Options, grouped};
use crate::args::{Common, OutputFormat};
use crate::load::Loaded;
use crate::output;

/// Says whether a file holds a script.
pub(super) fn is_script(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "tick")
}

/// Understands scripts; nothing when one of them is wrong, which is said on standard error.
pub(super) fn define_all(files: &[PathBuf], common: &Common) -> Option<Vec<TaskJob>> {
    let mut jobs = Vec::new();
    let mut is_wrong = false;
    for file in files {
        let shown = file.display();
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) => {
                output::note(&format!("error: `{shown}` cannot be read: {error}"));
                is_wrong = true;
                continue;
            }
        };
        match define(&text, &DefineOptions::default()) {
            Ok(definition) => {
                if !common.quiet {
                    for warning in &definition.warnings {
                        output::note(&format!("{shown}: warning: {warning}"));
                    }
                }
                let id = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                jobs.push(TaskJob { id, definition: Arc::new(definition) });
            }
            Err(error) => {
                output::note(&format!("{shown}: error: {error}"));
                is_wrong = true;
            }
        }
    }
    (!is_wrong).then_some(jobs)
}

/// Gives a stream task that no flow can feed.
pub(super) fn unfed<'s>(scripts: &'s [TaskJob], loaded: &Loaded) -> Option<&'s str> {
    let is_fed = !loaded.flows.is_empty();
    scripts
        .iter()
        .find(|job| !is_fed && job.definition.pipeline.task_type() == TaskType::Stream)
        .map(|job| job.id.as_str())
}

/// Starts the tasks, and lets the flows find them.
pub(super) fn start(
    host: &Host,
    jobs: &mut [Job],
    options: &Options,
) -> Result<Option<TaskHost>, String> {
    if options.scripts.is_empty() {
        return Ok(None);
    }
    let tasks = TaskHost::start(host, !options.no_checkpoints).map_err(|error| {
        format!(
            "the folder for the state of tasks cannot be used: {error}; choose another with --data"
        )
    })?;
    for script in &options.scripts {
        let job = TaskJob { id: script.id.clone(), definition: Arc::clone(&script.definition) };
        tasks.run(job).map_err(|error| format!("{}: {error}", script.id))?;
    }
    for job in jobs {
        job.links.put(tasks.targets());
    }
    Ok(Some(tasks))
}

/// Prints how tasks ended; says whether one of them failed.
pub(super) fn report(tasks: &[(Str, TaskStatus)], common: &Common) -> bool {
    for (id, status) in tasks {
        if common.output == OutputFormat::Json {
            let line = json!({
                "task": &**id,
                "points": status.processed,
                "dropped": status.dropped,
                "nodes": status.nodes,
                "error": status.error,
            });
            output::line(&line.to_string());
        } else if !common.quiet {
            output::note(&human(id, status));
        }
        if let Some(error) = &status.error {
            output::note(&format!("error: task {id}: {error}"));
        }
    }
    tasks.iter().any(|(_, status)| status.error.is_some())
}

fn human(id: &str, status: &TaskStatus) -> String {
    let sum = |key: &str| -> u64 {
        status.nodes.values().filter_map(|node| node.get(key)?.as_u64()).sum()
    };
    let mut text = format!("task {id}: {} points", grouped(status.processed));
    let counts = [
        (sum("alerts_triggered"), "alerts"),
        (sum("errors"), "errors"),
        (status.dropped, "dropped"),
    ];
    for (count, word) in counts {
        if count > 0 {
            text.push_str(&format!(", {} {word}", grouped(count)));
        }
    }
    text
}
