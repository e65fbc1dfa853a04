//! Metrics that versions after 1.6 of the original added, as far as they mean something here.
//!
//! What a file of its disk cache was is a segment of a queue here; what waited in its channel is a body in memory.
//!
//! Source: dataway reference §7.3, §7.4.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use levada_codec::compression::Compression;
use levada_model::{Category, Timestamp};
use levada_telemetry::metrics::{
    CounterFamily, Gauge, GaugeFamily, IntGaugeFamily, MetricsError, Registry, Summary,
    SummaryFamily, SummaryOptions,
};

use super::Shown;
use crate::deliver::{Attempt, ReadBytes};
use crate::gateway::{Gateway, PutWatch};
use crate::ingest::{EncodeWatch, Written};
use crate::wal::{Encoding, Queue, QueueStatus};

/// Counts as later versions do.
pub struct HeadMetrics {
    groups: SummaryFamily<1>,
    skipped_points: CounterFamily<1>,
    body_cost: SummaryFamily<3>,
    body_points: SummaryFamily<2>,
    body_bytes: SummaryFamily<3>,
    wal_points: CounterFamily<2>,
    wal_waits: SummaryFamily<1>,
    wal_flush: SummaryFamily<3>,
    expired: CounterFamily<1>,
    feed_cost: SummaryFamily<2>,
    filtered: CounterFamily<2>,
    pull_cost: SummaryFamily<1>,
    filter_update: Gauge,
    parse_error: GaugeFamily<2>,
    put_bytes: SummaryFamily<1>,
    put_cost: SummaryFamily<1>,
    get_bytes: SummaryFamily<1>,
    get_cost: SummaryFamily<1>,
    waiting_points: IntGaugeFamily<1>,
    waiting_bodies: IntGaugeFamily<1>,
    flushes: CounterFamily<1>,
}

/// A number of a queue, as the disk cache of the original calls it.
type CacheNumber = (&'static str, &'static str, fn(&Queue, &QueueStatus) -> u64);

const CACHE_COUNTERS: &[CacheNumber] = &[
    (
        "diskcache_rotate_total",
        "Files that were begun because the one before was full or old.",
        |_, s| s.io.segments_removed + (s.segments as u64).saturating_sub(1),
    ),
    ("diskcache_remove_total", "Files that were removed because they were spent.", |_, s| {
        s.io.segments_removed
    }),
    ("diskcache_seek_back_total", "Bodies that wait again because sending failed.", |_, s| {
        s.io.retries
    }),
];

const CACHE_GAUGES: &[CacheNumber] = &[
    ("diskcache_capacity", "Bytes that may wait.", |q, _| q.settings().bytes_max),
    ("diskcache_batch_size", "Bytes of one file.", |q, _| q.settings().segment_bytes),
    ("diskcache_max_data", "The largest body, bytes.", |q, _| q.settings().bytes_max),
    ("diskcache_size", "Bytes that wait.", |_, s| s.queued_bytes),
    ("diskcache_datafiles", "Files of bodies.", |_, s| s.segments as u64),
];

/// What is shown of one queue.
struct CacheShown {
    /// The last one is for notes of progress.
    counters: Vec<Shown>,
    expired: [u64; Category::ALL.len()],
    opened_at: f64,
    is_there: bool,
}

/// Shows what queues are at every scrape.
pub struct CacheMetrics {
    counters: Vec<CounterFamily<1>>,
    gauges: Vec<IntGaugeFamily<1>>,
    opened: GaugeFamily<5>,
    noted: CounterFamily<2>,
    in_memory: IntGaugeFamily<1>,
    expired: Vec<(Category, Shown)>,
    /// By the folder of the queue, those that are there.
    shown: BTreeMap<String, CacheShown>,
    /// Bodies that waited too long in queues that are there no more.
    expired_before: [u64; Category::ALL.len()],
}

// === impl HeadMetrics ===

