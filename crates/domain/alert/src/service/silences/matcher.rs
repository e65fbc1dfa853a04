//! One condition of a silence, as text: `tag.host=db1`, `task!=cpu`, `topic=~^net`, `level=CRITICAL`.

use std::fmt;
use std::str::FromStr;

use levada_model::{ErrorKind, FieldValue};
use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::event::Event;
use crate::json::write_field;
use crate::level::Level;

/// Bytes of a condition. Ours.
const TEXT_BYTES_MAX: usize = 4 << 10;

/// Bytes of a compiled pattern. Ours: the library's default is ten times as much, and there may be many.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// What a condition looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A tag; a missing one is empty.
    Tag(String),
    /// A field as text; a missing one is empty.
    Field(String),
    /// The task.
    Task,
    /// The topic.
    Topic,
    /// The level.
    Level,
    /// The ID of the event.
    Id,
    /// The measurement.
    Name,
}

/// How a condition compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`
    Matches,
    /// `!~`
    MatchesNot,
}

/// One condition of a silence.
#[derive(Clone, Debug)]
pub struct SilenceMatcher {
    subject: Subject,
    operator: Operator,
    value: String,
    pattern: Option<Regex>,
}

/// A text that is no condition.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum MatcherError {
    /// There is no operator in it.
    #[error("`{0}` has no operator; known: `=`, `!=`, `=~`, `!~`")]
    NoOperator(String),
    /// It looks at nothing that is there.
    #[error(
        "unknown subject `{0}`; known: `tag.NAME`, `field.NAME`, `task`, `topic`, `level`, `id`, `name`"
    )]
    Subject(String),
    /// The level is none.
    #[error("unknown alert level '{0}'")]
    Level(String),
    /// The pattern is none.
    #[error("invalid pattern `{pattern}`: {reason}")]
    Pattern {
        /// As it was written.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It is too long.
    #[error("a matcher has at most {TEXT_BYTES_MAX} bytes")]
    TooLong,
}

// === impl MatcherError ===

impl MatcherError {
    /// Gives the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

// === impl Subject ===

impl FromStr for Subject {
    type Err = MatcherError;

    fn from_str(text: &str) -> Result<Self, MatcherError> {
        let named = |prefix: &str| {
            text.strip_prefix(prefix).filter(|name| !name.is_empty()).map(str::to_owned)
        };
        if let Some(name) = named("tag.") {
            return Ok(Subject::Tag(name));
        }
        if let Some(name) = named("field.") {
            return Ok(Subject::Field(name));
        }
        Ok(match text {
            "task" => Subject::Task,
            "topic" => Subject::Topic,
            "level" => Subject::Level,
            "id" => Subject::Id,
            "name" => Subject::Name,
            _ => return Err(MatcherError::Subject(text.to_owned())),
        })
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Tag(name) => write!(f, "tag.{name}"),
            Subject::Field(name) => write!(f, "field.{name}"),
            Subject::Task => f.write_str("task"),
            Subject::Topic => f.write_str("topic"),
            Subject::Level => f.write_str("level"),
            Subject::Id => f.write_str("id"),
            Subject::Name => f.write_str("name"),
        }
    }
}

// === impl Operator ===

impl Operator {
    /// Gives the sign.
    pub fn as_str(self) -> &'static str {
        match self {
            Operator::Equal => "=",
            Operator::NotEqual => "!=",
            Operator::Matches => "=~",
            Operator::MatchesNot => "!~",
        }
    }

    fn is_pattern(self) -> bool {
        matches!(self, Operator::Matches | Operator::MatchesNot)
    }
}

// === impl SilenceMatcher ===

impl SilenceMatcher {
    /// Says whether an event of a topic fits.
    pub fn is_match(&self, topic: &str, event: &Event) -> bool {
        match &self.subject {
            Subject::Tag(name) => self.fits(event.tag(name).map_or("", |value| value)),
            Subject::Field(name) => {
                let field = event.point().and_then(|point| point.field(name));
                self.fits(&field.map(field_text).unwrap_or_default())
            }
            Subject::Task => self.fits(&event.task),
            Subject::Topic => self.fits(topic),
            Subject::Level => self.fits(event.level.as_str()),
            Subject::Id => self.fits(&event.id),
            Subject::Name => self.fits(event.name()),
        }
    }

    fn fits(&self, has: &str) -> bool {
        let is_match = || self.pattern.as_ref().is_some_and(|pattern| pattern.is_match(has));
        match self.operator {
            Operator::Equal => *has == *self.value,
            Operator::NotEqual => *has != *self.value,
            Operator::Matches => is_match(),
            Operator::MatchesNot => !is_match(),
        }
    }
}

fn field_text(value: &FieldValue) -> String {
    match value {
        FieldValue::Str(text) => text.to_string(),
        FieldValue::Null => String::new(),
        other => {
            let mut text = Vec::new();
            write_field(other, &mut text);
            String::from_utf8_lossy(&text).into_owned()
        }
    }
}

