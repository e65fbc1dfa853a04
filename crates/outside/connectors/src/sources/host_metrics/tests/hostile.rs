//! Limits, names and contents that no kernel writes, and this host.

use std::fs;

use proptest::prelude::*;
use serde_json::Value;

use super::*;

#[test]
fn names_that_are_not_utf8_or_need_escapes_stay_json() {
    let mut host = Host::with(r#"{"collectors":["network"]}"#, Options::default());
    host.write("proc/net/dev", b"a\xff\"\\\x01:b: 1 0 0 0 0 0 0 0 0 0 0 0\n");
    let sample = host.sample();
    sample.one("network", "interface", "a\u{fffd}\"\\\u{1}:b");
}

#[test]
fn limits_are_reported_and_the_records_below_them_sent() {
    let mut host = Host::with(r#"{"collectors":["network","load"]}"#, Options::default());
    let lines = |count: usize| -> String {
        (0..count).map(|n| format!("i{n}: 1 0 0 0 0 0 0 0 0 0 0 0\n")).collect()
    };
    host.write("proc/net/dev", lines(INSTANCES_MAX).as_bytes());
    let sample = host.sample();
    assert_eq!((sample.of("network").len(), sample.failures.len()), (INSTANCES_MAX, 0));
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
    assert_eq!(sample.failed(), [("load", "malformed")], "an empty file, as far as we can tell");
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

fn config() -> ProptestConfig {
    // Each case writes some forty files.
    ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    /// `Host::sample` itself checks that every record is JSON and that the ends fit the output.
    #[test]
    fn no_content_panics_or_breaks_the_output(
        trees in proptest::collection::vec(tree(), 2..4),
        time in any::<i64>(),
    ) {
        let options = Options { include_loopback: true, include_all_devices: true };
        let mut host = Host::with("{}", options);
        host.sample();
        for tree in trees {
            for ((path, _), content) in FILES.iter().zip(tree) {
                host.write(path, &content);
            }
            host.now = time;
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
