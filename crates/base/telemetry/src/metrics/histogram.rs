//! Histograms: counts per bucket, in atomics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::MetricsError;
use super::scalar::add_f64;
use super::text::{Number, SeriesWriter};

/// The most buckets a histogram may have; each is one line of the exposition and one word of memory per series.
const BUCKETS_MAX: usize = 256;

/// Upper bounds of buckets, ascending, without the last one at infinity.
pub(super) type Bounds = Arc<[f64]>;

/// The buckets of a histogram; the one at infinity is implied.
#[derive(Debug, Clone, PartialEq)]
pub struct Buckets(pub(super) Bounds);

/// Counts observations per bucket, and their sum.
#[derive(Debug, Clone)]
pub struct Histogram(Arc<Cells>);

#[derive(Debug)]
struct Cells {
    bounds: Bounds,
    /// One per bound and one for infinity; not cumulative, so that an observation touches one of them.
    counts: Box<[AtomicU64]>,
    sum: AtomicU64,
}

// === impl Buckets ===

impl Buckets {
    /// Gives buckets with these upper bounds, which must ascend. A last bound of infinity is accepted and ignored.
    ///
    /// - Errors: [`MetricsError::Buckets`] when empty, more than 256, not ascending or not numbers.
    pub fn explicit(bounds: &[f64]) -> Result<Self, MetricsError> {
        let bounds = bounds.strip_suffix(&[f64::INFINITY]).unwrap_or(bounds);
        let refuse = |reason: String| Err(MetricsError::Buckets { reason });
        if bounds.is_empty() {
            return refuse("there is no bound".into());
        }
        if bounds.len() > BUCKETS_MAX {
            return refuse(format!("{} bounds are more than {BUCKETS_MAX}", bounds.len()));
        }
        if let Some(bound) = bounds.iter().find(|bound| !bound.is_finite()) {
            return refuse(format!("bound {bound} is not a finite number"));
        }
        if let Some(pair) = bounds.windows(2).find(|pair| pair[0] >= pair[1]) {
            return refuse(format!("bound {} does not follow {}", pair[1], pair[0]));
        }
        Ok(Self(bounds.into()))
    }

    /// Gives `count` buckets: the first ends at `start`, each next one `factor` times further.
    ///
    /// - Errors: [`MetricsError::Buckets`] when `start` is not positive, `factor` not above 1, or `count` is 0 or above 256.
    /// - Source: Go client `ExponentialBuckets`, which multiplies step by step, so the `le` labels come out the same.
    pub fn exponential(start: f64, factor: f64, count: usize) -> Result<Self, MetricsError> {
        let usable = start > 0.0 && factor > 1.0 && (1..=BUCKETS_MAX).contains(&count);
        if !usable {
            let reason = format!(
                "start {start} must be above 0, factor {factor} above 1, count {count} in 1 to {BUCKETS_MAX}"
            );
            return Err(MetricsError::Buckets { reason });
        }
        let bounds: Vec<f64> =
            std::iter::successors(Some(start), |bound| Some(bound * factor)).take(count).collect();
        Self::explicit(&bounds)
    }
}

impl Default for Buckets {
    /// Gives the default buckets of the Go client, made for seconds of a request.
    fn default() -> Self {
        Self([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0].as_slice().into())
    }
}

// === impl Histogram ===

impl Histogram {
    pub(super) fn with_bounds(bounds: &Bounds) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new(Cells {
            bounds: Arc::clone(bounds),
            counts,
            sum: AtomicU64::new(0.0_f64.to_bits()),
        }))
    }

    /// Counts one observation.
    ///
    /// Differs: a NaN is counted in the last bucket and left out of the sum, which the Go client would turn into NaN for good.
    pub fn observe(&self, value: f64) {
        self.observe_many(value, 1);
    }

    /// Counts `count` observations of the same value, at the cost of one.
    pub fn observe_many(&self, value: f64, count: u64) {
        if count == 0 {
            return;
        }
        let cells = &*self.0;
        let place = if value.is_nan() {
            cells.bounds.len()
        } else {
            add_f64(&cells.sum, value * count as f64);
            cells.bounds.partition_point(|bound| *bound < value)
        };
        cells.counts[place].fetch_add(count, Ordering::Relaxed);
    }

    /// Gives how many observations there were.
    pub fn count(&self) -> u64 {
        self.0.counts.iter().fold(0, |sum, cell| sum.wrapping_add(cell.load(Ordering::Relaxed)))
    }

    /// Gives the sum of all observations.
    pub fn sum(&self) -> f64 {
        f64::from_bits(self.0.sum.load(Ordering::Relaxed))
    }

    pub(super) fn write_samples(&self, writer: &mut SeriesWriter<'_>) {
        let cells = &*self.0;
        let mut cumulative = 0_u64;
        let bounds = cells.bounds.iter().copied().chain([f64::INFINITY]);
        for (bound, cell) in bounds.zip(&cells.counts) {
            cumulative = cumulative.wrapping_add(cell.load(Ordering::Relaxed));
            writer.sample("_bucket", Some(("le", bound)), Number::Unsigned(cumulative));
        }
        writer.sample("_sum", None, Number::Float(self.sum()));
        // The count is what the buckets just added up to, so that it always equals the last bucket.
        writer.sample("_count", None, Number::Unsigned(cumulative));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn counts(histogram: &Histogram) -> Vec<u64> {
        histogram.0.counts.iter().map(|cell| cell.load(Ordering::Relaxed)).collect()
    }

    #[test]
    fn an_observation_on_a_bound_belongs_below_it() {
        let histogram =
            Histogram::with_bounds(&Buckets::explicit(&[1.0, 2.0, f64::INFINITY]).unwrap().0);
        for value in [0.5, 1.0, 1.000_1, 2.0, 2.1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            histogram.observe(value);
        }
        histogram.observe_many(1.5, 10);
        histogram.observe_many(1.5, 0);
        assert_eq!(counts(&histogram), [3, 12, 3]);
        assert_eq!(histogram.count(), 18);
    }

    #[test]
    fn nan_leaves_the_sum_usable() {
        let histogram = Histogram::with_bounds(&Buckets::default().0);
        histogram.observe(2.0);
        histogram.observe(f64::NAN);
        histogram.observe_many(0.5, 4);
        assert_eq!(histogram.sum(), 4.0);
    }

    #[test]
    fn exponential_buckets_multiply_step_by_step() {
        let buckets = Buckets::exponential(0.001, 2.0, 10).unwrap();
        assert_eq!(
            &*buckets.0,
            [0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512]
        );
    }

    #[test]
    fn unusable_buckets_are_refused() {
        for bounds in
            [&[][..], &[1.0, 1.0], &[2.0, 1.0], &[f64::NAN], &[f64::INFINITY], &[0.0; 257]]
        {
            assert!(
                matches!(Buckets::explicit(bounds), Err(MetricsError::Buckets { .. })),
                "{bounds:?}"
            );
        }
        assert!(Buckets::exponential(0.0, 2.0, 3).is_err());
        assert!(Buckets::exponential(1.0, 1.0, 3).is_err());
        assert!(Buckets::exponential(1.0, f64::NAN, 3).is_err());
        assert!(Buckets::exponential(1.0, 2.0, 0).is_err());
        assert!(Buckets::exponential(1e300, 1e10, 3).is_err(), "bounds past the largest float");
    }
}
