//! Turns a file, the environment and flags into assignments of single keys.

use std::ffi::OsString;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::ops::Range;
use std::path::Path;

use serde::Deserialize as _;
use toml::de::{DeTable, DeValue, ValueDeserializer};
use toml::{Spanned, Table, Value};

use super::dataway::{self, Taken};
use super::named;
use super::problem::{Origin, Problem};
use crate::{DEFAULTS, env, shown};

/// Largest settings file; the defaults with their comments are some 4 KiB.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// One key set by one layer.
pub(super) struct Assignment {
    pub(super) key: String,
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// What the layers set, in the order of their rank, and what is wrong with it.
pub(super) struct Collected<'a> {
    defaults: &'a Table,
    pub(super) assignments: Vec<Assignment>,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
}

// === impl Collected ===

impl<'a> Collected<'a> {
    pub(super) fn new(defaults: &'a Table) -> Self {
        Self { defaults, assignments: Vec::new(), problems: Vec::new(), warnings: Vec::new() }
    }

    pub(super) fn file(&mut self, path: &Path, required: bool) {
        let origin = |place| Origin::File { path: path.to_owned(), place };
        let text = match read(path) {
            Ok(text) => text,
            Err(FileError::Absent) if !required => return,
            Err(error) => {
                let message = match error {
                    FileError::Absent => "the settings file does not exist".into(),
                    FileError::Unreadable(reason) => {
                        format!("the settings file cannot be read: {reason}")
                    }
                };
                self.problems.push(Problem { origin: origin(None), key: String::new(), message });
                return;
            }
        };
        match DeTable::parse(&text) {
            Ok(table) => {
                let source = Source { path, text: &text };
                self.table(&source, table.get_ref(), self.defaults, "");
            }
            Err(error) => {
                let place = error.span().map(|span| place(&text, span));
                let message =
                    format!("not valid TOML: {}", error.message().trim_end().replace('\n', ", "));
                self.problems.push(Problem { origin: origin(place), key: String::new(), message });
            }
        }
    }

    /// Walks a table of a file beside the defaults, which know the keys.
    fn table(&mut self, source: &Source<'_>, table: &DeTable<'_>, known: &Table, prefix: &str) {
        for (name, value) in table {
            let key = format!("{prefix}{}", name.get_ref());
            if prefix.is_empty() && dataway::SECTIONS.contains(&&*key) {
                self.original(source, &key, value);
                continue;
            }
            let child = named::child(self.defaults, known, prefix, name.get_ref());
            match (child.as_deref(), value.get_ref()) {
                (None, _) => {
                    let origin = source.origin(name.span());
                    self.problems.push(unknown(origin, &shown(&key), prefix, known));
                }
                (Some(Value::Table(known)), DeValue::Table(inner)) => {
                    self.table(source, inner, known, &format!("{key}."));
                }
                (Some(Value::Table(_)), _) => {
                    let message =
                        format!("this is a section: write `[{key}]` and its keys below it");
                    self.problems.push(Problem {
                        origin: source.origin(value.span()),
                        key,
                        message,
                    });
                }
                (Some(_), _) => self.leaf(source, key, value),
            }
        }
    }

    fn leaf(&mut self, source: &Source<'_>, key: String, value: &Spanned<DeValue<'_>>) {
        let origin = source.origin(value.span());
        if let DeValue::Array(_) = value.get_ref() {
            // A list of tables is spread over the file, so its span is no text of its own.
            match Value::deserialize(ValueDeserializer::from(value.clone())) {
                Ok(value) => self.assignments.push(Assignment { key, value, origin }),
                Err(error) => {
                    let message = error.message().trim_end().into();
                    self.problems.push(Problem { origin, key, message });
                }
            }
            return;
        }
        // The value is read again from its own text, which the parser has just accepted.
        let text = format!("value = {}", &source.text[value.span()]);
        match text.parse::<Table>().map(|mut table| table.remove("value")) {
            Ok(Some(value)) => self.assignments.push(Assignment { key, value, origin }),
            Ok(None) => {}
            Err(error) => self.problems.push(Problem {
                origin,
                key,
                message: error.message().trim_end().into(),
            }),
        }
    }

    /// Takes what stands in a section of the original's file.
    fn original(&mut self, source: &Source<'_>, key: &str, value: &Spanned<DeValue<'_>>) {
        if let (DeValue::Table(table), false) = (value.get_ref(), dataway::is_key(key)) {
            for (name, value) in table {
                self.original(source, &format!("{key}.{}", name.get_ref()), value);
            }
            return;
        }
        let origin = source.origin(value.span());
        let taken = Value::deserialize(ValueDeserializer::from(value.clone()))
            .ok()
            .and_then(|value| dataway::of_file(key, value));
        self.taken(key, taken, origin);
    }

