//! The metrics of the original: names, labels and units are those that its dashboards know.
//!
//! The first eight are those of version 1.6, the others those of later versions that mean something here. One request is
//! one attempt: what the original repeats within a request counts here as requests of their own.
//!
//! Source: dataway reference §7.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use levada_model::Category;
use levada_runtime::Clock;
use levada_telemetry::metrics::{
    CounterFamily, GaugeFamily, MetricsError, Registry, SummaryFamily, SummaryOptions,
};

use super::{ElectionMetrics, HeadMetrics};
use crate::deliver::{Answer, Attempt, ReadBytes, Watch};
use crate::ingest::Written;
use crate::rules::RuleSet;
use crate::wal::Queue;

/// Counts requests, points and rules as the original does.
pub struct DatawayMetrics {
    requests: CounterFamily<2>,
    points: CounterFamily<2>,
    point_bytes: CounterFamily<2>,
    sinks: CounterFamily<1>,
    sink_points: CounterFamily<2>,
    not_sink_points: CounterFamily<1>,
    latency_millis: SummaryFamily<2>,
    cache_bytes: SummaryFamily<1>,
    latency_seconds: SummaryFamily<2>,
    retries: CounterFamily<2>,
    refused_points: CounterFamily<2>,
    body_batches: SummaryFamily<2>,
    body_points: SummaryFamily<2>,
    feeds: CounterFamily<2>,
    feed_points: SummaryFamily<2>,
    last_feed: GaugeFamily<2>,
    filter_points: CounterFamily<3>,
    filter_dropped_points: CounterFamily<3>,
    filter_latency: SummaryFamily<3>,
    /// Those of later versions that need to hear the same.
    head: Arc<HeadMetrics>,
    elections: ElectionMetrics,
    /// The destinations that only sinkers send to.
    sunk_to: Mutex<BTreeSet<String>>,
    clock: Arc<dyn Clock>,
}

/// The longest label of filters, bytes.
const FILTERS_BYTES_MAX: usize = 200;
/// What stands for a status when there was no answer.
const UNKNOWN: &str = "unknown";

// === impl DatawayMetrics ===

