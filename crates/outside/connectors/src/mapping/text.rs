//! Texts made of a record.
//!
//! | written | is |
//! |---|---|
//! | `cpu` | that text |
//! | `$.a.b` | the value at a path: a text, number or boolean |
//! | `{a.b}-{$.c}` | text with values at paths |
//! | `{metadata.KEY}` | a value of the record's metadata |
//! | `{date}`, `{hour}` | `2026-02-07` and `10` of the record's time, in UTC |
//! | `{date:%Y.%m}` | the same in another layout (`strftime`) |
//!
//! A field called `date` or `hour` is `{$.date}`, and one called `metadata` is `{$.metadata.x}`.

use levada_condition::Path;
use levada_model::{RecordError, Timestamp};

use super::Document;
use super::plain_path;

/// A text made of a record, compiled.
#[derive(Clone, Debug)]
pub(crate) struct TextRule {
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
enum Part {
    Text(String),
    Path(Path),
    Metadata(String),
    Date { layout: String, last: Option<(Timestamp, String)> },
}

// === impl TextRule ===

impl TextRule {
    /// Compiles a text.
    ///
    /// Errors: what is wrong, for people.
    pub(crate) fn compile(text: &str) -> Result<TextRule, String> {
        if text.starts_with("$.") || text.starts_with("$[") {
            return Ok(TextRule { parts: vec![Part::Path(plain_path(text)?)] });
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            if open > 0 {
                parts.push(Part::Text(rest[..open].to_owned()));
            }
            let Some(close) = rest[open..].find('}') else {
                let before = text.len() - rest.len() + open;
                let at = text[..before].chars().count() + 1;
                return Err(format!("`{{` at character {at} has no `}}`"));
            };
            parts.push(Part::compile(&rest[open + 1..open + close])?);
            rest = &rest[open + close + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(TextRule { parts })
    }

    /// Gives the text when it is the same for every record.
    pub(crate) fn fixed(&self) -> Option<&str> {
        match &self.parts[..] {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Tells whether a record must be parsed to make the text.
    pub(crate) fn needs_document(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Path(_) | Part::Metadata(_)))
    }

    /// Tells whether the text depends on the record's time.
    pub(crate) fn has_date(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Date { .. }))
    }

    /// Gives the paths that the text is made of.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.parts.iter().filter_map(|part| match part {
            Part::Path(path) => Some(path),
            _ => None,
        })
    }

    /// Appends the text of a record whose time is `time`; what was appended counts only after `Ok(None)`.
    ///
    /// `Some`: what the record does not have. Without a document, paths and metadata are missing.
    ///
    /// Errors: a value is an object or an array.
    pub(crate) fn append(
        &mut self,
        document: Option<&Document<'_>>,
        time: Timestamp,
        out: &mut String,
    ) -> Result<Option<Missing<'_>>, RecordError> {
        for part in &mut self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Path(path) => {
                    let found =
                        document.and_then(|document| Some((document, document.find(path)?)));
                    let Some((document, node)) = found else {
                        return Ok(Some(Missing::Path(path)));
                    };
                    document.append_scalar(node, path, out)?;
                }
                Part::Metadata(key) => {
                    let value = document.and_then(Document::meta).and_then(|meta| meta.get(key));
                    let Some(value) = value.and_then(|value| value.to_text()) else {
                        return Ok(Some(Missing::Metadata(key)));
                    };
                    out.push_str(&value);
                }
                Part::Date { layout, last } => match last {
                    Some((known, text)) if *known == time => out.push_str(text),
                    _ => {
                        let text = time.to_jiff().strftime(layout.as_str()).to_string();
                        out.push_str(&text);
                        *last = Some((time, text));
                    }
                },
            }
        }
        Ok(None)
    }

    /// Like [`TextRule::append`], where nothing may be missing; `what` is the setting.
    pub(crate) fn append_all(
        &mut self,
        document: Option<&Document<'_>>,
        time: Timestamp,
        what: &str,
        out: &mut String,
    ) -> Result<(), RecordError> {
        match self.append(document, time, out)? {
            None => Ok(()),
            Some(missing) => {
                Err(RecordError::invalid(format!("{what}: the record has no {missing}")))
            }
        }
    }
}

