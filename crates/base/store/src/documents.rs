//! Documents: named values in spaces, changed together or not at all.
//!
//! Tasks, templates, topic handlers, overrides, silences, topic states and what waits to be sent are documents. A space groups
//! what is listed together, e.g. `tasks`; a key names one document in it.
//!
//! ```
//! use levada_store::{Documents, MemoryDocuments, Write};
//!
//! # async fn example() -> Result<(), levada_store::DocumentError> {
//! let documents = MemoryDocuments::default();
//! documents.apply(vec![Write::create("tasks", "cpu", "{}")]).await?;
//! let found = documents.get("tasks", "cpu").await?.expect("it was just created");
//! documents.apply(vec![Write::replace("tasks", "cpu", found.version, "{\"status\":\"enabled\"}")]).await?;
//! # Ok(()) }
//! ```
//!
//! Invariants:
//! - [`Documents::apply`] does all writes or none; when it returns, they survive a crash of the machine (as far as the store is on disk).
//! - The version of a document grows with every change, over deletions, too.

mod memory;
#[cfg(any(feature = "sqlite", feature = "postgresql"))]
mod sql;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use levada_model::ErrorKind;
use levada_runtime::{EdgeStats, Tasks};

pub use memory::MemoryDocuments;
#[cfg(any(feature = "sqlite", feature = "postgresql"))]
pub use sql::SqlDocuments;

/// The longest key and space in bytes.
pub const KEY_BYTES_MAX: usize = 1024;

/// The largest value in bytes.
pub const VALUE_BYTES_MAX: usize = 64 << 20;

/// What a backup is called in errors.
const BACK_UP: &str = "back up documents";

/// Keeps documents.
#[async_trait]
pub trait Documents: Send + Sync + fmt::Debug + 'static {
    /// Gives a document.
    async fn get(&self, space: &str, key: &str) -> Result<Option<Document>, DocumentError>;

    /// Gives documents of a space in the order of their keys (by bytes).
    async fn list(&self, space: &str, range: Range<'_>) -> Result<Vec<Document>, DocumentError>;

    /// Gives the spaces that begin with a prefix and hold documents, sorted.
    async fn spaces(&self, prefix: &str) -> Result<Vec<String>, DocumentError>;

    /// Makes changes in their order, all or none.
    ///
    /// - Errors: [`DocumentError::Conflict`] when a document is not as a write expects it.
    async fn apply(&self, writes: Vec<Write>) -> Result<(), DocumentError>;

    /// Writes a copy of all documents, as they are at one moment, to a file that is not there yet.
    ///
    /// - Errors: the store has another way to be copied, which the text says, or the file cannot be written.
    async fn backup(&self, _path: &Path) -> Result<(), DocumentError> {
        let source = "it cannot be copied".into();
        let (store, kind) = (self.describe(), ErrorKind::Invalid);
        Err(DocumentError::Failed { action: BACK_UP, store, kind, source })
    }

    /// Finishes what was begun and lets others have the store; after that nothing can be read or changed.
    async fn close(&self) {}

    /// Gives how many calls of [`Documents::apply`] and bytes of them wait, and how often one had to wait for a place; for metrics.
    fn waiting(&self) -> EdgeStats {
        EdgeStats::default()
    }

    /// Says what the store is, for people: `memory`, `SQLite at data/levada.db`. Holds no secrets.
    fn describe(&self) -> String;
}

/// Opens the documents at an address, with the tasks that may be needed for that.
///
/// | address | where |
/// |---|---|
/// | `sqlite:PATH`, `PATH` | a file of SQLite |
/// | `postgres://user:password@host:5432/database` | PostgreSQL |
/// | `memory:` | nowhere: all is forgotten with the process |
///
/// - Errors: [`DocumentError::Address`] when it is no such address, [`DocumentError::Failed`] when the store cannot be used.
#[cfg_attr(
    not(any(feature = "sqlite", feature = "postgresql")),
    expect(unused_variables, reason = "nothing that needs tasks is there")
)]
pub async fn open(address: &str, tasks: &Tasks) -> Result<Arc<dyn Documents>, DocumentError> {
    let unusable = |reason: String| Err(DocumentError::Address { reason });
    let scheme = address.split_once("://").map(|(scheme, _)| scheme);
    match scheme {
        Some("postgres" | "postgresql") => {
            #[cfg(feature = "postgresql")]
            return Ok(Arc::new(SqlDocuments::postgres(address, tasks).await?));
            #[cfg(not(feature = "postgresql"))]
            return unusable("this program was built without PostgreSQL".into());
        }
        None | Some("sqlite") => {}
        Some(scheme) => {
            return unusable(format!(
                "nothing is kept at `{scheme}://`; known: a path, `sqlite:`, `postgres://`, `memory:`"
            ));
        }
    }
    if address == "memory:" {
        return Ok(Arc::new(MemoryDocuments::default()));
    }
    let path = address.strip_prefix("sqlite:").unwrap_or(address);
    let path = path.strip_prefix("//").unwrap_or(path);
    match path {
        "" => return unusable("it names no file".into()),
        ":memory:" => return unusable("for documents in memory it must be `memory:`".into()),
        _ => {}
    }
    #[cfg(feature = "sqlite")]
    return Ok(Arc::new(SqlDocuments::sqlite(Path::new(path), tasks).await?));
    #[cfg(not(feature = "sqlite"))]
    return unusable("this program was built without SQLite".into());
}

