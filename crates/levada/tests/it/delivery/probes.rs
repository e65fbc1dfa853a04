//! What a running flow shows: metrics with the original's names, and probes.

use levada_testkit::http::{free_port, request};
use levada_testkit::process::{Folder, Running};
use rustix::process::Signal;

use super::support::{LEVADA, LONG, flow, records, start};

const SPEC: &str =
    "source: {type: file, file: {paths: [in.ndjson], follow: true, pollInterval: 10ms}}
transformations:
  - {type: filter, filter: {condition: $.id >= 10}}
  - {type: cast, cast: {spec: {n: int64}}}
  - type: router
    router:
      routes: [{name: low, condition: $.id < 50, sink: {type: blackhole, blackhole: {}}}]
sink: {type: file, file: {path: out.ndjson}}
errors: {type: file, file: {path: dead.ndjson}}
";

/// Gives the sum of the samples of a metric whose labels hold all of these.
fn sum(text: &str, metric: &str, labels: &[&str]) -> Option<f64> {
    let is_wanted = |line: &&str| {
        let rest = line.strip_prefix(metric);
        rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
            && labels.iter().all(|label| line.contains(label))
    };
    let values: Vec<f64> = text
        .lines()
        .filter(is_wanted)
        .map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
        .collect();
    (!values.is_empty()).then(|| values.iter().sum())
}

fn get(address: &str, path: &str) -> Option<(u16, String)> {
    let (status, body) = request(address, "GET", path, &[], b"").ok()?;
    Some((status, String::from_utf8(body).unwrap()))
}

/// Looks at everything that a flow over 100 records shows, of which one cannot be cast.
fn look(folder: &Folder, mut running: Running, address: &str, namespace: &str, name: &str) {
    let metrics = || get(address, "/metrics").map_or(String::new(), |(_, text)| text);
    running.until("everything is written", LONG, || {
        sum(&metrics(), "dataflow_messages_sent_total", &[]) == Some(90.0)
    });
    for path in ["/healthz", "/readyz", "/livez"] {
        assert_eq!(get(address, path).map(|(status, _)| status), Some(200), "{path}");
    }
    assert_eq!(get(address, "/nothing").map(|(status, _)| status), Some(404));

    running.until("positions are stored", LONG, || {
        sum(&metrics(), "dataflow_task_active_messages", &[]) == Some(0.0)
    });
    let text = metrics();
    let own = [format!("namespace=\"{namespace}\""), format!("name=\"{name}\"")];
    let check = |metric: &str, labels: &[&str], wanted: f64| {
        let mut all: Vec<&str> = own.iter().map(String::as_str).collect();
        all.extend_from_slice(labels);
        assert_eq!(sum(&text, metric, &all), Some(wanted), "{metric} {labels:?} in\n{text}");
    };
    check("dataflow_messages_received_total", &["source_type=\"file\""], 100.0);
    check("dataflow_messages_sent_total", &["sink_type=\"blackhole\"", "route=\"low\""], 39.0);
    check("dataflow_messages_sent_total", &["sink_type=\"file\"", "route=\"default\""], 50.0);
    check("dataflow_messages_sent_total", &["sink_type=\"file\"", "route=\"error\""], 1.0);
    let source = ["connector_type=\"file\"", "connector_name=\"source\""];
    check("dataflow_connector_messages_read_total", &source, 100.0);
    check("dataflow_connector_connection_status", &source, 1.0);
    let low = ["connector_name=\"sink\"", "route=\"low\""];
    check("dataflow_connector_messages_written_total", &low, 39.0);
    let filter = ["transformer_type=\"filter\"", "transformer_index=\"0\""];
    check("dataflow_transformer_messages_in_total", &filter, 100.0);
    check("dataflow_transformer_messages_out_total", &filter, 90.0);
    let cast = ["transformer_type=\"cast\"", "transformer_index=\"1\""];
    check("dataflow_transformer_executions_total", &cast, 90.0);
    let kind = "error_type=\"transformation_error\"";
    check("dataflow_transformer_errors_total", &[cast[0], cast[1], kind], 1.0);
    check("dataflow_task_stage_errors_total", &["stage=\"transformation\"", kind], 1.0);
    check("dataflow_status", &["phase=\"Running\""], 1.0);
    check("dataflow_status", &["phase=\"Error\""], 0.0);
    check("dataflow_task_queue_size", &["queue_type=\"output\""], 0.0);
    check("dataflow_task_queue_size", &["queue_type=\"low\""], 0.0);
    for histogram in [
        "dataflow_processing_duration_seconds",
        "dataflow_transformer_duration_seconds",
        "dataflow_task_end_to_end_latency_seconds",
    ] {
        let count = sum(&text, &format!("{histogram}_count"), &[]);
        assert!(count.is_some_and(|count| count >= 1.0), "{histogram}: {count:?}");
        assert!(sum(&text, &format!("{histogram}_bucket"), &["le=\"+Inf\""]).is_some());
    }
    let types = text.lines().filter(|line| line.starts_with("# TYPE ")).count();
    let names: std::collections::BTreeSet<&str> =
        text.lines().filter(|line| line.starts_with("# TYPE ")).collect();
    assert_eq!(types, names.len(), "a metric is described twice");
    let missing: Vec<&str> =
        NAMES.iter().copied().filter(|name| !text.contains(&format!("# TYPE {name} "))).collect();
    assert_eq!(missing, NOT_SHOWN, "names of the original that are missing");
    running.signal(Signal::TERM);
    running.wait(LONG).expect_code(0);
    assert_eq!(folder.read("dead.ndjson").iter().filter(|&&byte| byte == b'\n').count(), 1);
}

