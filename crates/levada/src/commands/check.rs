//! `levada check`: every problem, with file, line, column and path.

use levada_registry::Severity;

use crate::args::{Check, Common, OutputFormat};
use crate::exit::Exit;
use crate::load::Loaded;
use crate::output;
use crate::script::ScriptOptions;

pub(super) fn run(args: &Check, common: &Common) -> Exit {
    let options = match ScriptOptions::of(&args.task) {
        Ok(options) => {
            ScriptOptions { checks_sources: true, is_template: args.template, ..options }
        }
        Err(problem) => {
            output::note(&format!("error: {problem}"));
            return Exit::Invalid;
        }
    };
    let mut loaded = Loaded::read_all(&args.files, &options);
    if let Some(folder) = &args.secrets {
        loaded.resolve_secrets(folder.clone());
    }
    for finding in &loaded.findings {
        output::line(&finding.render(common.output));
    }
    if !common.quiet && common.output == OutputFormat::Text {
        output::note(&summary(&loaded, args.files.len()));
    }
    if loaded.has_errors() { Exit::Invalid } else { Exit::Done }
}

fn summary(loaded: &Loaded, files: usize) -> String {
    let count =
        |severity| loaded.findings.iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let plural = |count: usize, word: &str| match count {
        1 => format!("1 {word}"),
        _ => format!("{count} {word}s"),
    };
    let declared = match (loaded.declared, loaded.scripts.len()) {
        (flows, 0) => plural(flows, "flow"),
        (0, tasks) => plural(tasks, "task"),
        (flows, tasks) => format!("{} and {}", plural(flows, "flow"), plural(tasks, "task")),
    };
    let files = plural(files, "file");
    match (errors, warnings) {
        (0, 0) => format!("ok: {declared} in {files}"),
        (0, _) => format!("ok, with {}: {declared} in {files}", plural(warnings, "warning")),
        _ => format!("{}, {} in {files}", plural(errors, "error"), plural(warnings, "warning")),
    }
}
