//! Exit codes.

use std::process::ExitCode;

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done,
    /// The input is invalid.
    Invalid,
    /// Something failed while running, or is not built in.
    Failed,
    /// Interrupted by SIGINT.
    Interrupted,
}

impl From<Exit> for ExitCode {
    /// Source: cli.md; 2, wrong usage, is given by the argument parser itself.
    fn from(exit: Exit) -> Self {
        ExitCode::from(match exit {
            Exit::Done => 0,
            Exit::Invalid => 1,
            Exit::Failed => 3,
            Exit::Interrupted => 130,
        })
    }
}
