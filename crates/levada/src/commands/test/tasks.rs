//! Cases of tasks.

use std::path::{Path, PathBuf};

use levada_task::cases::Cases;

use super::Reporter;
use crate::args::Common;
use crate::exit::Exit;
use crate::load;
use crate::output;
use crate::script::{self, Script, ScriptOptions};

/// Differences of one case that are printed.
const DIFFERENCES_MAX: usize = 50;

pub(super) fn run(
    documents: &[(PathBuf, Cases)],
    scripts: &[PathBuf],
    common: &Common,
    reporter: &mut Reporter,
) -> Result<(), Exit> {
    for (file, cases) in documents {
        if cases.cases.is_empty() {
            continue;
        }
        let name = load::file_name(file);
        let invalid = |problem: String| {
            output::note(&format!("{name}: {problem}"));
            Exit::Invalid
        };
        let script = find(file, cases, scripts).map_err(invalid)?;
        let vars = cases.vars().map_err(invalid)?;
        let task_type = cases.task_type();
        let options = ScriptOptions { task_type, vars, ..ScriptOptions::default() };
        let script = Script::read(&script, &options);
        load::complain(&script.findings, !common.quiet);
        if script.has_errors() {
            return Err(Exit::Invalid);
        }
        if let Some(what) = script.not_built_in.first() {
            output::note(&format!("error: {what}"));
            return Err(Exit::Failed);
        }
        let Some(definition) = &script.definition else { return Err(Exit::Invalid) };
        for case in &cases.cases {
            let mut differences = match case.run(&script.task, definition, cases) {
                Ok(differences) => differences,
                Err(message) => vec![message],
            };
            if let Some(more) = differences.len().checked_sub(DIFFERENCES_MAX + 1) {
                differences.truncate(DIFFERENCES_MAX);
                differences.push(format!("and {} more", more + 1));
            }
            reporter.report(&name, "task", &script.task, &case.name, &differences);
        }
    }
    Ok(())
}

/// Finds the script that cases are about.
fn find(file: &Path, cases: &Cases, scripts: &[PathBuf]) -> Result<PathBuf, String> {
    if let Some(task) = &cases.task {
        let script = file.parent().unwrap_or(Path::new("")).join(task);
        return match script.is_file() {
            true => Ok(script),
            false => Err(format!("`spec.task`: there is no file `{}`", script.display())),
        };
    }
    if let Some(beside) = script::beside(file) {
        return Ok(beside);
    }
    match scripts {
        [script] => Ok(script.clone()),
        _ => Err("`spec.task` is needed: the script that the cases are about".to_owned()),
    }
}
