//! A registry of counters, gauges, histograms and summaries, and their Prometheus text form.
//!
//! ```
//! use levada_telemetry::metrics::{Buckets, Registry};
//!
//! let registry = Registry::new();
//! let sent = registry.counter_family("messages_sent_total", "Messages sent.", &["sink_type"])?;
//! let kafka = sent.with(&["kafka"]); // once, when the sink is built
//! kafka.add(3); // on the hot path: one atomic addition
//! let seconds = registry.histogram("write_seconds", "Time of a write.", Buckets::exponential(0.001, 2.0, 10)?)?;
//! seconds.observe(0.02);
//! assert!(registry.render().contains("messages_sent_total{sink_type=\"kafka\"} 3\n"));
//! # Ok::<(), levada_telemetry::metrics::MetricsError>(())
//! ```
//!
//! Invariants:
//! - A handle ([`Counter`], [`Gauge`], [`IntGauge`], [`Histogram`], [`Summary`]) is a cheap clone of shared memory. Its updates
//!   take no lock, allocate nothing and format nothing, except that a [`Summary`] with quantiles takes a short lock of its own.
//! - A family holds a bounded number of series (1,000 unless told otherwise). Past it, values are counted under the label value
//!   `other`, `levada_metrics_series_dropped_total` grows, and the family is named once in a warning.
//! - Names and labels are checked when a family is registered, so the exposition is always well formed.
//!
//! Deliberately not here: metric names of the planes (each crate has its own `metrics.rs`), and serving them over HTTP.

mod error;
mod family;
mod histogram;
mod registry;
mod scalar;
mod sketch;
mod summary;
mod text;

pub use error::MetricsError;
pub use family::{
    CounterFamily, Family, GaugeFamily, HistogramFamily, IntGaugeFamily, Metric, SummaryFamily,
};
pub use histogram::{Buckets, Histogram};
pub use registry::{Registry, SERIES_DROPPED};
pub use scalar::{Counter, Gauge, IntGauge};
pub use summary::{Summary, SummaryOptions};
pub use text::CONTENT_TYPE;
