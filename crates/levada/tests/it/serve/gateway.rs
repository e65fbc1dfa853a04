//! The example of the gateway is true: its script, run as it is, loses nothing while a receiver is killed and comes back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use levada_testkit::fake_http::{FakeServer, Reply};
use levada_testkit::http::free_port;
use levada_testkit::process::Folder;
use serde_json::Value;

use crate::readme::root;
use crate::serving::LONG;

/// The points that a receiver has written, each once.
fn received(folder: &Folder, receiver: &str) -> BTreeMap<String, Value> {
    let bytes = folder.read(&format!("run/{receiver}/received.ndjson"));
    let text = String::from_utf8(bytes).unwrap();
    let records = text.lines().map(|line| (line.to_owned(), serde_json::from_str(line).unwrap()));
    records.collect()
}

#[test]
fn the_example_splits_metrics_and_a_log_to_two_receivers_and_loses_nothing() {
    let folder = Folder::new();
    let ports: BTreeMap<&str, String> =
        ["9092", "9601", "9602"].map(|port| (port, free_port().to_string())).into();
    for file in std::fs::read_dir(root().join("examples/gateway")).unwrap() {
        let file = file.unwrap();
        if !file.file_type().unwrap().is_file() {
            continue;
        }
        let mut text = std::fs::read_to_string(file.path()).unwrap();
        for (known, free) in &ports {
            text = text.replace(known, free);
        }
        folder.write(file.file_name().to_str().unwrap(), text);
    }
    let binary = Path::new(env!("CARGO_BIN_EXE_levada"));
    let path = format!("{}:{}", binary.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let output = Command::new("sh").arg(folder.path("run.sh")).env("PATH", &path).output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let logs: Vec<String> = ["collector", "metrics", "log"]
        .map(|name| {
            let log = std::fs::read_to_string(folder.path(&format!("run/{name}/out.log")));
            format!("{name}:\n{}", log.unwrap_or_default())
        })
        .into();
    assert!(output.status.success(), "{shown}\n{errors}\n{logs:#?}");
    let agree = "the sums agree: accepted = delivered + dropped + dead + queued";
    assert_eq!(shown.matches(agree).count(), 3, "{shown}");

    let status: Value = serde_json::from_slice(&folder.read("run/status.json")).unwrap();
    assert_eq!(status["balanced"], true, "{status}");
    let destination = |name: &str| {
        let all = status["destinations"].as_array().unwrap();
        all.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("{name}: {status}"))
    };
    let log = destination("log");
    // One line in ten is for debugging, and nobody wants those.
    assert_eq!(
        (&log["accepted"], &log["delivered"], &log["queued"]),
        (&180.into(), &180.into(), &0.into()),
        "{log}"
    );
    assert_eq!(status["received"]["nowhere"], 20, "{status}");
    let metrics = destination("metrics")["delivered"].as_u64().unwrap();
    assert!(metrics > 0, "{status}");

    let of_log = received(&folder, "log");
    let orders: BTreeSet<i64> = of_log
        .values()
        .map(|record| {
            let n = record["fields"]["n"].as_i64().unwrap();
            assert_eq!(record["category"], "logging");
            assert_eq!(record["measurement"], "app");
            assert_eq!(record["tags"]["service"], "shop");
            assert_eq!(record["fields"]["message"], format!("order {n}"));
            n
        })
        .collect();
    let expected: BTreeSet<i64> = (1..=200).filter(|n| n % 10 != 0).collect();
    assert_eq!(orders, expected, "{logs:#?}");
    assert_eq!(of_log.len(), 180, "each line is the same when it comes again");

    let of_metrics = received(&folder, "metrics");
    assert!(of_metrics.len() as u64 >= metrics, "{} of {metrics}", of_metrics.len());
    let names: BTreeSet<&str> = of_metrics
        .values()
        .map(|record| {
            assert_eq!(record["category"], "metric");
            record["measurement"].as_str().unwrap()
        })
        .collect();
    assert_eq!(names, BTreeSet::from(["cpu", "load", "memory"]));
}

/// Records of the flow that is killed.
const RECORDS: usize = 40_000;

#[test]
fn a_run_that_is_killed_again_and_again_loses_nothing_between_flow_and_receiver() {
    let folder = Folder::new();
    let lines = Arc::<Mutex<Vec<String>>>::default();
    let kept = Arc::clone(&lines);
    let server = FakeServer::start(move |request| {
        let body = String::from_utf8(request.body.clone()).unwrap();
        kept.lock().unwrap().extend(body.lines().map(str::to_owned));
        Reply::new(200, "")
    });
    let url = server.url("?token=tkn_x");
    folder.write("levada.toml", format!("[gateway]\nurls = ['{url}']\ngzip = false\n"));
    folder.write(
        "flow.yaml",
        "apiVersion: dataflow.dataflow.io/v1\nkind: DataFlow\nmetadata: { name: f }\nspec:\n  \
         source: { type: file, config: { paths: [in.ndjson] } }\n  \
         sink: { type: gateway, config: { measurement: m, timestamp: $.at } }\n",
    );
    let at = |n: usize| 1_700_000_000 + n;
    let record = |n: usize| format!("{{\"at\":{},\"n\":{n}}}\n", at(n));
    folder.write("in.ndjson", (0..RECORDS).map(record).collect::<String>());
    let arguments = ["run", "flow.yaml", "--quiet", "--set", "flow.checkpoint-interval=20ms"];
    let start = || folder.start(env!("CARGO_BIN_EXE_levada"), &arguments);
    let mut killed = 0;
    for round in 1..=6 {
        let ended = start().kill_after(Duration::from_millis(120 * round)).expect_no_panic();
        killed += u32::from(ended.code.is_none());
    }
    start().wait(LONG).expect_no_panic().expect_code(0);
    let mut got = lines.lock().unwrap().clone();
    let taken = got.len();
    got.sort();
    got.dedup();
    let mut expected: Vec<String> =
        (0..RECORDS).map(|n| format!("m n={n}i {}000000000", at(n))).collect();
    expected.sort();
    assert!(got == expected, "{} of {RECORDS} came", got.len());
    eprintln!("killed {killed} times; {} points came twice", taken - got.len());
    assert!(killed > 0, "no run was killed");
}
