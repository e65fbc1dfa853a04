//! Texts; indexes and lengths are in bytes.

use std::borrow::Cow;

use levada_model::Str;

use super::Body::Pure;
use super::{Answer, Failure, TEXT_MAX, functions, too_long, unfit};
use crate::lambda::error::Fault;
use crate::lambda::value::Operand;

functions! {
    "strContains": (String, String) -> Bool = Pure(contains);
    "strContainsAny": (String, String) -> Bool = Pure(contains_any);
    "strCount": (String, String) -> Int = Pure(count);
    "strHasPrefix": (String, String) -> Bool = Pure(has_prefix);
    "strHasSuffix": (String, String) -> Bool = Pure(has_suffix);
    "strIndex": (String, String) -> Int = Pure(index);
    "strIndexAny": (String, String) -> Int = Pure(index_any);
    "strLastIndex": (String, String) -> Int = Pure(last_index);
    "strLastIndexAny": (String, String) -> Int = Pure(last_index_any);
    "strLength": (String) -> Int = Pure(length);
    "strReplace": (String, String, String, Int) -> String = Pure(replace);
    "strSubstring": (String, Int, Int) -> String = Pure(substring);
    "strToLower": (String) -> String = Pure(to_lower);
    "strToUpper": (String) -> String = Pure(to_upper);
    "strTrim": (String, String) -> String = Pure(trim);
    "strTrimLeft": (String, String) -> String = Pure(trim_left);
    "strTrimPrefix": (String, String) -> String = Pure(trim_prefix);
    "strTrimRight": (String, String) -> String = Pure(trim_right);
    "strTrimSpace": (String) -> String = Pure(trim_space);
    "strTrimSuffix": (String, String) -> String = Pure(trim_suffix);
    "regexReplace": (Regex, String, String) -> String = Pure(regex_replace);
}

fn one<'o>(args: &'o [Operand<'_>]) -> Result<&'o str, Failure> {
    match args {
        [text] => text.as_text().ok_or_else(unfit),
        _ => Err(unfit()),
    }
}

fn two<'o>(args: &'o [Operand<'_>]) -> Result<(&'o str, &'o str), Failure> {
    match args {
        [text, other] => text.as_text().zip(other.as_text()).ok_or_else(unfit),
        _ => Err(unfit()),
    }
}

fn place<'a>(at: Option<usize>) -> Answer<'a> {
    Ok(Operand::Int(at.map_or(-1, |at| at as i64)))
}

/// Gives a part of the first argument; the argument itself when the part is all of it.
fn part<'a>(args: &[Operand<'a>], part: &str) -> Answer<'a> {
    match args.first() {
        Some(whole) if whole.as_text().is_some_and(|text| text.len() == part.len()) => {
            Ok(whole.clone())
        }
        _ => Ok(Operand::text(part)),
    }
}

fn contains<'a>(args: &[Operand<'a>]) -> Answer<'a> {
    let (text, needle) = two(args)?;
    Ok(Operand::Bool(text.contains(needle)))
}

fn contains_any<'a>(args: &[Operand<'a>]) -> Answer<'a> {
    let (text, set) = two(args)?;
    Ok(Operand::Bool(text.contains(|c| set.contains(c))))
}

fn count<'a>(args: &[Operand<'a>]) -> Answer<'a> {
    let (text, needle) = two(args)?;
    // An empty needle is found around every character, as `matches` does.
    Ok(Operand::Int(text.matches(needle).count() as i64))
}

fn has_prefix<'a>(args: &[Operand<'a>]) -> Answer<'a> {
    let (text, prefix) = two(args)?;
    Ok(Operand::Bool(text.starts_with(prefix)))
}

fn has_suffix<'a>(args: &[Operand<'a>]) -> Answer<'a> {
    let (text, suffix) = two(args)?;
    Ok(Operand::Bool(text.ends_with(suffix)))
}

fn index<'a>(args: &[Operand<'a>]) -> Answer<'a> {
    let (text, needle) = two(args)?;
    place(text.find(needle))
}

