//! `levada check`: every problem, with file, line, column and path.

use levada_registry::Severity;

use crate::args::{Check, Common, OutputFormat};
use crate::exit::Exit;
use crate::load::Loaded;
use crate::output;

pub(super) fn run(args: &Check, common: &Common) -> Exit {
    let mut loaded = Loaded::read(&args.files);
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
    let flows = plural(loaded.declared, "flow");
    let files = plural(files, "file");
    match (errors, warnings) {
        (0, 0) => format!("ok: {flows} in {files}"),
        (0, _) => format!("ok, with {}: {flows} in {files}", plural(warnings, "warning")),
        _ => format!("{}, {} in {files}", plural(errors, "error"), plural(warnings, "warning")),
    }
}
