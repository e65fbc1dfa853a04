//! Functions of the settings that run outside, asked what they are before scripts are understood, and run.

use std::sync::Arc;
use std::time::Duration;

use levada_runtime::{Clock, SystemClock, Tasks};
use levada_server::tasks::functions_of_settings;
use levada_task::udf::{UdfSide, Udfs};
use tokio::runtime::Runtime;

use crate::args::Common;
use crate::{log, output};

/// Gives the functions of the settings when `are_wanted`; each has said what it is, or why it cannot be used is said.
///
/// - Errors: the settings cannot be used.
pub(crate) fn asked(are_wanted: bool, common: &Common) -> Result<Udfs, String> {
    if !are_wanted {
        return Ok(Udfs::default());
    }
    let udfs = functions_of_settings(&log::settings(common)?);
    if udfs.is_empty() {
        return Ok(udfs);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let clock: Arc<dyn Clock> = SystemClock::new();
    runtime.block_on(udfs.ask_missing(&clock, &Tasks::new()));
    for (name, known) in udfs.known() {
        if let Err(why) = known {
            output::note(&format!("warning: the function `{name}` cannot be used: {why}"));
        }
    }
    Ok(udfs)
}

/// Functions that run for a dry run; they end when this is dropped.
pub(crate) struct Running {
    side: Arc<UdfSide>,
    runtime: Option<Runtime>,
}

/// How long functions may take to end by themselves.
const END_PATIENCE: Duration = Duration::from_millis(500);

// === impl Running ===

impl Running {
    /// Gives what runs functions; nothing when there are none.
    pub(crate) fn start(udfs: &Udfs) -> Result<Option<Self>, String> {
        if udfs.is_empty() {
            return Ok(None);
        }
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let handle = runtime.handle().clone();
        let side = UdfSide::alone(SystemClock::new(), Tasks::new(), handle, udfs.clone());
        Ok(Some(Running { side: Arc::new(side), runtime: Some(runtime) }))
    }

    /// Gives what the nodes of the task start with.
    pub(crate) fn side(&self) -> Arc<UdfSide> {
        Arc::clone(&self.side)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.side.close(Duration::ZERO);
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(END_PATIENCE);
        }
    }
}
