//! The counters of listeners.

use levada_telemetry::metrics::{Counter, CounterFamily, MetricsError, Registry};

/// The counters of all listeners, by protocol and address.
pub(crate) struct InputMetrics(Vec<CounterFamily<2>>);

/// The counters of one listener; cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Counts {
    /// Bytes that were received.
    pub(crate) bytes: Counter,
    /// Points that were read.
    pub(crate) points: Counter,
    /// Lines that are no points.
    pub(crate) refused: Counter,
    /// Datagrams with such lines.
    pub(crate) malformed: Counter,
    /// Datagrams that found the queue full, or were too large.
    pub(crate) dropped: Counter,
    /// Failed reads.
    pub(crate) read_failures: Counter,
    /// Points that went to the tasks.
    pub(crate) handed_over: Counter,
    /// Copies of points that full queues of tasks dropped.
    pub(crate) points_dropped: Counter,
    /// Connections that were one too many.
    pub(crate) connections_refused: Counter,
    /// Lines that were too long.
    pub(crate) too_long: Counter,
}

type Pick = fn(&mut Counts) -> &mut Counter;

const TABLE: &[(&str, &str, Pick)] = &[
    ("levada_input_bytes_total", "Bytes that a listener received.", |c| &mut c.bytes),
    ("levada_input_points_total", "Points that a listener read.", |c| &mut c.points),
    ("levada_input_lines_refused_total", "Lines that are no points.", |c| &mut c.refused),
    ("levada_input_datagrams_malformed_total", "Datagrams with lines that are no points.", |c| {
        &mut c.malformed
    }),
    (
        "levada_input_datagrams_dropped_total",
        "Datagrams that found the buffer full, or were too large.",
        |c| &mut c.dropped,
    ),
    ("levada_input_read_failures_total", "Reads that failed.", |c| &mut c.read_failures),
    ("levada_input_points_handed_over_total", "Points that went to the tasks.", |c| {
        &mut c.handed_over
    }),
    ("levada_input_points_dropped_total", "Points that full queues of tasks dropped.", |c| {
        &mut c.points_dropped
    }),
    ("levada_input_connections_refused_total", "Connections that were one too many.", |c| {
        &mut c.connections_refused
    }),
    ("levada_input_lines_too_long_total", "Lines that were too long.", |c| &mut c.too_long),
];

// === impl InputMetrics ===

impl InputMetrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, MetricsError> {
        let families = TABLE
            .iter()
            .map(|(name, help, _)| registry.counter_family(name, help, &["protocol", "bind"]));
        Ok(InputMetrics(families.collect::<Result<_, _>>()?))
    }

    /// Makes counters that are shown nowhere.
    pub(crate) fn hidden() -> Self {
        InputMetrics(Vec::new())
    }

    /// Gives the counters of a listener.
    pub(crate) fn counts(&self, protocol: &str, bind: &str) -> Counts {
        let mut counts = Counts::default();
        for (family, (_, _, pick)) in self.0.iter().zip(TABLE) {
            *pick(&mut counts) = family.with(&[protocol, bind]);
        }
        counts
    }
}

// === impl Counts ===

impl Counts {
    /// Gives the fields of Kapacitor's measurement `udp`.
    pub(crate) fn udp_fields(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("points_rx", self.points.value()),
            ("bytes_rx", self.bytes.value()),
            ("points_parse_fail", self.malformed.value()),
            ("read_fail", self.read_failures.value()),
            ("points_tx", self.handed_over.value()),
            ("tx_fail", self.points_dropped.value()),
        ]
    }
}
