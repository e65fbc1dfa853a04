//! `levada dry-run`: what would leave, message by message.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

use levada_flow::dry_run::{DryRun, InputFormat, Message, Outcome};
use levada_model::RecordError;
use levada_runtime::SystemClock;

use crate::args::{self, Common};
use crate::exit::Exit;
use crate::load::{self, Loaded};
use crate::script::{self, ScriptOptions};
use crate::{functions, lines, output};

mod task;

/// A longer line is reported and skipped.
const LINE_BYTES_MAX: usize = 64 << 20;

pub(super) fn run(args: &args::DryRun, common: &Common) -> Exit {
    let standard = Path::new("-");
    let of_input = args.input.iter().filter(|input| *input == standard).count();
    if args.file == standard && of_input > 0 {
        output::note("error: the flow and the messages cannot both be standard input");
        return Exit::Usage;
    }
    if of_input > 1 {
        output::note("error: standard input can be read once only");
        return Exit::Usage;
    }
    let udfs = functions::asked(script::is_script(&args.file), common);
    let options = udfs.and_then(|udfs| {
        let options = ScriptOptions::of(&args.task)?;
        Ok(ScriptOptions { udfs, ..options })
    });
    let options = match options {
        Ok(options) => options,
        Err(problem) => {
            output::note(&format!("error: {problem}"));
            return Exit::Invalid;
        }
    };
    let mut loaded = Loaded::read_all(std::slice::from_ref(&args.file), &options);
    let script = loaded.scripts.pop();
    if let Some(option) = misplaced_option(args, script.is_some()) {
        let what = if script.is_some() { "a script" } else { "a flow" };
        output::note(&format!("error: `{option}` means nothing for {what}"));
        return Exit::Usage;
    }
    load::complain(&loaded.findings, !common.quiet);
    if loaded.has_errors() {
        return Exit::Invalid;
    }
    match script {
        Some((_, script)) => task::run(&script, &options.udfs, args),
        None => run_flow(loaded, args),
    }
}

/// Names an option that is about the other kind of file.
fn misplaced_option(args: &args::DryRun, is_task: bool) -> Option<&'static str> {
    let of_flows =
        [("--input-format", args.input_format.is_some()), ("--flow", args.flow.is_some())];
    let of_tasks = [
        ("--type", args.task.task_type.is_some()),
        ("--vars", args.task.vars.is_some()),
        ("--db", args.db.is_some()),
        ("--rp", args.rp.is_some()),
        ("--precision", args.precision.is_some()),
        ("--stats", args.stats),
        ("--compat", args.compat.is_some()),
        ("--input, more than once,", args.input.len() > 1),
    ];
    let others: &[(&'static str, bool)] = if is_task { &of_flows } else { &of_tasks };
    others.iter().find(|(_, is_given)| *is_given).map(|(option, _)| *option)
}

fn run_flow(loaded: Loaded, args: &args::DryRun) -> Exit {
    let [input] = &args.input[..] else { return Exit::Usage };
    let flow = match loaded.only_flow(args.flow.as_deref()) {
        Ok((flow, _)) => flow.flow,
        Err(message) => {
            output::note(&format!("error: {message}"));
            return Exit::Invalid;
        }
    };
    let mut dry_run = match DryRun::new(&flow) {
        Ok(dry_run) => dry_run,
        Err(message) => {
            output::note(&format!("error: {message}"));
            return Exit::Invalid;
        }
    };
    let input: Box<dyn Read> = if input == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        match File::open(input) {
            Ok(file) => Box::new(file),
            Err(error) => {
                output::note(&format!("error: `{}` cannot be read: {error}", input.display()));
                return Exit::Invalid;
            }
        }
    };
    let format = match args.input_format {
        None | Some(args::InputFormat::Payload) => InputFormat::Payload,
        Some(args::InputFormat::Message) => InputFormat::Message,
    };
    match print(&mut dry_run, BufReader::with_capacity(1 << 18, input), format) {
        Ok(()) => Exit::Done,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Done,
        Err(error) => {
            output::note(&format!("error: {error}"));
            Exit::Failed
        }
    }
}

/// Prints one result line per input line.
fn print(
    dry_run: &mut DryRun<'_>,
    mut input: impl BufRead,
    format: InputFormat,
) -> std::io::Result<()> {
    let clock = SystemClock::new();
    let mut out = BufWriter::with_capacity(1 << 16, std::io::stdout().lock());
    let mut line = Vec::new();
    let mut json = Vec::new();
    let mut number = 0u64;
    while let Some(is_whole) = lines::read_line(&mut input, &mut line, LINE_BYTES_MAX)? {
        number += 1;
        let outcome = if is_whole {
            match Message::parse(&line, format) {
                Ok(message) => dry_run.run(&message, &*clock),
                Err(error) => Outcome::unreadable(&error),
            }
        } else {
            let text = format!("the line is longer than {LINE_BYTES_MAX} bytes");
            Outcome::unreadable(&RecordError::invalid(text))
        };
        json.clear();
        outcome.write_json(number, &mut json);
        json.push(b'\n');
        out.write_all(&json)?;
    }
    out.flush()
}
