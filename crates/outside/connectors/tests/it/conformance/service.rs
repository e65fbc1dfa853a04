//! What suites of sinks have in common whose server may not be there.

use std::path::Path;

use levada_connectors::{Outcomes, Sink, SinkError};
use levada_model::RecordBatch;
use levada_testkit::build;
use levada_testkit::conformance::sink;
use serde_json::{Value, json};

use crate::gate::Way;

/// Gives what can be asked of a sink that waits for its server: nothing, for a `reason`, when there is no server.
pub(super) fn abilities(
    address: Option<String>,
    reason: &'static str,
    is_idempotent: bool,
) -> sink::Abilities {
    let can = address.map(drop).ok_or(reason);
    sink::Abilities {
        reads_back: can,
        has_poison: can,
        disconnects: can,
        slows: can,
        ahead_max: 0,
        restarts: can,
        is_idempotent,
    }
}

/// Makes the sink of a scene; one that drops everything when there is no server.
pub(super) fn sink(name: &str, settings: &Value, is_there: bool) -> Box<dyn Sink> {
    if is_there {
        build::sink(name, settings, Path::new(".")).0
    } else {
        // Only the case that reads nothing back comes here; it was said that it is skipped.
        build::sink("blackhole", &json!({}), Path::new(".")).0
    }
}

/// Gives the way to the server that makes it behave so.
pub(super) fn way(target: sink::Target) -> Way {
    match target {
        sink::Target::Well => Way::Open,
        sink::Target::Away => Way::Cut,
        sink::Target::Slow => Way::Hold,
    }
}

/// Writes one batch to a new sink.
pub(super) async fn write(
    name: &str,
    settings: &Value,
    payloads: &[&str],
) -> (Option<SinkError>, Outcomes) {
    let mut sink = build::sink(name, settings, Path::new(".")).0;
    sink.open().await.unwrap();
    let mut batch = RecordBatch::new();
    let origin = batch.push_origin("p".into(), 1.into());
    for payload in payloads {
        batch.push(payload.as_bytes(), origin, 0);
    }
    let mut outcomes = Outcomes::default();
    let result = sink.write(&batch, &mut outcomes).await;
    (result.err(), outcomes)
}