impl HeadMetrics {
    /// Registers the metrics.
    pub fn new(registry: &Registry) -> Result<Self, MetricsError> {
        let full = SummaryOptions::default;
        Ok(HeadMetrics {
            groups: registry.summary_family(
                "datakit_io_grouped_request",
                "Groups that one write becomes, by the values of global tags",
                &["category"],
                full(),
            )?,
            skipped_points: registry.counter_family(
                "datakit_io_dataway_skipped_point_total",
                "Points that alone are larger than a receiver takes",
                &["category"],
            )?,
            body_cost: registry.summary_family(
                "datakit_io_build_body_cost_seconds",
                "How long bodies take to be encoded and compressed",
                &["category", "encoding", "stage"],
                full(),
            )?,
            body_points: registry.summary_family(
                "datakit_io_build_body_batch_points",
                "Points of one body",
                &["category", "encoding"],
                full(),
            )?,
            body_bytes: registry.summary_family(
                "datakit_io_build_body_batch_bytes",
                "Bytes of one body",
                &["category", "encoding", "type"],
                full(),
            )?,
            wal_points: registry.counter_family(
                "datakit_io_wal_point_total",
                "Points by where they came from when they were sent, or dropped when a queue was full",
                &["category", "status"],
            )?,
            wal_waits: registry.summary_family(
                "datakit_io_wal_put_retried",
                "How often a write waited for room",
                &["category"],
                full(),
            )?,
            wal_flush: registry.summary_family(
                "datakit_io_dataway_wal_flush",
                "Bytes of one body that is sent",
                &["category", "gzip", "queue"],
                full(),
            )?,
            expired: registry.counter_family(
                "datakit_io_flush_drop_pkg_total",
                "Bodies that waited too long",
                &["category"],
            )?,
            feed_cost: registry.summary_family(
                "datakit_io_feed_cost_seconds",
                "How long a write waited for room",
                &["category", "from"],
                full(),
            )?,
            filtered: registry.counter_family(
                "datakit_io_input_filter_point_total",
                "Points that a filter removed",
                &["name", "category"],
            )?,
            pull_cost: registry.summary_family(
                "datakit_filter_pull_latency_seconds",
                "How long a pull of filters took",
                &["status"],
                full(),
            )?,
            filter_update: registry.gauge(
                "datakit_filter_last_update_timestamp_seconds",
                "When filters were last changed, Unix seconds",
            )?,
            parse_error: registry.gauge_family(
                "datakit_filter_parse_error",
                "When filters were last refused, Unix seconds",
                &["error", "filters"],
            )?,
            put_bytes: registry.summary_family(
                "diskcache_put_bytes",
                "Bytes of a body that a queue took",
                &["path"],
                full(),
            )?,
            put_cost: registry.summary_family(
                "diskcache_put_latency",
                "How long a queue took to take a body, seconds",
                &["path"],
                full(),
            )?,
            get_bytes: registry.summary_family(
                "diskcache_get_bytes",
                "Bytes of a body that was read from a file to be sent",
                &["path"],
                full(),
            )?,
            get_cost: registry.summary_family(
                "diskcache_get_latency",
                "How long a body took to be read from a file, ahead of who sends it, seconds",
                &["path"],
                full(),
            )?,
            waiting_points: registry.int_gauge_family(
                "datakit_io_queue_points",
                "Points that were read and are not yet in the queues of their destinations",
                &["category"],
            )?,
            waiting_bodies: registry.int_gauge_family(
                "datakit_io_chan_usage",
                "Bodies whose writers wait for the queues of destinations",
                &["category"],
            )?,
            flushes: registry.counter_family(
                "datakit_io_flush_total",
                "Bodies that queues took",
                &["category"],
            )?,
        })
    }

    pub(super) fn written(&self, name: &str, category: Category, written: &Written) {
        let (alias, category) = (alias(category), category.name());
        if written.groups > 0 {
            self.groups.with(&[category]).observe(written.groups as f64);
        }
        if written.filtered > 0 {
            self.filtered.with(&[name, category]).add(written.filtered);
        }
        if written.dropped > 0 {
            self.wal_points.with(&[alias, "drop"]).add(written.dropped);
        }
        self.feed_cost.with(&[category, name]).observe(written.waited.as_secs_f64());
        if written.waits > 0 {
            self.wal_waits.with(&[alias]).observe(f64::from(written.waits));
        }
    }

