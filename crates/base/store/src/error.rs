//! What can go wrong with checkpoints.

use std::io;
use std::path::{Path, PathBuf};

use levada_model::ErrorKind;

/// Says why a checkpoint could not be stored, found or locked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk, or the quota, is full.
    #[error("no space left to {action} `{}`; free space, the last checkpoint is intact", path.display())]
    Full {
        /// What was to be done.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
    /// The file system does not allow it.
    #[error("not allowed to {action} `{}`; give this user the right to write there or choose another `data.dir`", path.display())]
    Denied {
        /// What was to be done.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
    /// Another error of the file system.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was to be done.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
    /// Neither the last checkpoint nor the one before it can be read.
    #[error(
        "checkpoint `{}` of flow `{flow}` is corrupt: {reason}, and there is no earlier one; \
         restore it, or reset the flow to read its source from the beginning", path.display()
    )]
    Corrupt {
        /// The flow.
        flow: String,
        /// The file, or what stands for it.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A newer program wrote the checkpoint.
    #[error(
        "checkpoint of flow `{flow}` has version {version}, this program knows version {}; run a newer program",
        crate::VERSION
    )]
    UnknownVersion {
        /// The flow.
        flow: String,
        /// The version found.
        version: u64,
    },
    /// Somebody else runs the flow.
    #[error("flow `{flow}` is already running{}; stop it first", holder(*pid, host.as_deref()))]
    Locked {
        /// The flow.
        flow: String,
        /// The process that runs it, when known.
        pid: Option<u32>,
        /// The machine of that process, when it can be another one than this.
        host: Option<String>,
    },
    /// A newer holder exists.
    #[error(
        "checkpoint of flow `{flow}` with epoch {offered} is refused: epoch {stored} has taken over; stop this run"
    )]
    Fenced {
        /// The flow.
        flow: String,
        /// The epoch that was to be saved.
        offered: u64,
        /// The highest epoch given out or stored.
        stored: u64,
    },
    /// The name or the content cannot be stored.
    #[error("checkpoint of flow `{flow}` cannot be stored: {reason}")]
    Invalid {
        /// The flow.
        flow: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The database that keeps checkpoints does not do what it should.
    #[error("cannot {action} in PostgreSQL at `{server}`")]
    Database {
        /// What was to be done.
        action: &'static str,
        /// Host, port and database.
        server: String,
        /// The class of the error.
        kind: ErrorKind,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What names the place of checkpoints is wrong.
    #[error("the address of the checkpoint store cannot be used: {reason}")]
    Address {
        /// What is wrong with it; never the address itself, which may hold a password.
        reason: String,
    },
}

// === impl StoreError ===

impl StoreError {
    /// Gives the class of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Full { .. } | Self::Io { .. } => ErrorKind::Unavailable,
            Self::Denied { .. } => ErrorKind::Forbidden,
            Self::Corrupt { .. } => ErrorKind::Internal,
            Self::Locked { .. } | Self::Fenced { .. } => ErrorKind::Conflict,
            Self::UnknownVersion { .. } | Self::Invalid { .. } | Self::Address { .. } => {
                ErrorKind::Invalid
            }
            Self::Database { kind, .. } => *kind,
        }
    }

    /// Sorts an error of the file system.
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full { action, path, source }
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::Denied { action, path, source }
            }
            _ => Self::Io { action, path, source },
        }
    }
}

fn holder(pid: Option<u32>, host: Option<&str>) -> String {
    match (pid, host) {
        (Some(pid), Some(host)) => format!(" in process {pid} on `{host}`"),
        (Some(pid), None) => format!(" in process {pid}"),
        (None, _) => String::new(),
    }
}
