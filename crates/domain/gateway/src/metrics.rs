//! The metrics of the gateway; no name of one appears anywhere else.

mod dataway;
mod election;
mod head;
mod net;
mod own;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use levada_telemetry::metrics::{
    Counter, CounterFamily, IntGauge, IntGaugeFamily, MetricsError, Registry,
};

pub use self::dataway::DatawayMetrics;
pub use self::election::ElectionMetrics;
pub use self::head::{CacheMetrics, HeadMetrics};
pub use self::net::NetMetrics;
pub use self::own::{EndpointMetrics, TenantFamilies};
use crate::deliver::{SendStats, Sender};
use crate::gateway::{Gateway, GatewayStats, Outlet};
use crate::wal::{DropReason, QueueStatus};

/// Where every point is, by destination.
///
/// `accepted = delivered + dropped + dead_lettered + queued` holds among the points of one destination at every scrape.
pub struct ConservationMetrics {
    /// `levada_gateway_accepted_points_total{destination}`.
    pub accepted: CounterFamily<1>,
    /// `levada_gateway_delivered_points_total{destination}`.
    pub delivered: CounterFamily<1>,
    /// `levada_gateway_dropped_points_total{destination,reason}`.
    pub dropped: CounterFamily<2>,
    /// `levada_gateway_dead_letter_points{destination}`.
    pub dead_lettered: IntGaugeFamily<1>,
    /// `levada_gateway_queued_points{destination}`.
    pub queued: IntGaugeFamily<1>,
}

type Read = fn(&QueueStatus) -> u64;

/// Counters of a queue: name, help, and where the number is.
const QUEUE_COUNTERS: &[(&str, &str, Read)] = &[
    ("levada_gateway_wal_writes_total", "Writes of one or more bodies.", |s| s.io.writes),
    ("levada_gateway_wal_written_bytes_total", "Bytes of bodies written.", |s| s.io.written_bytes),
    ("levada_gateway_wal_flushes_total", "Files of bodies flushed to the disk.", |s| s.io.flushes),
    ("levada_gateway_wal_flush_failures_total", "Flushes that failed.", |s| s.io.flush_failures),
    ("levada_gateway_wal_write_failures_total", "Writes that failed.", |s| s.io.write_failures),
    ("levada_gateway_wal_disk_full_total", "Times that the disk was full.", |s| s.io.disk_full),
    ("levada_gateway_wal_reads_total", "Bodies read back from files.", |s| s.io.reads),
    (
        "levada_gateway_wal_read_failures_total",
        "Failed attempts to read waiting bodies, which are repeated.",
        |s| s.io.read_failures,
    ),
    ("levada_gateway_wal_cursor_writes_total", "Times that progress was noted.", |s| {
        s.io.cursor_writes
    }),
    ("levada_gateway_wal_cursor_failures_total", "Times that progress could not be noted.", |s| {
        s.io.cursor_failures
    }),
    (
        "levada_gateway_wal_segments_removed_total",
        "Segments removed because they were spent.",
        |s| s.io.segments_removed,
    ),
    ("levada_gateway_wal_damaged_regions_total", "Damaged regions met.", |s| s.io.damaged_regions),
    (
        "levada_gateway_wal_quarantined_bytes_total",
        "Bytes of damaged regions kept in the quarantine.",
        |s| s.io.quarantined_bytes,
    ),
    (
        "levada_gateway_wal_torn_bytes_total",
        "Bytes cut off the end of a log when it was opened.",
        |s| s.io.torn_bytes,
    ),
    ("levada_gateway_retries_total", "Bodies that wait again because sending failed.", |s| {
        s.io.retries
    }),
];

/// Gauges of a queue.
const QUEUE_GAUGES: &[(&str, &str, Read)] = &[
    ("levada_gateway_queue_records", "Bodies that wait or are under way.", |s| s.queued_records),
    ("levada_gateway_queue_bytes", "Bytes of bodies that wait or are under way.", |s| {
        s.queued_bytes
    }),
    ("levada_gateway_in_flight_records", "Bodies under way.", |s| s.leased_records as u64),
    ("levada_gateway_wal_segments", "Files of bodies.", |s| s.segments as u64),
    ("levada_gateway_dead_letters", "Bodies in the dead-letter store.", |s| s.dead_letters as u64),
];

/// The metrics of all queues.
pub struct QueueFamilies {
    conservation: ConservationMetrics,
    counters: Vec<CounterFamily<1>>,
    gauges: Vec<IntGaugeFamily<1>>,
}

