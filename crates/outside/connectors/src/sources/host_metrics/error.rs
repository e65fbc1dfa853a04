//! Why a collector could not measure something.

use std::io;
use std::path::PathBuf;

/// A collector that failed in a sample, in part or as a whole.
#[derive(Debug)]
pub(crate) struct Failure {
    /// One of [`COLLECTORS`](super::COLLECTORS) or [`HOST_NAME_FAILURE`](super::HOST_NAME_FAILURE).
    pub(crate) collector: &'static str,
    /// The cause.
    pub(crate) error: CollectError,
}

/// What keeps a collector from writing a record.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CollectError {
    /// A file or folder is missing, or this process may not read it.
    #[error("cannot read `{}`; check `root` and the permissions of this process", path.display())]
    Unreadable {
        /// The path, with the configured root.
        path: PathBuf,
        /// The answer of the system.
        #[source]
        source: io::Error,
    },
    /// A file is longer than the limit.
    #[error("`{}` is longer than `{limit}` bytes; check that `root` holds a real /proc", path.display())]
    TooLarge {
        /// The path, with the configured root.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
    /// A line has another form than the kernel documents.
    #[error("`{}` line `{line}` is not {expected}; check that `root` holds a real /proc", path.display())]
    Malformed {
        /// The path, with the configured root.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What the line should have been.
        expected: &'static str,
    },
    /// A file does not have a line that is always there.
    #[error("`{}` has no `{key}`; check that `root` holds a real /proc", path.display())]
    Missing {
        /// The path, with the configured root.
        path: PathBuf,
        /// The first word of the line.
        key: &'static str,
    },
    /// There is more to measure than a sample may hold.
    #[error("more than `{limit}` {what}; the rest is left out of this sample")]
    TooMany {
        /// What there is too much of, in the plural.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// Some records are missing, the others were written.
    #[error(
        "`{count}` problems in one collector, the records without problems were sent; first problem"
    )]
    Partial {
        /// How many problems there were.
        count: usize,
        /// The first of them.
        #[source]
        first: Box<CollectError>,
    },
}

/// Collects the problems of single instances, so that the others are still measured.
#[derive(Default)]
pub(super) struct Problems {
    count: usize,
    first: Option<Box<CollectError>>,
}

// === impl CollectError ===

impl CollectError {
    /// The cause as a word for a metric label; of a partial failure that of its first problem.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "unreadable",
            Self::TooLarge { .. } => "too_large",
            Self::Malformed { .. } => "malformed",
            Self::Missing { .. } => "missing",
            Self::TooMany { .. } => "too_many",
            Self::Partial { first, .. } => first.reason(),
        }
    }
}

// === impl Problems ===

impl Problems {
    /// Takes the error of one instance, if it is one.
    pub(super) fn note(&mut self, result: Result<(), CollectError>) {
        if let Err(error) = result {
            self.count += 1;
            self.first.get_or_insert_with(|| Box::new(error));
        }
    }

    /// Gives the outcome of the collector.
    ///
    /// - Errors: [`CollectError::Partial`] when there was a problem.
    pub(super) fn finish(self) -> Result<(), CollectError> {
        match self.first {
            None => Ok(()),
            Some(first) => Err(CollectError::Partial { count: self.count, first }),
        }
    }
}
