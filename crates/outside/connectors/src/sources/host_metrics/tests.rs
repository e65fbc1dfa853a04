//! Tests over fixture trees: what a sample holds, what failures leave of it, and that no file
//! content panics.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use super::*;

mod collectors;
mod hostile;

const SECOND: i64 = 1_000_000_000;
/// 2026-01-02T03:04:05.678Z.
const START: i64 = 1_767_323_045_678_000_000;

/// Every file of the fixture, with its content at the first sample.
const FILES: &[(&str, &str)] = &[
    (
        "proc/stat",
        "cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 50 0 50 400 0 0 0 0 0 0\ncpu1 50 0 50 400 0 0 0 0 0 0\n\
         intr 99 1 2 3\nctxt 12\nbtime 1767000000\nprocs_running 2\n",
    ),
    (
        "proc/meminfo",
        "MemTotal:        1000 kB\nMemFree:          200 kB\nMemAvailable:     600 kB\nBuffers:          50 kB\n\
         Cached:           300 kB\nSwapCached:        0 kB\nSwapTotal:        100 kB\nSwapFree:         75 kB\n\
         HugePages_Total:    0\n",
    ),
    (
        "proc/mounts",
        "proc /proc proc rw 0 0\n/dev/vda1 / ext4 rw 0 0\n/dev/vda1 /bind ext4 rw 0 0\n",
    ),
    (
        "proc/diskstats",
        "   7       0 loop0 1 0 8 0 0 0 0 0 0 0 0\n   1       0 ram0 1 0 8 0 0 0 0 0 0 0 0\n \
         254       0 vda 100 5 2000 30 40 6 800 90 2 500 700 1 2 3 4 5 6\n \
         254       1 vda1 90 5 1900 30 40 6 800 90 0 500 700\n",
    ),
    (
        "proc/net/dev",
        "Inter-|   Receive                            |  Transmit\n \
         face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls carrier\n    \
         lo:    3193      29    0    0    0     0          0         0     3193      29    0    0    0     0  0 0\n  \
         eth0:1000 10 1 2 0 0 0 0 2000 20 3 4 0 0 0 0\n",
    ),
    ("proc/loadavg", "0.08 0.33 0.21 1/86 6516\n"),
    ("proc/uptime", "1153.71 2010.17\n"),
    ("proc/1/stat", "1 (init) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 30 1 2\n"),
    ("proc/42/stat", "42 (a) b) R 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 3 0 30 1 2\n"),
    ("proc/43/stat", "43 (z) Z 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 30 1 2\n"),
    ("proc/sys/kernel/hostname", "container\n"),
    ("proc/sys/kernel/osrelease", "6.18.44\n"),
    ("etc/hostname", "web-1\n"),
];

/// A host as files in a scratch folder, and its sampler.
struct Host {
    root: TempDir,
    sampler: HostMetrics,
    now: i64,
}

/// What one sample gave.
struct Sample {
    records: Vec<Value>,
    failures: Vec<Failure>,
}

// === impl Host ===

impl Host {
    fn new() -> Self {
        Self::with("{}", Options::default())
    }

    fn with(spec: &str, options: Options) -> Self {
        let root = tempfile::tempdir().unwrap();
        let mut spec: HostMetricsSpec = serde_json::from_str(spec).unwrap();
        spec.root = root.path().to_path_buf();
        let sampler = HostMetrics::new(&spec, options).unwrap();
        let host = Self { root, sampler, now: START };
        for (path, content) in FILES {
            host.write(path, content.as_bytes());
        }
        host
    }

    fn path(&self, path: &str) -> std::path::PathBuf {
        self.root.path().join(path)
    }

    fn write(&self, path: &str, content: &[u8]) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Replaces `from` by `to` in a file that holds it.
    fn edit(&self, path: &str, from: &str, to: &str) {
        let content = fs::read_to_string(self.path(path)).unwrap();
        assert!(content.contains(from), "{path} has no {from:?}");
        self.write(path, content.replace(from, to).as_bytes());
    }

    /// Samples, two seconds after the sample before.
    fn sample(&mut self) -> Sample {
        let (mut out, mut ends) = (b"kept".to_vec(), vec![4]);
        let failures = self.sampler.sample(self.now, &mut out, &mut ends);
        self.now += 2 * SECOND;
        assert!(out.starts_with(b"kept"));
        assert_eq!(*ends.last().unwrap() as usize, out.len(), "the last record ends the output");
        let slices = ends.windows(2).map(|pair| &out[pair[0] as usize..pair[1] as usize]);
        let records = slices.map(|json| serde_json::from_slice(json).unwrap()).collect();
        Sample { records, failures }
    }
}

// === impl Sample ===

impl Sample {
    fn of(&self, metric: &str) -> Vec<&Value> {
        self.records.iter().filter(|record| record["metric"] == metric).collect()
    }

    /// The record whose tag has the value.
    fn one(&self, metric: &str, tag: &str, value: &str) -> &Value {
        let found = self.of(metric).into_iter().find(|record| record["tags"][tag] == value);
        found.unwrap_or_else(|| panic!("no {metric} with {tag}={value}"))
    }

    /// Collectors and reasons of the failures.
    fn failed(&self) -> Vec<(&'static str, &'static str)> {
        self.failures.iter().map(|failure| (failure.collector, failure.error.reason())).collect()
    }
}

/// Fails unless `record` has each of the fields with its number.
fn check(record: &Value, fields: &[(&str, f64)]) {
    for (name, expected) in fields {
        assert_eq!(record[name].as_f64(), Some(*expected), "{name} in {record}");
    }
}

