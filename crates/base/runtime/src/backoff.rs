//! The only back-off: exponential, with jitter and a bound.

use std::time::Duration;

/// How delays grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackoffPolicy {
    /// The first delay.
    pub initial: Duration,
    /// The longest delay.
    pub max: Duration,
    /// How many delays there are at most; 0 means without end.
    pub attempts_max: u32,
}

impl Default for BackoffPolicy {
    /// 500 ms doubling to 30 s, without end.
    ///
    /// Source: dataflow-operator.md §4.4 for the first delay; 30 s is the original's start-up delay.
    fn default() -> Self {
        BackoffPolicy {
            initial: Duration::from_millis(500),
            max: Duration::from_secs(30),
            attempts_max: 0,
        }
    }
}

/// The delays of one series of attempts.
#[derive(Clone, Debug)]
pub struct Backoff {
    policy: BackoffPolicy,
    attempt: u32,
    random: u64,
}

impl Backoff {
    /// Starts a series; `seed` makes its jitter repeatable.
    pub fn new(policy: BackoffPolicy, seed: u64) -> Self {
        Backoff { policy, attempt: 0, random: seed | 1 }
    }

    /// Gives the next delay, or nothing when the attempts are used up.
    ///
    /// - Jitter: the upper half of each step is random, so that many flows do not come back together.
    pub fn next_delay(&mut self) -> Option<Duration> {
        if self.policy.attempts_max > 0 && self.attempt >= self.policy.attempts_max {
            return None;
        }
        let factor = 1u32.checked_shl(self.attempt.min(31)).unwrap_or(u32::MAX);
        let step = self.policy.initial.saturating_mul(factor).min(self.policy.max);
        self.attempt = self.attempt.saturating_add(1);
        let half = step / 2;
        // xorshift64: good enough for spreading, and repeatable.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let share = (self.random >> 11) as f64 / (1u64 << 53) as f64;
        Some(half + half.mul_f64(share))
    }

    /// Gives how many delays were given.
    pub fn attempts(&self) -> u32 {
        self.attempt
    }

    /// Starts the series again after a success.
    pub fn reset(&mut self) {
        self.attempt = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_bound() {
        let policy = BackoffPolicy {
            initial: Duration::from_millis(100),
            max: Duration::from_secs(1),
            attempts_max: 6,
        };
        let mut backoff = Backoff::new(policy, 7);
        for step in [100, 200, 400, 800, 1000, 1000] {
            let delay = backoff.next_delay().map(|delay| delay.as_millis()).unwrap_or_default();
            assert!(
                (step / 2..=step).contains(&delay),
                "{delay} is not in the upper half of {step}"
            );
        }
        assert_eq!(backoff.next_delay(), None);
        backoff.reset();
        assert!(backoff.next_delay().is_some());
    }

    proptest::proptest! {
        #[test]
        fn no_attempt_overflows(attempts in 0u32..200, seed: u64) {
            let mut backoff = Backoff::new(BackoffPolicy::default(), seed);
            for _ in 0..attempts {
                proptest::prop_assert!(backoff.next_delay().is_some_and(|d| d <= Duration::from_secs(30)));
            }
        }
    }
}