impl FromStr for SilenceMatcher {
    type Err = MatcherError;

    /// Reads a condition; the name ends at the first operator, and the value may stand in double quotes.
    fn from_str(text: &str) -> Result<Self, MatcherError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(MatcherError::TooLong);
        }
        let no_operator = || MatcherError::NoOperator(text.to_owned());
        let at = text.find(['=', '!']).ok_or_else(no_operator)?;
        let (subject, rest) = text.split_at(at);
        // The longer signs first.
        let operators =
            [Operator::Matches, Operator::MatchesNot, Operator::NotEqual, Operator::Equal];
        let found = operators.into_iter().find_map(|operator| {
            rest.strip_prefix(operator.as_str()).map(|value| (operator, value))
        });
        let (operator, value) = found.ok_or_else(no_operator)?;
        let value = value.trim();
        let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        let mut value = inner.unwrap_or(value).to_owned();
        let subject: Subject = subject.trim().parse()?;
        if subject == Subject::Level && !operator.is_pattern() {
            let level: Level = value.parse().map_err(|_| MatcherError::Level(value.clone()))?;
            value = level.to_string();
        }
        let pattern = operator.is_pattern().then(|| {
            let built = RegexBuilder::new(&value).size_limit(PATTERN_BYTES_MAX).build();
            built.map_err(|error| {
                let reason = error.to_string().lines().last().unwrap_or_default().to_owned();
                MatcherError::Pattern { pattern: value.clone(), reason }
            })
        });
        let pattern = pattern.transpose()?;
        Ok(SilenceMatcher { subject, operator, value, pattern })
    }
}

impl fmt::Display for SilenceMatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SilenceMatcher { subject, operator, value, .. } = self;
        let is_plain = value.trim() == value && !value.starts_with('"') && !value.is_empty();
        match is_plain {
            true => write!(f, "{subject}{}{value}", operator.as_str()),
            false => write!(f, "{subject}{}\"{value}\"", operator.as_str()),
        }
    }
}

impl PartialEq for SilenceMatcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.subject, self.operator, &self.value)
            == (&other.subject, other.operator, &other.value)
    }
}

impl Serialize for SilenceMatcher {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SilenceMatcher {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::event::tests::event;

    #[test]
    fn conditions_are_read_compare_and_are_written_again() {
        let cases = [
            ("tag.host=a", true),
            ("tag.host = \"a\"", true),
            ("tag.host!=a", false),
            ("tag.host=~^[ab]$", true),
            ("tag.host!~^[ab]$", false),
            ("tag.dc=\"\"", true),
            ("tag.dc=x", false),
            ("tag.dc!=x", true),
            ("field.value=61", true),
            ("field.value=~^6", true),
            ("field.nope=", true),
            ("task=tid", true),
            ("topic=~^main:", true),
            ("topic=other", false),
            ("level=critical", true),
            ("level=~WARN|CRIT", true),
            ("level!=OK", true),
            ("id=cpu:host=a", true),
            ("name=cpu", true),
            ("name=\"a=b\"", false),
        ];
        for (text, expected) in cases {
            let matcher: SilenceMatcher = text.parse().unwrap();
            let event = event("cpu:host=a", Level::Critical);
            assert_eq!(matcher.is_match("main:t:alert2", &event), expected, "{text}");
            let again: SilenceMatcher = matcher.to_string().parse().unwrap();
            assert_eq!(again, matcher, "{text}");
            let json = serde_json::to_string(&matcher).unwrap();
            assert_eq!(serde_json::from_str::<SilenceMatcher>(&json).unwrap(), matcher);
        }
    }

    #[test]
    fn what_is_no_condition_is_refused_with_a_reason() {
        let cases = [
            ("tag.host", "`tag.host` has no operator; known: `=`, `!=`, `=~`, `!~`"),
            ("tag.host!a", "`tag.host!a` has no operator; known: `=`, `!=`, `=~`, `!~`"),
            (
                "host=a",
                "unknown subject `host`; known: `tag.NAME`, `field.NAME`, `task`, `topic`, `level`, `id`, `name`",
            ),
            (
                "tag.=a",
                "unknown subject `tag.`; known: `tag.NAME`, `field.NAME`, `task`, `topic`, `level`, `id`, `name`",
            ),
            ("level=high", "unknown alert level 'high'"),
            ("tag.host=~(", "invalid pattern `(`: error: unclosed group"),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<SilenceMatcher>().unwrap_err().to_string(), expected);
        }
        let long = format!("tag.host={}", "a".repeat(TEXT_BYTES_MAX));
        assert_eq!(long.parse::<SilenceMatcher>().unwrap_err(), MatcherError::TooLong);
        assert!("tag.host=~a{1000}{1000}".parse::<SilenceMatcher>().is_err());
    }
}
