//! Exit codes.

use std::process::ExitCode;

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done,
    /// The input is invalid.
    Invalid,
    /// The arguments do not go together; those that cannot be read end in the parser.
    Usage,
    /// Something failed while running, or is not built in.
    Failed,
    /// Interrupted by SIGINT.
    Interrupted,
    /// As a program that this command stands for ends.
    Other(u8),
}

impl From<Exit> for ExitCode {
    /// Source: cli.md; the argument parser itself ends with 2 too.
    fn from(exit: Exit) -> Self {
        ExitCode::from(match exit {
            Exit::Done => 0,
            Exit::Invalid => 1,
            Exit::Usage => 2,
            Exit::Failed => 3,
            Exit::Interrupted => 130,
            Exit::Other(code) => code,
        })
    }
}
