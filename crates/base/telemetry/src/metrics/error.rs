//! What can be wrong with the description of a metric.

/// Says why a metric cannot be registered.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MetricsError {
    /// The name of the metric does not follow the rules of the exposition format.
    #[error(
        "invalid metric name `{name}`: use letters, digits, `_` and `:`, and do not start with a digit"
    )]
    InvalidName {
        /// The refused name.
        name: String,
    },
    /// A label name is malformed, reserved or repeated.
    #[error("invalid label `{label}` of metric `{metric}`: {reason}")]
    InvalidLabel {
        /// The metric that was to be registered.
        metric: String,
        /// The refused label.
        label: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The name is in use for a metric of another kind, with other labels, buckets or quantiles.
    #[error(
        "metric `{name}` is already registered as {existing}, not as {requested}; \
         register it with the same shape or choose another name"
    )]
    Conflict {
        /// The name both want.
        name: String,
        /// The shape that was registered first.
        existing: String,
        /// The shape that was refused.
        requested: String,
    },
    /// A sample of the metric (such as `x_count` of a histogram `x`) would have the name of another metric.
    #[error(
        "metric `{name}` would write samples named `{sample}`, which belong to metric `{owner}`; choose another name"
    )]
    SampleTaken {
        /// The metric that was refused.
        name: String,
        /// The name of the sample both would write.
        sample: String,
        /// The metric that was registered first.
        owner: String,
    },
    /// The buckets of a histogram are unusable.
    #[error("invalid buckets: {reason}; for example `0.1, 0.5, 1`")]
    Buckets {
        /// What is wrong with them.
        reason: String,
    },
    /// The quantiles or the window of a summary are unusable.
    #[error(
        "invalid summary: {reason}; for example quantiles `0.5, 0.9, 0.99` over 10 minutes in 5 slots"
    )]
    Summary {
        /// What is wrong with it.
        reason: String,
    },
    /// A callback could not be added because its family is full.
    #[error(
        "metric `{name}` already has {limit} series; remove series that ended or use fewer label values"
    )]
    SeriesLimit {
        /// The metric that is full.
        name: String,
        /// How many series it may have.
        limit: usize,
    },
}
