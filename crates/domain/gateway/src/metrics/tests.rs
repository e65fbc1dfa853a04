//! Every metric of the reference, §7.3 and §7.4: it is shown with its type and labels, or there is a reason why not.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use levada_clients::net::NetWatch as _;
use levada_codec::compression::Compression;
use levada_model::{Category, Timestamp};
use levada_runtime::{Clock, SystemClock, Tasks};
use levada_telemetry::metrics::Registry;

use super::*;
use crate::deliver::{Answer, Attempt, Watch as _};
use crate::gateway::{Outlet, PutWatch as _};
use crate::ingest::{Bounds, EncodeWatch as _, Encoder, Form, Written};
use crate::rules::{RuleSet, RulesSpec};
use crate::wal::{Encoding, Queue, QueueSettings};

/// What there is to say about a metric.
enum Row {
    /// Its type and labels.
    Shown(&'static str, &'static [&'static str]),
    /// Why it is not here.
    None(&'static str),
}

use Row::{None as Not, Shown as Is};

const AGENT: &str = "of an agent, which has inputs";

/// Source: dataway reference §7.3. Of the first two, the labels are those of version 1.6, which come first.
const HEAD: &[(&str, Row)] = &[
    ("datakit_io_dataway_point_total", Is("counter", &["category", "status"])),
    ("datakit_io_dataway_point_bytes_total", Is("counter", &["category", "status"])),
    ("datakit_io_dataway_http_drop_point_total", Is("counter", &["category", "error"])),
    ("datakit_io_dataway_api_latency_seconds", Is("summary", &["api", "status"])),
    ("datakit_io_http_retry_total", Is("counter", &["api", "status"])),
    ("datakit_io_grouped_request", Is("summary", &["category"])),
    ("datakit_io_dataway_skipped_point_total", Is("counter", &["category"])),
    ("datakit_io_build_body_cost_seconds", Is("summary", &["category", "encoding", "stage"])),
    ("datakit_io_build_body_batches", Is("summary", &["category", "encoding"])),
    ("datakit_io_build_body_points", Is("summary", &["category", "encoding"])),
    ("datakit_io_build_body_batch_points", Is("summary", &["category", "encoding"])),
    ("datakit_io_build_body_batch_bytes", Is("summary", &["category", "encoding", "type"])),
    (
        "datakit_io_dataway_body_total",
        Not("there is no pool of bodies, they are shared by reference"),
    ),
    ("datakit_io_wal_point_total", Is("counter", &["category", "status"])),
    ("datakit_io_wal_put_retried", Is("summary", &["category"])),
    ("datakit_io_dataway_wal_mem_len", Is("gauge", &["category"])),
    ("datakit_io_dataway_wal_flush", Is("summary", &["category", "gzip", "queue"])),
    ("datakit_io_flush_failcache_bytes", Is("summary", &["category"])),
    ("datakit_io_flush_drop_pkg_total", Is("counter", &["category"])),
    ("datakit_io_feed_cost_seconds", Is("summary", &["category", "from"])),
    ("datakit_io_feed_point", Is("summary", &["category", "name"])),
    ("datakit_io_feed_total", Is("counter", &["category", "name"])),
    ("datakit_io_input_filter_point_total", Is("counter", &["category", "name"])),
    ("datakit_io_last_feed_timestamp_seconds", Is("gauge", &["category", "name"])),
    ("datakit_io_queue_points", Is("gauge", &["category"])),
    ("datakit_io_point_time_adjusted_total", Not("times are taken as they are")),
    ("datakit_io_flush_total", Is("counter", &["category"])),
    (
        "datakit_io_flush_workers",
        Not("who brings a body puts it into the queues, there are no workers"),
    ),
    ("datakit_io_chan_usage", Is("gauge", &["category"])),
    (
        "datakit_io_chan_capacity",
        Not("writers wait themselves, there is no channel that may be full"),
    ),
    ("datakit_input_collect_latency_seconds", Not(AGENT)),
    ("datakit_filter_point_total", Is("counter", &["category", "filters", "source"])),
    ("datakit_filter_point_dropped_total", Is("counter", &["category", "filters", "source"])),
    ("datakit_filter_latency_seconds", Is("summary", &["category", "filters", "source"])),
    ("datakit_filter_pull_latency_seconds", Is("summary", &["status"])),
    ("datakit_filter_update_total", Is("counter", &[])),
    ("datakit_filter_last_update_timestamp_seconds", Is("gauge", &[])),
    ("datakit_filter_parse_error", Is("gauge", &["error", "filters"])),
    ("datakit_httpcli_tcp_conn_total", Is("counter", &["from", "remote", "type"])),
    ("datakit_httpcli_conn_reused_from_idle_total", Is("counter", &["from"])),
    ("datakit_httpcli_conn_idle_time_seconds", Is("summary", &["from"])),
    ("datakit_httpcli_dns_cost_seconds", Is("summary", &["from"])),
    ("datakit_httpcli_tls_handshake_seconds", Is("summary", &["from"])),
    ("datakit_httpcli_http_connect_cost_seconds", Is("summary", &["from"])),
    ("datakit_httpcli_got_first_resp_byte_cost_seconds", Is("summary", &["from"])),
    ("datakit_dns_domain_total", Is("counter", &[])),
    ("datakit_dns_ip_updated_total", Is("counter", &["domain"])),
    ("datakit_dns_watch_run_total", Is("counter", &["interval"])),
    ("datakit_dns_cost_seconds", Is("summary", &["domain", "status"])),
    ("datakit_election_pause_total", Not(AGENT)),
    ("datakit_election_resume_total", Not(AGENT)),
    ("datakit_election_status", Is("gauge", &["elected_id", "id", "namespace", "status"])),
    ("datakit_election_inputs", Not(AGENT)),
    ("datakit_election_seconds", Is("summary", &["namespace", "status"])),
    // §7.4, names of the later versions.
    ("diskcache_put_bytes", Is("summary", &["path"])),
    ("diskcache_stream_put", Not("a body is put whole")),
    ("diskcache_get_bytes", Is("summary", &["path"])),
    ("diskcache_put_latency", Is("summary", &["path"])),
    ("diskcache_get_latency", Is("summary", &["path"])),
    (
        "diskcache_dropped_data",
        Not("what is dropped is points: levada_gateway_dropped_points_total"),
    ),
    ("diskcache_rotate_total", Is("counter", &["path"])),
    ("diskcache_remove_total", Is("counter", &["path"])),
    ("diskcache_wakeup_total", Not("a file can be read while it is written")),
    ("diskcache_capacity", Is("gauge", &["path"])),
    ("diskcache_max_data", Is("gauge", &["path"])),
    ("diskcache_batch_size", Is("gauge", &["path"])),
    ("diskcache_size", Is("gauge", &["path"])),
    ("diskcache_datafiles", Is("gauge", &["path"])),
    ("diskcache_last_close_time", Not("a queue that is closed is shown no more")),
    (
        "diskcache_open_time",
        Is("gauge", &["no_fallback_on_error", "no_lock", "no_pos", "no_sync", "path"]),
    ),
    ("diskcache_pos_updated_total", Is("counter", &["op", "path"])),
    ("diskcache_seek_back_total", Is("counter", &["path"])),
    ("diskcache_lock_wait_seconds", Not("a folder is locked once, when it is opened")),
    ("diskcache_lock_contention_total", Not("a folder is locked once, when it is opened")),
];

fn attempt(answer: &Answer, is_from_disk: bool) -> Attempt<'_> {
    Attempt {
        destination: "default",
        endpoint: "http://a",
        category: Category::Logging,
        points: 1,
        raw_bytes: 10,
        sent_bytes: 5,
        answer,
        took: Duration::from_millis(3),
        is_retry: is_from_disk,
        is_from_disk,
        compression: Compression::Gzip,
    }
}

/// Lets everything happen that is counted.
fn exercise(registry: &Registry, tasks: &Tasks, dir: &std::path::Path) {
    let clock: Arc<dyn Clock> = SystemClock::new();
    let metrics = DatawayMetrics::new(registry, clock.clone()).unwrap();
    let later =
        Answer::Later { status: None, after: None, is_overload: false, reason: String::new() };
    let head = metrics.head();
    let queue =
        Queue::open(dir, "default", QueueSettings::default(), tasks, clock.clone()).unwrap();
    head.watch_reads(&queue);
    metrics.reads(&queue).unwrap()(5);
    for answer in [
        Answer::Delivered { status: 200, left_out: Default::default() },
        Answer::Refused { status: 400, reason: String::new() },
        Answer::TooLarge,
        later,
    ] {
        metrics.attempted(&attempt(&answer, false));
        metrics.attempted(&attempt(&answer, true));
    }
    metrics.expired(Category::Logging);
    let written = Written {
        points: 3,
        filtered: 1,
        groups: 2,
        waits: 1,
        waited: Duration::from_millis(1),
        dropped: 1,
        bodies: 1,
        ..Written::default()
    };
    let rules = RulesSpec {
        drop_filters: vec![(Category::Logging, vec!["{ a = 'b' }".to_owned(), "{}".to_owned()])],
        ..RulesSpec::default()
    };
    let rules = RuleSet::new(rules, 1).unwrap();
    metrics.written("me", "v1", Category::Logging, &written, &rules);
    head.took(Category::Logging, Encoding::Protobuf, "enc", Duration::from_millis(1));
    head.made(Category::Logging, Encoding::Protobuf, 3, 100);
    head.pulled(Duration::from_millis(1), true);
    head.filters_changed(Timestamp(0));
    head.filters_refused("1:1 parse error", "pull", Timestamp(0));
    let net = NetMetrics::new(registry, "dataway").unwrap();
    net.watches(1);
    net.looked_up(Duration::from_millis(1));
    net.connected(Duration::from_millis(1));
    net.secured(Duration::from_millis(1));
    net.answered(Some(([127, 0, 0, 1], 80).into()), Duration::from_millis(1), None);
    net.answered(None, Duration::from_millis(1), Some(Duration::from_millis(1)));
    net.watched("a.test", Duration::from_millis(1), true, true);
    head.put(&queue, 10, Duration::from_millis(1));
    head.entered(Category::Logging, 3);
    head.left(Category::Logging, 3, true);
    metrics.elections().answered("default", "success", Duration::from_millis(1));
    metrics.elections().show([("default".to_owned(), "host-a".to_owned())].into());
    let form = Form {
        encoding: Encoding::LineProtocol,
        compression: Compression::None,
        has_global_tags: false,
    };
    let outlets = vec![Outlet { name: "default".into(), form, queue }];
    let encoder = Arc::new(Encoder::new(Bounds::default(), 7));
    let gateway = Gateway::new(outlets, RulesSpec::default(), Bounds::default(), encoder).unwrap();
    EndpointMetrics::new(registry).unwrap().show(gateway.stats(), &[], Duration::ZERO);
    CacheMetrics::new(registry).unwrap().show(&gateway, Timestamp(0));
}

#[tokio::test]
async fn every_metric_of_the_reference_is_shown_or_there_is_a_reason() {
    let (registry, tasks) = (Registry::new(), Tasks::new());
    let dir = tempfile::tempdir().unwrap();
    exercise(&registry, &tasks, dir.path());
    let text = registry.render();
    let mut types: BTreeMap<&str, &str> = BTreeMap::new();
    let mut labels: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            types.insert(name, kind);
        } else if !line.starts_with('#') {
            let end = line.find(['{', ' ']).unwrap();
            let name = &line[..end];
            let name = name.strip_suffix("_count").unwrap_or(name);
            let inside = line[end..].strip_prefix('{').and_then(|rest| rest.rsplit_once('}'));
            let mut keys: Vec<&str> = inside
                .map(|(inside, _)| {
                    inside.split("\",").filter_map(|one| one.split('=').next()).collect()
                })
                .unwrap_or_default();
            keys.retain(|key| *key != "quantile");
            keys.sort_unstable();
            labels.entry(name).or_insert(keys);
        }
    }
    for (name, row) in HEAD {
        match row {
            Is(kind, expected) => {
                assert_eq!(types.get(name), Some(kind), "{name}");
                assert_eq!(labels.get(name).map(|keys| &**keys), Some(*expected), "{name}");
            }
            Not(reason) => {
                assert!(!types.contains_key(name), "{name} is there");
                assert!(reason.len() > 10, "{name}");
            }
        }
    }
    // The metrics of a queue name the same folder.
    let path = format!("path=\"{}", dir.path().display());
    for line in text.lines().filter(|line| line.starts_with("diskcache_")) {
        assert!(line.contains(&path), "{line}");
    }
    // Source: dataway reference §4.3: the texts, joined by one space.
    assert!(text.contains("filters=\"{ a = 'b' } {}\""), "{text}");
    // Nothing of the original's is shown that its reference does not have.
    let seed = [
        "datakit_io_dataway_api_request_total",
        "datakit_io_dataway_sink_total",
        "datakit_io_dataway_sink_point_total",
        "datakit_io_dataway_not_sink_point_total",
        "datakit_io_dataway_api_latency",
    ];
    for name in types.keys().filter(|name| !name.starts_with("levada_")) {
        let is_known = HEAD.iter().any(|(known, _)| known == name) || seed.contains(name);
        assert!(is_known, "{name} is not in the table");
    }
}
