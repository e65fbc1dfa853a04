//! Whether an endpoint may be asked.
//!
//! ```text
//! up ─ failure ─▶ resting ─ time ─▶ probing: one request at a time ─ success ─▶ up
//!                    ▲                        └─ failure ─┘
//!                    └────────────────────────────────────┘
//! ```
//! The first failures let it rest for a moment that grows; as many as the breaker allows within its window open it for
//! longer. An answer that has nothing to do with the body pauses it for a minute.

use std::collections::VecDeque;
use std::time::Duration;

use levada_runtime::backoff::{Backoff, BackoffPolicy};

/// When an endpoint is taken for dead, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// So many failures …
    pub failures: usize,
    /// … within this time …
    pub window: Duration,
    /// … open it for this time, …
    pub open: Duration,
    /// … and twice as long each time the probe fails, up to this.
    pub open_max: Duration,
    /// Requests that may try whether it is back.
    pub half_open_probes: usize,
    /// How long an endpoint rests that says *you may not*.
    pub pause: Duration,
}

/// What an endpoint is doing; for people and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointState {
    /// All is well.
    Up,
    /// It failed and rests for a moment.
    Resting,
    /// It failed often and is left alone.
    Open,
    /// It says that we may not.
    Paused,
    /// A request tries whether it is back.
    Probing,
}

/// Why an endpoint is not asked now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// Until then on the monotonic clock.
    Until(Duration),
    /// Until somebody who asks has an answer.
    Probe,
}

/// The health of one endpoint.
#[derive(Debug)]
pub(super) struct Health {
    policy: BreakerPolicy,
    backoff: Backoff,
    failures: VecDeque<Duration>,
    is_up: bool,
    until: Duration,
    /// Until when it asked to be left alone: a good answer to a request that was sent before does not end that.
    told: Duration,
    kind: EndpointState,
    probes: usize,
    opened: u32,
}

impl Default for BreakerPolicy {
    /// Source: dataway reference §11.5, and §5.6 for the pause.
    fn default() -> Self {
        BreakerPolicy {
            failures: 5,
            window: Duration::from_secs(30),
            open: Duration::from_secs(10),
            open_max: Duration::from_secs(300),
            half_open_probes: 1,
            pause: Duration::from_secs(60),
        }
    }
}

// === impl Health ===

impl Health {
    pub(super) fn new(policy: BreakerPolicy, retry: BackoffPolicy, seed: u64) -> Self {
        Health {
            policy,
            backoff: Backoff::new(BackoffPolicy { attempts_max: 0, ..retry }, seed),
            failures: VecDeque::new(),
            is_up: true,
            until: Duration::ZERO,
            told: Duration::ZERO,
            kind: EndpointState::Up,
            probes: 0,
            opened: 0,
        }
    }

    /// Says whether it may be asked now; changes nothing.
    pub(super) fn check(&self, now: Duration) -> Result<(), Wait> {
        let until = self.rests_until();
        if now < until {
            Err(Wait::Until(until))
        } else if self.is_up || self.probes < self.policy.half_open_probes.max(1) {
            Ok(())
        } else {
            Err(Wait::Probe)
        }
    }

    /// Notes that it is asked; gives whether that is a probe.
    pub(super) fn ask(&mut self) -> bool {
        if self.is_up {
            return false;
        }
        self.probes += 1;
        true
    }

    /// Notes that who asked went away without an answer.
    pub(super) fn forget(&mut self, is_probe: bool) {
        self.probes = self.probes.saturating_sub(usize::from(is_probe));
    }

    /// Notes an answer that shows that it works, whatever it says about the body.
    pub(super) fn works(&mut self, is_probe: bool) {
        self.forget(is_probe);
        self.is_up = true;
        self.kind = EndpointState::Up;
        self.failures.clear();
        self.opened = 0;
        self.backoff.reset();
    }

    /// Notes a failure.
    pub(super) fn fails(&mut self, is_probe: bool, after: Option<Duration>, now: Duration) {
        self.forget(is_probe);
        // Requests that were sent before it began to rest say nothing new.
        let is_news = self.is_up || is_probe;
        self.failures.push_back(now);
        while self.failures.front().is_some_and(|at| now.saturating_sub(*at) > self.policy.window)
            || self.failures.len() > self.policy.failures.max(1)
        {
            self.failures.pop_front();
        }
        let mut rest = Duration::ZERO;
        if is_news {
            let is_dead = self.failures.len() >= self.policy.failures.max(1) || self.opened > 0;
            if is_dead {
                let factor = 1_u32.checked_shl(self.opened.min(31)).unwrap_or(u32::MAX);
                rest = self.policy.open.saturating_mul(factor).min(self.policy.open_max);
                self.opened = self.opened.saturating_add(1);
                self.kind = EndpointState::Open;
            } else {
                rest = self.backoff.next_delay().unwrap_or(self.policy.open);
                self.kind = EndpointState::Resting;
            }
        }
        // Who says how long is believed: not earlier, and not later because of what we think.
        let rest = after.map_or(rest, |after| after.max(if is_news { MOMENT } else { rest }));
        self.is_up = false;
        self.until = self.until.max(now + rest);
        if after.is_some() {
            self.told = self.told.max(now + rest);
        }
    }