    /// Sets what a key of the original stands for.
    fn taken(&mut self, key: &str, taken: Option<Taken>, origin: Origin) {
        let problem = |message: &str| Problem {
            origin: origin.clone(),
            key: key.to_owned(),
            message: message.to_owned(),
        };
        match taken {
            Some(Taken::Set(set)) => {
                for (key, value) in set {
                    if self.is_leaf(&key) {
                        self.assignments.push(Assignment { key, value, origin: origin.clone() });
                    } else {
                        let problem = Problem {
                            origin: origin.clone(),
                            key,
                            message: "there is no such key".to_owned(),
                        };
                        self.problems.push(problem);
                    }
                }
            }
            Some(Taken::Bad(message)) => self.problems.push(problem(message)),
            Some(Taken::Ignored) => {
                self.warnings.push(problem("it does nothing here: nothing needs it"));
            }
            None => self.warnings.push(problem("it is not known and does nothing")),
        }
    }

    /// Says whether a dotted key is one of the defaults, and no section.
    fn is_leaf(&self, key: &str) -> bool {
        let mut table = self.defaults;
        let mut parts = key.split('.').peekable();
        while let Some(part) = parts.next() {
            match (table.get(part), parts.peek()) {
                (Some(Value::Table(inner)), Some(_)) => table = inner,
                (Some(Value::Table(_)) | None, _) => return false,
                (Some(_), rest) => return rest.is_none(),
            }
        }
        false
    }

    /// Takes the variables of the original; Levada's own beat them.
    fn original_environment(&mut self, variables: &[(OsString, OsString)]) {
        for (name, value) in variables {
            let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else { continue };
            if let Some(taken) = dataway::of_variable(name, value) {
                self.taken(name, Some(taken), Origin::Env { name: name.into() });
            }
        }
    }

    pub(super) fn environment(&mut self, variables: &[(OsString, OsString)]) {
        self.original_environment(variables);
        let keys: Vec<String> = leaves(self.defaults).into_iter().map(|(key, _)| key).collect();
        for (name, value) in variables {
            let Some(name) = name.to_str().filter(|name| name.starts_with(env::PREFIX)) else {
                continue;
            };
            let origin = Origin::Env { name: name.into() };
            let lossy = value.to_string_lossy();
            if env::is_other(name) || env::is_service_link(name, &lossy) {
                continue;
            }
            let plain = keys.iter().find(|key| env::variable_of(key) == name).cloned();
            let named = || {
                let known = self.assignments.iter().map(|assignment| &*assignment.key);
                named::key_of(self.defaults, name, known)
            };
            let Some(key) = plain.or_else(named) else {
                self.unknown_variable(name, origin);
                continue;
            };
            match value.to_str() {
                Some(text) => self.text(key, text, origin),
                None => {
                    let message = "the value is not valid UTF-8".into();
                    self.problems.push(Problem { origin, key, message });
                }
            }
        }
    }

    /// A variable that names a section is a mistyped setting; any other may belong to a script around the process.
    fn unknown_variable(&mut self, name: &str, origin: Origin) {
        let section = self
            .defaults
            .iter()
            .find(|(section, _)| name.starts_with(&format!("{}_", env::variable_of(section))));
        match section {
            Some((section, Value::Table(known))) => {
                let variables = known
                    .keys()
                    .map(|key| format!("`{}`", env::variable_of(&format!("{section}.{key}"))));
                let message = format!(
                    "unknown variable; known: {}",
                    variables.collect::<Vec<_>>().join(", ")
                );
                self.problems.push(Problem { origin, key: String::new(), message });
            }
            _ => {
                let message = "unknown variable, ignored; `LEVADA_<SECTION>_<KEY>` sets a key of the settings".into();
                self.warnings.push(Problem { origin, key: String::new(), message });
            }
        }
    }

    pub(super) fn flag(&mut self, flag: &str, text: &str) {
        let origin = Origin::Flag { name: flag.into() };
        let Some((key, value)) = text.split_once('=') else {
            let message = format!(
                "`{}` is not `key=value`; for example `flow.batch-records=500`",
                shown(text)
            );
            self.problems.push(Problem { origin, key: String::new(), message });
            return;
        };
        self.text(key.trim().into(), value, origin);
    }

    /// Takes a value written as text, and reads it as the type that the default of the key has.
    fn text(&mut self, key: String, text: &str, origin: Origin) {
        let (mut known, mut prefix) = (self.defaults.clone(), String::new());
        let mut rest = key.as_str();
        let default = loop {
            let (name, after) =
                rest.split_once('.').map_or((rest, None), |(name, after)| (name, Some(after)));
            let child = named::child(self.defaults, &known, &prefix, name);
            match (child.map(|child| child.into_owned()), after) {
                (Some(Value::Table(inner)), Some(after)) => {
                    (known, rest) = (inner, after);
                    prefix = format!("{prefix}{name}.");
                }
                (Some(Value::Table(inner)), None) => {
                    let prefix = format!("{key}.");
                    let message =
                        format!("this is a section; known keys: {}", list(&prefix, &inner));
                    self.problems.push(Problem { origin, key, message });
                    return;
                }
                (Some(leaf), None) => break leaf,
                (Some(_), Some(_)) | (None, _) => {
                    self.problems.push(unknown(origin, &shown(&key), &prefix, &known));
                    return;
                }
            }
        };
        match typed(&default, text) {
            Ok(value) => self.assignments.push(Assignment { key, value, origin }),
            Err(expected) => {
                let message = format!("`{}` is not {expected}", shown(text));
                self.problems.push(Problem { origin, key, message });
            }
        }
    }
}

