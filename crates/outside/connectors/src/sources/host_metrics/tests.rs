//! Tests over fixture trees: what a sample holds, what failures leave of it, and that no file content panics.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use serde_json::Value;
use tempfile::TempDir;

use super::*;

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
    (
        "proc/1/stat",
        "1 (init) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 30 1 2\n",
    ),
    (
        "proc/42/stat",
        "42 (a) b) R 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 3 0 30 1 2\n",
    ),
    (
        "proc/43/stat",
        "43 (z) Z 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 30 1 2\n",
    ),
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
        let host = Self {
            root,
            sampler,
            now: START,
        };
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
        assert_eq!(
            *ends.last().unwrap() as usize,
            out.len(),
            "the last record ends the output"
        );
        let slices = ends
            .windows(2)
            .map(|pair| &out[pair[0] as usize..pair[1] as usize]);
        let records = slices
            .map(|json| serde_json::from_slice(json).unwrap())
            .collect();
        Sample { records, failures }
    }
}

// === impl Sample ===

impl Sample {
    fn of(&self, metric: &str) -> Vec<&Value> {
        self.records
            .iter()
            .filter(|record| record["metric"] == metric)
            .collect()
    }

    /// The record whose tag has the value.
    fn one(&self, metric: &str, tag: &str, value: &str) -> &Value {
        let found = self
            .of(metric)
            .into_iter()
            .find(|record| record["tags"][tag] == value);
        found.unwrap_or_else(|| panic!("no {metric} with {tag}={value}"))
    }

    /// Collectors and reasons of the failures.
    fn failed(&self) -> Vec<(&'static str, &'static str)> {
        self.failures
            .iter()
            .map(|failure| (failure.collector, failure.error.reason()))
            .collect()
    }
}

/// Fails unless `record` has each of the fields with its number.
fn check(record: &Value, fields: &[(&str, f64)]) {
    for (name, expected) in fields {
        assert_eq!(record[name].as_f64(), Some(*expected), "{name} in {record}");
    }
}

fn names(rows: &[(&str, &str, &str)]) -> BTreeSet<(String, String)> {
    rows.iter()
        .map(|(collector, name, _)| (collector.to_string(), name.to_string()))
        .collect()
}

#[test]
fn a_record_has_the_documented_shape() {
    let mut host = Host::with(
        r#"{"collectors":["cpu"],"tags":{"env":"a\"b"}}"#,
        Options::default(),
    );
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
        let keys: Vec<_> = record
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(keys[..4], ["metric", "host", "time", "tags"]);
        let unique: BTreeSet<_> = keys.iter().collect();
        assert_eq!(unique.len(), keys.len(), "a field named twice in {record}");
        fields.extend(
            keys[4..]
                .iter()
                .map(|key| (metric.to_owned(), key.to_string())),
        );
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
        let rows = source
            .lines()
            .filter_map(|line| line.strip_prefix("//! | `")?.split_once("` |"));
        let documented: Vec<_> = rows.map(|(row, _)| row).collect();
        let of_collector =
            |(collector, row, _): &&(_, &'static str, _)| (*collector == name).then_some(*row);
        let expected: Vec<_> = FIELDS
            .iter()
            .chain(TAGS)
            .filter_map(|row| of_collector(&row))
            .collect();
        assert_eq!(documented, expected, "table in the docs of `{name}`");
    }
}

#[test]
fn cpu_shares_are_since_boot_then_since_the_sample_before() {
    let mut host = Host::new();
    let first = host.sample();
    check(
        first.one("cpu", "core", "total"),
        &[("user", 10.0), ("idle", 80.0), ("count", 2.0)],
    );
    assert!(first.one("cpu", "core", "0").get("count").is_none());

    // 40 ticks: 10 user (4 of them guests), 1 nice guest, 20 idle, 4 iowait, 2 irq, 1 softirq, 2 steal.
    host.edit(
        "proc/stat",
        "cpu0 50 0 50 400 0 0 0 0 0 0",
        "cpu0 60 1 50 420 4 2 1 2 4 1",
    );
    let second = host.sample();
    check(
        second.one("cpu", "core", "0"),
        &[
            ("user", 25.0),
            ("nice", 2.5),
            ("system", 0.0),
            ("idle", 50.0),
            ("iowait", 10.0),
            ("irq", 5.0),
            ("softirq", 2.5),
            ("steal", 5.0),
            ("guest", 12.5),
            ("usage", 40.0),
        ],
    );
    assert_eq!(
        second.of("cpu").len(),
        2,
        "core 1 did not move and has no record"
    );
    let total = second.one("cpu", "core", "total");
    assert_eq!(
        (&total["count"], total.get("user")),
        (&Value::from(2), None)
    );
}

