//! `levada dry-run` of a script: every effect as a line of JSON, nothing is done.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use levada_task::dry_run::{DryRun, DryRunError, DryRunOptions, InputError, StreamFormat};
use levada_task::pipeline::TaskType;
use levada_task::recording::files::{self, OpenError, Plain};
use levada_task::runtime::context::{Compat, Limits};
use levada_task::udf::Udfs;
use levada_task::watermark::WatermarkSettings;

use crate::args;
use crate::effects::Printer;
use crate::exit::Exit;
use crate::functions;
use crate::load;
use crate::output;
use crate::script::Script;

/// What marks a message about something that is understood and cannot run yet.
const NOT_BUILT_IN: &str = "not built in";

pub(super) fn run(script: &Script, udfs: &Udfs, args: &args::DryRun) -> Exit {
    if let Some(what) = script.not_built_in.first() {
        output::note(&format!("error: {what}"));
        return Exit::Failed;
    }
    let Some(definition) = &script.definition else { return Exit::Invalid };
    let running = match functions::Running::start(udfs) {
        Ok(running) => running,
        Err(problem) => {
            output::note(&format!("error: {problem}"));
            return Exit::Failed;
        }
    };
    let printer = Arc::new(Mutex::new(Printer::new()));
    let options = DryRunOptions {
        task: script.task.clone(),
        database: args.db.clone(),
        retention: args.rp.clone(),
        compat: Compat { is_1_8: args.compat.is_some() },
        limits: Limits::default(),
        watermark: args.watermark.map(|lateness| WatermarkSettings {
            lateness: i64::try_from(lateness.get().as_nanos()).unwrap_or(i64::MAX),
            idle: 0,
        }),
        is_local: true,
        udfs: running.as_ref().map(functions::Running::side),
    };
    let run = match DryRun::start(definition, &options, Arc::clone(&printer)) {
        Ok(run) => run,
        Err(problem) if problem.contains(NOT_BUILT_IN) => {
            output::note(&format!("error: {problem}"));
            return Exit::Failed;
        }
        Err(problem) => return refuse(&problem),
    };
    let ended = match definition.pipeline.task_type() {
        TaskType::Stream => feed_stream(run, args),
        TaskType::Batch => feed_batch(run, args),
    };
    printer.lock().unwrap_or_else(PoisonError::into_inner).finish();
    match ended {
        Ok(()) => Exit::Done,
        Err(Trouble { text, exit }) => {
            output::note(&format!("error: {text}"));
            exit
        }
    }
}

/// Why a dry run did not come to its end.
struct Trouble {
    text: String,
    exit: Exit,
}

fn feed_stream(mut run: DryRun<Printer>, args: &args::DryRun) -> Result<(), Trouble> {
    for input in &args.input {
        let mut readers = open(input)?;
        let (Some(reader), true) = (readers.pop(), readers.is_empty()) else {
            let text = "an archive with one file is needed for a stream task".to_owned();
            return Err(Trouble::about(input, &text, Exit::Invalid));
        };
        let precision = args.precision.unwrap_or_default();
        run.stream(reader, format(input), precision).map_err(|error| Trouble::of(input, &error))?;
    }
    run.finish(args.stats).map_err(|error| Trouble::of(&args.input[0], &error))
}

fn feed_batch(mut run: DryRun<Printer>, args: &args::DryRun) -> Result<(), Trouble> {
    let (mut readers, mut names) = (Vec::new(), Vec::new());
    for input in &args.input {
        let opened = open(input)?;
        names.resize(names.len() + opened.len(), input);
        readers.extend(opened);
    }
    let first = &args.input[0];
    let name = |error: &DryRunError| match error {
        DryRunError::Input(InputError::Line { input, .. }) => *names.get(*input).unwrap_or(&first),
        _ => first,
    };
    run.batches(readers).map_err(|error| Trouble::of(name(&error), &error))?;
    run.finish(args.stats).map_err(|error| Trouble::of(first, &error))
}

fn open(input: &Path) -> Result<Vec<Plain>, Trouble> {
    let opened = match input == Path::new("-") {
        true => files::open_stream(io::stdin()),
        false => files::open(input),
    };
    opened.map_err(|error| match error {
        OpenError::Io(error) => {
            let text = format!("`{}` cannot be read: {error}", load::file_name(input));
            Trouble { text, exit: Exit::Invalid }
        }
        OpenError::Archive(_) => Trouble::about(input, &error.to_string(), Exit::Invalid),
    })
}

/// Tells by the name what the first line may not tell: `x.srpl`, `x.srpl.gz`.
fn format(input: &Path) -> StreamFormat {
    let name = input.file_name().unwrap_or(OsStr::new("")).to_string_lossy().to_ascii_lowercase();
    let is_recording = [".srpl", ".srpl.gz", ".srpl.zip"].iter().any(|end| name.ends_with(end));
    if is_recording { StreamFormat::Recording } else { StreamFormat::Auto }
}

fn refuse(problem: &str) -> Exit {
    output::note(&format!("error: {problem}"));
    Exit::Invalid
}

// === impl Trouble ===

impl Trouble {
    fn about(input: &Path, text: &str, exit: Exit) -> Self {
        Trouble { text: format!("{}: {text}", load::file_name(input)), exit }
    }

    fn of(input: &Path, error: &DryRunError) -> Self {
        match error {
            DryRunError::Failed(failure) => {
                Trouble { text: format!("the task failed: {failure}"), exit: Exit::Failed }
            }
            DryRunError::Input(InputError::Io(error)) => {
                let exit = match error.kind() {
                    io::ErrorKind::InvalidData => Exit::Invalid,
                    _ => Exit::Failed,
                };
                Trouble::about(input, &format!("the input cannot be read: {error}"), exit)
            }
            DryRunError::Input(InputError::Count { got, .. }) => {
                let text = format!(
                    "{error}: the script has {got} query nodes, and each takes one input, the last one of the script first"
                );
                Trouble { text, exit: Exit::Invalid }
            }
            DryRunError::Input(error) => Trouble::about(input, &error.to_string(), Exit::Invalid),
        }
    }
}
