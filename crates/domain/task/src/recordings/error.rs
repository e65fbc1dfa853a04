//! Why a recording or a replay is refused.

use std::io;

use levada_model::ErrorKind;
use levada_store::DocumentError;
use thiserror::Error;

/// Why a request is refused. Source of the texts: kapacitor reference (server) §1.7.
#[derive(Debug, Error)]
pub enum RecordingsError {
    /// An ID with other characters.
    #[error("{what} ID must contain only letters, numbers, '-', '.' and '_'. {id:?}")]
    Id {
        /// `recording` or `replay`.
        what: &'static str,
        /// The ID.
        id: String,
    },
    /// An ID that no file can be named by.
    #[error("{what} ID is longer than {ID_BYTES_MAX} bytes")]
    LongId {
        /// `recording` or `replay`.
        what: &'static str,
    },
    /// Nothing of that ID.
    #[error("no recording exists")]
    NoRecording,
    /// Nothing of that ID.
    #[error("no replay exists")]
    NoReplay,
    /// Nothing of that ID.
    #[error("no task exists")]
    NoTask,
    /// The task cannot be used.
    #[error("{0}")]
    Task(String),
    /// The ID is in use.
    #[error("{what} already exists")]
    Exists {
        /// `recording` or `replay`.
        what: &'static str,
    },
    /// No start was given.
    #[error("must provide start time")]
    NoStart,
    /// No query was given.
    #[error("must provide query")]
    NoQuery,
    /// The task takes other data.
    #[error("cannot replay {data} against {task_type} task: {task}")]
    Type {
        /// `stream` or `batch`.
        data: &'static str,
        /// `stream` or `batch`.
        task_type: &'static str,
        /// The task.
        task: String,
    },
    /// The recording has not ended well.
    #[error("recording {id} is not finished: {status}")]
    Unfinished {
        /// The recording.
        id: String,
        /// Its status.
        status: &'static str,
    },
    /// Effects are to be performed where they cannot be.
    #[error("side effects of replays cannot be performed by this server")]
    NotLive,
    /// A bound is reached.
    #[error("too many {what} are under way ({max}), try again when one has ended")]
    Busy {
        /// `recordings` or `replays`.
        what: &'static str,
        /// The bound.
        max: usize,
    },
    /// The server ends.
    #[error("the server is shutting down")]
    Closing,
    /// The folder.
    #[error("cannot {action} `{path}`")]
    Folder {
        /// What was to be done.
        action: &'static str,
        /// The file.
        path: String,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] DocumentError),
    /// What is stored is not what this program stores.
    #[error("what is stored of `{id}` cannot be read")]
    Damaged {
        /// Which one.
        id: String,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
}

/// The longest ID: a file is named by it.
///
/// - Source: 255 bytes in most file systems, less the extension.
pub const ID_BYTES_MAX: usize = 240;

// === impl RecordingsError ===

impl RecordingsError {
    /// Gives the class of the error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Id { .. }
            | Self::LongId { .. }
            | Self::NoStart
            | Self::NoQuery
            | Self::Type { .. }
            | Self::NotLive => ErrorKind::Invalid,
            Self::NoRecording | Self::NoReplay | Self::NoTask => ErrorKind::NotFound,
            Self::Exists { .. } | Self::Unfinished { .. } => ErrorKind::Conflict,
            Self::Busy { .. } => ErrorKind::Busy,
            Self::Closing => ErrorKind::Unavailable,
            Self::Store(error) => error.kind(),
            Self::Task(_) | Self::Folder { .. } | Self::Damaged { .. } => ErrorKind::Internal,
        }
    }
}

/// Takes the ID that was given, or makes one.
pub(super) fn id(what: &'static str, id: String) -> Result<String, RecordingsError> {
    if id.is_empty() {
        return Ok(uuid::Uuid::new_v4().to_string());
    }
    if !crate::service::id::is_valid(&id) {
        return Err(RecordingsError::Id { what, id });
    }
    if id.len() > ID_BYTES_MAX {
        return Err(RecordingsError::LongId { what });
    }
    Ok(id)
}