fn names(rows: &[(&str, &str, &str)]) -> BTreeSet<(String, String)> {
    rows.iter().map(|(collector, name, _)| (collector.to_string(), name.to_string())).collect()
}

#[test]
fn a_record_has_the_documented_shape() {
    let mut host =
        Host::with(r#"{"collectors":["cpu"],"tags":{"env":"a\"b"}}"#, Options::default());
    let (mut out, mut ends) = (Vec::new(), Vec::new());
    assert!(host.sampler.sample(START, &mut out, &mut ends).is_empty());
    assert_eq!(ends.len(), 3);
    assert_eq!(
        std::str::from_utf8(&out[ends[0] as usize..ends[1] as usize]).unwrap(),
        r#"{"metric":"cpu","host":"web-1","time":"2026-01-02T03:04:05.678Z","tags":{"core":"0","env":"a\"b"},"usage":20.0,"user":10.0,"nice":0.0,"system":10.0,"idle":80.0,"iowait":0.0,"irq":0.0,"softirq":0.0,"steal":0.0,"guest":0.0}"#
    );
}

#[test]
fn every_emitted_field_and_tag_is_documented_and_the_other_way_round() {
    let mut host = Host::new();
    host.sample();
    host.edit("proc/stat", " 800 ", " 900 ");
    let sample = host.sample();
    assert!(sample.failures.is_empty(), "{:?}", sample.failures);
    let (mut fields, mut tags) = (BTreeSet::new(), BTreeSet::new());
    for record in &sample.records {
        let metric = record["metric"].as_str().unwrap();
        let keys: Vec<_> = record.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys[..4], ["metric", "host", "time", "tags"]);
        let unique: BTreeSet<_> = keys.iter().collect();
        assert_eq!(unique.len(), keys.len(), "a field named twice in {record}");
        fields.extend(keys[4..].iter().map(|key| (metric.to_owned(), key.to_string())));
        let own = record["tags"].as_object().unwrap();
        tags.extend(own.keys().map(|tag| (metric.to_owned(), tag.clone())));
    }
    assert_eq!(fields, names(FIELDS));
    assert_eq!(tags, names(TAGS));
    assert_eq!(fields.len(), FIELDS.len(), "a field is documented twice");
}

#[test]
fn module_docs_list_the_fields_and_tags() {
    let sources = [
        ("cpu", include_str!("cpu.rs")),
        ("memory", include_str!("memory.rs")),
        ("disk", include_str!("disk.rs")),
        ("io", include_str!("io.rs")),
        ("network", include_str!("network.rs")),
        ("load", include_str!("load.rs")),
        ("processes", include_str!("processes.rs")),
        ("uptime", include_str!("uptime.rs")),
    ];
    assert_eq!(sources.map(|(name, _)| name), COLLECTORS);
    for (name, source) in sources {
        let rows =
            source.lines().filter_map(|line| line.strip_prefix("//! | `")?.split_once("` |"));
        let documented: Vec<_> = rows.map(|(row, _)| row).collect();
        let of_collector =
            |(collector, row, _): &&(_, &'static str, _)| (*collector == name).then_some(*row);
        let expected: Vec<_> =
            FIELDS.iter().chain(TAGS).filter_map(|row| of_collector(&row)).collect();
        assert_eq!(documented, expected, "table in the docs of `{name}`");
    }
}

#[test]
fn a_collector_that_fails_does_not_stop_the_others() {
    let mut host = Host::new();
    fs::remove_dir_all(host.path("proc")).unwrap();
    let sample = host.sample();
    assert!(sample.records.is_empty());
    assert_eq!(
        sample.failed(),
        COLLECTORS.iter().map(|&name| (name, "unreadable")).collect::<Vec<_>>()
    );

    for (name, content) in FILES.iter().filter(|(path, _)| !path.ends_with("meminfo")) {
        host.write(name, content.as_bytes());
    }
    let sample = host.sample();
    assert_eq!(sample.failed(), [("memory", "unreadable")]);
    let text = sample.failures[0].error.to_string();
    assert!(text.starts_with("cannot read `/") && text.contains("/proc/meminfo`"), "{text}");
    let metrics: BTreeSet<_> = sample.records.iter().map(|r| r["metric"].to_string()).collect();
    assert_eq!(metrics.len(), COLLECTORS.len() - 1);
}

#[test]
fn only_selected_collectors_run() {
    let mut host = Host::with(r#"{"collectors":["uptime","load"]}"#, Options::default());
    let sample = host.sample();
    let metrics: Vec<_> = sample.records.iter().map(|record| &record["metric"]).collect();
    assert_eq!(metrics, ["load", "uptime"], "in table order");
    let spec = HostMetricsSpec { collectors: vec!["gpu".to_owned()], ..Default::default() };
    assert!(HostMetrics::new(&spec, Options::default()).is_err());
}

#[test]
fn the_host_name_falls_back_and_is_reported_when_there_is_none() {
    let mut host = Host::with(r#"{"collectors":["load"]}"#, Options::default());
    for unusable in ["", "two words", &"x".repeat(256)] {
        host.write("etc/hostname", unusable.as_bytes());
        let sample = host.sample();
        assert_eq!(
            (&sample.records[0]["host"], sample.failures.len()),
            (&Value::from("container"), 0)
        );
    }
    host.write("proc/sys/kernel/hostname", b"\n");
    let sample = host.sample();
    assert_eq!(sample.records[0]["host"], "unknown");
    assert_eq!(sample.failed(), [(HOST_NAME_FAILURE, "malformed")]);
}
