//! Connectors as a flow builds them: by the name in their table, from settings as in a manifest.

use std::path::Path;

use levada_connectors::{BuildContext, Links, SINKS, SOURCES, Sink, SinkBatching, Source};
use levada_model::ObjectRef;
use levada_registry::{FieldPath, Node, Report};
use levada_runtime::{SystemClock, Tasks};
use levada_telemetry::metrics::Registry;
use serde_json::Value;

/// Gives what a connector is given when it is built; paths are relative to `folder`.
pub fn context(folder: &Path) -> BuildContext {
    BuildContext {
        flow: ObjectRef::new("DataFlow", "default", "conformance"),
        base_dir: folder.to_owned(),
        clock: SystemClock::new(),
        metrics: Registry::new(),
        tasks: Tasks::new(),
        batch_records: 2000,
        batch_bytes: 128 << 10,
        is_exactly_once: false,
        is_compat: false,
        links: Links::default(),
    }
}

/// Makes a source of this type.
///
/// - Panics: there is no such type, or the settings are wrong.
pub fn source(kind: &str, settings: &Value, folder: &Path) -> Box<dyn Source> {
    source_in(kind, settings, &context(folder))
}

/// Makes a source with this context; see [`source`].
pub fn source_in(kind: &str, settings: &Value, ctx: &BuildContext) -> Box<dyn Source> {
    let entry = SOURCES.iter().find(|entry| entry.name == kind).expect("a source type");
    let mut report = Report::new();
    let spec = (entry.decode)(&Node::from_json(settings), &FieldPath::field("source"), &mut report);
    assert!(report.is_ok(), "{:?}", report.problems());
    spec.unwrap().build(ctx).unwrap()
}

/// Makes a sink of this type, and gives how the engine gathers records for it.
///
/// - Panics: there is no such type, or the settings are wrong.
pub fn sink(kind: &str, settings: &Value, folder: &Path) -> (Box<dyn Sink>, SinkBatching) {
    sink_in(kind, settings, &context(folder))
}

/// Makes a sink with this context; see [`sink`].
pub fn sink_in(kind: &str, settings: &Value, ctx: &BuildContext) -> (Box<dyn Sink>, SinkBatching) {
    let entry = SINKS.iter().find(|entry| entry.name == kind).expect("a sink type");
    let mut report = Report::new();
    let spec = (entry.decode)(&Node::from_json(settings), &FieldPath::field("sink"), &mut report);
    assert!(report.is_ok(), "{:?}", report.problems());
    let spec = spec.unwrap();
    let batching = spec.batching();
    (spec.build(ctx).unwrap(), batching)
}