/// Appears with the first error only.
const NOT_SHOWN: [&str; 1] = ["dataflow_connector_errors_total"];

/// The metrics of the original's processor.
///
/// Source: dataflow-operator.md §5.1.
const NAMES: [&str; 24] = [
    "dataflow_messages_received_total",
    "dataflow_messages_sent_total",
    "dataflow_processing_duration_seconds",
    "dataflow_connector_messages_read_total",
    "dataflow_connector_messages_written_total",
    "dataflow_connector_errors_total",
    "dataflow_connector_connection_status",
    "dataflow_transformer_executions_total",
    "dataflow_transformer_errors_total",
    "dataflow_transformer_duration_seconds",
    "dataflow_transformer_messages_in_total",
    "dataflow_transformer_messages_out_total",
    "dataflow_status",
    "dataflow_task_stage_duration_seconds",
    "dataflow_task_message_size_bytes",
    "dataflow_task_stage_latency_seconds",
    "dataflow_task_throughput_messages_per_second",
    "dataflow_task_success_rate",
    "dataflow_task_end_to_end_latency_seconds",
    "dataflow_task_active_messages",
    "dataflow_task_queue_size",
    "dataflow_task_queue_wait_time_seconds",
    "dataflow_task_operations_total",
    "dataflow_task_stage_errors_total",
];

fn input() -> String {
    records(0..100).replace("\"n\":\"42\"", "\"n\":\"forty-two\"")
}

#[test]
fn run_serves_metrics_and_probes() {
    let folder = Folder::new();
    flow(&folder, &format!("checkpointSaveInterval: 20ms\n{SPEC}"));
    folder.write("in.ndjson", input());
    let address = format!("127.0.0.1:{}", free_port());
    let running = start(&folder, &["--metrics", &address]);
    look(&folder, running, &address, "default", "proof");
}

#[test]
fn the_processor_serves_them_with_the_flags_of_the_original() {
    let folder = Folder::new();
    let spec = serde_json::json!({
        "checkpointSaveInterval": "20ms",
        "source": {"type": "file", "file": {"paths": ["in.ndjson"], "follow": true, "pollInterval": "10ms"}},
        "transformations": [
            {"type": "filter", "filter": {"condition": "$.id >= 10"}},
            {"type": "cast", "cast": {"spec": {"n": "int64"}}},
            {"type": "router", "router": {"routes": [
                {"name": "low", "condition": "$.id < 50", "sink": {"type": "blackhole", "blackhole": {}}}
            ]}}
        ],
        "sink": {"type": "file", "file": {"path": "out.ndjson"}},
        "errors": {"type": "file", "file": {"path": "dead.ndjson"}},
    });
    folder.write("spec.json", spec.to_string());
    folder.write("in.ndjson", input());
    let address = format!("127.0.0.1:{}", free_port());
    let running = folder.start(
        LEVADA,
        &[
            "processor",
            "--spec-path=spec.json",
            "--namespace=shop",
            "--name=orders",
            &format!("-metrics-port={address}"),
            "--data=data",
        ],
    );
    look(&folder, running, &address, "shop", "orders");
}

#[test]
fn a_port_that_is_taken_is_said_at_once() {
    let folder = Folder::new();
    flow(&folder, SPEC);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = start(&folder, &["--metrics", &address]).wait(LONG).expect_code(3);
    assert!(ended.stderr.contains(&address), "{ended:#?}");
}

/// Ready only once the source is open: here it waits for a file that cannot be opened yet.
#[test]
fn readiness_waits_for_every_source() {
    let folder = Folder::new();
    flow(&folder, SPEC);
    folder.write("in.ndjson", input());
    let address = format!("127.0.0.1:{}", free_port());
    let mut running = start(&folder, &["--metrics", &address]);
    let mut seen = Vec::new();
    running.until("it is ready", LONG, || {
        let status = get(&address, "/readyz").map_or(0, |(status, _)| status);
        seen.push(status);
        status == 200
    });
    assert!(seen.iter().all(|status| [0, 200, 503].contains(status)), "{seen:?}");
    running.signal(Signal::TERM);
    running.wait(LONG).expect_code(0);
}
