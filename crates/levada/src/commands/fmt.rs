//! `levada fmt`: lays out scripts.

use std::io::Write as _;
use std::path::Path;

use levada_tick::syntax;

use crate::args::{Common, Fmt, OutputFormat};
use crate::exit::Exit;
use crate::load::{self, Finding};
use crate::{output, script};

pub(super) fn run(args: &Fmt, common: &Common) -> Exit {
    let mut findings = Vec::new();
    let (mut changed, mut unwritten) = (0u64, false);
    for file in &args.files {
        let text = match read(file) {
            Ok(text) => text,
            Err(finding) => {
                findings.push(*finding);
                continue;
            }
        };
        let formatted = match syntax::format(&text) {
            Ok(formatted) => formatted,
            Err(error) => {
                findings.push(script::parse_finding(&load::file_name(file), &text, &error));
                continue;
            }
        };
        if file == Path::new("-") && !args.check {
            output::bytes(formatted.as_bytes());
            continue;
        }
        if formatted == text {
            continue;
        }
        changed += 1;
        if args.check {
            report(&load::file_name(file), common.output);
        } else if let Err(error) = replace(file, &formatted) {
            output::note(&format!("error: `{}` cannot be written: {error}", file.display()));
            unwritten = true;
        }
    }
    for finding in &findings {
        match common.output {
            OutputFormat::Json => output::line(&finding.render(OutputFormat::Json)),
            OutputFormat::Text => output::note(&finding.render(OutputFormat::Text)),
        }
    }
    match (unwritten, findings.is_empty(), args.check && changed > 0) {
        (true, _, _) => Exit::Failed,
        (_, false, _) | (_, _, true) => Exit::Invalid,
        _ => Exit::Done,
    }
}

/// Names a file that is not laid out.
fn report(file: &str, format: OutputFormat) {
    match format {
        OutputFormat::Text => output::line(file),
        OutputFormat::Json => {
            output::line(&serde_json::json!({"file": file, "formatted": false}).to_string());
        }
    }
}

fn read(file: &Path) -> Result<String, Box<Finding>> {
    let name = load::file_name(file);
    let bytes = load::read_bytes(file)
        .map_err(|error| Box::new(Finding::of_file(&name, format!("cannot be read: {error}"))))?;
    script::script_text(&bytes)
        .map(str::to_owned)
        .map_err(|problem| Box::new(Finding::of_file(&name, problem)))
}

/// Puts a new text in the place of a file, so that a reader sees the old one or the new one.
///
/// - A link stays a link; the file keeps its permissions.
fn replace(file: &Path, text: &str) -> std::io::Result<()> {
    let file = std::fs::canonicalize(file)?;
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".levada-fmt");
    let beside = file.with_file_name(name);
    let written = std::fs::File::create_new(&beside).and_then(|mut new| {
        new.set_permissions(std::fs::metadata(&file)?.permissions())?;
        new.write_all(text.as_bytes())?;
        std::fs::rename(&beside, &file)
    });
    if written.is_err() {
        // What is left over is of no use; the error that matters is the first one.
        let _removed = std::fs::remove_file(&beside).is_ok();
    }
    written
}
