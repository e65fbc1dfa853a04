//! Makes flows of steps and runs documents through them.

use levada_flow::dry_run::{DryRun, Message, Outcome};
use levada_flow::spec::{self, Flow};
use levada_model::Meta;
use levada_registry::{Document, Node, Report};
use levada_runtime::SystemClock;
use serde_json::{Value, json};

/// Makes a flow of these steps, each as it stands in a manifest.
#[track_caller]
pub(crate) fn flow(steps: &[Value]) -> Flow {
    let manifest = json!({
        "apiVersion": spec::API_VERSION,
        "kind": spec::KIND,
        "metadata": {"name": "t"},
        "spec": {
            "source": {"type": "stdin", "config": {}},
            "sink": {"type": "blackhole", "config": {}},
            "transformations": steps,
        },
    });
    let mut report = Report::new();
    let document = Document { root: Node::from_json(&manifest) };
    let flow = spec::check(&document, "t", &mut report);
    flow.unwrap_or_else(|| panic!("{manifest}\n{:?}", report.problems()))
}

/// Runs payloads through a flow, one after the other, as the same compiled steps.
pub(crate) fn run<'p>(flow: &Flow, payloads: impl IntoIterator<Item = &'p [u8]>) -> Vec<Outcome> {
    let clock = SystemClock::new();
    let mut dry_run = DryRun::new(flow).unwrap();
    let run = |payload: &[u8]| {
        dry_run.run(&Message { payload: payload.to_vec(), metadata: Meta::new() }, &*clock)
    };
    payloads.into_iter().map(run).collect()
}