    /// Notes an answer that says that we may not.
    pub(super) fn pauses(&mut self, is_probe: bool, now: Duration) {
        self.forget(is_probe);
        self.is_up = false;
        self.kind = EndpointState::Paused;
        self.until = self.until.max(now + self.policy.pause);
    }

    /// Gives what it is doing.
    pub(super) fn state(&self, now: Duration) -> EndpointState {
        match (now < self.rests_until(), self.is_up) {
            (true, true) => EndpointState::Resting,
            (true, false) => self.kind,
            (false, true) => EndpointState::Up,
            (false, false) => EndpointState::Probing,
        }
    }

    fn rests_until(&self) -> Duration {
        if self.is_up { self.told } else { self.until }
    }
}

/// The shortest rest.
const MOMENT: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn health() -> Health {
        let retry = BackoffPolicy {
            initial: Duration::from_millis(500),
            max: Duration::from_secs(60),
            attempts_max: 0,
        };
        Health::new(BreakerPolicy { failures: 3, ..BreakerPolicy::default() }, retry, 7)
    }

    fn rest(health: &Health, now: Duration) -> Duration {
        match health.check(now) {
            Err(Wait::Until(until)) => until - now,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn failures_rest_then_open_then_one_probe_decides() {
        let (mut health, mut now) = (health(), Duration::from_secs(100));
        for bound in [500, 1_000] {
            let is_probe = health.ask();
            health.fails(is_probe, None, now);
            let rest = rest(&health, now).as_millis();
            assert!((bound / 2..=bound).contains(&rest), "{rest}");
            assert_eq!(health.state(now), EndpointState::Resting);
            now += Duration::from_millis(1_000);
        }
        for seconds in [10, 20, 40, 80, 160, 300, 300] {
            assert_eq!(health.check(now), Ok(()));
            let is_probe = health.ask();
            assert!(is_probe);
            assert_eq!(health.check(now), Err(Wait::Probe), "one probe at a time");
            health.fails(is_probe, None, now);
            assert_eq!(rest(&health, now), Duration::from_secs(seconds));
            assert_eq!(health.state(now), EndpointState::Open);
            now += Duration::from_secs(seconds);
        }
        assert_eq!(health.state(now), EndpointState::Probing);
        let is_probe = health.ask();
        health.works(is_probe);
        assert_eq!((health.check(now), health.state(now)), (Ok(()), EndpointState::Up));
        let is_probe = health.ask();
        health.fails(is_probe, None, now);
        assert!(rest(&health, now) <= Duration::from_millis(500), "all is forgotten");
    }

    #[test]
    fn old_failures_do_not_count() {
        let (mut health, mut now) = (health(), Duration::ZERO);
        for _ in 0..20 {
            let is_probe = health.ask();
            health.fails(is_probe, None, now);
            assert_eq!(health.state(now), EndpointState::Resting);
            now += Duration::from_secs(31);
        }
    }

    #[test]
    fn who_says_how_long_is_believed() {
        let (mut health, now) = (health(), Duration::from_secs(1));
        let is_probe = health.ask();
        health.fails(is_probe, Some(Duration::from_secs(5)), now);
        assert_eq!(rest(&health, now), Duration::from_secs(5));
        // An answer to an older request does not shorten it.
        health.fails(false, None, now);
        assert_eq!(rest(&health, now), Duration::from_secs(5));
        // Nor does one that is good, though it shows that the endpoint is there.
        health.works(false);
        assert_eq!(rest(&health, now), Duration::from_secs(5));
        assert_eq!(health.state(now), EndpointState::Resting);
        let now = now + Duration::from_secs(5);
        assert_eq!((health.check(now), health.state(now)), (Ok(()), EndpointState::Up));
    }

    #[test]
    fn many_failures_at_once_are_one() {
        let (mut health, now) = (health(), Duration::from_secs(1));
        for _ in 0..16 {
            health.fails(false, None, now);
        }
        assert!(rest(&health, now) <= Duration::from_millis(500));
    }

    #[test]
    fn a_pause_is_probed_each_minute() {
        let (mut health, mut now) = (health(), Duration::from_secs(1));
        for _ in 0..3 {
            let is_probe = health.ask();
            health.pauses(is_probe, now);
            assert_eq!(rest(&health, now), Duration::from_secs(60));
            assert_eq!(health.state(now), EndpointState::Paused);
            now += Duration::from_secs(60);
            assert_eq!(health.check(now), Ok(()));
        }
        let is_probe = health.ask();
        health.forget(is_probe);
        assert_eq!(health.check(now), Ok(()), "who goes away leaves its place");
    }
}
