//! Who may write, and how much.
//!
//! A tenant is a token. Each has buckets of requests, bytes and points per second. Requests and bytes are known before a
//! body is read by anybody; points are known only afterwards, so a body that brings more than is left is taken whole, and
//! the tenant waits until it has made up for it.
//!
//! Source: dataway reference §11.6.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use levada_runtime::Clock;
use levada_telemetry::metrics::{Counter, MetricsError, Registry};
use subtle::ConstantTimeEq as _;

use crate::metrics::TenantFamilies;

/// A tenant.
#[derive(Clone, Debug, PartialEq)]
pub struct TenantSpec {
    /// For counts.
    pub name: String,
    /// What it shows.
    pub token: String,
    /// Requests per second; 0 is without limit.
    pub requests_per_second: f64,
    /// Points per second; 0 is without limit.
    pub points_per_second: f64,
    /// Bytes per second, as they come; 0 is without limit.
    pub bytes_per_second: f64,
    /// For how long all of that may come at once.
    pub burst: Duration,
}

/// All tenants.
pub struct Tenants {
    list: Vec<Tenant>,
    clock: Arc<dyn Clock>,
}

struct Tenant {
    spec: TenantSpec,
    requests: Bucket,
    bytes: Bucket,
    points: Bucket,
    written: Counter,
    refused: [Counter; 3],
}

/// One more than a tenant may.
#[derive(Clone, Debug, PartialEq)]
pub struct Over {
    /// `requests`, `bytes` or `points`.
    pub what: &'static str,
    /// How many there may be per second.
    pub limit: f64,
    /// When it may come.
    pub after: Duration,
}

/// Why nobody is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stranger {
    /// It shows no token.
    NoToken,
    /// It shows one that nobody has.
    WrongToken,
}

/// What may be used at once; below zero it has to be made up for.
#[derive(Debug)]
struct Bucket {
    what: &'static str,
    per_second: f64,
    level_max: f64,
    /// Level, and when it was that.
    state: Mutex<(f64, Duration)>,
}

const WHATS: [&str; 3] = ["requests", "bytes", "points"];
/// No tenant waits longer than this for one body.
const AFTER_MAX: Duration = Duration::from_secs(3_600);

// === impl Tenants ===

impl Tenants {
    /// Makes them. `token` is that of anybody without limits; empty for none.
    pub fn new(
        token: &str,
        mut specs: Vec<TenantSpec>,
        clock: Arc<dyn Clock>,
        registry: &Registry,
    ) -> Result<Self, MetricsError> {
        if !token.is_empty() {
            specs.push(TenantSpec {
                name: "common".to_owned(),
                token: token.to_owned(),
                requests_per_second: 0.0,
                points_per_second: 0.0,
                bytes_per_second: 0.0,
                burst: Duration::ZERO,
            });
        }
        let families = TenantFamilies::new(registry)?;
        let now = clock.monotonic();
        let list = specs.into_iter().map(|spec| Tenant {
            requests: Bucket::new(WHATS[0], spec.requests_per_second, spec.burst, now),
            bytes: Bucket::new(WHATS[1], spec.bytes_per_second, spec.burst, now),
            points: Bucket::new(WHATS[2], spec.points_per_second, spec.burst, now),
            written: families.written.with(&[&spec.name]),
            refused: WHATS.map(|what| families.refused.with(&[&spec.name, what])),
            spec,
        });
        Ok(Tenants { list: list.collect(), clock })
    }

    /// Says whether a token is asked for.
    pub fn asks(&self) -> bool {
        !self.list.is_empty()
    }

    /// Gives the name of the tenant of a token; takes as long for a wrong one as for a right one.
    pub fn find(&self, token: &str) -> Result<&str, Stranger> {
        if token.is_empty() {
            return Err(Stranger::NoToken);
        }
        let mut found = None;
        for tenant in &self.list {
            if bool::from(tenant.spec.token.as_bytes().ct_eq(token.as_bytes())) {
                found = Some(&*tenant.spec.name);
            }
        }
        found.ok_or(Stranger::WrongToken)
    }

