//! Summaries: sum, count, and quantiles over a sliding window of time.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use levada_runtime::Clock;

use super::MetricsError;
use super::scalar::add_f64;
use super::sketch::{self, Sketch};
use super::text::{Number, SeriesWriter};

/// The most quantiles a summary may have; each is one line of the exposition.
const QUANTILES_MAX: usize = 32;
/// The most slots a window may have; each may hold a sketch of up to some 16 KiB.
const SLOTS_MAX: u32 = 60;

/// What a summary shows and for how long an observation counts.
#[derive(Debug, Clone, PartialEq)]
pub struct SummaryOptions {
    /// Which quantiles are shown, each in 0 to 1. May be empty: then only `_sum` and `_count` are shown.
    pub quantiles: Vec<f64>,
    /// How long an observation takes part in the quantiles. `_sum` and `_count` are never reset.
    pub max_age: Duration,
    /// In how many steps old observations leave: the window covers between `max_age - max_age / slots` and `max_age`.
    pub slots: u32,
}

/// Shows quantiles of what was observed lately, and sum and count of all that was observed.
///
/// Memory per series is bounded (see the sketch: at most some 16 KiB per slot, and nothing for slots without observations).
#[derive(Clone)]
pub struct Summary(Arc<Cells>);

struct Cells {
    quantiles: Box<[f64]>,
    count: AtomicU64,
    sum: AtomicU64,
    clock: Arc<dyn Clock>,
    window: Mutex<Window>,
}

/// Sketches by slot of time, oldest first, at most `slots_max` of them.
#[derive(Debug)]
struct Window {
    slot: Duration,
    slots_max: usize,
    slots: VecDeque<(u128, Sketch)>,
}

// === impl SummaryOptions ===

impl Default for SummaryOptions {
    /// Gives the quantiles 0.5, 0.9 and 0.99 over ten minutes in five steps.
    ///
    /// Source: the Go client's window, and the objectives most of its users set.
    fn default() -> Self {
        Self { quantiles: vec![0.5, 0.9, 0.99], max_age: Duration::from_secs(600), slots: 5 }
    }
}

impl SummaryOptions {
    /// Gives a summary of sum and count only.
    #[must_use]
    pub fn without_quantiles() -> Self {
        Self { quantiles: Vec::new(), ..Self::default() }
    }

    pub(super) fn checked(mut self) -> Result<Self, MetricsError> {
        let refuse = |reason: String| Err(MetricsError::Summary { reason });
        if self.quantiles.len() > QUANTILES_MAX {
            return refuse(format!(
                "{} quantiles are more than {QUANTILES_MAX}",
                self.quantiles.len()
            ));
        }
        if let Some(quantile) =
            self.quantiles.iter().find(|quantile| !(0.0..=1.0).contains(*quantile))
        {
            return refuse(format!("quantile {quantile} is not in 0 to 1"));
        }
        self.quantiles.sort_by(f64::total_cmp);
        if let Some(pair) = self.quantiles.windows(2).find(|pair| pair[0] == pair[1]) {
            return refuse(format!("quantile {} is given twice", pair[0]));
        }
        if !(1..=SLOTS_MAX).contains(&self.slots) {
            return refuse(format!("{} slots are not in 1 to {SLOTS_MAX}", self.slots));
        }
        if (self.max_age / self.slots).is_zero() {
            return refuse(format!(
                "window {:?} is too short for {} slots",
                self.max_age, self.slots
            ));
        }
        Ok(self)
    }
}

// === impl Summary ===

impl Summary {
    pub(super) fn with_options(options: &SummaryOptions, clock: Arc<dyn Clock>) -> Self {
        let window = Window {
            slot: options.max_age / options.slots,
            slots_max: options.slots as usize,
            slots: VecDeque::new(),
        };
        Self(Arc::new(Cells {
            quantiles: options.quantiles.clone().into(),
            count: AtomicU64::new(0),
            sum: AtomicU64::new(0.0_f64.to_bits()),
            clock,
            window: Mutex::new(window),
        }))
    }

    /// Takes one observation.
    ///
    /// With quantiles it takes the lock of this series for some 50 ns, and sorts 256 numbers at every 256th call: meant for what
    /// happens per batch, request or file, not per record; use a [`Histogram`](super::Histogram) there.
    /// A NaN is counted, but takes part neither in the sum nor in the quantiles.
    pub fn observe(&self, value: f64) {
        let cells = &*self.0;
        cells.count.fetch_add(1, Ordering::Relaxed);
        if value.is_nan() {
            return;
        }
        add_f64(&cells.sum, value);
        if !cells.quantiles.is_empty() {
            let now = cells.clock.monotonic();
            self.window().current(now).insert(value);
        }
    }

    /// Gives how many observations there were.
    pub fn count(&self) -> u64 {
        self.0.count.load(Ordering::Relaxed)
    }

    /// Gives the sum of all observations.
    pub fn sum(&self) -> f64 {
        f64::from_bits(self.0.sum.load(Ordering::Relaxed))
    }

    /// Gives the quantiles over the window, in ascending order of quantile; NaN when nothing was observed in it.
    pub fn quantiles(&self) -> Vec<(f64, f64)> {
        let cells = &*self.0;
        if cells.quantiles.is_empty() {
            return Vec::new();
        }
        let mut all = Vec::new();
        {
            let mut window = self.window();
            window.expire(cells.clock.monotonic());
            for (_, sketch) in &window.slots {
                sketch.append_to(&mut all);
            }
        }
        let answers = sketch::quantiles(all, &cells.quantiles);
        cells.quantiles.iter().copied().zip(answers).collect()
    }

    pub(super) fn write_samples(&self, writer: &mut SeriesWriter<'_>) {
        for (quantile, value) in self.quantiles() {
            writer.sample("", Some(("quantile", quantile)), Number::Float(value));
        }
        writer.sample("_sum", None, Number::Float(self.sum()));
        writer.sample("_count", None, Number::Unsigned(self.count()));
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        self.0.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Summary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Summary")
            .field("count", &self.count())
            .field("sum", &self.sum())
            .finish()
    }
}

// === impl Window ===

impl Window {
    /// Gives the sketch that takes observations made at `now`.
    fn current(&mut self, now: Duration) -> &mut Sketch {
        let number = self.number(now);
        // A thread that read the clock earlier may come later: its observation goes to the newest slot.
        let fresh = self.slots.back().is_none_or(|(newest, _)| *newest < number);
        if fresh {
            let spare = self.drop_before(number);
            self.slots.push_back((number, spare.unwrap_or_default()));
        }
        let newest = self.slots.len() - 1;
        &mut self.slots[newest].1
    }

    /// Drops the slots that are too old at `now`.
    fn expire(&mut self, now: Duration) {
        let number = self.number(now);
        self.drop_before(number);
    }

    /// Drops the slots that are not in the window which ends with slot `number`; gives the memory of one of them.
    fn drop_before(&mut self, number: u128) -> Option<Sketch> {
        let mut spare = None;
        while self
            .slots
            .front()
            .is_some_and(|(oldest, _)| oldest + self.slots_max as u128 <= number)
        {
            spare = self.slots.pop_front().map(|(_, mut sketch)| {
                sketch.clear();
                sketch
            });
        }
        spare
    }

    fn number(&self, now: Duration) -> u128 {
        // A slot is never zero: `SummaryOptions::checked`.
        now.as_nanos() / self.slot.as_nanos().max(1)
    }
}
