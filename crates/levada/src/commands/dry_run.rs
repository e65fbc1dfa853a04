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
use crate::{lines, output};

/// A longer line is reported and skipped.
const LINE_BYTES_MAX: usize = 64 << 20;

pub(super) fn run(args: &args::DryRun, common: &Common) -> Exit {
    if args.file == Path::new("-") && args.input == Path::new("-") {
        output::note("error: the flow and the messages cannot both be standard input");
        return Exit::Usage;
    }
    let loaded = Loaded::read(std::slice::from_ref(&args.file));
    load::complain(&loaded.findings, !common.quiet);
    if loaded.has_errors() {
        return Exit::Invalid;
    }
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
    let input: Box<dyn Read> = if args.input == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        match File::open(&args.input) {
            Ok(file) => Box::new(file),
            Err(error) => {
                output::note(&format!("error: `{}` cannot be read: {error}", args.input.display()));
                return Exit::Invalid;
            }
        }
    };
    let format = match args.input_format {
        args::InputFormat::Payload => InputFormat::Payload,
        args::InputFormat::Message => InputFormat::Message,
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