    /// Asks for leave to send a body of so many bytes; without a tenant of that name there is leave.
    pub fn admit(&self, name: &str, bytes: usize) -> Result<(), Over> {
        let Some(tenant) = self.list.iter().find(|tenant| tenant.spec.name == name) else {
            return Ok(());
        };
        let now = self.clock.monotonic();
        let buckets =
            [(&tenant.requests, 1.0), (&tenant.bytes, bytes as f64), (&tenant.points, 0.0)];
        for (at, (bucket, amount)) in buckets.into_iter().enumerate() {
            if let Err(after) = bucket.has(amount, now) {
                tenant.refused[at].inc();
                return Err(Over { what: bucket.what, limit: bucket.per_second, after });
            }
        }
        tenant.requests.take(1.0);
        tenant.bytes.take(bytes as f64);
        Ok(())
    }

    /// Takes note of the points of a body that was taken.
    pub fn charge(&self, name: &str, points: u64) {
        if let Some(tenant) = self.list.iter().find(|tenant| tenant.spec.name == name) {
            tenant.points.take(points as f64);
            tenant.written.add(points);
        }
    }
}

// === impl Bucket ===

impl Bucket {
    fn new(what: &'static str, per_second: f64, burst: Duration, now: Duration) -> Self {
        let level_max = (per_second * burst.as_secs_f64()).max(1.0);
        Bucket { what, per_second, level_max, state: Mutex::new((level_max, now)) }
    }

    /// Says whether there is so much, or when there will be. More than there can ever be needs a full bucket.
    fn has(&self, amount: f64, now: Duration) -> Result<(), Duration> {
        if self.per_second <= 0.0 {
            return Ok(());
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = now.saturating_sub(state.1).as_secs_f64();
        *state = ((state.0 + passed * self.per_second).min(self.level_max), now);
        let missing = amount.min(self.level_max) - state.0;
        match missing > 0.0 {
            true => Err(Duration::try_from_secs_f64(missing / self.per_second)
                .unwrap_or(AFTER_MAX)
                .min(AFTER_MAX)),
            false => Ok(()),
        }
    }

    fn take(&self, amount: f64) {
        if self.per_second > 0.0 {
            self.state.lock().unwrap_or_else(PoisonError::into_inner).0 -= amount;
        }
    }
}

#[cfg(test)]
mod tests {
    use levada_model::Timestamp;
    use levada_runtime::VirtualClock;

    use super::*;

    fn tenants(clock: &Arc<VirtualClock>) -> Tenants {
        let spec = TenantSpec {
            name: "one".to_owned(),
            token: "tkn_1".to_owned(),
            requests_per_second: 10.0,
            points_per_second: 100.0,
            bytes_per_second: 1_000.0,
            burst: Duration::from_secs(1),
        };
        let clock = Arc::clone(clock) as Arc<dyn Clock>;
        Tenants::new("tkn_all", vec![spec], clock, &Registry::new()).unwrap()
    }

    #[test]
    fn tokens_tell_who_somebody_is() {
        let tenants = tenants(&VirtualClock::new(Timestamp(0)));
        assert!(tenants.asks());
        assert_eq!(tenants.find("tkn_1"), Ok("one"));
        assert_eq!(tenants.find("tkn_all"), Ok("common"));
        assert_eq!(tenants.find(""), Err(Stranger::NoToken));
        assert_eq!(tenants.find("tkn_"), Err(Stranger::WrongToken));
    }

    #[test]
    fn nobody_brings_more_than_they_may() {
        let clock = VirtualClock::new(Timestamp(0));
        let tenants = tenants(&clock);
        for _ in 0..10 {
            assert_eq!(tenants.admit("one", 10), Ok(()));
        }
        let over = tenants.admit("one", 10).unwrap_err();
        assert_eq!(
            (over.what, over.limit, over.after),
            ("requests", 10.0, Duration::from_millis(100))
        );
        clock.advance(Duration::from_secs(1));
        assert_eq!(tenants.admit("one", 50_000), Ok(()), "a full bucket lets a large body pass");
        let over = tenants.admit("one", 1).unwrap_err();
        assert_eq!(over.what, "bytes");
        assert!(over.after > Duration::from_secs(49), "{over:?}");
        clock.advance(Duration::from_secs(60));
        assert_eq!(tenants.admit("one", 1), Ok(()));
        tenants.charge("one", 300);
        let over = tenants.admit("one", 1).unwrap_err();
        assert_eq!((over.what, over.after), ("points", Duration::from_secs(2)));
        assert_eq!(tenants.admit("common", usize::MAX), Ok(()));
    }
}
