//! Takes over the disk caches of an original, while no server runs.

use std::path::Path;
use std::sync::Arc;

use levada_gateway::wal::{
    ImportReport, ImportTable, Keep, Queue, QueueSettings, import_old_cache,
};
use levada_model::with_causes;

use super::{FOLDER, GatewayError, kept, specs};
use crate::flows::Host;

/// Puts what waits in old caches into the queue of a destination; its server sends it when it starts.
///
/// - Errors: there is no such destination, it keeps its queue in memory, a server uses the queue, or a cache cannot be read.
pub async fn import_cache(
    host: &Host,
    folder: &Path,
    table: ImportTable,
    destination: &str,
) -> Result<ImportReport, GatewayError> {
    let settings = &host.settings.gateway;
    let dir = host.settings.data.dir.join(FOLDER);
    let mut wanted = specs::destinations(settings)?;
    let sinkers = specs::of_sinkers(settings).len();
    kept::place(&mut wanted, sinkers, &dir, &host.tasks, &host.clock).await;
    let Some(spec) = wanted.iter().find(|spec| spec.name == destination) else {
        let known: Vec<&str> = wanted.iter().map(|spec| &*spec.name).collect();
        let known = known.join(", ");
        let text = format!("there is no destination `{destination}`; there are: {known}");
        return Err(GatewayError::Setting(text));
    };
    if spec.queue.keep == Keep::Memory {
        let text = format!("destination `{destination}` keeps its queue in memory");
        return Err(GatewayError::Setting(text));
    }
    let clock = Arc::clone(&host.clock);
    let now = clock.now();
    // All of it is taken; the server takes no more until it has sent enough of it.
    let settings = QueueSettings { bytes_max: i64::MAX as u64, ..spec.queue.clone() };
    let queue = Queue::open(&dir.join(destination), destination, settings, &host.tasks, clock);
    let queue = queue.map_err(|error| GatewayError::Setting(with_causes(&error)))?;
    let report = import_old_cache(&queue, folder, table, now, &host.tasks).await;
    queue.close().await;
    report.map_err(|error| GatewayError::Setting(with_causes(&error)))
}
