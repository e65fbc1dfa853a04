//! The example of the gateway is true: its script, run as it is, loses nothing while a receiver is killed and comes back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use levada_testkit::http::free_port;
use levada_testkit::process::Folder;
use serde_json::Value;

use crate::readme::root;

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
