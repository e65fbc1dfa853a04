//! `levada filter`: which points a filter of the gateway matches, and why.

use std::io::{self, Read};
use std::path::Path;

use levada_codec::line_protocol::{Limits, Parser, Precision, whole_lines, write_point};
use levada_condition::filter::{Categorized, Explanation, Filter};
use levada_model::{Point, Str, Timestamp};
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
fn read(mut input: Plain, name: &Path, mut each: impl FnMut(&Point)) -> Result<u64, String> {
    let name = load::file_name(name);
    let mut parser = Parser::new(Limits { unsigned: true, ..Limits::default() });
    let nothing: Str = "".into();
    let (mut text, mut points) = (Vec::new(), Vec::new());
    let (mut lines, mut refused) = (0, 0);
    loop {
        // A point that is longer than what is there makes the next piece longer, so none is looked through often.
        let wanted = CHUNK_BYTES.max(text.len()) as u64;
        let count = (&mut input).take(wanted).read_to_end(&mut text);
        let is_end = count.map_err(|error| format!("{name}: cannot be read: {error}"))? == 0;
        let end = if is_end { text.len() } else { whole_lines(&text) };
        let body = &text[..end];
        let outcome = parser.parse(
            &nothing,
            &nothing,
            Precision::Nanoseconds,
            Timestamp(0),
            body,
            &mut points,
        );
        for problem in &outcome.problems {
            let line = lines + problem.line;
            output::note(&format!("{name}:{line}:{}: {}", problem.column, problem.server_text()));
        }
        let silent = outcome.refused - outcome.problems.len() as u64;
        if silent > 0 {
            output::note(&format!("{name}: {silent} more lines are no points"));
        }
        refused += outcome.refused;
        lines += body.iter().filter(|byte| **byte == b'\n').count() as u64;
        points.drain(..).for_each(|point| each(&point));
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

// === impl Printer ===

impl Printer<'_> {
    fn print(&mut self, point: &Point) {
        let subject = Categorized { point, category: self.args.category };
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
fn shown(point: &Point) -> String {
    let mut bytes = Vec::new();
    if let Err(error) = write_point(point, Precision::Nanoseconds, &mut bytes) {
        return format!("{}: {error}", point.series.name);
    }
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim_end().replace(['\n', '\r', '\t'], " ");
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