/// The metrics of one queue.
pub struct QueueMetrics {
    accepted: Shown,
    delivered: Shown,
    /// By [`DropReason::index`].
    dropped: Vec<Shown>,
    dead_lettered: IntGauge,
    queued: IntGauge,
    counters: Vec<Shown>,
    gauges: Vec<IntGauge>,
}

/// A counter that follows a number.
struct Shown {
    counter: Counter,
    last: u64,
}

// === impl ConservationMetrics ===

impl ConservationMetrics {
    /// Registers the metrics.
    pub fn new(registry: &Registry) -> Result<Self, MetricsError> {
        Ok(ConservationMetrics {
            accepted: registry.counter_family(
                "levada_gateway_accepted_points_total",
                "Points taken for a destination.",
                &["destination"],
            )?,
            delivered: registry.counter_family(
                "levada_gateway_delivered_points_total",
                "Points that a destination took.",
                &["destination"],
            )?,
            // Each destination shows all reasons, so that its sum can be made from the first scrape on.
            dropped: registry.counter_family_of(
                DropReason::ALL.len(),
                "levada_gateway_dropped_points_total",
                "Points given up, by reason.",
                &["destination", "reason"],
            )?,
            dead_lettered: registry.int_gauge_family(
                "levada_gateway_dead_letter_points",
                "Points in the dead-letter store.",
                &["destination"],
            )?,
            queued: registry.int_gauge_family(
                "levada_gateway_queued_points",
                "Points that wait for a destination or are under way to it.",
                &["destination"],
            )?,
        })
    }
}

// === impl QueueFamilies ===

impl QueueFamilies {
    /// Registers the metrics.
    pub fn new(registry: &Registry) -> Result<Self, MetricsError> {
        let counters = QUEUE_COUNTERS
            .iter()
            .map(|(name, help, _)| registry.counter_family(name, help, &["destination"]));
        let gauges = QUEUE_GAUGES
            .iter()
            .map(|(name, help, _)| registry.int_gauge_family(name, help, &["destination"]));
        Ok(QueueFamilies {
            conservation: ConservationMetrics::new(registry)?,
            counters: counters.collect::<Result<_, _>>()?,
            gauges: gauges.collect::<Result<_, _>>()?,
        })
    }

    /// Gives the metrics of the queue of a destination.
    pub fn of(&self, destination: &str) -> QueueMetrics {
        let points = &self.conservation;
        let reasons = DropReason::ALL.iter();
        QueueMetrics {
            accepted: Shown::new(points.accepted.with(&[destination])),
            delivered: Shown::new(points.delivered.with(&[destination])),
            dropped: reasons
                .map(|reason| Shown::new(points.dropped.with(&[destination, reason.name()])))
                .collect(),
            dead_lettered: points.dead_lettered.with(&[destination]),
            queued: points.queued.with(&[destination]),
            counters: self.counters.iter().map(|c| Shown::new(c.with(&[destination]))).collect(),
            gauges: self.gauges.iter().map(|gauge| gauge.with(&[destination])).collect(),
        }
    }
}

// === impl QueueMetrics ===

impl QueueMetrics {
    /// Shows the numbers of one instant; points count from when the queue was made, not from when it was opened.
    pub fn show(&mut self, status: &QueueStatus) {
        let counts = &status.counts;
        self.accepted.show(counts.accepted);
        self.delivered.show(counts.delivered);
        for (shown, points) in self.dropped.iter_mut().zip(counts.dropped) {
            shown.show(points);
        }
        self.dead_lettered.set(gauge_of(counts.dead_lettered));
        self.queued.set(gauge_of(counts.queued));
        for (shown, (_, _, read)) in self.counters.iter_mut().zip(QUEUE_COUNTERS) {
            shown.show(read(status));
        }
        for (gauge, (_, _, read)) in self.gauges.iter().zip(QUEUE_GAUGES) {
            gauge.set(gauge_of(read(status)));
        }
    }
}

// === impl Shown ===

impl Shown {
    fn new(counter: Counter) -> Self {
        Shown { counter, last: 0 }
    }

    fn show(&mut self, now: u64) {
        self.counter.add(now.saturating_sub(self.last));
        self.last = now.max(self.last);
    }
}