impl DatawayMetrics {
    /// Registers the metrics.
    pub fn new(registry: &Registry, clock: Arc<dyn Clock>) -> Result<Self, MetricsError> {
        let plain = SummaryOptions::without_quantiles;
        let full = SummaryOptions::default;
        Ok(DatawayMetrics {
            requests: registry.counter_family(
                "datakit_io_dataway_api_request_total",
                "dataway HTTP request processed, partitioned by status code and HTTP API(url path)",
                &["api", "status"],
            )?,
            points: registry.counter_family(
                "datakit_io_dataway_point_total",
                "dataway uploaded points, partitioned by category and send status(HTTP status)",
                &["category", "status"],
            )?,
            point_bytes: registry.counter_family(
                "datakit_io_dataway_point_bytes_total",
                "dataway uploaded points bytes, partitioned by category and pint send status(HTTP status)",
                &["category", "status"],
            )?,
            sinks: registry.counter_family(
                "datakit_io_dataway_sink_total",
                "dataway sink count, partitioned by category.",
                &["category"],
            )?,
            sink_points: registry.counter_family(
                "datakit_io_dataway_sink_point_total",
                "dataway sink points, partitioned by category and point send status(ok/failed/dropped)",
                &["category", "status"],
            )?,
            not_sink_points: registry.counter_family(
                "datakit_io_dataway_not_sink_point_total",
                "dataway not-sinked points(condition or category not match)",
                &["category"],
            )?,
            latency_millis: registry.summary_family(
                "datakit_io_dataway_api_latency",
                "dataway HTTP request latency(ms) partitioned by HTTP API(method@url) and HTTP status",
                &["api", "status"],
                plain(),
            )?,
            cache_bytes: registry.summary_family(
                "datakit_io_flush_failcache_bytes",
                "IO flush fail-cache bytes(in gzip) summary",
                &["category"],
                plain(),
            )?,
            latency_seconds: registry.summary_family(
                "datakit_io_dataway_api_latency_seconds",
                "Dataway HTTP request latency partitioned by HTTP API(method@url) and HTTP status",
                &["api", "status"],
                full(),
            )?,
            retries: registry.counter_family(
                "datakit_io_http_retry_total",
                "Dataway HTTP retried count",
                &["api", "status"],
            )?,
            refused_points: registry.counter_family(
                "datakit_io_dataway_http_drop_point_total",
                "Dataway write drop points",
                &["category", "error"],
            )?,
            body_batches: registry.summary_family(
                "datakit_io_build_body_batches",
                "Bodies that one write becomes",
                &["category", "encoding"],
                full(),
            )?,
            body_points: registry.summary_family(
                "datakit_io_build_body_points",
                "Points of one write",
                &["category", "encoding"],
                full(),
            )?,
            feeds: registry.counter_family(
                "datakit_io_feed_total",
                "Bodies that came in",
                &["name", "category"],
            )?,
            feed_points: registry.summary_family(
                "datakit_io_feed_point",
                "Points that came in, per body",
                &["name", "category"],
                full(),
            )?,
            last_feed: registry.gauge_family(
                "datakit_io_last_feed_timestamp_seconds",
                "When points last came in, Unix seconds",
                &["name", "category"],
            )?,
            filter_points: registry.counter_family(
                "datakit_filter_point_total",
                "Points that drop filters looked at",
                &["category", "filters", "source"],
            )?,
            filter_dropped_points: registry.counter_family(
                "datakit_filter_point_dropped_total",
                "Points that drop filters dropped",
                &["category", "filters", "source"],
            )?,
            filter_latency: registry.summary_family(
                "datakit_filter_latency_seconds",
                "How long drop filters looked at the points of one body",
                &["category", "filters", "source"],
                full(),
            )?,
            elections: ElectionMetrics::new(registry)?,
            head: Arc::new(HeadMetrics::new(registry)?),
            sunk_to: Mutex::default(),
            clock,
        })
    }

    /// Gives the metrics of later versions.
    pub fn head(&self) -> &Arc<HeadMetrics> {
        &self.head
    }

    /// Gives the metrics of elections.
    pub fn elections(&self) -> &ElectionMetrics {
        &self.elections
    }

    /// Says which destinations only sinkers send to; others count no sink points.
    pub fn set_sunk_to(&self, destinations: BTreeSet<String>) {
        *self.sunk_to.lock().unwrap_or_else(PoisonError::into_inner) = destinations;
    }

    /// Counts a body that was taken; `encoding` is how it came, `name` who sent it.
    pub fn written(
        &self,
        name: &str,
        encoding: &str,
        category: Category,
        written: &Written,
        rules: &RuleSet,
    ) {
        self.head.written(name, category, written);
        let spec = rules.spec();
        let category_name = category.name();
        let sinkers = spec.sinkers.len() as u64;
        if sinkers > 0 {
            self.sinks.with(&[category_name]).add(sinkers);
            let asked = written.points - (written.filtered + written.no_field).min(written.points);
            let left = (asked * sinkers).saturating_sub(written.sunk);
            if left > 0 {
                self.not_sink_points.with(&[category_name]).add(left);
            }
        }
        self.body_batches.with(&[category_name, encoding]).observe(written.bodies as f64);
        self.body_points.with(&[category_name, encoding]).observe(written.points as f64);
        self.feeds.with(&[name, category_name]).inc();
        self.feed_points.with(&[name, category_name]).observe(written.points as f64);
        let now = self.clock.now().0.div_euclid(1_000_000_000);
        self.last_feed.with(&[name, category_name]).set(now as f64);
        let filters =
            spec.drop_filters.iter().find(|(known, list)| *known == category && !list.is_empty());
        if let Some((_, list)) = filters {
            // Source: dataway reference §4.3.
            let text = list.join(" ");
            let text = &text[..text.floor_char_boundary(FILTERS_BYTES_MAX)];
            let labels = [category_name, text, spec.drop_source.name()];
            self.filter_points.with(&labels).add(written.points);
            self.filter_dropped_points.with(&labels).add(written.filtered);
            self.filter_latency.with(&labels).observe(written.filters_took.as_secs_f64());
        }
    }
}