fn typed(default: &Value, text: &str) -> Result<Value, &'static str> {
    let trimmed = text.trim();
    match default {
        Value::Integer(_) => {
            trimmed.parse().map(Value::Integer).map_err(|_| "a whole number, such as `500`")
        }
        Value::Float(_) => trimmed.parse().map(Value::Float).map_err(|_| "a number, such as `0.5`"),
        Value::Boolean(_) => trimmed.parse().map(Value::Boolean).map_err(|_| "`true` or `false`"),
        Value::Array(_) if trimmed.starts_with('[') => list_of(trimmed)
            .ok_or("a list of TOML or JSON, such as `[\"a\", \"b\"]`")
            .map(Value::Array),
        Value::Array(_) => {
            let parts = trimmed.split(',').map(str::trim).filter(|part| !part.is_empty());
            Ok(Value::Array(parts.map(Value::from).collect()))
        }
        _ => Ok(Value::from(text)),
    }
}

/// Gives JSON as TOML, which knows no `null`.
pub(super) fn from_json(value: serde_json::Value) -> Option<Value> {
    Some(match value {
        serde_json::Value::Null => return None,
        serde_json::Value::Bool(value) => Value::Boolean(value),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(number) => Value::Integer(number),
            None => Value::Float(number.as_f64()?),
        },
        serde_json::Value::String(text) => Value::String(text),
        serde_json::Value::Array(list) => {
            Value::Array(list.into_iter().map(from_json).collect::<Option<_>>()?)
        }
        serde_json::Value::Object(map) => {
            let pairs = map.into_iter().map(|(key, value)| Some((key, from_json(value)?)));
            Value::Table(pairs.collect::<Option<_>>()?)
        }
    })
}

/// Reads a list as TOML, else as JSON.
fn list_of(text: &str) -> Option<Vec<Value>> {
    let toml = format!("value = {text}").parse::<Table>().ok();
    let toml = toml.and_then(|mut table| table.remove("value"));
    let value = toml.or_else(|| from_json(serde_json::from_str(text).ok()?))?;
    if let Value::Array(list) = value { Some(list) } else { None }
}

fn unknown(origin: Origin, key: &str, prefix: &str, known: &Table) -> Problem {
    let message = match named::is_holder(prefix) {
        true => format!("not a name; names have {}", named::NAMES),
        false => format!("unknown key; known: {}", list(prefix, known)),
    };
    Problem { origin, key: key.into(), message }
}

fn list(prefix: &str, known: &Table) -> String {
    known.keys().map(|name| format!("`{prefix}{name}`")).collect::<Vec<_>>().join(", ")
}

// === files ===

struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Source<'_> {
    fn origin(&self, span: Range<usize>) -> Origin {
        Origin::File { path: self.path.to_owned(), place: Some(place(self.text, span)) }
    }
}

enum FileError {
    Absent,
    Unreadable(String),
}

fn read(path: &Path) -> Result<String, FileError> {
    let unreadable = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => FileError::Absent,
        _ => FileError::Unreadable(error.to_string()),
    };
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(FileError::Unreadable(format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    String::from_utf8(bytes).map_err(|error| {
        FileError::Unreadable(format!(
            "byte {} is not valid UTF-8",
            error.utf8_error().valid_up_to()
        ))
    })
}

/// Gives line and column, in characters and both from 1, of the start of `span`.
fn place(text: &str, span: Range<usize>) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(span.start)];
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

// === defaults ===

/// Gives every key that is not a section, dotted, with its value.
pub(super) fn leaves(table: &Table) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    for (name, value) in table {
        match value {
            Value::Table(inner) => {
                found.extend(
                    leaves(inner).into_iter().map(|(key, leaf)| (format!("{name}.{key}"), leaf)),
                );
            }
            leaf => found.push((name.clone(), leaf)),
        }
    }
    found
}

/// Gives every key of `default.toml` with the comment above it, in the order of the file.
pub(crate) fn default_keys() -> Vec<(String, String)> {
    let (mut keys, mut section, mut comment) = (Vec::new(), "", String::new());
    for line in DEFAULTS.lines() {
        if let Some(text) = line.strip_prefix("# ") {
            if !comment.is_empty() {
                comment.push(' ');
            }
            comment.push_str(text);
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name;
        } else if let Some((name, _)) = line.split_once(" = ") {
            keys.push((format!("{section}.{name}"), std::mem::take(&mut comment)));
        }
        comment.clear();
    }
    keys
}