    pub(super) fn attempted(&self, attempt: &Attempt<'_>) {
        let alias = alias(attempt.category);
        let queue = if attempt.is_from_disk { "D" } else { "M" };
        let gzip = if attempt.compression == Compression::Gzip { "T" } else { "F" };
        self.wal_flush.with(&[alias, gzip, queue]).observe(attempt.sent_bytes as f64);
        if !attempt.is_retry {
            self.wal_points.with(&[alias, queue]).add(u64::from(attempt.points));
        }
        if attempt.points == 1 && *attempt.answer == crate::deliver::Answer::TooLarge {
            self.skipped_points.with(&[attempt.category.name()]).inc();
        }
    }

    pub(super) fn expired(&self, category: Category) {
        self.expired.with(&[category.name()]).inc();
    }

    /// Measures how long it takes to read bodies from a queue.
    pub fn watch_reads(&self, queue: &Queue) {
        let took = self.get_cost.with(&[&path_of(queue)]);
        queue.watch_reads(Arc::new(move |read| took.observe(read.as_secs_f64())));
    }

    pub(super) fn reads(&self, queue: &Queue) -> ReadBytes {
        let bytes = self.get_bytes.with(&[&path_of(queue)]);
        Box::new(move |sent| bytes.observe(sent as f64))
    }

    /// Counts a pull of filters.
    pub fn pulled(&self, took: Duration, is_done: bool) {
        let status = if is_done { "ok" } else { "failed" };
        self.pull_cost.with(&[status]).observe(took.as_secs_f64());
    }

    /// Says that filters have changed.
    pub fn filters_changed(&self, at: Timestamp) {
        self.filter_update.set(seconds(at));
    }

    /// Says that filters were refused; both texts are cut, and there is a bound on how many are shown.
    pub fn filters_refused(&self, error: &str, filters: &str, at: Timestamp) {
        let cut = |text: &str| text[..text.floor_char_boundary(LABEL_BYTES_MAX)].to_owned();
        self.parse_error.with(&[&cut(error), &cut(filters)]).set(seconds(at));
    }
}

impl EncodeWatch for HeadMetrics {
    fn took(&self, category: Category, encoding: Encoding, stage: &'static str, took: Duration) {
        let labels = [category.name(), word(encoding), stage];
        self.body_cost.with(&labels).observe(took.as_secs_f64());
    }

    fn made(&self, category: Category, encoding: Encoding, points: u32, bytes: usize) {
        let (category, encoding) = (category.name(), word(encoding));
        self.body_points.with(&[category, encoding]).observe(f64::from(points));
        self.body_bytes.with(&[category, encoding, "raw"]).observe(bytes as f64);
    }
}

impl PutWatch for HeadMetrics {
    fn put(&self, queue: &Queue, bytes: u64, took: Duration) {
        let path = path_of(queue);
        let observe = |family: &SummaryFamily<1>, value: f64| {
            let summary: Summary = family.with(&[&path]);
            summary.observe(value);
        };
        observe(&self.put_bytes, bytes as f64);
        observe(&self.put_cost, took.as_secs_f64());
    }

    fn entered(&self, category: Category, points: u64) {
        self.waiting_points.with(&[category.name()]).add(super::gauge_of(points));
        self.waiting_bodies.with(&[category.name()]).add(1);
    }

    fn left(&self, category: Category, points: u64, is_taken: bool) {
        self.waiting_points.with(&[category.name()]).sub(super::gauge_of(points));
        self.waiting_bodies.with(&[category.name()]).sub(1);
        if is_taken {
            self.flushes.with(&[category.name()]).inc();
        }
    }
}

// === impl CacheMetrics ===

