//! Bodies of lines.

use levada_codec::points::Unit;
use levada_codec::points::checks::Verdict as Check;
use levada_codec::points::line::{BodyError, Line, PROBLEMS_MAX, Scanner};

use super::WriteError;
use super::bucket::Buckets;
use super::lookup::LineLookup;
use super::points::Splitter;
use crate::rules::{DestinationId, Verdict, header_value};

/// Reads lines into buckets.
pub(super) fn read(
    text: &str,
    split: &mut Splitter<'_>,
    buckets: &mut Buckets,
) -> Result<(), WriteError> {
    let mut scanner = Scanner::new(text, split.write.unit)?;
    let constant = split.rules.constant(split.write.category).map(|ids| {
        let ids: smallvec::SmallVec<[DestinationId; 8]> = ids.iter().copied().collect();
        buckets.find(&ids, split.write.global_tags.as_deref())
    });
    let mut problems = Vec::new();
    let (mut good, mut bad) = (0, 0);
    while let Some(line) = scanner.next_line() {
        match line {
            Ok(line) => {
                good += 1;
                if bad == 0 {
                    take(&line, constant, text, split, buckets);
                }
            }
            Err(problem) => {
                bad += 1;
                if problems.len() < PROBLEMS_MAX {
                    problems.push(problem);
                }
            }
        }
    }
    if bad > 0 {
        return Err(BodyError::lines(problems, good, bad, text).into());
    }
    Ok(())
}

#[inline]
fn take(
    line: &Line<'_, '_>,
    constant: Option<usize>,
    text: &str,
    split: &mut Splitter<'_>,
    buckets: &mut Buckets,
) {
    let check = split.checks.passes(line);
    let needs_point = check == Check::Change || constant.is_none() && line.has_encoded();
    if needs_point {
        return take_apart(line, split, buckets);
    }
    split.written.points += 1;
    let category = split.write.category;
    let verdict = match constant {
        Some(_) => Verdict::Send,
        None => {
            let lookup = LineLookup { line, category };
            let verdict = split.rules.decide(category, &lookup, &mut split.workspace.scratch);
            if verdict == Verdict::Send && split.rules.global_tags().is_some() {
                line_header(line, split);
            }
            verdict
        }
    };
    if !split.note(verdict) {
        return;
    }
    let is_as_is = check == Check::Clean
        && line.time().is_some_and(|time| time >= 0 && split.write.unit.is_nanoseconds(time))
        // Blanks and carriage returns behind the time are not for others.
        && line.raw().as_bytes().last().is_some_and(u8::is_ascii_digit);
    if !is_as_is {
        rewrite(line, check, split);
    }
    // The line end belongs to it, where it has one.
    let range = line.start()..(line.end() + 1).min(text.len());
    let push = |bucket: usize, text: &[u8], buckets: &mut Buckets| match is_as_is {
        true => buckets.push_range(bucket, range.clone()),
        false => buckets.push_point(bucket, text),
    };
    match constant {
        Some(bucket) => push(bucket, &split.workspace.text, buckets),
        None => {
            let lookup = LineLookup { line, category };
            split
                .each_bucket(&lookup, buckets, |bucket, text, buckets| push(bucket, text, buckets));
        }
    }
}

fn line_header(line: &Line<'_, '_>, split: &mut Splitter<'_>) {
    use levada_codec::points::line::Raw;
    let Some(rules) = split.rules.global_tags() else { return };
    let header = &mut split.workspace.header;
    header.clear();
    let texts = line.entries().filter_map(|(key, raw)| match raw {
        Raw::Tag(text) | Raw::Text(text) => Some((key, text)),
        _ => None,
    });
    header_value(rules, split.write.category, line.name(), texts, header);
}

/// Writes a line anew that only lacks a field, or has no time in nanoseconds.
fn rewrite(line: &Line<'_, '_>, check: Check, split: &mut Splitter<'_>) {
    let out = &mut split.workspace.text;
    out.clear();
    out.extend_from_slice(line.head().as_bytes());
    if let Check::Lacks(key, value) = check {
        split.written.warnings.add(levada_codec::points::WarningKind::AddRequiredKv, || {
            format!("add required key-value \"{key}\": \"{value}\"")
        });
        out.push(b',');
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(b"=\"");
        out.extend_from_slice(value.as_bytes());
        out.push(b'"');
    }
    let unit: Unit = split.write.unit;
    let time = line.time().filter(|time| *time >= 0).and_then(|time| unit.time(time));
    out.push(b' ');
    let time = time.unwrap_or(split.write.now);
    out.extend_from_slice(itoa::Buffer::new().format(time.0).as_bytes());
    out.push(b'\n');
}

#[cold]
fn take_apart(line: &Line<'_, '_>, split: &mut Splitter<'_>, buckets: &mut Buckets) {
    let point = line.point(split.write.unit, split.write.now);
    split.point(point, buckets);
}