fn index_any<'a>(args: &[Operand<'a>]) -> Answer<'a> {
    let (text, set) = two(args)?;
    place(text.find(|c| set.contains(c)))
}

fn last_index<'a>(args: &[Operand<'a>]) -> Answer<'a> {
    let (text, needle) = two(args)?;
    place(text.rfind(needle))
}

fn last_index_any<'a>(args: &[Operand<'a>]) -> Answer<'a> {
    let (text, set) = two(args)?;
    place(text.rfind(|c| set.contains(c)))
}

fn length<'a>(args: &[Operand<'a>]) -> Answer<'a> {
    Ok(Operand::Int(one(args)?.len() as i64))
}

fn replace<'a>(args: &[Operand<'a>]) -> Answer<'a> {
    let [text, old, new, Operand::Int(limit)] = args else { return Err(unfit()) };
    let (Some(text), Some(old), Some(new)) = (text.as_text(), old.as_text(), new.as_text()) else {
        return Err(unfit());
    };
    let limit = usize::try_from(*limit).unwrap_or(usize::MAX);
    let hits = text.matches(old).take(limit).count();
    if hits == 0 {
        return part(args, text);
    }
    let bytes = (text.len() - hits * old.len()).saturating_add(hits.saturating_mul(new.len()));
    if bytes > TEXT_MAX {
        return Err(too_long(bytes).into());
    }
    Ok(Operand::text(text.replacen(old, new, hits)))
}

/// Gives the bytes from `start` up to `stop`.
///
/// Differs: half a character becomes U+FFFD, since texts are UTF-8 here; the original keeps the bytes.
fn substring<'a>(args: &[Operand<'a>]) -> Answer<'a> {
    let [text, Operand::Int(start), Operand::Int(stop)] = args else { return Err(unfit()) };
    let text = text.as_text().ok_or_else(unfit)?;
    if let Some(negative) = [*start, *stop].into_iter().find(|index| *index < 0) {
        return Err(format!("found negative index for strSubstring: {negative}").into());
    }
    let (from, to) = (*start as usize, *stop as usize);
    if to >= text.len() {
        return Err(format!("stop index too large for string in strSubstring: {stop}").into());
    }
    if from > to {
        return Err(Failure::Whole(Fault::Slice { start: *start, stop: *stop }));
    }
    Ok(match text.get(from..to) {
        Some(part) => Operand::text(part),
        None => Operand::text(String::from_utf8_lossy(&text.as_bytes()[from..to])),
    })
}

fn to_lower<'a>(args: &[Operand<'a>]) -> Answer<'a> {
    let text = one(args)?;
    Ok(Operand::text(if text.is_ascii() {
        text.to_ascii_lowercase()
    } else {
        text.chars().map(lower).collect()
    }))
}

fn to_upper<'a>(args: &[Operand<'a>]) -> Answer<'a> {
    let text = one(args)?;
    Ok(Operand::text(if text.is_ascii() {
        text.to_ascii_uppercase()
    } else {
        text.chars().map(upper).collect()
    }))
}

/// Maps one character to one, as Go does; the full mapping may give several.
fn lower(character: char) -> char {
    let mut all = character.to_lowercase();
    match (character, all.next(), all.next()) {
        ('\u{130}', ..) => 'i',
        (_, Some(single), None) => single,
        _ => character,
    }
}

/// Maps one character to one, as Go does; the full mapping may give several.
fn upper(character: char) -> char {
    let mut all = character.to_uppercase();
    if let (Some(single), None) = (all.next(), all.next()) {
        return single;
    }
    // Greek letters with an iota below: their capital with an iota beside it is one character.
    let shift = match character {
        '\u{1f80}'..='\u{1f87}' | '\u{1f90}'..='\u{1f97}' | '\u{1fa0}'..='\u{1fa7}' => 8,
        '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}' => 9,
        _ => 0,
    };
    char::from_u32(character as u32 + shift).unwrap_or(character)
}

