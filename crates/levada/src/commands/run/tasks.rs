//! The tasks of `levada run`.

use std::path::PathBuf;
use std::sync::Arc;

use levada_model::Str;
use levada_server::flows::{Host, Job};
use levada_server::tasks::{TaskHost, TaskJob};
use levada_task::engine::TaskStatus;
use levada_task::pipeline::TaskType;
use levada_task::udf::Udfs;
use serde_json::json;

use super::{Options, grouped};
use crate::args::{Common, OutputFormat};
use crate::exit::Exit;
use crate::load::{self, Loaded};
use crate::output;
use crate::script::{Script, ScriptOptions};

/// Understands scripts; what is wrong with them is said on standard error.
///
/// - Errors: how the command ends.
pub(super) fn define_all(
    files: &[PathBuf],
    udfs: &Udfs,
    common: &Common,
) -> Result<Vec<TaskJob>, Exit> {
    let (mut jobs, mut exit) = (Vec::new(), None);
    for file in files {
        let options = ScriptOptions { udfs: udfs.clone(), ..ScriptOptions::default() };
        let script = Script::read(file, &options);
        load::complain(&script.findings, !common.quiet);
        if script.has_errors() {
            exit = Some(Exit::Invalid);
        }
        for what in &script.not_built_in {
            output::note(&format!("error: {what}"));
            exit.get_or_insert(Exit::Failed);
        }
        if let Some(definition) = script.definition {
            jobs.push(TaskJob { id: script.task, definition: Arc::new(definition) });
        }
    }
    exit.map_or(Ok(jobs), Err)
}

/// Gives a name that two scripts share.
pub(super) fn named_twice(scripts: &[TaskJob]) -> Option<&str> {
    let mut names: Vec<&str> = scripts.iter().map(|job| job.id.as_str()).collect();
    names.sort_unstable();
    names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
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
pub(super) async fn start(
    host: &Host,
    jobs: &mut [Job],
    options: &Options,
) -> Result<Option<TaskHost>, String> {
    if options.scripts.is_empty() {
        return Ok(None);
    }
    let tasks = TaskHost::start_with(host, !options.no_checkpoints, None, options.udfs.clone())
        .await
        .map_err(|error| format!("tasks cannot run: {error}"))?;
    for script in &options.scripts {
        let job = TaskJob { id: script.id.clone(), definition: Arc::clone(&script.definition) };
        tasks.run(job).map_err(|error| format!("{}: {error}", script.id))?;
    }
    for job in jobs {
        job.links.put(tasks.targets());
    }
    host.joins.set_tasks(tasks.targets());
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
