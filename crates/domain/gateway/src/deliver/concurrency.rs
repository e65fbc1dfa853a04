//! How many requests may be under way: fewer when the receiver is slow, more while all is well.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A limit that halves on overload and grows by one for each round of successes.
#[derive(Debug)]
pub(super) struct Adaptive {
    max: f64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    limit: f64,
    /// Requests that were under way when it was halved say nothing new.
    halved_at: Option<Duration>,
}

/// Within this time one halving is enough.
const HALVE_INTERVAL: Duration = Duration::from_secs(1);

// === impl Adaptive ===

impl Adaptive {
    pub(super) fn new(max: usize) -> Self {
        let max = max.max(1) as f64;
        Adaptive { max, state: Mutex::new(State { limit: max, halved_at: None }) }
    }

    /// Gives how many may be under way now.
    pub(super) fn limit(&self) -> usize {
        self.state().limit as usize
    }

    pub(super) fn succeeded(&self) {
        let mut state = self.state();
        state.limit = (state.limit + 1.0 / state.limit).min(self.max);
    }

    pub(super) fn overloaded(&self, now: Duration) {
        let mut state = self.state();
        if state.halved_at.is_some_and(|at| now.saturating_sub(at) < HALVE_INTERVAL) {
            return;
        }
        state.halved_at = Some(now);
        state.limit = (state.limit / 2.0).max(1.0);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_halves_once_a_second_and_grows_back() {
        let adaptive = Adaptive::new(16);
        let second = Duration::from_secs(1);
        adaptive.overloaded(second);
        adaptive.overloaded(second);
        assert_eq!(adaptive.limit(), 8);
        for n in 2..20 {
            adaptive.overloaded(second * n);
        }
        assert_eq!(adaptive.limit(), 1, "never below one");
        let mut successes = 0;
        while adaptive.limit() < 16 {
            adaptive.succeeded();
            successes += 1;
        }
        assert!((100..200).contains(&successes), "one more per round: {successes}");
        adaptive.succeeded();
        assert_eq!(adaptive.limit(), 16, "never above the bound");
    }
}
