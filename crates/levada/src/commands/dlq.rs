//! `levada dlq`: looks at dead letters, and sends them through their flow again.

mod letter;
mod place;
mod replay;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use comfy_table::{ContentArrangement, Table, presets};

use crate::args::{Common, Dlq, DlqFilter, DlqList, OutputFormat};
use crate::exit::Exit;
use crate::{lines, output};
use letter::Letter;

/// What becomes of a letter that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Nobody need look at it again.
    Done,
    /// It is for later.
    Left,
}

/// A longer line counts as unreadable, so that a file without line feeds does not fill the memory.
const LETTER_BYTES_MAX: usize = 256 << 20;

pub(super) fn run(args: Dlq, common: &Common) -> Exit {
    let result = match args {
        Dlq::List(args) => list(&args, common),
        Dlq::Replay(args) => replay::run(args, common),
    };
    result.unwrap_or_else(|message| {
        output::note(&format!("error: {message}"));
        Exit::Invalid
    })
}

fn list(args: &DlqList, common: &Common) -> Result<Exit, String> {
    let mut shown = 0;
    let mut matching = 0u64;
    let mut by_reason: BTreeMap<(String, String), u64> = BTreeMap::new();
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(["TIME", "CLASS", "STAGE", "FLOW", "MESSAGE"]);
    let show = |letter: Letter, line: &str| {
        matching += 1;
        *by_reason.entry((letter.class.clone(), letter.stage.clone())).or_default() += 1;
        if shown >= args.limit {
            return Fate::Done;
        }
        shown += 1;
        match common.output {
            OutputFormat::Json => output::line(line.trim_end()),
            OutputFormat::Text => {
                let Letter { timestamp, class, stage, dataflow, message, .. } = letter;
                table.add_row([timestamp, class, stage, dataflow, message]);
            }
        }
        Fate::Done
    };
    let unreadable = match &args.flow {
        Some(flow) if args.filter.files.is_empty() => {
            let (flow, parts) = replay::load_flow(flow)?;
            let group = args.group.clone();
            // A group without positions reads from the start, and this one never has any.
            let own = || format!("levada-dlq-list-{}-{}", flow.object.namespace, flow.object.name);
            let group = group.unwrap_or_else(own);
            let of = place::Of {
                flow: &flow,
                secrets: &parts.secrets.with_folder(args.secrets.clone()),
                base_dir: &parts.base_dir,
                group: Some(&group),
            };
            let mut place = place::Place::of(&of, common)?;
            match for_each_in(&mut place, &args.filter, show) {
                Ok(unreadable) => unreadable,
                Err(message) => {
                    output::note(&format!("error: {message}"));
                    return Ok(Exit::Failed);
                }
            }
        }
        _ => for_each(&args.filter, show)?,
    };
    if common.output == OutputFormat::Text {
        if matching > 0 {
            output::line(&table.to_string());
        }
        for ((class, stage), count) in &by_reason {
            output::line(&format!("{count:>8}  {class} in {stage}"));
        }
        let hidden = matching.saturating_sub(shown as u64);
        let more = match hidden {
            0 => String::new(),
            _ => format!(", {hidden} not shown (--limit)"),
        };
        output::note(&format!("{matching} dead letters{more}"));
    }
    if unreadable > 0 {
        output::note(&format!("warning: {unreadable} lines are no dead letters and were left out"));
    }
    Ok(Exit::Done)
}

/// Calls `each` with every letter that passes the filter; gives how many lines were no letters.
///
/// Reads each file only to the end that it had at the start, so that letters written meanwhile, by a
/// replay for instance, do not make it endless.
fn for_each(filter: &DlqFilter, mut each: impl FnMut(Letter, &str) -> Fate) -> Result<u64, String> {
    let mut unreadable = 0;
    for file in &filter.files {
        let mut reader = open(file).map_err(|error| format!("`{}`: {error}", file.display()))?;
        let mut line = Vec::new();
        loop {
            let read = lines::read_line(&mut reader, &mut line, LETTER_BYTES_MAX);
            let Some(is_whole) = read.map_err(|error| format!("`{}`: {error}", file.display()))?
            else {
                break;
            };
            if is_whole && line.trim_ascii().is_empty() {
                continue;
            }
            let text = std::str::from_utf8(&line).ok().filter(|_| is_whole);
            match text.and_then(|text| Some((Letter::parse(text)?, text))) {
                // In files letters stay, whatever became of them.
                Some((letter, text)) if passes(filter, &letter) => drop(each(letter, text)),
                Some(_) => {}
                None => unreadable += 1,
            }
        }
    }
    Ok(unreadable)
}

/// As [`for_each`], from where an error sink writes.
fn for_each_in(
    place: &mut place::Place,
    filter: &DlqFilter,
    mut each: impl FnMut(Letter, &str) -> Fate,
) -> Result<u64, String> {
    let mut unreadable = 0;
    place.read(|payload| {
        let text = std::str::from_utf8(payload).ok();
        match text.and_then(|text| Some((Letter::parse(text)?, text))) {
            Some((letter, text)) if passes(filter, &letter) => each(letter, text),
            Some(_) => Fate::Left,
            None => {
                unreadable += 1;
                Fate::Done
            }
        }
    })?;
    Ok(unreadable)
}

fn open(file: &PathBuf) -> std::io::Result<Box<dyn BufRead>> {
    // A dead letter is hardly larger than the largest record; a file without line feeds is no DLQ.
    const FILE_BYTES_MAX: u64 = 16 << 30;
    if file == Path::new("-") {
        return Ok(Box::new(BufReader::new(std::io::stdin().take(FILE_BYTES_MAX))));
    }
    let file = File::open(file)?;
    let length = file.metadata()?.len().min(FILE_BYTES_MAX);
    Ok(Box::new(BufReader::new(file.take(length))))
}

fn passes(filter: &DlqFilter, letter: &Letter) -> bool {
    let is =
        |wanted: &Option<String>, got: &str| wanted.as_deref().is_none_or(|wanted| wanted == got);
    is(&filter.class, &letter.class)
        && is(&filter.stage, &letter.stage)
        && is(&filter.dataflow, &letter.dataflow)
}
