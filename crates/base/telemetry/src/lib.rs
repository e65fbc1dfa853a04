//! Metrics registry and exposition, tracing set-up, progress.
//!
//! - [`metrics`]: counters, gauges, histograms and summaries with the Prometheus text exposition.
//! - [`trace`]: where log lines go and what they look like.
//! - [`progress`]: the line on a terminal that shows rates and lag while a flow runs.
//! - [`feed`]: log lines for readers that come and go.
//! - [`console`]: standard error, shared so that log lines and the progress line do not overwrite each other.
//!
//! Nothing here is global except the tracing subscriber, which can only be global: a [`metrics::Registry`] is an
//! instance, so that two flows, or two tests, in one process do not see each other's numbers.

pub mod console;
pub mod feed;
pub mod metrics;
pub mod progress;
pub mod trace;
