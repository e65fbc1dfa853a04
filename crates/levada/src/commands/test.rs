//! `levada test`: runs the cases written next to flows.

use std::path::{Path, PathBuf};

use levada_flow::spec::Flow;
use levada_runtime::SystemClock;
use serde_json::json;

use crate::args::{Common, OutputFormat, Test};
use crate::exit::Exit;
use crate::load::{self, Loaded};
use crate::output;

pub(super) fn run(args: &Test, common: &Common) -> Exit {
    let mut loaded = Loaded::read(&files(&args.files));
    load::complain(&loaded.findings, !common.quiet);
    if loaded.has_errors() {
        return Exit::Invalid;
    }
    let cases = std::mem::take(&mut loaded.cases);
    if cases.iter().all(|(_, cases)| cases.cases.is_empty()) {
        output::note(
            "error: no cases found; write a document with `kind: FlowTest` into the file, or into FLOW.test.yaml beside it",
        );
        return Exit::Invalid;
    }
    let clock = SystemClock::new();
    let (mut passed, mut failed) = (0u64, 0u64);
    for (file, cases) in &cases {
        let flow = match find(&loaded, cases.flow.as_deref()) {
            Ok(flow) => flow,
            Err(message) => {
                output::note(&format!("{file}: {message}"));
                return Exit::Invalid;
            }
        };
        for case in &cases.cases {
            let differences = match case.run(flow, &*clock) {
                Ok(result) => result.differences,
                Err(message) => vec![message],
            };
            match differences.is_empty() {
                true => passed += 1,
                false => failed += 1,
            }
            report(file, &flow.object.name, &case.name, &differences, common.output);
        }
    }
    if common.output == OutputFormat::Text {
        output::line(&format!("{passed} passed, {failed} failed"));
    }
    if failed == 0 { Exit::Done } else { Exit::Invalid }
}

/// Adds `FLOW.test.yaml` beside each file.
fn files(named: &[PathBuf]) -> Vec<PathBuf> {
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

fn find<'l>(loaded: &'l Loaded, name: Option<&str>) -> Result<&'l Flow, String> {
    let names: Vec<&str> =
        loaded.flows.iter().map(|loaded| loaded.flow.object.name.as_str()).collect();
    let found = match name {
        Some(name) => loaded.flows.iter().find(|loaded| loaded.flow.object.name == name),
        None if names.len() == 1 => loaded.flows.first(),
        None => {
            return Err(format!(
                "`spec.flow` is needed, because there is not one flow; known: {}",
                names.join(", ")
            ));
        }
    };
    found.map(|loaded| &loaded.flow).ok_or_else(|| {
        format!("unknown flow `{}`; known: {}", name.unwrap_or_default(), names.join(", "))
    })
}

fn report(file: &str, flow: &str, case: &str, differences: &[String], format: OutputFormat) {
    let is_passed = differences.is_empty();
    if format == OutputFormat::Json {
        let line = json!({
            "file": file, "flow": flow, "case": case, "passed": is_passed, "differences": differences,
        });
        output::line(&line.to_string());
        return;
    }
    output::line(&format!("{} {flow}: {case}", if is_passed { "ok  " } else { "FAIL" }));
    for difference in differences {
        output::line(&format!("       {difference}"));
    }
}
