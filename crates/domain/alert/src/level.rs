//! Alert levels.

use std::fmt;
use std::str::FromStr;

use levada_model::ErrorKind;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// How bad it is; the order is stored.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[repr(u8)]
pub enum Level {
    /// Nothing is wrong.
    #[default]
    #[serde(rename = "OK")]
    Ok = 0,
    /// Worth knowing.
    #[serde(rename = "INFO")]
    Info = 1,
    /// Somebody should look.
    #[serde(rename = "WARNING")]
    Warning = 2,
    /// Somebody must act.
    #[serde(rename = "CRITICAL")]
    Critical = 3,
}

/// A text that is no level.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("unknown alert level '{0}'")]
pub struct UnknownLevel(pub String);

// === impl UnknownLevel ===

impl UnknownLevel {
    /// Gives the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

// === impl Level ===

impl Level {
    /// All levels, the mildest first.
    pub const ALL: [Level; 4] = [Level::Ok, Level::Info, Level::Warning, Level::Critical];

    /// Gives the text of events and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Level::Ok => "OK",
            Level::Info => "INFO",
            Level::Warning => "WARNING",
            Level::Critical => "CRITICAL",
        }
    }

    /// Gives the level of the two lowest bits.
    pub const fn from_bits(bits: u8) -> Self {
        Level::ALL[(bits & 3) as usize]
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Level {
    type Err = UnknownLevel;

    /// Reads a level in any case; nothing is `OK`.
    ///
    /// Differs: upstream takes any part of a word by accident.
    fn from_str(text: &str) -> Result<Self, UnknownLevel> {
        if text.is_empty() {
            return Ok(Level::Ok);
        }
        Level::ALL
            .into_iter()
            .find(|level| level.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| UnknownLevel(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn texts_are_read_back_in_any_case() {
        for level in Level::ALL {
            assert_eq!(level.as_str().parse(), Ok(level));
            assert_eq!(level.as_str().to_lowercase().parse(), Ok(level));
            assert_eq!(Level::from_bits(level as u8), level);
            let json = serde_json::to_string(&level).unwrap();
            assert_eq!(json, format!("\"{level}\""));
            assert_eq!(serde_json::from_str::<Level>(&json).unwrap(), level);
        }
        assert_eq!("".parse(), Ok(Level::Ok));
        let error = "crit".parse::<Level>().unwrap_err();
        assert_eq!(error.to_string(), "unknown alert level 'crit'");
    }
}
