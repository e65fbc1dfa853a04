//! Standard error, shared by log lines and the progress line.
//!
//! Both write to the same place. A [`Console`] takes the progress line away before a log line is written and draws it again after,
//! so neither damages the other.

use std::io::{self, IsTerminal as _, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use indicatif::ProgressBar;
use tracing_subscriber::fmt::MakeWriter;

/// A shared way to standard error. A clone is cheap and is the same console.
#[derive(Debug, Clone)]
pub struct Console(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    terminal: bool,
    bar: Mutex<Option<ProgressBar>>,
}

// === impl Console ===

impl Console {
    /// Gives the console of this process. Make one and share it.
    #[must_use]
    pub fn stderr() -> Self {
        Self(Arc::new(Inner { terminal: io::stderr().is_terminal(), bar: Mutex::default() }))
    }

    /// Gives a console that takes itself for a terminal.
    #[cfg(test)]
    pub(crate) fn as_terminal() -> Self {
        Self(Arc::new(Inner { terminal: true, bar: Mutex::default() }))
    }

    /// Says whether a person is likely to be looking: standard error is a terminal.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        self.0.terminal
    }

    /// Says whether colours are welcome: a terminal, and the environment variable `NO_COLOR` is unset or empty.
    #[must_use]
    pub fn colors(&self) -> bool {
        self.0.terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
    }

    /// Shows `bar` until [`Console::detach`]; log lines are written above it.
    pub(crate) fn attach(&self, bar: ProgressBar) {
        *self.bar() = Some(bar);
    }

    /// Takes the progress line away.
    pub(crate) fn detach(&self) {
        if let Some(bar) = self.bar().take() {
            bar.finish_and_clear();
        }
    }

    fn bar(&self) -> MutexGuard<'_, Option<ProgressBar>> {
        self.0.bar.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Console {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &*self.bar() {
            Some(bar) => bar.suspend(|| io::stderr().write_all(bytes))?,
            None => io::stderr().write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl<'a> MakeWriter<'a> for Console {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
