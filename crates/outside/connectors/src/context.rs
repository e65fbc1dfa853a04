//! What a connector is given when it is built.

use std::path::PathBuf;
use std::sync::Arc;

use levada_model::ObjectRef;
use levada_runtime::{Clock, Tasks};
use levada_telemetry::metrics::Registry;

/// What a connector is given when it is built.
#[derive(Clone)]
pub struct BuildContext {
    /// The flow it belongs to.
    pub flow: ObjectRef,
    /// Paths of a manifest are relative to this folder.
    pub base_dir: PathBuf,
    /// The clock; nothing else tells the time.
    pub clock: Arc<dyn Clock>,
    /// Where connectors register metrics of their own.
    pub metrics: Registry,
    /// Where connectors spawn tasks of their own.
    pub tasks: Tasks,
}
