//! `levada test`: runs the cases written next to flows and tasks.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::args::{Common, OutputFormat, Test};
use crate::exit::Exit;
use crate::load::{self, Loaded};
use crate::{output, script};

mod flows;
mod folder;
mod tasks;

/// What became of the cases.
#[derive(Default)]
struct Tally {
    passed: u64,
    failed: u64,
}

/// Runs cases and prints what became of them.
struct Reporter {
    format: OutputFormat,
    tally: Tally,
}

pub(super) fn run(args: &Test, common: &Common) -> Exit {
    let groups = match groups(&args.files) {
        Ok(groups) => groups,
        Err(problem) => {
            output::note(&format!("error: {problem}"));
            return Exit::Invalid;
        }
    };
    let mut reporter = Reporter { format: common.output, tally: Tally::default() };
    // Of several problems, the worst decides how the command ends.
    let mut exit = Exit::Done;
    for group in &groups {
        match run_group(group, common, &mut reporter) {
            Ok(()) => {}
            Err(Exit::Failed) if exit != Exit::Invalid => exit = Exit::Failed,
            Err(_) => exit = Exit::Invalid,
        }
    }
    let Tally { passed, failed } = reporter.tally;
    if passed + failed == 0 {
        if exit == Exit::Done {
            output::note(
                "error: no cases found; write a document with `kind: FlowTest` into the file, or into FLOW.test.yaml \
                 beside it; cases of SCRIPT.tick have `kind: TaskTest` and stand in SCRIPT.test.yaml",
            );
            exit = Exit::Invalid;
        }
        return exit;
    }
    if common.output == OutputFormat::Text {
        output::line(&format!("{passed} passed, {failed} failed"));
    }
    match (exit, failed) {
        (Exit::Done, 1..) => Exit::Invalid,
        (exit, _) => exit,
    }
}

/// Gives what is read together: the files that were named, and in folders each flow or script with its cases.
fn groups(named: &[PathBuf]) -> Result<Vec<Vec<PathBuf>>, String> {
    let (folders, files): (Vec<_>, Vec<_>) =
        named.iter().cloned().partition(|file| file != Path::new("-") && file.is_dir());
    if let Some(missing) = files.iter().find(|file| **file != *Path::new("-") && !file.exists()) {
        return Err(format!("`{}` cannot be read: there is no such file", missing.display()));
    }
    let mut groups = Vec::new();
    if !files.is_empty() {
        groups.push(with_cases(&files));
    }
    for folder in folders {
        groups.extend(folder::groups(&folder)?);
    }
    Ok(groups)
}

/// Adds `FLOW.test.yaml` beside each file.
fn with_cases(named: &[PathBuf]) -> Vec<PathBuf> {
    let mut all = named.to_vec();
    for file in named {
        let Some(stem) = file.file_stem() else { continue };
        for extension in ["yaml", "yml"] {
            let name = format!("{}.test.{extension}", stem.to_string_lossy());
            let beside = file.with_file_name(name);
            if file != Path::new("-") && beside.is_file() && !all.contains(&beside) {
                all.push(beside);
            }
        }
    }
    all
}

fn run_group(files: &[PathBuf], common: &Common, reporter: &mut Reporter) -> Result<(), Exit> {
    let (scripts, manifests): (Vec<_>, Vec<_>) =
        files.iter().cloned().partition(|file| script::is_script(file));
    let loaded = Loaded::read(&manifests);
    load::complain(&loaded.findings, !common.quiet);
    if loaded.has_errors() {
        return Err(Exit::Invalid);
    }
    flows::run(&loaded, reporter)?;
    tasks::run(&loaded.task_cases, &scripts, common, reporter)
}

// === impl Reporter ===

impl Reporter {
    /// Counts a case and prints it; `what` is `flow` or `task`.
    fn report(&mut self, file: &str, what: &str, name: &str, case: &str, differences: &[String]) {
        let is_passed = differences.is_empty();
        match is_passed {
            true => self.tally.passed += 1,
            false => self.tally.failed += 1,
        }
        if self.format == OutputFormat::Json {
            let line = json!({
                "file": file, what: name, "case": case, "passed": is_passed, "differences": differences,
            });
            output::line(&line.to_string());
            return;
        }
        output::line(&format!("{} {name}: {case}", if is_passed { "ok  " } else { "FAIL" }));
        for difference in differences {
            output::line(&format!("       {difference}"));
        }
    }
}
