//! Why tasks and templates are not changed or shown; the texts are those of the original.

use levada_model::ErrorKind;
use levada_store::DocumentError;
use levada_tick::lambda::quote;
use thiserror::Error;

/// Variables of a request whose form is wrong: a request that is no valid JSON, as the original sees it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct InvalidVars(pub String);

/// Why a task or a template is not changed or shown.
#[derive(Debug, Error)]
pub enum ServiceError {
    /// The ID of a task has other characters than it may have.
    #[error("task ID must contain only letters, numbers, '-', '.' and '_'. {}", quote(.0))]
    TaskId(String),
    /// The ID of a template has other characters than it may have.
    #[error("template ID must contain only letters, numbers, '-', '.' and '_'. {}", quote(.0))]
    TemplateId(String),
    /// There is a task of that ID.
    #[error("task {0} already exists")]
    TaskExists(String),
    /// There is a template of that ID.
    #[error("template {0} already exists")]
    TemplateExists(String),
    /// There is no such task.
    #[error("no task exists")]
    NoTask,
    /// There is no such template.
    #[error("no template exists")]
    NoTemplate,
    /// There is no such task to change.
    #[error("task does not exist, cannot update")]
    NoTaskToUpdate,
    /// There is no such template to change.
    #[error("template does not exist, cannot update")]
    NoTemplateToUpdate,
    /// A task names a template that is not there.
    #[error("unknown template {0}: err: no template exists")]
    UnknownTemplate(String),
    /// There is neither script nor template.
    #[error("must provide TICKscript")]
    NoScript,
    /// The value of a variable cannot be one.
    #[error("invalid var {name}: {reason}")]
    Var {
        /// The variable.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// The script cannot be read, or means nothing.
    #[error("invalid TICKscript: {0}")]
    Script(String),
    /// The script names no source, or both.
    #[error("invalid task type: invalid")]
    Type,
    /// No database is named.
    #[error("must specify dbrp")]
    NoDbrp,
    /// Databases are named in the script and beside it.
    #[error("cannot specify dbrp in both implicitly and explicitly")]
    TwoDbrps,
    /// The same, when a task is changed.
    #[error("cannot specify dbrp in implicitly and explicitly")]
    TwoDbrpsToUpdate,
    /// The task is stored and cannot be started.
    #[error("{0}")]
    Start(String),
    /// Somebody else was faster.
    #[error("{0} already exists")]
    Raced(&'static str),
    /// The new ID of a task is taken.
    #[error("failed to create new task during ID change: task already exists")]
    NewTaskExists,
    /// The new ID of a template is taken.
    #[error("failed to create new template for ID change: template already exists")]
    NewTemplateExists,
    /// A task does not fit the new script of its template; nothing was changed.
    #[error("error updating associated task {id}: {cause}")]
    TaskOfTemplate {
        /// The task.
        id: String,
        /// What is wrong.
        cause: String,
    },
    /// A task of a template that was changed cannot be started.
    #[error("error reloading associated task {id}: {cause}")]
    Reload {
        /// The task.
        id: String,
        /// What is wrong.
        cause: String,
    },
    /// Others change the same task again and again.
    #[error("task {0} is being changed by others")]
    Contended(String),
    /// What is stored cannot be read.
    #[error("{what} {id} cannot be read: {reason}")]
    Damaged {
        /// `task` or `template`.
        what: &'static str,
        /// Its ID.
        id: String,
        /// Why.
        reason: String,
    },
    /// A definition cannot be stored.
    #[error("{action}: {source}")]
    Store {
        /// Upstream's words for it.
        action: &'static str,
        /// Why.
        #[source]
        source: DocumentError,
    },
    /// The server ends.
    #[error("TaskMaster is closed")]
    Interrupted,
}

// === impl ServiceError ===

impl ServiceError {
    /// Gives the class of the error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::TaskId(_)
            | Self::TemplateId(_)
            | Self::TaskExists(_)
            | Self::TemplateExists(_)
            | Self::UnknownTemplate(_)
            | Self::NoScript
            | Self::Var { .. }
            | Self::Script(_)
            | Self::Type
            | Self::NoDbrp
            | Self::TwoDbrps
            | Self::TwoDbrpsToUpdate => ErrorKind::Invalid,
            Self::NoTask | Self::NoTemplate | Self::NoTaskToUpdate | Self::NoTemplateToUpdate => {
                ErrorKind::NotFound
            }
            Self::Start(_)
            | Self::Raced(_)
            | Self::NewTaskExists
            | Self::NewTemplateExists
            | Self::TaskOfTemplate { .. }
            | Self::Reload { .. }
            | Self::Damaged { .. }
            | Self::Interrupted => ErrorKind::Internal,
            Self::Contended(_) => ErrorKind::Busy,
            Self::Store { source, .. } => match source.kind() {
                // A name or a size that no store takes is the fault of the request.
                ErrorKind::Invalid => ErrorKind::Invalid,
                ErrorKind::Unavailable => ErrorKind::Unavailable,
                _ => ErrorKind::Internal,
            },
        }
    }
}
