//! Problems with settings, and where they come from.

use std::fmt;
use std::path::PathBuf;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The built-in defaults.
    Default,
    /// A settings file.
    File {
        /// The file, as it was named.
        path: PathBuf,
        /// Line and column, both from 1; absent when the problem is the file itself.
        place: Option<(usize, usize)>,
    },
    /// An environment variable.
    Env {
        /// Its name.
        name: String,
    },
    /// A flag of the command line.
    Flag {
        /// Its name, such as `--set`.
        name: String,
    },
}

/// One problem of one setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where the value came from.
    pub origin: Origin,
    /// The key, such as `flow.batch-records`; empty when the problem is not one of a key.
    pub key: String,
    /// What is wrong and what would be right.
    pub message: String,
}

/// Every problem found while settings were loaded; prints one per line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct SettingsError {
    /// At least one.
    pub problems: Vec<Problem>,
}

impl SettingsError {
    /// Says that settings are input of the user.
    pub fn kind(&self) -> levada_model::ErrorKind {
        levada_model::ErrorKind::Invalid
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                formatter.write_str("\n")?;
            }
            problem.fmt(formatter)?;
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: ", self.origin)?;
        if !self.key.is_empty() {
            write!(formatter, "{}: ", self.key)?;
        }
        formatter.write_str(&self.message)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::File { path, place: None } => path.display().fmt(formatter),
            Self::File { path, place: Some((line, column)) } => {
                write!(formatter, "{}:{line}:{column}", path.display())
            }
            Self::Env { name } => write!(formatter, "environment variable {name}"),
            Self::Flag { name } => write!(formatter, "flag {name}"),
        }
    }
}