/// What a record does not have.
#[derive(Debug)]
pub(crate) enum Missing<'a> {
    /// A value at this path.
    Path(&'a Path),
    /// This metadata.
    Metadata(&'a str),
}

impl std::fmt::Display for Missing<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Missing::Path(path) => write!(f, "value at `{path}`"),
            Missing::Metadata(key) => write!(f, "metadata `{key}`"),
        }
    }
}

// === impl Part ===

impl Part {
    fn compile(name: &str) -> Result<Part, String> {
        let date = |layout: &str| Part::Date { layout: layout.to_owned(), last: None };
        if name == "date" {
            return Ok(date("%Y-%m-%d"));
        }
        if name == "hour" {
            return Ok(date("%H"));
        }
        if let Some(layout) = name.strip_prefix("date:") {
            let sample = Timestamp::default().to_jiff();
            if layout.is_empty() {
                return Err("`{date:}` has no layout; for example `{date:%Y.%m.%d}`".to_owned());
            }
            jiff::fmt::strtime::format(layout, sample)
                .map_err(|error| format!("`{{{name}}}`: {error}"))?;
            return Ok(date(layout));
        }
        if let Some(key) = name.strip_prefix("metadata.").filter(|key| !key.is_empty()) {
            return Ok(Part::Metadata(key.to_owned()));
        }
        let path = plain_path(name).map_err(|problem| {
            format!(
                "`{{{name}}}`: {problem}; known beside paths: `{{date}}`, `{{date:LAYOUT}}`, \
                 `{{hour}}`, `{{metadata.KEY}}`"
            )
        })?;
        Ok(Part::Path(path))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use levada_model::RecordBatch;

    use super::super::Reader;
    use super::*;
    use crate::formats::testing::NOW;

    fn text(rule: &str, payload: &str) -> Result<String, String> {
        let mut batch = RecordBatch::new();
        let meta = [("k".into(), "v".into())].into_iter().collect();
        batch.set_shared_meta(Some(std::sync::Arc::new(meta)));
        batch.push(payload.as_bytes(), 0, 0);
        let mut reader = Reader::default();
        let document = reader.read(&batch, 0).map_err(|error| error.to_string())?;
        let mut out = String::new();
        let mut rule = TextRule::compile(rule)?;
        rule.append_all(Some(&document), NOW, "index", &mut out)
            .map_err(|error| error.to_string())?;
        Ok(out)
    }

    #[test]
    fn texts_are_made_of_records() {
        let payload = r#"{"a":{"b":"x\ny"},"n":1.50,"t":true,"date":"d","o":{},"z":null}"#;
        for (rule, expected) in [
            ("cpu", "cpu"),
            ("$.a.b", "x\ny"),
            ("l-{n}-{$.t}", "l-1.50-true"),
            ("{date}T{hour}", "2026-02-07T10"),
            ("x-{date:%Y.%m}", "x-2026.02"),
            ("{$.date}{metadata.k}", "dv"),
        ] {
            assert_eq!(text(rule, payload).as_deref(), Ok(expected), "{rule}");
        }
        for (rule, expected) in [
            ("{x}", "index: the record has no value at `x`"),
            ("$.z", "index: the record has no value at `$.z`"),
            ("{metadata.q}", "index: the record has no metadata `q`"),
            ("{o}", "`o` is an object; a text, number or boolean is needed"),
            ("é{x", "`{` at character 2 has no `}`"),
        ] {
            assert_eq!(text(rule, payload), Err(expected.to_owned()), "{rule}");
        }
        for rule in ["{}", "{a.#}", "{date:%Q%}", "{date:}", "$.a.#(x==1)"] {
            assert!(TextRule::compile(rule).is_err(), "{rule}");
        }
        assert_eq!(
            text("x", "[1]").unwrap_err(),
            "the payload is JSON of kind array; an object is needed"
        );
    }
}
