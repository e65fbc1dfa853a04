//! Counters and gauges: one atomic word each.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Counts up, exactly, in 64 bits.
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<AtomicU64>);

/// Holds a number that goes up and down.
#[derive(Debug, Clone, Default)]
pub struct Gauge(Arc<AtomicU64>);

/// Holds a whole number that goes up and down, exactly, in 64 bits.
#[derive(Debug, Clone, Default)]
pub struct IntGauge(Arc<AtomicI64>);

// === impl Counter ===

impl Counter {
    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds `count`. Wraps around past `u64::MAX`, as a restart would.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// Gives the current count.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

// === impl Gauge ===

impl Gauge {
    /// Replaces the value.
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }

    /// Adds `delta`, which may be negative.
    pub fn add(&self, delta: f64) {
        add_f64(&self.0, delta);
    }

    /// Gives the current value.
    pub fn value(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

// === impl IntGauge ===

impl IntGauge {
    /// Replaces the value.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Adds `delta`, which may be negative.
    pub fn add(&self, delta: i64) {
        self.0.fetch_add(delta, Ordering::Relaxed);
    }

    /// Takes `delta` away.
    pub fn sub(&self, delta: i64) {
        self.0.fetch_sub(delta, Ordering::Relaxed);
    }

    /// Gives the current value.
    pub fn value(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Adds to an `f64` that is kept as bits in an atomic word.
pub(super) fn add_f64(cell: &AtomicU64, delta: f64) {
    let mut seen = cell.load(Ordering::Relaxed);
    loop {
        let sum = (f64::from_bits(seen) + delta).to_bits();
        match cell.compare_exchange_weak(seen, sum, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return,
            Err(current) => seen = current,
        }
    }
}
