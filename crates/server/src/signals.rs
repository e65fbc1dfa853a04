//! Signals become shutdown.

use levada_runtime::{ShutdownHandle, TaskKind, Tasks};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Which signal ended the process.
#[derive(Clone, Debug, Default)]
pub struct Interrupted(Arc<AtomicBool>);

impl Interrupted {
    /// Tells whether SIGINT was received, which ends with exit code 130.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Drains on the first SIGTERM or SIGINT, aborts on the second.
///
/// Errors: the operating system does not let signals be caught.
pub fn install(shutdown: &ShutdownHandle, tasks: &Tasks) -> std::io::Result<Interrupted> {
    use tokio::signal::unix::{SignalKind, signal};

    let interrupted = Interrupted::default();
    let flag = interrupted.clone();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let shutdown = shutdown.clone();
    tasks.spawn(TaskKind::Progress, "signals", async move {
        let mut count = 0;
        loop {
            tokio::select! {
                _ = interrupt.recv() => flag.0.store(true, Ordering::Release),
                _ = terminate.recv() => {}
            }
            count += 1;
            if count == 1 {
                tracing::info!(
                    "stopping: what is under way is finished first; once more stops at once"
                );
                shutdown.drain();
            } else {
                shutdown.abort();
            }
        }
    });
    Ok(interrupted)
}