fn gauge_of(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Name, help, and where the number is.
type GatewayCounter = (&'static str, &'static str, fn(&GatewayStats) -> &AtomicU64);

/// What is written to the gateway.
const GATEWAY_COUNTERS: &[GatewayCounter] = &[
    ("levada_gateway_bodies_total", "Bodies that were taken.", |stats| &stats.bodies),
    ("levada_gateway_refused_bodies_total", "Bodies that were refused, whole.", |stats| {
        &stats.refused_bodies
    }),
    ("levada_gateway_received_points_total", "Points in bodies that were taken.", |stats| {
        &stats.received
    }),
    ("levada_gateway_filtered_points_total", "Points that a filter dropped.", |stats| {
        &stats.filtered
    }),
    ("levada_gateway_no_field_points_total", "Points that had no field that may stay.", |stats| {
        &stats.no_field
    }),
    (
        "levada_gateway_nowhere_points_total",
        "Points that no sinker and no default wants.",
        |stats| &stats.nowhere,
    ),
    ("levada_gateway_routed_points_total", "Points that went to a destination.", |stats| {
        &stats.routed
    }),
    (
        "levada_gateway_copies_points_total",
        "Copies of points, one for each destination.",
        |stats| &stats.copies,
    ),
    (
        "levada_gateway_partial_bodies_total",
        "Bodies that some queues have taken and one has not.",
        |stats| &stats.partial_bodies,
    ),
    (
        "levada_gateway_partial_copies_points_total",
        "Copies of points of bodies that not all queues have taken.",
        |stats| &stats.partial_copies,
    ),
    ("levada_gateway_point_warnings_total", "Things that were changed in points.", |stats| {
        &stats.warnings
    }),
    ("levada_gateway_rule_reloads_total", "Changes of rules that took effect.", |stats| {
        &stats.reloads
    }),
    ("levada_gateway_rule_reload_errors_total", "Changes of rules that were refused.", |stats| {
        &stats.reload_errors
    }),
];

/// Name, help, and where the number is.
type SendCounter = (&'static str, &'static str, fn(&SendStats) -> &AtomicU64);

/// What a sender does, by destination.
const SEND_COUNTERS: &[SendCounter] = &[
    ("levada_gateway_requests_total", "Requests to the endpoints of a destination.", |stats| {
        &stats.requests
    }),
    (
        "levada_gateway_repeated_requests_total",
        "Requests beside the first of each body.",
        |stats| &stats.retries,
    ),
    (
        "levada_gateway_splits_total",
        "Bodies that were halved because they were too large.",
        |stats| &stats.splits,
    ),
    ("levada_gateway_joined_records_total", "Records that were sent with others.", |stats| {
        &stats.joined
    }),
    (
        "levada_gateway_left_out_fields_total",
        "Tags and fields that this kind of destination cannot hold.",
        |stats| &stats.left_out_fields,
    ),
];

/// Shows what a gateway takes and what its senders do, read at every scrape.
pub fn show_pipeline(
    registry: &Registry,
    gateway: &Arc<Gateway>,
    senders: &[Arc<Sender>],
) -> Result<(), MetricsError> {
    for (name, help, counter) in GATEWAY_COUNTERS {
        let gateway = Arc::clone(gateway);
        let read = move || counter(gateway.stats()).load(Ordering::Relaxed);
        registry.counter_fn(name, help, &[], read)?;
    }
    senders.iter().try_for_each(|sender| show_sender(registry, sender))
}

/// Shows what a sender does, read at every scrape; it takes the place of another with its name.
pub fn show_sender(registry: &Registry, sender: &Arc<Sender>) -> Result<(), MetricsError> {
    for (name, help, counter) in SEND_COUNTERS {
        let labels = [("destination", sender.name())];
        let shown = Arc::clone(sender);
        let read = move || counter(shown.stats()).load(Ordering::Relaxed);
        registry.counter_fn(name, help, &labels, read)?;
    }
    let shown = Arc::clone(sender);
    registry.gauge_fn(
        "levada_gateway_requests_in_flight",
        "Records that are being sent.",
        &[("destination", sender.name())],
        move || shown.stats().in_flight.load(Ordering::Relaxed) as f64,
    )
}

/// Shows nothing of a queue any more.
pub fn forget_queue(registry: &Registry, outlet: &Outlet) {
    registry.remove_series(&[("destination", &outlet.name)]);
    registry.remove_series(&[("path", &outlet.queue.dir().display().to_string())]);
}

#[cfg(test)]
mod tests;
