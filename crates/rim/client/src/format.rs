//! What results look like for programs.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// What results look like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// As the original prints them, for people.
    #[default]
    Text,
    /// One JSON value per line.
    Json,
    /// YAML.
    Yaml,
}

// === impl Format ===

impl std::str::FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Format::Text),
            "json" => Ok(Format::Json),
            "yaml" => Ok(Format::Yaml),
            _ => Err(format!("unknown format {text:?}; known: text, json, yaml")),
        }
    }
}

/// Gives a value as YAML, a line at least.
///
/// Texts are written plain where nothing else can be meant, in several lines where they have several.
pub(crate) fn yaml(value: &Value) -> String {
    let mut out = String::new();
    block(&mut out, value, 0, false);
    out
}

/// Writes a value whose first line has been begun.
///
/// - `is_inline`: something of a map or a list stands before it in its line.
fn block(out: &mut String, value: &Value, indent: usize, is_inline: bool) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (at, (key, value)) in map.iter().enumerate() {
                if at > 0 || !is_inline {
                    pad(out, indent);
                }
                scalar(out, key);
                out.push(':');
                entry(out, value, indent);
            }
        }
        Value::Array(list) if !list.is_empty() => {
            for (at, value) in list.iter().enumerate() {
                if at > 0 || !is_inline {
                    pad(out, indent);
                }
                out.push_str("- ");
                block(out, value, indent + 2, true);
            }
        }
        Value::String(text) => {
            literal_or_scalar(out, text, indent);
        }
        other => {
            out.push_str(&other.to_string());
            out.push('\n');
        }
    }
}

fn entry(out: &mut String, value: &Value, indent: usize) {
    let is_nested = match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => false,
    };
    if is_nested {
        out.push('\n');
        block(out, value, indent + 2, false);
    } else {
        out.push(' ');
        block(out, value, indent + 2, true);
    }
}

fn literal_or_scalar(out: &mut String, text: &str, indent: usize) {
    let is_plain_text = text.lines().count() > 1
        && !text.starts_with([' ', '\n', '\t'])
        && text.lines().all(|line| !line.ends_with([' ', '\t']))
        && text.chars().all(|c| c == '\n' || c == '\t' || !(c.is_control() || c == '\u{feff}'))
        && !text.ends_with("\n\n")
        && !text.contains(['\u{85}', '\u{2028}', '\u{2029}']);
    if !is_plain_text || indent == 0 {
        scalar(out, text);
        out.push('\n');
        return;
    }
    out.push_str(if text.ends_with('\n') { "|\n" } else { "|-\n" });
    for line in text.lines() {
        if !line.is_empty() {
            pad(out, indent);
            out.push_str(line);
        }
        out.push('\n');
    }
}

/// Writes a text in one line.
fn scalar(out: &mut String, text: &str) {
    let is_word = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '/')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c));
    let means_more = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
        .contains(&text.to_ascii_lowercase().as_str());
    if is_word && !means_more {
        out.push_str(text);
        return;
    }
    // A JSON text is a YAML text.
    write!(out, "{}", Value::String(text.to_owned())).expect("a String takes everything");
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

/// Gives an object with only some of its keys.
pub(crate) fn only(object: &Value, keys: &[&str]) -> Map<String, Value> {
    let has = |key: &&&str| object.get(**key).is_some();
    keys.iter().filter(has).map(|key| ((*key).to_owned(), object[*key].clone())).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn yaml_is_read_again_as_what_it_was() {
        let value = json!([
            {"id": "cpu", "script": "stream\n    |from()\n\n  x\n", "empty": {}, "none": null, "list": []},
            {"no": "yes", "1": "2", "a b": ["x: y", "# z", "", "- q", "äö", "\u{1}\n"], "n": 1.50},
            [[1, 2], {"a": {"b": ["c", {"d": "two\nlines"}]}}],
            "plain", "multi\nline", " lead\nx", "trail \nx", "a\n\n", "~", "null", "0x1f", "/kapacitor/v1"
        ]);
        let text = yaml(&value);
        let documents = levada_registry::manifest::parse(&text).unwrap();
        assert_eq!(documents[0].root.to_json(), value, "{text}");
    }

    #[test]
    fn yaml_reads_well() {
        let value = json!({"id": "cpu", "dbrps": [{"db": "d", "rp": ""}], "script": "a\nb\n"});
        assert_eq!(yaml(&value), "id: cpu\ndbrps:\n  - db: d\n    rp: \"\"\nscript: |\n  a\n  b\n");
        assert_eq!(yaml(&json!("x")), "x\n");
    }
}