impl CacheMetrics {
    /// Registers the metrics.
    pub fn new(registry: &Registry) -> Result<Self, MetricsError> {
        let counters = CACHE_COUNTERS
            .iter()
            .map(|(name, help, _)| registry.counter_family(name, help, &["path"]));
        let gauges = CACHE_GAUGES
            .iter()
            .map(|(name, help, _)| registry.int_gauge_family(name, help, &["path"]));
        let expired = registry.counter_family(
            "datakit_io_flush_drop_pkg_total",
            "Bodies that waited too long",
            &["category"],
        )?;
        Ok(CacheMetrics {
            counters: counters.collect::<Result<_, _>>()?,
            gauges: gauges.collect::<Result<_, _>>()?,
            opened: registry.gauge_family(
                "diskcache_open_time",
                "When the queue was opened, Unix seconds",
                &["no_fallback_on_error", "no_lock", "no_pos", "no_sync", "path"],
            )?,
            noted: registry.counter_family(
                "diskcache_pos_updated_total",
                "Times that progress was noted",
                &["op", "path"],
            )?,
            in_memory: registry.int_gauge_family(
                "datakit_io_dataway_wal_mem_len",
                "Bodies that are in memory as well",
                &["category"],
            )?,
            expired: Category::ALL
                .iter()
                .map(|one| (*one, Shown::new(expired.with(&[one.name()]))))
                .collect(),
            shown: BTreeMap::new(),
            expired_before: [0; Category::ALL.len()],
        })
    }

    /// Shows the numbers of one instant; a queue that is new was opened at `now`.
    pub fn show(&mut self, gateway: &Gateway, now: Timestamp) {
        let (mut in_memory, mut expired) = ([0; Category::ALL.len()], self.expired_before);
        self.shown.values_mut().for_each(|shown| shown.is_there = false);
        for outlet in &*gateway.outlets() {
            let (queue, status) = (&outlet.queue, outlet.queue.status());
            let path = path_of(queue);
            if !self.shown.contains_key(&path) {
                let mut counters: Vec<Shown> =
                    self.counters.iter().map(|one| Shown::new(one.with(&[&path]))).collect();
                counters.push(Shown::new(self.noted.with(&["get", &path])));
                let (expired, opened_at) = ([0; Category::ALL.len()], seconds(now));
                let shown = CacheShown { counters, expired, opened_at, is_there: true };
                self.shown.insert(path.clone(), shown);
            }
            let Some(shown) = self.shown.get_mut(&path) else { continue };
            shown.is_there = true;
            shown.expired = status.expired;
            let numbers = CACHE_COUNTERS.iter().map(|(_, _, read)| read(queue, &status));
            for (counter, number) in
                shown.counters.iter_mut().zip(numbers.chain([status.io.cursor_writes]))
            {
                counter.show(number);
            }
            for (gauge, (_, _, read)) in self.gauges.iter().zip(CACHE_GAUGES) {
                gauge.with(&[&path]).set(super::gauge_of(read(queue, &status)));
            }
            let no_sync = (queue.settings().sync == crate::wal::Sync::None).to_string();
            let labels = ["false", "false", "false", &no_sync, &path];
            self.opened.with(&labels).set(shown.opened_at);
            for at in 0..Category::ALL.len() {
                in_memory[at] += status.in_memory[at];
                expired[at] += status.expired[at];
            }
        }
        self.shown.retain(|_, shown| {
            if !shown.is_there {
                let before = self.expired_before.iter_mut().zip(&mut expired);
                for ((before, now), gone) in before.zip(shown.expired) {
                    *before += gone;
                    *now += gone;
                }
            }
            shown.is_there
        });
        for (category, shown) in &mut self.expired {
            shown.show(expired[*category as usize]);
            if let Some(alias) = category.alias() {
                let bodies = super::gauge_of(in_memory[*category as usize]);
                self.in_memory.with(&[alias]).set(bodies);
            }
        }
    }
}

/// The longest label of texts, bytes.
const LABEL_BYTES_MAX: usize = 200;

fn path_of(queue: &Queue) -> String {
    queue.dir().display().to_string()
}

fn alias(category: Category) -> &'static str {
    category.alias().unwrap_or_else(|| category.name())
}

fn seconds(at: Timestamp) -> f64 {
    at.0.div_euclid(1_000_000_000) as f64
}

fn word(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::LineProtocol => "v1",
        Encoding::Protobuf => "v2",
        Encoding::Json => "json",
        Encoding::ProtobufJson => "pbjson",
        Encoding::Other => "other",
    }
}
