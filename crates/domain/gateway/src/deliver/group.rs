//! The endpoints of a destination, and which of them is asked.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::health::{Health, Wait};
use super::{EndpointState, Receiver, SendPolicy};

/// How endpoints share the records of one queue.
///
/// Two more ways need a queue for each endpoint and are settled where points are routed: *broadcast* sends every point to
/// each, *hash* sends the points of one tag value to the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// The first that works, by priority.
    #[default]
    Failover,
    /// Each in proportion to its weight, as long as it works.
    Weighted,
}

/// One endpoint.
pub struct Member {
    /// Who is asked.
    pub receiver: Arc<dyn Receiver>,
    /// Its share when records are spread; 0 is asked only when nobody else can be.
    pub weight: u32,
    /// Lower is asked earlier.
    pub priority: u32,
}

/// Endpoints and how they are.
pub struct Group {
    strategy: Strategy,
    members: Vec<Member>,
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    health: Vec<Health>,
    /// What each is owed; the one that is owed most is next.
    credit: Vec<i64>,
}

/// Leave to ask an endpoint; without an answer it is given back.
pub(super) struct Leave<'g> {
    group: &'g Group,
    pub(super) member: usize,
    is_probe: bool,
    is_answered: bool,
}

// === impl Group ===

impl Group {
    /// Makes a group of at least one endpoint.
    pub fn new(
        strategy: Strategy,
        mut members: Vec<Member>,
        policy: &SendPolicy,
        seed: u64,
    ) -> Self {
        if strategy == Strategy::Failover {
            members.sort_by_key(|member| member.priority);
        }
        let health = (0..members.len())
            .map(|at| Health::new(policy.breaker, policy.retry, seed.wrapping_add(at as u64)))
            .collect();
        let credit = vec![0; members.len()];
        let state = Mutex::new(State { health, credit });
        Group { strategy, members, state, changed: Notify::new() }
    }

    /// Gives the names of the endpoints and how they are.
    pub fn states(&self, now: Duration) -> Vec<(String, EndpointState)> {
        let state = self.state();
        let members = self.members.iter().zip(&state.health);
        members
            .map(|(member, health)| (member.receiver.label().to_owned(), health.state(now)))
            .collect()
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    pub(super) fn receiver(&self, member: usize) -> &dyn Receiver {
        &*self.members[member].receiver
    }

    /// Gives leave to ask an endpoint, or until when nobody may be asked.
    pub(super) fn choose(&self, now: Duration) -> Result<Leave<'_>, Wait> {
        let mut state = self.state();
        let checks: Vec<Result<(), Wait>> =
            state.health.iter().map(|health| health.check(now)).collect();
        let can = |at: &usize| checks[*at].is_ok();
        let chosen = match self.strategy {
            Strategy::Failover => (0..self.members.len()).find(can),
            Strategy::Weighted => self.weighted(&mut state.credit, can),
        };
        match chosen {
            Some(member) => {
                let is_probe = state.health[member].ask();
                Ok(Leave { group: self, member, is_probe, is_answered: false })
            }
            None => {
                let first = checks.iter().filter_map(|check| match check {
                    Err(Wait::Until(until)) => Some(*until),
                    _ => None,
                });
                Err(first.min().map_or(Wait::Probe, Wait::Until))
            }
        }
    }

    /// Waits until the health of an endpoint has changed.
    pub(super) fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }

    /// Smooth weighted round robin among those that can be asked.
    fn weighted(&self, credit: &mut [i64], can: impl Fn(&usize) -> bool) -> Option<usize> {
        let able: Vec<usize> = (0..self.members.len()).filter(can).collect();
        let has_weight = able.iter().any(|at| self.members[*at].weight > 0);
        let weight = |at: usize| match self.members[at].weight {
            0 if !has_weight => 1,
            weight => i64::from(weight),
        };
        let total: i64 = able.iter().map(|at| weight(*at)).sum();
        for at in &able {
            credit[*at] += weight(*at);
        }
        let chosen =
            able.iter().copied().filter(|at| weight(*at) > 0).max_by_key(|at| credit[*at])?;
        credit[chosen] -= total;
        Some(chosen)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Leave ===

impl Leave<'_> {
    pub(super) fn works(mut self) {
        self.answer(|health, is_probe| health.works(is_probe));
    }

    pub(super) fn fails(mut self, after: Option<Duration>, now: Duration) {
        self.answer(|health, is_probe| health.fails(is_probe, after, now));
    }

    pub(super) fn pauses(mut self, now: Duration) {
        self.answer(|health, is_probe| health.pauses(is_probe, now));
    }

    fn answer(&mut self, note: impl FnOnce(&mut Health, bool)) {
        self.is_answered = true;
        note(&mut self.group.state().health[self.member], self.is_probe);
        self.group.changed.notify_waiters();
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            self.answer(|health, is_probe| health.forget(is_probe));
        }
    }
}
