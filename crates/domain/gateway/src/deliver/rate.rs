//! Token buckets.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// So much per second, and what was not used within one second may be used at once.
#[derive(Debug)]
pub(super) struct Rate {
    per_second: f64,
    /// Level, and when it was that.
    state: Mutex<(f64, Duration)>,
}

// === impl Rate ===

impl Rate {
    /// Makes one; `per_second` 0 is without limit.
    pub(super) fn new(per_second: f64) -> Self {
        Rate { per_second, state: Mutex::new((per_second.max(1.0), Duration::ZERO)) }
    }

    /// Takes an amount and says how long to wait until it may be used. What is larger than a second's worth is given too,
    /// and then others wait longer.
    pub(super) fn take(&self, amount: f64, now: Duration) -> Duration {
        if self.per_second <= 0.0 {
            return Duration::ZERO;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = now.saturating_sub(state.1).as_secs_f64();
        state.0 = (state.0 + passed * self.per_second).min(self.per_second.max(1.0)) - amount;
        state.1 = now;
        match state.0 >= 0.0 {
            true => Duration::ZERO,
            false => Duration::try_from_secs_f64(-state.0 / self.per_second)
                .unwrap_or(WAIT_MAX)
                .min(WAIT_MAX),
        }
    }
}

/// No amount makes anybody wait longer.
const WAIT_MAX: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_spread_over_time() {
        let rate = Rate::new(10.0);
        let mut now = Duration::from_secs(100);
        for _ in 0..10 {
            assert_eq!(rate.take(1.0, now), Duration::ZERO);
        }
        assert_eq!(rate.take(1.0, now), Duration::from_millis(100));
        assert_eq!(rate.take(20.0, now), Duration::from_millis(2_100), "a large one is given too");
        now += Duration::from_millis(2_100);
        assert_eq!(rate.take(1.0, now), Duration::from_millis(100));
        assert_eq!(Rate::new(0.0).take(1e12, now), Duration::ZERO);
        assert_eq!(Rate::new(0.001).take(1e12, now), WAIT_MAX);
    }
}