fn trim<'a>(args: &[Operand<'a>]) -> Answer<'a> {
    let (text, set) = two(args)?;
    part(args, text.trim_matches(|c| set.contains(c)))
}

fn trim_left<'a>(args: &[Operand<'a>]) -> Answer<'a> {
    let (text, set) = two(args)?;
    part(args, text.trim_start_matches(|c| set.contains(c)))
}

fn trim_right<'a>(args: &[Operand<'a>]) -> Answer<'a> {
    let (text, set) = two(args)?;
    part(args, text.trim_end_matches(|c| set.contains(c)))
}

fn trim_prefix<'a>(args: &[Operand<'a>]) -> Answer<'a> {
    let (text, prefix) = two(args)?;
    part(args, text.strip_prefix(prefix).unwrap_or(text))
}

fn trim_suffix<'a>(args: &[Operand<'a>]) -> Answer<'a> {
    let (text, suffix) = two(args)?;
    part(args, text.strip_suffix(suffix).unwrap_or(text))
}

fn trim_space<'a>(args: &[Operand<'a>]) -> Answer<'a> {
    part(args, one(args)?.trim())
}

fn regex_replace<'a>(args: &[Operand<'a>]) -> Answer<'a> {
    let [Operand::Regex(pattern), text, template] = args else { return Err(unfit()) };
    let (Some(text), Some(template)) = (text.as_text(), template.as_text()) else {
        return Err(unfit());
    };
    let pieces = pieces(template);
    let mut out = String::new();
    let mut copied = 0;
    for captures in pattern.regex.captures_iter(text) {
        let Some(whole) = captures.get(0) else { continue };
        out.push_str(&text[copied..whole.start()]);
        copied = whole.end();
        for piece in &pieces {
            let group = match piece {
                Piece::Text(text) => {
                    out.push_str(text);
                    continue;
                }
                Piece::Number(number) => captures.get(*number),
                Piece::Name(name) => captures.name(name),
            };
            out.push_str(group.map_or("", |group| group.as_str()));
        }
        if out.len() > TEXT_MAX {
            return Err(too_long(out.len()).into());
        }
    }
    if copied == 0 && out.is_empty() {
        return part(&args[1..], text);
    }
    out.push_str(&text[copied..]);
    if out.len() > TEXT_MAX {
        return Err(too_long(out.len()).into());
    }
    Ok(Operand::text(Str::from(out)))
}

/// A part of a replacement.
enum Piece<'t> {
    Text(Cow<'t, str>),
    Number(usize),
    Name(&'t str),
}

/// Splits a replacement at `$1`, `${1}`, `$name`, `${name}` and `$$`; any other `$` stands for itself.
///
/// Source: Go's `Regexp.Expand`.
fn pieces(template: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        if at > 0 {
            pieces.push(Piece::Text(rest[..at].into()));
        }
        let after = &rest[at + 1..];
        if let Some(behind) = after.strip_prefix('$') {
            pieces.push(Piece::Text("$".into()));
            rest = behind;
        } else if let Some((name, behind)) = group_name(after) {
            pieces.push(group(name));
            rest = behind;
        } else {
            pieces.push(Piece::Text("$".into()));
            rest = after;
        }
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.into()));
    }
    pieces
}

/// Splits the longest name off, in braces or without.
fn group_name(text: &str) -> Option<(&str, &str)> {
    let is_brace = text.starts_with('{');
    let body = if is_brace { &text[1..] } else { text };
    let end = body.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(body.len());
    if end == 0 {
        return None;
    }
    let (name, behind) = body.split_at(end);
    if is_brace { Some((name, behind.strip_prefix('}')?)) } else { Some((name, behind)) }
}

fn group(name: &str) -> Piece<'_> {
    let is_number = name.bytes().all(|byte| byte.is_ascii_digit())
        && (name == "0" || !name.starts_with('0'))
        && name.len() <= 8;
    match name.parse() {
        Ok(number) if is_number => Piece::Number(number),
        _ => Piece::Name(name),
    }
}