#[test]
fn cpu_columns_that_fall_back_count_as_zero_and_old_kernels_have_fewer() {
    let mut host = Host::with(r#"{"collectors":["cpu"]}"#, Options::default());
    host.write("proc/stat", b"cpu 10 0 10 80 50\n");
    host.sample();
    host.write("proc/stat", b"cpu 15 0 10 85 49\n");
    let sample = host.sample();
    check(
        sample.one("cpu", "core", "total"),
        &[("user", 50.0), ("iowait", 0.0), ("count", 0.0)],
    );
    host.write("proc/stat", b"cpu 15 0 10\n");
    assert_eq!(host.sample().failed(), [("cpu", "malformed")]);
}

#[test]
fn a_core_that_goes_and_comes_back_starts_anew() {
    let mut host = Host::with(r#"{"collectors":["cpu"]}"#, Options::default());
    host.sample();
    let core = "cpu1 50 0 50 400 0 0 0 0 0 0\n";
    host.edit("proc/stat", core, "");
    check(host.sample().one("cpu", "core", "total"), &[("count", 1.0)]);
    host.edit("proc/stat", "intr", &format!("{core}intr"));
    check(host.sample().one("cpu", "core", "1"), &[("user", 10.0)]);
}

#[test]
fn memory_is_in_bytes() {
    let sample = Host::new().sample();
    check(
        sample.of("memory")[0],
        &[
            ("total", 1_024_000.0),
            ("available", 614_400.0),
            ("used", 409_600.0),
            ("free", 204_800.0),
            ("buffers", 51_200.0),
            ("cached", 307_200.0),
            ("used_percent", 40.0),
            ("swap_total", 102_400.0),
            ("swap_free", 76_800.0),
            ("swap_used", 25_600.0),
        ],
    );
}

#[test]
fn memory_without_the_kernels_estimate_is_estimated() {
    let mut host = Host::new();
    host.edit("proc/meminfo", "MemAvailable:     600 kB\n", "");
    check(
        host.sample().of("memory")[0],
        &[("available", 550.0 * 1024.0), ("used_percent", 45.0)],
    );
    host.write("proc/meminfo", b"MemTotal: 0 kB\nMemFree: 0 kB\n");
    assert!(host.sample().of("memory")[0].get("used_percent").is_none());
}

#[test]
fn disks_agree_with_statvfs_below_the_root() {
    let mut host = Host::new();
    let sample = host.sample();
    assert_eq!(sample.of("disk").len(), 1, "a device is reported once");
    let record = sample.one("disk", "mount", "/");
    assert_eq!(record["tags"]["device"], "/dev/vda1");
    assert_eq!(record["tags"]["fstype"], "ext4");
    let figures = rustix::fs::statvfs(host.root.path()).unwrap();
    let total = figures.f_blocks * figures.f_frsize;
    assert_eq!(record["total"].as_u64(), Some(total));
    assert_eq!(record["inodes_total"].as_u64(), Some(figures.f_files));
    let number = |name: &str| record[name].as_u64().unwrap();
    assert_eq!(number("used") + number("free"), total);
    assert!((0.0..=100.0).contains(&record["used_percent"].as_f64().unwrap()));
}

#[test]
fn a_mount_that_cannot_be_asked_leaves_the_others() {
    let mut host = Host::new();
    host.write(
        "proc/mounts",
        b"/dev/a /gone\\040away ext4 rw\n/dev/b / ext4 rw\nbroken\n",
    );
    let sample = host.sample();
    assert_eq!(sample.of("disk").len(), 1);
    assert_eq!(sample.failed(), [("disk", "malformed")]);
    let error = &sample.failures[0].error;
    assert!(
        matches!(error, CollectError::Partial { count: 2, .. }),
        "{error:?}"
    );
}

#[test]
fn block_devices_have_totals_then_rates() {
    let mut host = Host::new();
    let first = host.sample();
    assert_eq!(
        first.of("io").len(),
        1,
        "no partition, loop device or RAM disk"
    );
    let vda = first.one("io", "device", "vda");
    let totals = [
        ("reads", 100.0),
        ("writes", 40.0),
        ("read_bytes", 1_024_000.0),
        ("write_bytes", 409_600.0),
        ("read_time_ms", 30.0),
        ("write_time_ms", 90.0),
        ("io_time_ms", 500.0),
        ("in_progress", 2.0),
    ];
    check(vda, &totals);
    assert!(vda.get("reads_per_second").is_none());

    host.edit(
        "proc/diskstats",
        "vda 100 5 2000 30 40 6 800 90 2 500",
        "vda 110 5 2004 30 43 6 802 90 0 900",
    );
    let second = host.sample();
    check(
        second.one("io", "device", "vda"),
        &[
            ("reads_per_second", 5.0),
            ("writes_per_second", 1.5),
            ("read_bytes_per_second", 1024.0),
            ("write_bytes_per_second", 512.0),
            ("busy_percent", 20.0),
        ],
    );
}

#[test]
fn options_bring_back_what_is_left_out() {
    let options = Options {
        include_loopback: true,
        include_all_devices: true,
    };
    let mut host = Host::with("{}", options);
    let sample = host.sample();
    assert_eq!(sample.of("io").len(), 4);
    check(
        sample.one("network", "interface", "lo"),
        &[("bytes_in", 3193.0)],
    );
    assert_eq!(Host::new().sample().of("network").len(), 1);
}

#[test]
fn interfaces_have_totals_then_rates() {
    let mut host = Host::new();
    let first = host.sample();
    let eth0 = first.one("network", "interface", "eth0");
    check(
        eth0,
        &[
            ("bytes_in", 1000.0),
            ("packets_in", 10.0),
            ("errors_in", 1.0),
            ("drops_in", 2.0),
        ],
    );
    check(
        eth0,
        &[
            ("bytes_out", 2000.0),
            ("packets_out", 20.0),
            ("errors_out", 3.0),
        ],
    );
    check(eth0, &[("drops_out", 4.0)]);
    assert!(eth0.get("bytes_in_per_second").is_none());

    host.edit(
        "proc/net/dev",
        "1000 10 1 2 0 0 0 0 2000 20 3 4",
        "1500 12 1 2 0 0 0 0 2001 24 5 4",
    );
    let second = host.sample();
    let eth0 = second.one("network", "interface", "eth0");
    check(
        eth0,
        &[
            ("bytes_in_per_second", 250.0),
            ("packets_in_per_second", 1.0),
        ],
    );
    check(
        eth0,
        &[
            ("bytes_out_per_second", 0.5),
            ("packets_out_per_second", 2.0),
        ],
    );
    check(
        eth0,
        &[
            ("errors_out_per_second", 1.0),
            ("drops_out_per_second", 0.0),
        ],
    );
}

#[test]
fn an_interface_that_is_new_reset_or_back_has_no_rates_once() {
    let mut host = Host::with(r#"{"collectors":["network"]}"#, Options::default());
    let mut has_rates = |bytes: Option<u64>| {
        let line = bytes.map(|bytes| format!("veth0: {bytes} 0 0 0 0 0 0 0 7 0 0 0\n"));
        host.write("proc/net/dev", line.unwrap_or_default().as_bytes());
        let sample = host.sample();
        assert!(sample.failures.is_empty());
        sample
            .records
            .first()
            .map(|record| record["bytes_in_per_second"].as_f64())
    };
    assert_eq!(has_rates(Some(4_294_967_294)), Some(None), "new");
    assert_eq!(
        has_rates(Some(4)),
        Some(Some(3.0)),
        "a counter of 32 bits went on"
    );
    assert_eq!(has_rates(Some(1)), Some(None), "reset");
    assert_eq!(has_rates(Some(3)), Some(Some(1.0)));
    assert_eq!(has_rates(None), None, "gone");
    assert_eq!(has_rates(Some(9)), Some(None), "back");
}

#[test]
fn a_missed_sample_stretches_the_interval_of_the_rates() {
    let mut host = Host::new();
    host.sample();
    let dev = fs::read(host.path("proc/net/dev")).unwrap();
    fs::remove_file(host.path("proc/net/dev")).unwrap();
    assert_eq!(host.sample().failed(), [("network", "unreadable")]);
    host.write("proc/net/dev", &dev);
    host.edit("proc/net/dev", "1000 10", "1400 10");
    let sample = host.sample();
    check(
        sample.one("network", "interface", "eth0"),
        &[("bytes_in_per_second", 100.0)],
    );
}

#[test]
fn load_processes_and_uptime_are_single_records() {
    let sample = Host::new().sample();
    check(
        sample.of("load")[0],
        &[
            ("load1", 0.08),
            ("load5", 0.33),
            ("load15", 0.21),
            ("running", 1.0),
            ("total", 86.0),
        ],
    );
    let processes = sample.of("processes")[0];
    check(
        processes,
        &[
            ("total", 3.0),
            ("scanned", 3.0),
            ("threads", 5.0),
            ("running", 1.0),
        ],
    );
    check(
        processes,
        &[
            ("sleeping", 1.0),
            ("zombies", 1.0),
            ("stopped", 0.0),
            ("other", 0.0),
        ],
    );
    let uptime = sample.of("uptime")[0];
    check(
        uptime,
        &[
            ("uptime_seconds", 1153.71),
            ("boot_time_seconds", 1_767_000_000.0),
        ],
    );
    assert_eq!(uptime["hostname"], "web-1");
    assert_eq!(uptime["kernel_release"], "6.18.44");
}

#[test]
fn a_process_that_ended_does_not_count_and_a_broken_one_is_reported() {
    let mut host = Host::with(r#"{"collectors":["processes"]}"#, Options::default());
    fs::create_dir(host.path("proc/77")).unwrap();
    host.write("proc/42/stat", b"42 (half");
    let sample = host.sample();
    check(
        sample.of("processes")[0],
        &[("total", 3.0), ("scanned", 2.0), ("running", 0.0)],
    );
    assert_eq!(sample.failed(), [("processes", "malformed")]);
}

#[test]
fn uptime_keeps_what_can_be_read() {
    let mut host = Host::with(r#"{"collectors":["uptime"]}"#, Options::default());
    host.edit("proc/stat", "btime", "other");
    fs::remove_file(host.path("proc/sys/kernel/osrelease")).unwrap();
    let sample = host.sample();
    let uptime = sample.of("uptime")[0];
    check(uptime, &[("uptime_seconds", 1153.71)]);
    assert!(uptime.get("boot_time_seconds").is_none() && uptime.get("kernel_release").is_none());
    assert_eq!(sample.failed(), [("uptime", "missing")]);
}

#[test]
fn a_collector_that_fails_does_not_stop_the_others() {
    let mut host = Host::new();
    fs::remove_dir_all(host.path("proc")).unwrap();
    let sample = host.sample();
    assert!(sample.records.is_empty());
    assert_eq!(
        sample.failed(),
        COLLECTORS
            .iter()
            .map(|&name| (name, "unreadable"))
            .collect::<Vec<_>>()
    );

    for (name, content) in FILES.iter().filter(|(path, _)| !path.ends_with("meminfo")) {
        host.write(name, content.as_bytes());
    }
    let sample = host.sample();
    assert_eq!(sample.failed(), [("memory", "unreadable")]);
    let text = sample.failures[0].error.to_string();
    assert!(
        text.starts_with("cannot read `/") && text.contains("/proc/meminfo`"),
        "{text}"
    );
    let metrics: BTreeSet<_> = sample
        .records
        .iter()
        .map(|r| r["metric"].to_string())
        .collect();
    assert_eq!(metrics.len(), COLLECTORS.len() - 1);
}

#[test]
fn only_selected_collectors_run() {
    let mut host = Host::with(r#"{"collectors":["uptime","load"]}"#, Options::default());
    let sample = host.sample();
    let metrics: Vec<_> = sample
        .records
        .iter()
        .map(|record| &record["metric"])
        .collect();
    assert_eq!(metrics, ["load", "uptime"], "in table order");
    let spec = HostMetricsSpec {
        collectors: vec!["gpu".to_owned()],
        ..Default::default()
    };
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

#[test]
fn another_root_is_seen_through_its_first_process() {
    let mut host = Host::new();
    host.write("proc/1/net/dev", b"ens3: 1 2 3 4 5 6 7 8 9 10 11 12\n");
    host.write("proc/1/mounts", b"/dev/real / xfs rw\n");
    let sample = host.sample();
    sample.one("network", "interface", "ens3");
    sample.one("disk", "device", "/dev/real");
}

#[test]
fn names_that_are_not_utf8_or_need_escapes_stay_json() {
    let mut host = Host::with(r#"{"collectors":["network"]}"#, Options::default());
    host.write(
        "proc/net/dev",
        b"a\xff\"\\\x01:b: 1 0 0 0 0 0 0 0 0 0 0 0\n",
    );
    let sample = host.sample();
    sample.one("network", "interface", "a\u{fffd}\"\\\u{1}:b");
}

#[test]
fn limits_are_reported_and_the_records_below_them_sent() {
    let mut host = Host::with(r#"{"collectors":["network","load"]}"#, Options::default());
    let lines = |count: usize| -> String {
        (0..count)
            .map(|n| format!("i{n}: 1 0 0 0 0 0 0 0 0 0 0 0\n"))
            .collect()
    };
    host.write("proc/net/dev", lines(INSTANCES_MAX).as_bytes());
    let sample = host.sample();
    assert_eq!(
        (sample.of("network").len(), sample.failures.len()),
        (INSTANCES_MAX, 0)
    );
    host.write("proc/net/dev", lines(INSTANCES_MAX + 1).as_bytes());
    let sample = host.sample();
    assert_eq!(sample.of("network").len(), INSTANCES_MAX);
    assert_eq!(sample.failed(), [("network", "too_many")]);

    let mut file = b"i0: 1 0 0 0 0 0 0 0 0 0 0 0\n".to_vec();
    file.resize(files::FILE_BYTES_MAX as usize, b'\n');
    host.write("proc/net/dev", &file);
    assert_eq!(host.sample().of("network").len(), 1);
    file.push(b'\n');
    host.write("proc/net/dev", &file);
    let sample = host.sample();
    assert_eq!(sample.failed(), [("network", "too_large")]);
    assert_eq!(sample.of("load").len(), 1);
}

#[test]
fn a_pipe_below_a_wrong_root_does_not_block() {
    let mut host = Host::with(r#"{"collectors":["load","uptime"]}"#, Options::default());
    let loadavg = host.path("proc/loadavg");
    fs::remove_file(&loadavg).unwrap();
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &loadavg, fifo, mode, 0).unwrap();
    let sample = host.sample();
    assert_eq!(
        sample.failed(),
        [("load", "malformed")],
        "an empty file, as far as we can tell"
    );
    assert_eq!(sample.of("uptime").len(), 1);
}

#[test]
#[cfg(target_os = "linux")]
fn this_host_can_be_measured() {
    let mut sampler = HostMetrics::new(&HostMetricsSpec::default(), Options::default()).unwrap();
    let (mut out, mut ends) = (Vec::new(), Vec::new());
    let failures = sampler.sample(START, &mut out, &mut ends);
    let failed: Vec<_> = failures.iter().map(|failure| failure.collector).collect();
    for collector in ["cpu", "memory", "load"] {
        assert!(!failed.contains(&collector), "{failures:?}");
    }
    let mut start = 0;
    for end in ends {
        serde_json::from_slice::<Value>(&out[start..end as usize]).unwrap();
        start = end as usize;
    }
}

/// Bytes that often get past the first check of a parser.
fn near_valid(content: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let bytes = content.as_bytes();
    let piece = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..8),
        Just(b"18446744073709551615".to_vec()),
        Just(b"-1".to_vec()),
        Just(b"\n".to_vec()),
        Just(b" ".to_vec()),
    ];
    (0..=bytes.len(), 0..6usize, piece).prop_map(move |(at, cut, piece)| {
        let rest = (at + cut).min(bytes.len());
        [&bytes[..at], &piece, &bytes[rest..]].concat()
    })
}

fn content(index: usize) -> BoxedStrategy<Vec<u8>> {
    let random = proptest::collection::vec(any::<u8>(), 0..300);
    prop_oneof![1 => random, 3 => near_valid(FILES[index].1)].boxed()
}

fn tree() -> impl Strategy<Value = Vec<Vec<u8>>> {
    (0..FILES.len()).map(content).collect::<Vec<_>>()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    /// `Host::sample` itself checks that every record is JSON and that the ends fit the output.
    #[test]
    fn no_content_panics_or_breaks_the_output(trees in proptest::collection::vec(tree(), 2..4), step in any::<i64>()) {
        let mut host = Host::with("{}", Options { include_loopback: true, include_all_devices: true });
        host.sample();
        for tree in trees {
            for ((path, _), content) in FILES.iter().zip(tree) {
                host.write(path, &content);
            }
            host.now = step;
            let sample = host.sample();
            prop_assert!(sample.failures.len() <= COLLECTORS.len() + 1);
            let fields = names(FIELDS);
            for record in &sample.records {
                let metric = record["metric"].as_str().unwrap_or_default().to_owned();
                for (key, value) in record.as_object().unwrap().iter().skip(4) {
                    prop_assert!(fields.contains(&(metric.clone(), key.clone())), "{key}");
                    prop_assert!(!value.is_null(), "{record}");
                    let in_range = !key.ends_with("percent")
                        || value.as_f64().is_some_and(|percent| (0.0..=100.0).contains(&percent));
                    prop_assert!(in_range, "{record}");
                }
            }
        }
    }
}
