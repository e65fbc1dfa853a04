//! Why a point matches a filter, or does not.

use std::fmt;

use super::clause::{Clause, Look, Rule};
use super::compile::reason;
use super::lookup::{Key, Lookup, Value};
use super::{Compat, Filter, print};

/// What a part of a filter says about a point; prints as a tree.
///
/// ```text
/// no   { source = 'nginx', status in ['error', 'warn'] }
///   yes  source = 'nginx'                  source is the name of the point: 'nginx'
///   no   status in ['error', 'warn']       field status is 200, an integer
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The part as text.
    pub clause: String,
    /// Whether it is true.
    pub matched: bool,
    /// What was found, or why nothing was looked for; absent where the parts say it.
    pub reason: Option<String>,
    /// All of them, also those that matter no more.
    pub parts: Vec<Explanation>,
}

/// How much of a value is shown, in characters.
const SHOWN_MAX: usize = 200;

pub(super) fn explain<L: Lookup + ?Sized>(filter: &Filter, point: &L) -> Explanation {
    let look = Look { compat: filter.compat, keys: &filter.keys, point };
    let mut parts: Vec<Explanation> =
        filter.statements.iter().map(|statement| of_clause(filter, statement, &look)).collect();
    let off = match filter.refused(point) {
        Some(refusal) => Some(refusal.to_string()),
        None if filter.is_late() => Some(reason::LATE.to_owned()),
        None if parts.is_empty() => Some("there is no condition".to_owned()),
        None => None,
    };
    if off.is_none() && parts.len() == 1 {
        // One statement speaks for itself.
        return parts.remove(0);
    }
    Explanation {
        clause: filter.to_string(),
        matched: off.is_none() && parts.iter().any(|part| part.matched),
        reason: off,
        parts,
    }
}

fn of_clause<L: Lookup + ?Sized>(
    filter: &Filter,
    clause: &Clause,
    look: &Look<'_, L>,
) -> Explanation {
    let note = &filter.notes[clause.note as usize];
    let parts: Vec<Explanation> = match &clause.rule {
        Rule::All(parts) | Rule::Any(parts) => {
            parts.iter().map(|part| of_clause(filter, part, look)).collect()
        }
        Rule::Not(part) => vec![of_clause(filter, part, look)],
        Rule::Constant(_) | Rule::Test { .. } => Vec::new(),
    };
    let reason = match &clause.rule {
        Rule::Test { key, .. } => Some(found(&filter.keys[*key as usize], look)),
        Rule::All(parts) if parts.is_empty() => Some("every point matches".to_owned()),
        _ => note.reason.map(str::to_owned),
    };
    Explanation { clause: note.text.to_string(), matched: clause.holds(look), reason, parts }
}

/// Says what a key is.
fn found<L: Lookup + ?Sized>(key: &Key, look: &Look<'_, L>) -> String {
    let found = look.find(key);
    let Some(value) = found.value else { return format!("{} is missing", key.name) };
    let name = &key.name;
    let injected = look.injected(key);
    let is_injected = match look.compat {
        Compat::Seed => injected.is_some(),
        _ => look.point.tag(key).is_none() && look.point.field(key).is_none(),
    };
    let first = if is_injected {
        let what = if &**name == "category" { "category" } else { "name" };
        format!("{name} is the {what} of the point: {}", shown(value))
    } else if look.point.tag(key).is_some() {
        format!("tag {name} is {}", shown(value))
    } else {
        format!("field {name} is {}", shown(value))
    };
    match found.other {
        Some(other) => format!("{first}; field {name} is {}", shown(other)),
        None => first,
    }
}

fn shown(value: Value<'_>) -> String {
    match value {
        Value::Str(text) => shown_text(text),
        Value::Int(number) => format!("{number}, an integer"),
        Value::UInt(number) => format!("{number}, an unsigned integer"),
        Value::Float(number) => format!("{}, a float", print::float(number)),
        Value::Bool(value) => value.to_string(),
        Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => format!("{}, as bytes", shown_text(text)),
            Err(_) => "bytes that are no text".to_owned(),
        },
        Value::Other => "an array or a map".to_owned(),
    }
}

fn shown_text(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}...", print::text(&text[..end])),
        None => print::text(text),
    }
}

// === impl Explanation ===

impl Explanation {
    /// Gives the width that the reasons begin at.
    fn width(&self, indent: usize) -> usize {
        const WIDTH_MAX: usize = 60;
        let own = match self.reason {
            Some(_) => indent + self.clause.chars().count(),
            None => 0,
        };
        let parts = self.parts.iter().map(|part| part.width(indent + 2));
        parts.fold(own, usize::max).min(WIDTH_MAX)
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, indent: usize, width: usize) -> fmt::Result {
        let verdict = if self.matched { "yes" } else { "no" };
        write!(f, "{:indent$}{verdict:<4} {}", "", self.clause)?;
        if let Some(reason) = &self.reason {
            let gap = width.saturating_sub(indent + self.clause.chars().count()) + 2;
            write!(f, "{:gap$}{reason}", "")?;
        }
        for part in &self.parts {
            f.write_str("\n")?;
            part.write(f, indent + 2, width)?;
        }
        Ok(())
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, 0, self.width(0))
    }
}