impl Watch for DatawayMetrics {
    fn expired(&self, category: Category) {
        self.head.expired(category);
    }

    fn reads(&self, queue: &Queue) -> Option<ReadBytes> {
        Some(self.head.reads(queue))
    }

    fn attempted(&self, attempt: &Attempt<'_>) {
        self.head.attempted(attempt);
        let (api, category) = (attempt.category.path(), attempt.category.name());
        let status = status_of(attempt.answer);
        let phrase = status.and_then(phrase);
        // Without an answer, points know of a timeout and requests do not.
        let of_request = phrase.unwrap_or(UNKNOWN);
        let is_timeout =
            matches!(attempt.answer, Answer::Later { status: None, is_overload: true, .. });
        let of_points = phrase.unwrap_or(if is_timeout { "Request Timeout" } else { UNKNOWN });
        let of_latency = phrase.unwrap_or(match attempt.answer {
            _ if is_timeout => "timeout",
            Answer::Later { reason, .. } => network_word(reason),
            _ => UNKNOWN,
        });
        let points = u64::from(attempt.points);
        self.requests.with(&[api, of_request]).inc();
        self.points.with(&[category, of_points]).add(points);
        self.point_bytes.with(&[category, of_points]).add(attempt.sent_bytes as u64);
        let is_sunk = {
            let sunk_to = self.sunk_to.lock().unwrap_or_else(PoisonError::into_inner);
            sunk_to.contains(attempt.destination)
        };
        if is_sunk {
            self.sink_points.with(&[category, of_points]).add(points);
        }
        self.latency_millis.with(&[api, of_request]).observe(attempt.took.as_millis() as f64);
        self.latency_seconds.with(&[api, of_latency]).observe(attempt.took.as_secs_f64());
        match attempt.answer {
            Answer::Delivered { .. } if attempt.is_retry => {
                self.cache_bytes.with(&[category]).observe(attempt.sent_bytes as f64);
            }
            Answer::Refused { .. } => {
                self.refused_points.with(&[category, "write point 4xx"]).add(points);
            }
            Answer::Later { .. } => self.retries.with(&[api, of_latency]).inc(),
            Answer::Delivered { .. }
            | Answer::Pause { .. }
            | Answer::TooLarge
            | Answer::Mixed { .. } => {}
        }
    }
}

/// Gives the word for a failure without an answer. Source: dataway reference §7.3, spelling included.
fn network_word(reason: &str) -> &'static str {
    let reason = reason.to_ascii_lowercase();
    let words = [
        ("connection refused", "connection-refused"),
        ("connection reset", "reset-by-pear"),
        ("network is unreachable", "network-is-unreachable"),
    ];
    words.iter().find(|(text, _)| reason.contains(text)).map_or(UNKNOWN, |(_, word)| word)
}

fn status_of(answer: &Answer) -> Option<u16> {
    match answer {
        Answer::Delivered { status, .. }
        | Answer::Refused { status, .. }
        | Answer::Mixed { status, .. } => Some(*status),
        Answer::Later { status, .. } | Answer::Pause { status, .. } => *status,
        Answer::TooLarge => Some(413),
    }
}

/// Gives the reason phrase of a status, as Go spells it.
fn phrase(status: u16) -> Option<&'static str> {
    Some(match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        207 => "Multi-Status",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Request Entity Too Large",
        414 => "Request URI Too Long",
        415 => "Unsupported Media Type",
        421 => "Misdirected Request",
        422 => "Unprocessable Entity",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        511 => "Network Authentication Required",
        _ => return None,
    })
}
