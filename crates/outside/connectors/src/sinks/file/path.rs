//! Paths with placeholders.

use levada_model::{Meta, Timestamp};

/// Longest text that one placeholder gives, in bytes. Ours: a file name has 255.
const VALUE_BYTES_MAX: usize = 100;

/// What stands for a value that is missing or empty.
const NO_VALUE: &str = "_";

/// A path with placeholders, compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PathTemplate {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// `2026-02-07`, UTC.
    Date,
    /// `10`, UTC.
    Hour,
    Metadata(String),
}

/// Why a text is no path with placeholders.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PathError {
    /// A `{` without its `}`.
    #[error("`{{` at character {at} has no `}}`")]
    Unclosed {
        /// Counted from 1.
        at: usize,
    },
    /// A placeholder that does not exist.
    #[error("unknown placeholder `{{{name}}}`; known: `{{date}}`, `{{hour}}`, `{{metadata.KEY}}`")]
    Unknown {
        /// What was written.
        name: String,
    },
}

// === impl PathTemplate ===

impl PathTemplate {
    /// Compiles a path.
    pub(super) fn parse(text: &str) -> Result<Self, PathError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            if open > 0 {
                parts.push(Part::Text(rest[..open].to_owned()));
            }
            let Some(close) = rest[open..].find('}') else {
                let before = text.len() - rest.len() + open;
                return Err(PathError::Unclosed { at: text[..before].chars().count() + 1 });
            };
            let name = &rest[open + 1..open + close];
            parts.push(match (name, name.strip_prefix("metadata.")) {
                ("date", _) => Part::Date,
                ("hour", _) => Part::Hour,
                (_, Some(key)) if !key.is_empty() => Part::Metadata(key.to_owned()),
                _ => return Err(PathError::Unknown { name: name.to_owned() }),
            });
            rest = &rest[open + close + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(PathTemplate { parts })
    }

    /// Gives the path when it has no placeholder.
    pub(super) fn fixed(&self) -> Option<&str> {
        match &self.parts[..] {
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Tells whether the path depends on the record.
    pub(super) fn has_metadata(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Metadata(_)))
    }

    /// Tells whether the path depends on the time.
    pub(super) fn has_time(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Date | Part::Hour))
    }

    /// Gives a glob pattern that matches every path it gives.
    pub(super) fn to_pattern(&self) -> String {
        let parts = self.parts.iter().map(|part| match part {
            Part::Text(text) => glob::Pattern::escape(text),
            _ => "*".to_owned(),
        });
        parts.collect()
    }

    /// Appends the path of a record that is processed at `now`.
    ///
    /// Values cannot leave the folder: separators and control characters become `_`, as does a dot at
    /// the start.
    pub(super) fn write(&self, now: Timestamp, meta: Option<&Meta>, out: &mut String) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Date => write_time(now, "%Y-%m-%d", out),
                Part::Hour => write_time(now, "%H", out),
                Part::Metadata(key) => {
                    let value =
                        meta.and_then(|meta| meta.get(key)).and_then(|value| value.to_text());
                    write_value(value.as_deref().unwrap_or_default(), out);
                }
            }
        }
    }
}

/// Appends the time in UTC.
pub(super) fn write_time(now: Timestamp, format: &str, out: &mut String) {
    out.push_str(&now.to_jiff().strftime(format).to_string());
}

fn write_value(value: &str, out: &mut String) {
    let start = out.len();
    for character in value.chars() {
        if out.len() - start + character.len_utf8() > VALUE_BYTES_MAX {
            break;
        }
        let is_unsafe = character.is_control()
            || matches!(character, '/' | '\\')
            || (character == '.' && out.len() == start);
        out.push(if is_unsafe { '_' } else { character });
    }
    if out.len() == start {
        out.push_str(NO_VALUE);
    }
}

/// Gives the name of a piece that is finished: `<stem>-<yyyymmddThhmmss>-<number>.<extension>`.
///
/// Everything behind the first dot of the file name is its extension, as in `out.ndjson.gz`.
pub(super) fn piece_name(
    path: &std::path::Path,
    now: Timestamp,
    number: u32,
) -> std::path::PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let dot = name.char_indices().skip(1).find(|(_, character)| *character == '.');
    let (stem, extension) = name.split_at(dot.map_or(name.len(), |(at, _)| at));
    let mut piece = format!("{stem}-");
    write_time(now, "%Y%m%dT%H%M%S", &mut piece);
    piece.push_str(&format!("-{number}{extension}"));
    path.with_file_name(piece)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::path::{Path, PathBuf};

    use super::*;
    use crate::formats::testing::NOW;

    fn path(template: &str, key: &str) -> String {
        let meta: Meta = [("k".into(), key.into())].into_iter().collect();
        let mut out = String::new();
        PathTemplate::parse(template).unwrap().write(NOW, Some(&meta), &mut out);
        out
    }

    #[test]
    fn placeholders_become_text_that_stays_in_its_folder() {
        assert_eq!(
            path("out/{date}/{hour}-{metadata.k}.ndjson", "eu"),
            "out/2026-02-07/10-eu.ndjson"
        );
        assert_eq!(path("{metadata.k}", "../../etc/passwd"), "_._.._etc_passwd");
        assert_eq!(path("a/{metadata.k}/b", ".."), "a/_./b");
        assert_eq!(path("{metadata.k}", "a\\b\0c\n"), "a_b_c_");
        assert_eq!(path("{metadata.k}x{metadata.none}", ""), "_x_");
        assert_eq!(path("{metadata.k}", &"é".repeat(200)).len(), 100);
    }

    #[test]
    fn what_is_no_placeholder_is_an_error() {
        let error = |text| PathTemplate::parse(text).unwrap_err().to_string();
        assert_eq!(error("é{date"), "`{` at character 2 has no `}`");
        assert_eq!(
            error("a{Date}"),
            "unknown placeholder `{Date}`; known: `{date}`, `{hour}`, `{metadata.KEY}`"
        );
        for text in ["{}", "{$.a}", "{metadata.}", "{metadata}", "{{date}}"] {
            assert!(PathTemplate::parse(text).is_err(), "{text}");
        }
        assert_eq!(PathTemplate::parse("plain}").unwrap().fixed(), Some("plain}"));
    }

    #[test]
    fn pieces_keep_their_extension() {
        let name = |path| piece_name(Path::new(path), NOW, 2);
        assert_eq!(name("d/out.ndjson.gz"), PathBuf::from("d/out-20260207T103000-2.ndjson.gz"));
        assert_eq!(name("out"), PathBuf::from("out-20260207T103000-2"));
        assert_eq!(name(".hidden"), PathBuf::from(".hidden-20260207T103000-2"));
    }
}
