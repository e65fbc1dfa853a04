//! What can go wrong with a queue.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use levada_model::ErrorKind;

/// Says what the file system would not do.
#[derive(Clone, Debug, thiserror::Error)]
#[error("cannot {action} `{}`", path.display())]
pub struct StorageError {
    /// What was to be done.
    pub action: &'static str,
    /// With which file.
    pub path: PathBuf,
    /// The error of the system.
    #[source]
    pub source: Arc<io::Error>,
}

/// Says why a queue cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file system does not allow it.
    #[error("the queue of `{destination}` cannot be opened")]
    Storage {
        /// Whose queue it is.
        destination: String,
        /// What failed.
        #[source]
        source: StorageError,
    },
    /// Another process has it.
    #[error("the queue in `{}` is used by another process", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// The folder is that of another destination.
    #[error(
        "`{}` holds the queue of `{found}`, not of `{destination}`; give each destination a folder of its own",
        path.display()
    )]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// Whose queue was expected.
        destination: String,
        /// Whose it is.
        found: String,
    },
    /// A newer program wrote it.
    #[error("`{}` has version {version}, this program knows version 1; run a newer program", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u16,
    },
}

/// Says why a record was not taken.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// It is larger than the whole queue may be.
    #[error("a body of {bytes} bytes does not fit into a queue of {bytes_max} bytes")]
    TooLarge {
        /// Bytes that it takes.
        bytes: u64,
        /// Bytes that the queue may have.
        bytes_max: u64,
    },
    /// Nothing more fits now; only from [`Queue::try_append`](super::Queue::try_append).
    #[error("the queue is full")]
    Full,
    /// The queue was closed.
    #[error("the queue is closed")]
    Closed,
    /// The record could not be written; it was not taken.
    #[error("the body could not be written")]
    Storage(#[source] StorageError),
}

/// Says why a dead letter could not be handled.
#[derive(Debug, thiserror::Error)]
pub enum DeadLetterError {
    /// There is none of this number.
    #[error("there is no dead letter {sequence}")]
    NotFound {
        /// The number.
        sequence: u64,
    },
    /// It was damaged on the disk; it is in the quarantine now, and its points are counted.
    #[error("dead letter {sequence} is damaged")]
    Damaged {
        /// The number.
        sequence: u64,
    },
    /// It did not fit into the queue.
    #[error("dead letter {sequence} could not be queued again")]
    Append {
        /// The number.
        sequence: u64,
        /// Why.
        #[source]
        source: AppendError,
    },
    /// The file system would not do it.
    #[error("dead letter {sequence} could not be handled")]
    Storage {
        /// The number.
        sequence: u64,
        /// What failed.
        #[source]
        source: StorageError,
    },
}

// === impl StorageError ===

impl StorageError {
    pub(super) fn new(action: &'static str, path: &Path, source: io::Error) -> Self {
        StorageError { action, path: path.to_owned(), source: Arc::new(source) }
    }

    /// Tells whether the disk, or the quota, is full.
    pub fn is_full(&self) -> bool {
        super::files::is_full(&self.source)
    }

    /// Gives the kind.
    pub fn kind(&self) -> ErrorKind {
        if self.is_full() { ErrorKind::Busy } else { ErrorKind::Unavailable }
    }
}

// === impl OpenError ===

impl OpenError {
    /// Gives the kind.
    pub fn kind(&self) -> ErrorKind {
        match self {
            OpenError::Storage { source, .. } => source.kind(),
            OpenError::Locked { .. } | OpenError::Foreign { .. } => ErrorKind::Conflict,
            OpenError::Version { .. } => ErrorKind::Invalid,
        }
    }
}

// === impl AppendError ===

impl AppendError {
    /// Gives the kind.
    pub fn kind(&self) -> ErrorKind {
        match self {
            AppendError::TooLarge { .. } => ErrorKind::TooLarge,
            AppendError::Full => ErrorKind::Busy,
            AppendError::Closed => ErrorKind::Unavailable,
            AppendError::Storage(source) => source.kind(),
        }
    }
}

// === impl DeadLetterError ===

impl DeadLetterError {
    /// Gives the kind.
    pub fn kind(&self) -> ErrorKind {
        match self {
            DeadLetterError::NotFound { .. } => ErrorKind::NotFound,
            DeadLetterError::Damaged { .. } => ErrorKind::Internal,
            DeadLetterError::Append { source, .. } => source.kind(),
            DeadLetterError::Storage { source, .. } => source.kind(),
        }
    }
}
