//! Time, real or driven by a test.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use levada_model::Timestamp;
use tokio::sync::watch;

/// Tells the time and waits for it.
pub trait Clock: Send + Sync + 'static {
    /// Gives the current time of day.
    fn now(&self) -> Timestamp;

    /// Gives the time since an arbitrary start; never goes back.
    fn monotonic(&self) -> Duration;

    /// Waits until `duration` has passed on this clock.
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// The clock of the machine.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// Makes the clock; monotonic time counts from here.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system's clock")]
    pub fn new() -> Arc<Self> {
        Arc::new(SystemClock { start: Instant::now() })
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system's clock")]
    fn now(&self) -> Timestamp {
        let nanos = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |n| -n),
        };
        Timestamp(nanos)
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// A clock that stands still until a test moves it.
#[derive(Debug)]
pub struct VirtualClock {
    origin: Timestamp,
    elapsed: Mutex<Duration>,
    moved: watch::Sender<Duration>,
}

impl VirtualClock {
    /// Makes a clock that shows `origin`.
    pub fn new(origin: Timestamp) -> Arc<Self> {
        let moved = watch::Sender::new(Duration::ZERO);
        Arc::new(VirtualClock { origin, elapsed: Mutex::new(Duration::ZERO), moved })
    }

    /// Moves the clock forward and wakes who waited for that.
    pub fn advance(&self, by: Duration) {
        let mut elapsed = self.elapsed.lock().unwrap_or_else(PoisonError::into_inner);
        *elapsed += by;
        self.moved.send_replace(*elapsed);
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        let nanos = i64::try_from(self.monotonic().as_nanos()).unwrap_or(i64::MAX);
        Timestamp(self.origin.0.saturating_add(nanos))
    }

    fn monotonic(&self) -> Duration {
        *self.elapsed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let until = self.monotonic() + duration;
        let mut moved = self.moved.subscribe();
        Box::pin(async move {
            // An error means that the clock is gone: nobody will move it again.
            let _gone = moved.wait_for(|now| *now >= until).await.is_err();
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_virtual_clock_wakes_sleepers_when_it_is_moved() {
        let clock = VirtualClock::new(Timestamp(1_000));
        let sleep = clock.sleep(Duration::from_secs(10));
        clock.advance(Duration::from_secs(9));
        tokio::pin!(sleep);
        assert!(futures_poll(&mut sleep).await.is_none());
        clock.advance(Duration::from_secs(1));
        sleep.await;
        assert_eq!(clock.now(), Timestamp(10_000_001_000));
    }

    async fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        tokio::select! {
            biased;
            output = future => Some(output),
            () = std::future::ready(()) => None,
        }
    }
}