/// A document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its name in its space.
    pub key: String,
    /// Its content.
    pub value: Bytes,
    /// Grows with every change.
    pub version: u64,
}

/// Which documents of a space to list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range<'a> {
    /// Only keys that begin with this.
    pub prefix: &'a str,
    /// Only keys behind this one.
    pub after: Option<&'a str>,
    /// So many at most; nothing for all.
    pub limit: Option<usize>,
}

/// A change of one document, or of all of a space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Stores a document.
    Put {
        /// The space.
        space: String,
        /// The document.
        key: String,
        /// Its new content.
        value: Bytes,
        /// What must be there before.
        expect: Expect,
    },
    /// Deletes a document.
    Delete {
        /// The space.
        space: String,
        /// The document.
        key: String,
        /// What must be there before.
        expect: Expect,
    },
    /// Deletes every document of a space.
    Clear {
        /// The space.
        space: String,
    },
}

/// What a write expects to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Anything, or nothing.
    Any,
    /// No document.
    Absent,
    /// A document.
    Present,
    /// The document of this version.
    Version(u64),
}

/// Why documents were not read or changed.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// A document is not as a write expected it; nothing was changed.
    #[error("`{space}/{key}` {reason}")]
    Conflict {
        /// The space.
        space: String,
        /// The document.
        key: String,
        /// What it is instead, e.g. `exists already`.
        reason: &'static str,
    },
    /// The name or the content cannot be stored.
    #[error("`{space}/{key}` cannot be stored: {reason}")]
    Invalid {
        /// The space.
        space: String,
        /// The document.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// What names the place of documents is wrong.
    #[error("the address of the documents cannot be used: {reason}")]
    Address {
        /// What is wrong with it; never the address itself, which may hold a password.
        reason: String,
    },
    /// The store does not do what it should.
    #[error("cannot {action} in {store}")]
    Failed {
        /// What was to be done.
        action: &'static str,
        /// What the store is, without secrets.
        store: String,
        /// The class of the error.
        kind: ErrorKind,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

// === impl Write ===

impl Write {
    /// Stores a document, whatever was there.
    pub fn put(space: impl Into<String>, key: impl Into<String>, value: impl Into<Bytes>) -> Self {
        Self::with(space.into(), key.into(), value.into(), Expect::Any)
    }

    /// Stores a document where none was.
    pub fn create(
        space: impl Into<String>,
        key: impl Into<String>,
        value: impl Into<Bytes>,
    ) -> Self {
        Self::with(space.into(), key.into(), value.into(), Expect::Absent)
    }

    /// Stores a document in place of the one of a version.
    pub fn replace(
        space: impl Into<String>,
        key: impl Into<String>,
        version: u64,
        value: impl Into<Bytes>,
    ) -> Self {
        Self::with(space.into(), key.into(), value.into(), Expect::Version(version))
    }

    /// Deletes a document, if there is one.
    pub fn delete(space: impl Into<String>, key: impl Into<String>) -> Self {
        Self::Delete { space: space.into(), key: key.into(), expect: Expect::Any }
    }

    /// Deletes every document of a space.
    pub fn clear(space: impl Into<String>) -> Self {
        Self::Clear { space: space.into() }
    }

    fn with(space: String, key: String, value: Bytes, expect: Expect) -> Self {
        Self::Put { space, key, value, expect }
    }

    /// Checks names and size.
    ///
    /// - Errors: [`DocumentError::Invalid`].
    pub(crate) fn check(&self) -> Result<(), DocumentError> {
        let (space, key, size) = match self {
            Self::Put { space, key, value, .. } => (space, &**key, value.len()),
            Self::Delete { space, key, .. } => (space, &**key, 0),
            Self::Clear { space } => (space, "", 0),
        };
        let longest = space.len().max(key.len());
        let reason = if longest > KEY_BYTES_MAX {
            format!("its name has {longest} bytes, the most is {KEY_BYTES_MAX}")
        } else if space.contains('\0') || key.contains('\0') {
            "its name holds a zero byte".into()
        } else if size > VALUE_BYTES_MAX {
            format!("it has {size} bytes, the most is {VALUE_BYTES_MAX}")
        } else {
            return Ok(());
        };
        Err(DocumentError::Invalid { space: space.clone(), key: key.into(), reason })
    }
}

// === impl Expect ===

impl Expect {
    /// Compares with what is there: the version, or nothing.
    ///
    /// - Errors: what it is instead.
    pub(crate) fn check(self, found: Option<u64>) -> Result<(), &'static str> {
        match (self, found) {
            (Self::Absent, Some(_)) => Err("exists already"),
            (Self::Present | Self::Version(_), None) => Err("does not exist"),
            (Self::Version(version), Some(found)) if version != found => {
                Err("was changed by somebody else")
            }
            _ => Ok(()),
        }
    }
}

// === impl DocumentError ===

impl DocumentError {
    /// Gives the class of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Conflict { .. } => ErrorKind::Conflict,
            Self::Invalid { .. } | Self::Address { .. } => ErrorKind::Invalid,
            Self::Failed { kind, .. } => *kind,
        }
    }
}

#[cfg(test)]
mod suite;
