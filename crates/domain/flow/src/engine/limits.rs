//! The bounds of a running flow.

use std::time::Duration;

use levada_runtime::{BackoffPolicy, Bounds};
use levada_settings::Settings;

use crate::spec::{AckGranularity, FlowFields};

/// The bounds of a running flow; defaults are in the settings, the flow may set some itself.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Records of one batch, at most; 1 when each record is acknowledged for itself.
    pub batch_records: usize,
    /// Bytes at which a source hands on a batch.
    pub batch_bytes: usize,
    /// Unfinished records at most.
    pub window_records: u64,
    /// Unfinished bytes at most.
    pub window_bytes: u64,
    /// What each edge holds.
    pub queue: Bounds,
    /// Records that one record may become at most.
    pub copies_max: usize,
    /// Threads that transform.
    pub workers: usize,
    /// How often positions are stored.
    pub checkpoint_interval: Duration,
    /// How failed work is tried again.
    pub retry: BackoffPolicy,
    /// The flow stops when more than this share of its records fails; 1: never.
    pub dead_letter_ratio_max: f64,
    /// Records that must have been seen before the share counts.
    pub dead_letter_records_min: u64,
    /// How long a drain may take.
    pub drain_timeout: Duration,
    /// How long nothing may be finished while records wait before the flow is called stuck; zero: for ever.
    pub progress_timeout: Duration,
}

// More workers than this gain nothing before a single writer.
const WORKERS_DEFAULT_MAX: usize = 4;

impl Limits {
    /// Takes the bounds from the settings and from what the flow says itself.
    pub fn new(settings: &Settings, fields: &FlowFields, max_ratio: Option<f64>) -> Self {
        let flow = &settings.flow;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = match fields.transform_workers {
            Some(workers) => usize::try_from(workers).unwrap_or(1).max(1),
            None => cores.min(WORKERS_DEFAULT_MAX),
        };
        let queue_records = match fields.channel_buffer_size {
            Some(size) => u64::try_from(size).unwrap_or(1),
            None => flow.queue_records as u64,
        };
        let interval = fields.checkpoint_save_interval.unwrap_or(flow.checkpoint_interval);
        let is_prompt = fields.checkpoint_sync_on_ack == Some(true)
            || fields.granularity() == AckGranularity::Message;
        let interval = match is_prompt && fields.checkpoint_save_interval.is_none() {
            true => Duration::from_millis(10),
            false => interval.into(),
        };
        let batch_records = match fields.granularity() {
            AckGranularity::Message => 1,
            AckGranularity::Batch => flow.batch_records,
        };
        Limits {
            batch_records,
            batch_bytes: flow.batch_bytes.as_usize(),
            window_records: flow.window_records as u64,
            window_bytes: flow.window_bytes.into(),
            queue: Bounds { records: queue_records, bytes: flow.queue_bytes.into() },
            copies_max: flow.copies_max,
            workers,
            checkpoint_interval: interval,
            retry: BackoffPolicy {
                initial: flow.retry_initial.into(),
                max: flow.retry_max.into(),
                attempts_max: u32::try_from(flow.retry_limit).unwrap_or(u32::MAX),
            },
            dead_letter_ratio_max: max_ratio.unwrap_or(flow.dlq_max_ratio),
            dead_letter_records_min: flow.dlq_min_records,
            drain_timeout: settings.runtime.drain_timeout.into(),
            progress_timeout: flow.progress_timeout.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_holds_one_record_when_each_is_acknowledged_for_itself() {
        let settings = Settings::default();
        let limits = Limits::new(&settings, &FlowFields::default(), None);
        assert_eq!((limits.batch_records, limits.batch_bytes), (2000, 128 << 10));
        let fields =
            FlowFields { ack_granularity: Some("message".into()), ..FlowFields::default() };
        let limits = Limits::new(&settings, &fields, None);
        assert_eq!(limits.batch_records, 1);
        assert_eq!(limits.checkpoint_interval, Duration::from_millis(10));
    }
}
