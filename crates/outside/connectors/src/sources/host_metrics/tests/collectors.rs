//! What each collector makes of its files.

use std::fs;

use serde_json::Value;

use super::*;

#[test]
fn cpu_shares_are_since_boot_then_since_the_sample_before() {
    let mut host = Host::new();
    let first = host.sample();
    check(first.one("cpu", "core", "total"), &[("user", 10.0), ("idle", 80.0), ("count", 2.0)]);
    assert!(first.one("cpu", "core", "0").get("count").is_none());

    // 40 ticks: 10 user (4 of them guests), 1 nice guest, 20 idle, 4 iowait, 2 irq, 1 softirq, 2
    // steal.
    host.edit("proc/stat", "cpu0 50 0 50 400 0 0 0 0 0 0", "cpu0 60 1 50 420 4 2 1 2 4 1");
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
    assert_eq!(second.of("cpu").len(), 2, "core 1 did not move and has no record");
    let total = second.one("cpu", "core", "total");
    assert_eq!((&total["count"], total.get("user")), (&Value::from(2), None));
}

#[test]
fn cpu_columns_that_fall_back_count_as_zero_and_old_kernels_have_fewer() {
    let mut host = Host::with(r#"{"collectors":["cpu"]}"#, Options::default());
    host.write("proc/stat", b"cpu 10 0 10 80 50\n");
    host.sample();
    host.write("proc/stat", b"cpu 15 0 10 85 49\n");
    let sample = host.sample();
    check(sample.one("cpu", "core", "total"), &[("user", 50.0), ("iowait", 0.0), ("count", 0.0)]);
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
    check(host.sample().of("memory")[0], &[("available", 550.0 * 1024.0), ("used_percent", 45.0)]);
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
    host.write("proc/mounts", b"/dev/a /gone\\040away ext4 rw\n/dev/b / ext4 rw\nbroken\n");
    let sample = host.sample();
    assert_eq!(sample.of("disk").len(), 1);
    assert_eq!(sample.failed(), [("disk", "malformed")]);
    let error = &sample.failures[0].error;
    assert!(matches!(error, CollectError::Partial { count: 2, .. }), "{error:?}");
}

#[test]
fn block_devices_have_totals_then_rates() {
    let mut host = Host::new();
    let first = host.sample();
    assert_eq!(first.of("io").len(), 1, "no partition, loop device or RAM disk");
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
fn a_disk_is_busy_for_all_of_the_time_at_most() {
    let mut host = Host::new();
    host.sample();
    // The kernel adds the time of a long request when it ends, so that it may exceed the interval.
    host.edit("proc/diskstats", "90 2 500", "90 2 9500");
    check(host.sample().one("io", "device", "vda"), &[("busy_percent", 100.0)]);
}

#[test]
fn options_bring_back_what_is_left_out() {
    let options = Options { include_loopback: true, include_all_devices: true };
    let mut host = Host::with("{}", options);
    let sample = host.sample();
    assert_eq!(sample.of("io").len(), 4);
    check(sample.one("network", "interface", "lo"), &[("bytes_in", 3193.0)]);
    assert_eq!(Host::new().sample().of("network").len(), 1);
}

#[test]
fn interfaces_have_totals_then_rates() {
    let mut host = Host::new();
    let first = host.sample();
    let eth0 = first.one("network", "interface", "eth0");
    check(
        eth0,
        &[("bytes_in", 1000.0), ("packets_in", 10.0), ("errors_in", 1.0), ("drops_in", 2.0)],
    );
    check(eth0, &[("bytes_out", 2000.0), ("packets_out", 20.0), ("errors_out", 3.0)]);
    check(eth0, &[("drops_out", 4.0)]);
    assert!(eth0.get("bytes_in_per_second").is_none());

    host.edit("proc/net/dev", "1000 10 1 2 0 0 0 0 2000 20 3 4", "1500 12 1 2 0 0 0 0 2001 24 5 4");
    let second = host.sample();
    let eth0 = second.one("network", "interface", "eth0");
    check(eth0, &[("bytes_in_per_second", 250.0), ("packets_in_per_second", 1.0)]);
    check(eth0, &[("bytes_out_per_second", 0.5), ("packets_out_per_second", 2.0)]);
    check(eth0, &[("errors_out_per_second", 1.0), ("drops_out_per_second", 0.0)]);
}

#[test]
fn an_interface_that_is_new_reset_or_back_has_no_rates_once() {
    let mut host = Host::with(r#"{"collectors":["network"]}"#, Options::default());
    let mut has_rates = |bytes: Option<u64>| {
        let line = bytes.map(|bytes| format!("veth0: {bytes} 0 0 0 0 0 0 0 7 0 0 0\n"));
        host.write("proc/net/dev", line.unwrap_or_default().as_bytes());
        let sample = host.sample();
        assert!(sample.failures.is_empty());
        sample.records.first().map(|record| record["bytes_in_per_second"].as_f64())
    };
    assert_eq!(has_rates(Some(4_294_967_294)), Some(None), "new");
    assert_eq!(has_rates(Some(4)), Some(Some(3.0)), "a counter of 32 bits went on");
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
    check(sample.one("network", "interface", "eth0"), &[("bytes_in_per_second", 100.0)]);
}

#[test]
fn load_processes_and_uptime_are_single_records() {
    let sample = Host::new().sample();
    check(
        sample.of("load")[0],
        &[("load1", 0.08), ("load5", 0.33), ("load15", 0.21), ("running", 1.0), ("total", 86.0)],
    );
    let processes = sample.of("processes")[0];
    check(processes, &[("total", 3.0), ("scanned", 3.0), ("threads", 5.0), ("running", 1.0)]);
    check(processes, &[("sleeping", 1.0), ("zombies", 1.0), ("stopped", 0.0), ("other", 0.0)]);
    let uptime = sample.of("uptime")[0];
    check(uptime, &[("uptime_seconds", 1153.71), ("boot_time_seconds", 1_767_000_000.0)]);
    assert_eq!(uptime["hostname"], "web-1");
    assert_eq!(uptime["kernel_release"], "6.18.44");
}

#[test]
fn a_process_that_ended_does_not_count_and_a_broken_one_is_reported() {
    let mut host = Host::with(r#"{"collectors":["processes"]}"#, Options::default());
    fs::create_dir(host.path("proc/77")).unwrap();
    host.write("proc/42/stat", b"42 (half");
    let sample = host.sample();
    check(sample.of("processes")[0], &[("total", 3.0), ("scanned", 2.0), ("running", 0.0)]);
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
fn another_root_is_seen_through_its_first_process() {
    let mut host = Host::new();
    host.write("proc/1/net/dev", b"ens3: 1 2 3 4 5 6 7 8 9 10 11 12\n");
    host.write("proc/1/mounts", b"/dev/real / xfs rw\n");
    let sample = host.sample();
    sample.one("network", "interface", "ens3");
    sample.one("disk", "device", "/dev/real");
}
