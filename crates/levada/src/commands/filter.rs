//! `levada filter`: which points a filter of the gateway matches, and why.
//!
//! Lines are read in the gateway's dialect, which knows bytes and lists, so that both see the same values.

use std::io::{self, Read};
use std::path::Path;

use levada_codec::line_protocol::{Precision, whole_lines};
use levada_codec::points::line::{PROBLEMS_MAX, Scanner, write_point};
use levada_codec::points::{Point, Unit};
use levada_condition::filter::{Explanation, Filter};
use levada_gateway::ingest::PointLookup;
use levada_model::Timestamp;
use levada_task::recording::files::{self, OpenError, Plain};
use serde_json::{Value, json};

use crate::args::{self, Common, OutputFormat};
use crate::exit::Exit;
use crate::{load, output};

/// How much is read at once.
const CHUNK_BYTES: usize = 1 << 20;

/// A longer point is refused.
const POINT_BYTES_MAX: usize = 64 << 20;

/// How much of a point a table shows, in characters.
const SHOWN_MAX: usize = 160;

pub(super) fn run(args: &args::Filter, common: &Common) -> Exit {
    let filter = match Filter::parse(&args.condition, args.compat) {
        Ok(filter) => filter,
        Err(error) => {
            error.problems().iter().for_each(|problem| output::note(&problem.to_string()));
            return Exit::Invalid;
        }
    };
    // A filter that loses a pattern means something else, so this is said even when notes are not wanted.
    filter.warnings().iter().for_each(|warning| output::note(&format!("warning: {warning}")));
    if let Some(category) = args.category
        && let Err(refusal) = args.compat.check(category)
    {
        output::note(&format!("warning: {refusal}"));
    }
    match filter_points(&filter, args, common) {
        Ok(0) => Exit::Done,
        Ok(_) => Exit::Invalid,
        Err(text) => {
            output::note(&format!("error: {text}"));
            Exit::Invalid
        }
    }
}

/// Prints the points of the input; gives how many lines are none.
fn filter_points(filter: &Filter, args: &args::Filter, common: &Common) -> Result<u64, String> {
    let input = open(&args.input)?;
    let is_json = common.output == OutputFormat::Json;
    if !is_json {
        output::line("  INPUT  MATCH  POINT");
    }
    let mut printer = Printer { args, filter, is_json, points: 0, matched: 0 };
    let refused = read(input, &args.input, |point| printer.print(point))?;
    if !common.quiet && !is_json {
        let Printer { points, matched, .. } = printer;
        output::note(&format!("{matched} of {points} points match"));
    }
    Ok(refused)
}

/// Prints a line per point.
struct Printer<'a> {
    args: &'a args::Filter,
    filter: &'a Filter,
    is_json: bool,
    points: u64,
    matched: u64,
}

fn open(input: &Path) -> Result<Plain, String> {
    let opened = match input == Path::new("-") {
        true => files::open_stream(io::stdin()),
        false => files::open(input),
    };
    let name = load::file_name(input);
    let mut readers = opened.map_err(|error| match error {
        OpenError::Io(error) => format!("`{name}` cannot be read: {error}"),
        OpenError::Archive(_) => format!("{name}: {error}"),
    })?;
    match (readers.pop(), readers.is_empty()) {
        (Some(reader), true) => Ok(reader),
        _ => Err(format!("{name}: an archive with one file is needed")),
    }
}

/// Reads the points of a file and gives how many lines are none; these are told.
fn read(mut input: Plain, name: &Path, mut each: impl FnMut(&Point<'_>)) -> Result<u64, String> {
    let name = load::file_name(name);
    let (mut text, mut lines, mut refused) = (Vec::new(), 0, 0);
    loop {
        // A point that is longer than what is there makes the next piece longer, so none is looked through often.
        let wanted = CHUNK_BYTES.max(text.len()) as u64;
        let count = (&mut input).take(wanted).read_to_end(&mut text);
        let is_end = count.map_err(|error| format!("{name}: cannot be read: {error}"))? == 0;
        let end = if is_end { text.len() } else { whole_lines(&text) };
        refused += read_piece(&String::from_utf8_lossy(&text[..end]), &name, lines, &mut each)?;
        lines += text[..end].iter().filter(|byte| **byte == b'\n').count();
        text.drain(..end);
        if is_end {
            return Ok(refused);
        }
        if text.len() > POINT_BYTES_MAX {
            let line = lines + 1;
            let problem = format!("more than {POINT_BYTES_MAX} bytes without the end of a point");
            return Err(format!("{name}:{line}: {problem}"));
        }
    }
}

/// Reads the points of whole lines that come after so many others, and gives how many lines are none.
fn read_piece(
    text: &str,
    name: &str,
    lines: usize,
    each: &mut impl FnMut(&Point<'_>),
) -> Result<u64, String> {
    let unit = Unit::Fixed(Precision::Nanoseconds);
    let mut scanner = Scanner::new(text, unit).map_err(|error| format!("{name}: {error}"))?;
    let mut refused = 0;
    while let Some(line) = scanner.next_line() {
        let problem = match line {
            Ok(line) => {
                each(&line.point(unit, Timestamp(0)));
                continue;
            }
            Err(problem) => problem,
        };
        refused += 1;
        if refused <= PROBLEMS_MAX as u64 {
            let before = &text.as_bytes()[..(problem.position - 1).min(text.len())];
            let line = lines + 1 + before.iter().filter(|byte| **byte == b'\n').count();
            let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let column = before.len() - start + 1;
            let (excerpt, cause) = (&problem.excerpt, &problem.cause);
            output::note(&format!("{name}:{line}:{column}: unable to parse '{excerpt}': {cause}"));
        }
    }
    if refused > PROBLEMS_MAX as u64 {
        let silent = refused - PROBLEMS_MAX as u64;
        output::note(&format!("{name}: {silent} more lines are no points"));
    }
    Ok(refused)
}

// === impl Printer ===

impl Printer<'_> {
    fn print(&mut self, point: &Point<'_>) {
        let subject = PointLookup { point, category: self.args.category };
        let is_match = self.filter.matches(&subject);
        self.points += 1;
        self.matched += u64::from(is_match);
        let explanation = self.args.explain.then(|| self.filter.explain(&subject));
        if self.is_json {
            let mut line = json!({"input": self.points, "match": is_match});
            if let (Some(explanation), Some(members)) = (&explanation, line.as_object_mut()) {
                members.insert("explain".to_owned(), explanation_json(explanation));
            }
            output::line(&line.to_string());
            return;
        }
        let verdict = if is_match { "yes" } else { "no" };
        output::line(&format!("{:>7}  {verdict:<5}  {}", self.points, shown(point)));
        if let Some(explanation) = explanation {
            for line in explanation.to_string().lines() {
                output::line(&format!("{:16}{line}", ""));
            }
        }
    }
}

fn explanation_json(explanation: &Explanation) -> Value {
    let Explanation { clause, matched, reason, parts } = explanation;
    let mut json = json!({"clause": clause, "match": matched});
    if let Some(members) = json.as_object_mut() {
        if let Some(reason) = reason {
            members.insert("reason".to_owned(), reason.as_str().into());
        }
        if !parts.is_empty() {
            members.insert("parts".to_owned(), parts.iter().map(explanation_json).collect());
        }
    }
    json
}

/// Gives the beginning of a point, on one line.
fn shown(point: &Point<'_>) -> String {
    let mut bytes = Vec::new();
    if !write_point(point, &mut bytes) {
        return format!("{}: it has no field that a line can hold", point.name);
    }
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim_end().replace(['\n', '\r', '\t'], " ");
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
