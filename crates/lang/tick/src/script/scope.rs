//! What names mean while a script runs.

use std::collections::BTreeMap;

use levada_model::Str;

use super::error::ScriptError;
use super::value::Value;
use crate::syntax::Position;

/// The one global function.
pub(super) const TIME: &str = "time";

/// Names and their values, sorted.
#[derive(Debug, Default)]
pub(super) struct Scope {
    names: BTreeMap<Str, Entry>,
}

/// A value and what copying it costs.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) value: Value,
    pub(super) size: Size,
}

/// How large a value is when every variable in it is written out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    /// Values in it, itself included.
    pub(super) nodes: u32,
    /// Levels in it, itself included.
    pub(super) depth: u32,
}

// === impl Size ===

impl Size {
    /// A value without parts.
    pub(super) const ONE: Size = Size { nodes: 1, depth: 1 };

    /// Takes up a part.
    pub(super) fn add(&mut self, part: Size) {
        self.nodes = self.nodes.saturating_add(part.nodes);
        self.depth = self.depth.max(part.depth.saturating_add(1));
    }
}

// === impl Scope ===

impl Scope {
    pub(super) fn set(&mut self, name: Str, value: Value, size: Size) {
        self.names.insert(name, Entry { value, size });
    }

    /// Says whether `name` may not be declared any more.
    pub(super) fn is_taken(&self, name: &str) -> bool {
        name == TIME || self.names.get(name).is_some_and(|entry| !matches!(entry.value, Value::Nil))
    }

    pub(super) fn get(&self, name: &str, position: Position) -> Result<&Entry, ScriptError> {
        self.names.get(name).ok_or_else(|| self.undefined(name, position))
    }

    fn undefined(&self, name: &str, position: Position) -> ScriptError {
        let mut names: Vec<&str> = self.names.keys().map(|known| &**known).collect();
        names.push(TIME);
        names.sort_unstable();
        let hint = match name {
            TIME => Some("`time` is a function: `time(10s)`".to_owned()),
            "true" | "false" | "and" | "or" => Some(format!("write `{}`", name.to_uppercase())),
            "stream" | "batch" => Some(format!("this is no {name} task")),
            _ => names
                .iter()
                .find(|known| is_close(known, name))
                .map(|known| format!("`{known}` is defined")),
        };
        let text = format!("name \"{name}\" is undefined. Names in scope: {}", names.join(","));
        ScriptError::bare(position, text).hint(hint)
    }
}

/// Says whether two names differ in case, or in one letter that is missing, added or another one.
fn is_close(a: &str, b: &str) -> bool {
    if a.eq_ignore_ascii_case(b) {
        return true;
    }
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().abs_diff(b.len()) > 1 || a.len().max(b.len()) < 3 {
        return false;
    }
    let same = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[same..], &b[same..]);
    match a.len().cmp(&b.len()) {
        std::cmp::Ordering::Equal => {
            a.get(1..) == b.get(1..)
                || (a.len() > 1 && a[0] == b[1] && a[1] == b[0] && a[2..] == b[2..])
        }
        std::cmp::Ordering::Less => b.get(1..) == Some(a),
        std::cmp::Ordering::Greater => a.get(1..) == Some(b),
    }
}
